package payload

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
)

// site is a collection with every kind of field, and two documents of it.
var site = []string{
	`create type tone as enum ('formal', 'casual')`,
	`create table media (id serial primary key, alt varchar)`,
	`create table posts (id serial primary key, title varchar, title_short varchar, slug varchar, content jsonb, description varchar, seo_meta_title varchar, seo_meta_text varchar, seo_hash varchar,
		tone tone, featured bool, rating numeric, published_at timestamptz(3), hero_image_id int references media(id) on delete set null, extra jsonb, layout_json jsonb, api_key varchar, updated_at timestamptz(3),
		_status status default 'published')`,
	`create table posts_locales (lead varchar, ref_id varchar, id serial primary key, _locale locale not null, _parent_id int not null references posts(id) on delete cascade)`,
	arrayOf("posts_faq_items", "posts", ", question varchar, answer varchar, kind tone, slug varchar, password varchar"),
	arrayOf("posts_seo_links", "posts", ", label varchar"),
	blockOf("posts_blocks_hero", ", heading varchar, text varchar, link_u_r_l varchar, tone tone, cite_source varchar"),
	blockOf("posts_blocks_hero_2", ", heading varchar"),
	blockOf("fgrid", ", intro varchar"),
	arrayOf("posts_blocks_hero_ctas", "posts_blocks_hero", ", label varchar"),
	`create table posts_channels ("order" int not null, parent_id int not null references posts(id) on delete cascade, value tone, id serial primary key)`,
	postTexts,
	`create table posts_numbers (id serial primary key, "order" int not null, parent_id int not null references posts(id) on delete cascade, path varchar not null, number numeric)`,
	`create table posts_rels (id serial primary key, "order" int, parent_id int not null references posts(id) on delete cascade, path varchar not null, media_id int references media(id) on delete cascade)`,
	`insert into media (alt) values ('alt text')`,
	`insert into posts (title, title_short, slug, content, description, seo_meta_title, seo_meta_text, tone, featured, rating, published_at, hero_image_id, extra, layout_json, api_key, updated_at) values
		('T', 'TS', 'the-slug', '{"root":{"type":"root","children":[{"type":"paragraph","children":[{"type":"text","text":"C"}]}]}}', 'D', 'SMT', 'SMX', 'formal', true, 4.50, '2026-01-31 12:00:00.5+00', 1,
		 '{"a":["one",{"b":"two"}],"n":1,"password":"hidden"}',
		 '[{"id":"x","blockType":"hero","heading":"JH","text":"JT","slug":"js","items":[{"name":"JN","note":"JO"}]},{"id":"y","blockType":"note","text":"NT"}]', 'KEY', '2026-01-31 12:00:00+00'),
		('T2', null, 'two', null, null, null, null, 'casual', false, null, null, null, null, null, null, null)`,
	`insert into posts_locales (lead, ref_id, _locale, _parent_id) values ('LE', 'ce', 'en', 1), ('LD', 'cd', 'de', 1)`,
	`insert into posts_faq_items values (1, 1, 'f1', 'Q1', 'A1', 'formal', 's1', 'pw'), (2, 1, 'f2', 'Q2', 'A2', 'casual', 's2', 'pw')`,
	`insert into posts_seo_links values (1, 1, 'l1', 'SL')`,
	`insert into posts_blocks_hero (_order, _parent_id, _path, id, heading, text, link_u_r_l, tone, cite_source) values (1, 1, 'layout', 'h1', 'H1', 'X1', '/x', 'formal', 'S1'), (1, 1, 'aside', 'h2', 'H2', 'X2', '/y', 'casual', null)`,
	`insert into posts_blocks_hero_2 (_order, _parent_id, _path, id, heading) values (2, 1, 'layout', 'h3', 'H3')`,
	`insert into posts_blocks_hero_ctas values (1, 'h1', 'c1', 'CTA')`,
	`insert into fgrid (_order, _parent_id, _path, id, intro) values (3, 1, 'layout', 'g1', 'G1')`,
	`insert into posts_channels ("order", parent_id, value) values (2, 1, 'casual'), (1, 1, 'formal')`,
	`insert into posts_texts ("order", parent_id, path, text, locale) values (1, 1, 'tags', 'tag1', null), (2, 1, 'tags', 'tag2', null), (1, 1, 'words', 'wd', 'de'), (1, 1, 'layout.0.ctas.0.keywords', 'kw', null)`,
	`insert into posts_numbers ("order", parent_id, path, number) values (1, 1, 'scores', 1), (2, 1, 'scores', 2.50)`,
	`insert into posts_rels ("order", parent_id, path, media_id) values (1, 1, 'gallery', 1)`,
}

func rulesFor(r Rules) Config { return Config{Rules: map[string]Rules{"posts": r}} }

// english drops the other entries, which differ only in what is of their locale.
func english(says []string) string {
	for _, s := range says {
		if text, ok := strings.CutPrefix(s, "en: "); ok {
			return text
		}
	}
	return strings.TrimPrefix(strings.Join(says, "\n"), ": ")
}

func TestRulesOfText(t *testing.T) {
	pool := build(t, "public", site...)
	const json = "JH | JT | JN | JO | NT"
	const rest = "tag1\ntag2 | H2 | X2 | Q1 | A1 | Q2 | A2 | H1 | X1 | S1 | CTA | kw | H3 | G1 | SL"
	for name, one := range map[string]struct {
		rules Rules
		want  string
	}{
		"none":                         {Rules{}, "T | LE | TS | C | D | SMT | SMX | " + json + " | " + rest},
		"include columns":              {Rules{Include: []string{"content", "description"}}, "T | C | D"},
		"a column is no group":         {Rules{Include: []string{"title"}}, "T"},
		"a group":                      {Rules{Include: []string{"seo"}}, "T | SMT | SMX | SL"},
		"a group's field":              {Rules{Include: []string{"seo.metaText"}}, "T | SMX"},
		"a group's array":              {Rules{Include: []string{"seo.links"}}, "T | SL"},
		"as the column is called":      {Rules{Include: []string{"seo_meta_text"}}, "T | SMX"},
		"an array":                     {Rules{Include: []string{"faqItems"}}, "T | Q1 | A1 | Q2 | A2"},
		"an array's field":             {Rules{Include: []string{"faqItems.answer"}}, "T | A1 | A2"},
		"a blocks field":               {Rules{Include: []string{"layout"}}, "T | H1 | X1 | S1 | CTA | kw | H3 | G1"},
		"one kind of block":            {Rules{Include: []string{"layout.hero"}}, "T | H1 | X1 | S1 | CTA | kw | H3"},
		"a block that dbName names":    {Rules{Include: []string{"layout.fgrid"}}, "T | G1"},
		"a block's field":              {Rules{Include: []string{"layout.hero.heading"}}, "T | H1 | H3"},
		"a block's group":              {Rules{Include: []string{"layout.hero.cite"}}, "T | S1"},
		"a block's group's field":      {Rules{Include: []string{"layout.hero.cite.source"}}, "T | S1"},
		"a block's array's list":       {Rules{Include: []string{"layout.hero.ctas.keywords"}}, "T | kw"},
		"another field's blocks":       {Rules{Include: []string{"aside.hero.text"}}, "T | X2"},
		"a list":                       {Rules{Include: []string{"tags"}}, "T | tag1\ntag2"},
		"blocks as JSON":               {Rules{Include: []string{"layoutJson"}}, "T | " + json},
		"a block in JSON":              {Rules{Include: []string{"layoutJson.note"}}, "T | NT"},
		"a field in JSON":              {Rules{Include: []string{"layoutJson.hero.heading", "layoutJson.hero.items.note"}}, "T | JH | JO"},
		"what is no text in JSON":      {Rules{Include: []string{"layoutJson.hero.slug"}}, "T | js"},
		"what is no text by default":   {Rules{Include: []string{"slug", "tone", "featured", "rating", "publishedAt"}}, "T | the-slug | formal | true | 4.50 | 2026-01-31T12:00:00.500Z"},
		"nor in rows":                  {Rules{Include: []string{"faqItems.slug", "faqItems.kind", "layout.hero.linkURL"}}, "T | formal | s1 | casual | s2 | /x"},
		"choices and numbers":          {Rules{Include: []string{"channels", "scores"}}, "T | formal\ncasual | 1\n2.50"},
		"plain JSON":                   {Rules{Include: []string{"extra"}}, "T | one | two"},
		"rich text stays rich":         {Rules{Include: []string{"content"}}, "T | C"},
		"all of a group is no secret":  {Rules{Include: []string{"seo", "faqItems"}}, "T | SMT | SMX | Q1 | A1 | Q2 | A2 | SL"},
		"exclude columns":              {Rules{Exclude: []string{"titleShort", "lead", "words", "description", "seo", "layoutJson"}}, "T | C | tag1\ntag2 | H2 | X2 | Q1 | A1 | Q2 | A2 | H1 | X1 | S1 | CTA | kw | H3 | G1"},
		"exclude inside":               {Rules{Include: []string{"layout", "faqItems"}, Exclude: []string{"layout.hero.ctas", "faqItems.answer", "layout.fgrid"}}, "T | Q1 | Q2 | H1 | X1 | S1 | H3"},
		"exclude in JSON":              {Rules{Include: []string{"layoutJson"}, Exclude: []string{"layoutJson.hero.items", "layoutJson.note"}}, "T | JH | JT"},
		"exclude the title":            {Rules{Include: []string{"description"}, Exclude: []string{"title"}}, " | D"},
		"order":                        {Rules{Order: []string{"description", "layout.fgrid", "faqItems.answer", "layoutJson.note"}, Include: []string{"description", "faqItems", "layout.fgrid", "content", "layoutJson"}}, "T | D | G1 | A1 | A2 | NT | C | JH | JT | JN | JO | Q1 | Q2"},
		"order by what is no text":     {Rules{Order: []string{"slug", "description"}, Include: []string{"content", "description"}}, "T | D | C"},
		"title":                        {Rules{Title: "description", Include: []string{"content"}}, "D | C"},
		"title that is no text":        {Rules{Title: "slug", Include: []string{"content"}}, "the-slug | C"},
		"title of a locale":            {Rules{Title: "lead", Include: []string{"content"}}, "LE | C"},
		"the first that says anything": {Rules{FirstOf: []string{"content", "description"}}, "T | C"},
		"the second does":              {Rules{FirstOf: []string{"aside.fgrid", "faqItems.question", "content"}}, "T | Q1 | Q2"},
		"first of, excluded":           {Rules{FirstOf: []string{"content", "faqItems"}, Exclude: []string{"content", "faqItems.answer"}}, "T | Q1 | Q2"},
		"first of what is no text":     {Rules{FirstOf: []string{"slug"}}, "T | the-slug"},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(one.want, english(saysOf(t, pool, rulesFor(one.rules)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRulesOfLocales: a rule that leaves out all that is localized leaves no entries by locale.
func TestRulesOfLocales(t *testing.T) {
	pool := build(t, "public", site...)
	for name, one := range map[string]struct {
		rules Rules
		want  []string
	}{
		"nothing localized":        {Rules{Include: []string{"description"}}, []string{": T | D"}},
		"first of, by locale":      {Rules{FirstOf: []string{"words", "lead"}}, []string{"en: T | LE", "de: T | wd"}},
		"locales":                  {Rules{Include: []string{"lead"}, Locales: []string{"de"}}, []string{"de: T | LD"}},
		"locales that say nothing": {Rules{Include: []string{"lead"}, Locales: []string{"fr"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(one.want, saysOf(t, pool, rulesFor(one.rules))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	pool := build(t, "public", site...)
	cfg := rulesFor(Rules{Include: []string{"lead"}, Metadata: []string{"slug", "tone", "featured", "rating", "publishedAt", "heroImage", "seo.metaTitle", "tags", "scores", "channels", "refId", "words", "createdBy.name"}})
	exec(t, pool, `alter table posts add column created_by_name varchar`)
	docs := read(t, NewReader(pool, discover(t, pool, cfg), Config{}), "posts", "1", "2")
	want := map[string]any{
		"slug": "the-slug", "tone": "formal", "featured": true, "rating": 4.5, "publishedAt": "2026-01-31T12:00:00.500Z", "heroImage": 1.0, "seo.metaTitle": "SMT",
		"tags": []any{"tag1", "tag2"}, "scores": []any{1.0, 2.5}, "channels": []any{"formal", "casual"},
	}
	for i, own := range []map[string]any{{"refId": "ce"}, {"refId": "cd", "words": []any{"wd"}}} {
		maps.Copy(own, want)
		if diff := cmp.Diff(own, docs[0].Entries[i].Extra); diff != "" {
			t.Errorf("entry %d: %s", i, diff)
		}
	}
	if diff := cmp.Diff(map[string]any{"slug": "two", "tone": "casual", "featured": false}, docs[1].Entries[0].Extra); diff != "" {
		t.Error(diff)
	}
	if e := read(t, NewReader(pool, discover(t, pool, Config{}), Config{}), "posts", "1")[0].Entries[0]; e.Extra != nil {
		t.Errorf("nobody asked for %v", e.Extra)
	}
}

// TestWhere: documents that do not meet the condition are not published, to every statement.
func TestWhere(t *testing.T) {
	pool := build(t, "public", append(slices.Clone(site), `update posts set description = E'\\''; drop table posts; -- "x' where id = 2`)...)
	for name, one := range map[string]struct {
		where map[string]any
		want  []string
	}{
		"a choice":           {map[string]any{"tone": "formal"}, []string{"1"}},
		"true":               {map[string]any{"featured": true}, []string{"1"}},
		"false":              {map[string]any{"featured": false}, []string{"2"}},
		"text":               {map[string]any{"slug": "two"}, []string{"2"}},
		"number":             {map[string]any{"rating": 4.5}, []string{"1"}},
		"integer":            {map[string]any{"rating": 4}, nil},
		"time":               {map[string]any{"publishedAt": "2026-01-31T13:00:00.500+01:00"}, []string{"1"}},
		"relation":           {map[string]any{"heroImage": 1}, []string{"1"}},
		"relation as text":   {map[string]any{"heroImage": "1"}, []string{"1"}},
		"nothing":            {map[string]any{"heroImage": nil}, []string{"2"}},
		"group":              {map[string]any{"seo.metaTitle": "SMT"}, []string{"1"}},
		"both":               {map[string]any{"tone": "formal", "slug": "two"}, nil},
		"hostile":            {map[string]any{"description": `\'; drop table posts; -- "x`}, []string{"2"}},
		"hostile, not there": {map[string]any{"slug": `' or true --`}, nil},
	} {
		for _, strings := range []string{"on", "off"} {
			t.Run(name+" "+strings, func(t *testing.T) {
				cfg, err := pgxpool.ParseConfig(pool.Config().ConnString())
				if err != nil {
					t.Fatal(err)
				}
				cfg.ConnConfig.RuntimeParams["standard_conforming_strings"] = strings
				other, err := pgxpool.NewWithConfig(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer other.Close()
				r := NewReader(other, discover(t, other, rulesFor(Rules{Where: one.where})), Config{})
				if diff := cmp.Diff(one.want, pages(t, r, "posts", 1)); diff != "" {
					t.Errorf("pages: %s", diff)
				}
				keys := []document.Key{{Collection: "posts", ID: "1"}, {Collection: "posts", ID: "2"}}
				alive, err := r.Live(t.Context(), keys)
				if err != nil {
					t.Fatal(err)
				}
				docs := read(t, r, "posts", "1", "2")
				for i, k := range keys {
					want := slices.Contains(one.want, k.ID)
					if alive[i] != want || len(docs[i].Entries) > 0 != want {
						t.Errorf("%v: live %v, %d entries", k, alive[i], len(docs[i].Entries))
					}
				}
				if n, err := r.Estimate(t.Context(), "posts"); err != nil || n != len(one.want) {
					t.Errorf("estimate %d %v", n, err)
				}
			})
		}
	}
}

func TestRulesRefused(t *testing.T) {
	pool := build(t, "public", append(slices.Clone(site), `create table news (id serial primary key, title varchar)`, `create table users (id serial primary key, salt varchar, hash varchar, name varchar, _status status)`)...)
	for want, r := range map[string]Rules{
		`include "descriptin": there is no such field; did you mean "description"?`:     {Include: []string{"descriptin"}},
		`include "faqItems.ansver": there is no such field; did you mean "answer"?`:     {Include: []string{"faqItems.ansver"}},
		`There are: answer, id, kind, question, slug`:                                   {Include: []string{"faqItems.zzzzzzzz"}},
		`exclude "layuot": there is no such field; did you mean "layout"?`:              {Exclude: []string{"layuot"}},
		`include "layout.heroo": there is no block "heroo"; did you mean "hero"?`:       {Include: []string{"layout.heroo"}},
		`include "layout.hero.headin": there is no such field; did you mean "heading"?`: {Include: []string{"layout.hero.headin"}},
		`order "tagz": there is no such field; did you mean "tags"?`:                    {Order: []string{"tagz"}},
		`include "description.text": description has no fields`:                         {Include: []string{"description.text"}},
		`include "a..b": a path is names of fields`:                                     {Include: []string{"a..b"}},
		`include "apiKey": it looks like a secret`:                                      {Include: []string{"apiKey"}},
		`include "seo.hash": it looks like a secret`:                                    {Include: []string{"seo.hash"}},
		`include "faqItems.password": it looks like a secret`:                           {Include: []string{"faqItems.password"}},
		`include "heroImage": it is a relation`:                                         {Include: []string{"heroImage"}},
		`title "apiKey": it looks like a secret`:                                        {Title: "apiKey"},
		`title "content": it is no field of one text`:                                   {Title: "content"},
		`title "faqItems.question": it is no field of one text of the document itself`:  {Title: "faqItems.question"},
		`title "slug": exclude names it too`:                                            {Title: "slug", Exclude: []string{"slug"}},
		`include and text: first_of exclude each other`:                                 {Include: []string{"content"}, FirstOf: []string{"content"}},
		`locales: "enn" is none of them; did you mean "en"? There are: en, de, fr`:      {Locales: []string{"enn"}},
		`metadata "title": every vector has that name already`:                          {Metadata: []string{"title"}},
		`metadata "updatedAt": every vector has that name already`:                      {Metadata: []string{"updatedAt"}},
		`metadata "apiKey": it looks like a secret`:                                     {Metadata: []string{"apiKey"}},
		`metadata "content": values of type jsonb`:                                      {Metadata: []string{"content"}},
		`metadata "faqItems.slug": it is no field of the document itself`:               {Metadata: []string{"faqItems.slug"}},
		`metadata "faqItems": it is no field with one value`:                            {Metadata: []string{"faqItems"}},
		`metadata "ratting": there is no such field; did you mean "rating"?`:            {Metadata: []string{"ratting"}},
		`where "tone": "forma" is none of its values; did you mean "formal"?`:           {Where: map[string]any{"tone": "forma"}},
		`where "tone": 1 is not one of formal, casual`:                                  {Where: map[string]any{"tone": 1}},
		`where "featured": "yes" is not true or false`:                                  {Where: map[string]any{"featured": "yes"}},
		`where "rating": "4" is not a number`:                                           {Where: map[string]any{"rating": "4"}},
		`where "slug": 3 is not a text`:                                                 {Where: map[string]any{"slug": 3}},
		`where "slug": "\x00" is no text that Postgres can hold`:                        {Where: map[string]any{"slug": "\x00"}},
		`where "heroImage": 1.5 is not a whole number`:                                  {Where: map[string]any{"heroImage": 1.5}},
		`where "publishedAt": "yesterday" is not a time`:                                {Where: map[string]any{"publishedAt": "yesterday"}},
		`where "lead": it has a value for each locale`:                                  {Where: map[string]any{"lead": "LE"}},
		`where "tags": it is no field with one value`:                                   {Where: map[string]any{"tags": "tag1"}},
		`where "faqItems.slug": it is no field of the document itself`:                  {Where: map[string]any{"faqItems.slug": "s1"}},
		`where "extra": values of type jsonb cannot be compared`:                        {Where: map[string]any{"extra": "x"}},
		`where "titel": there is no such field; did you mean "title"?`:                  {Where: map[string]any{"titel": "x"}},
	} {
		_, err := Discover(t.Context(), pool, rulesFor(r))
		if !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), "posts: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v\ngot  %v\nwant %s", r, err, want)
		}
	}
	for slug, want := range map[string]string{"post": `did you mean "posts"?`, "news": "is not indexed", "users": "users"} {
		if _, err := Discover(t.Context(), pool, Config{Rules: map[string]Rules{slug: {}}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("rules of %s: %v", slug, err)
		}
	}
	if _, err := Discover(t.Context(), pool, Config{Rules: map[string]Rules{"posts": {}, "Posts": {}}}); !errors.Is(err, ErrRules) {
		t.Errorf("two slugs of one collection: %v", err)
	}
}

// TestRulesOfEmptyTables: where there are no rows to tell, a name may be that of a blocks field. It is accepted, and said.
func TestRulesOfEmptyTables(t *testing.T) {
	pool := build(t, "public", aPosts, blockOf("posts_blocks_hero", ", heading varchar, text varchar"), `insert into posts (title) values ('T')`)
	var log bytes.Buffer
	cfg := rulesFor(Rules{Exclude: []string{"layout.hero.heading", "sidebar"}})
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	m := discover(t, pool, cfg)
	if !strings.Contains(log.String(), "sidebar") || strings.Contains(log.String(), "layout") {
		t.Errorf("log: %s", &log)
	}
	exec(t, pool, `insert into posts_blocks_hero values (1, 1, 'layout', 'a', 'H', 'X'), (1, 1, 'sidebar', 'b', 'SH', 'SX'), (1, 1, 'other', 'c', 'OH', 'OX')`)
	var says []string
	for _, b := range read(t, NewReader(pool, m, Config{}), "posts", "1")[0].Entries[0].Blocks {
		says = append(says, b.Text)
	}
	if diff := cmp.Diff([]string{"X", "OH", "OX"}, says); diff != "" {
		t.Error(diff)
	}
	if _, err := Discover(t.Context(), pool, cfg); err != nil {
		t.Errorf("now that rows tell: %v", err)
	}
	if _, err := Discover(t.Context(), pool, rulesFor(Rules{Exclude: []string{"sidebra"}})); !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), `"sidebar"`) {
		t.Errorf("now that rows tell: %v", err)
	}
}

// TestRulesChangeTheFingerprint: each of them, and the same rules do not.
func TestRulesChangeTheFingerprint(t *testing.T) {
	pool := build(t, "public", site...)
	seen := map[string]string{}
	for name, r := range map[string]Rules{
		"none": {}, "include": {Include: []string{"description"}}, "exclude": {Exclude: []string{"description"}}, "order": {Order: []string{"description"}}, "title": {Title: "description"},
		"first": {FirstOf: []string{"description"}}, "locales": {Locales: []string{"en"}}, "metadata": {Metadata: []string{"slug"}}, "where": {Where: map[string]any{"slug": "a"}},
		"another where": {Where: map[string]any{"slug": "b"}}, "related": {Related: []string{"heroImage.alt"}},
	} {
		print := discover(t, pool, rulesFor(r)).Fingerprint("posts")
		if print != discover(t, pool, rulesFor(r)).Fingerprint("posts") {
			t.Errorf("%s: the fingerprint is not stable", name)
		}
		if other, ok := seen[print]; ok {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[print] = name
	}
}

// TestRulesNameSlugs: a collection that rules are for is called as they call it.
func TestRulesNameSlugs(t *testing.T) {
	m := discover(t, lab(t, 0), Config{Rules: map[string]Rules{"docPages": {Exclude: []string{"h1Title"}}}})
	for _, c := range m.Collections() {
		if c.Table == "doc_pages" && (c.Slug != "docPages" || c.SlugGuessed || slices.Contains(c.Fields, "h1_title")) {
			t.Errorf("%+v", c)
		}
	}
}
