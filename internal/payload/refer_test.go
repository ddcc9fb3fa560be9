package payload

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/payload/payloadtest"
)

// follow returns what a relation of a document leads to, as Payload read it back, in order: "categories:1".
func follow(v any, names []string, field, locale string) (out []string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			out = append(out, follow(e, names, field, locale)...)
		}
	case map[string]any:
		if to, ok := v["relationTo"].(string); ok && len(names) == 0 {
			return []string{fmt.Sprint(to, ":", v["value"])}
		}
		for code := range v {
			if slices.Contains(localeCodes, code) {
				return follow(v[locale], names, field, locale)
			}
		}
		if slug, ok := v["blockType"].(string); ok && len(names) > 0 && names[0] == slug {
			names = names[1:]
		}
		if len(names) > 0 {
			return follow(v[names[0]], names[1:], names[0], locale)
		}
	case float64:
		table := relations[field]
		if field == "related" {
			table = "categories"
		}
		return []string{fmt.Sprint(table, ":", v)}
	}
	return out
}

// TestReadRelated compares the text of other documents in every document of the lab with what Payload itself reads back.
func TestReadRelated(t *testing.T) {
	pool := lab(t, 0)
	exec(t, pool,
		`insert into categories (id, name) values (9, 'Dead')`,
		`insert into posts_rels ("order", parent_id, path, categories_id) values (1, 1, 'layout.7.relatedCategories', 9), (1, 4, 'layout.2.columns.4.content.0.relatedCategories', 9)`,
		`insert into blog_posts_rels ("order", parent_id, path, locale, categories_id) values (9, 1, 'sections.5.cats', 'en', 9)`)
	without := NewReader(pool, discover(t, pool, Config{Collections: named}), Config{})
	m := discover(t, pool, Config{Collections: named, Rules: showAll})
	with := NewReader(pool, m, Config{})
	all := payloadtest.Expected(t)
	text := func(ref, field string) string {
		slug, id, _ := strings.Cut(ref, ":")
		if slug == "users" { // whom the read-back leaves out
			return map[string]string{"name": "Ann"}[field]
		}
		for _, doc := range all[slug]["all"] {
			if fmt.Sprint(doc["id"]) == id && live(doc) {
				s, _ := doc[field].(string)
				return s
			}
		}
		return ""
	}
	compared := map[string]int{}
	for slug, rules := range showAll {
		for _, doc := range all[slug]["all"] {
			id := fmt.Sprint(doc["id"])
			own := read(t, without, slug, id)[0].Entries
			got := read(t, with, slug, id)[0].Entries
			if len(own) != len(got) {
				t.Fatalf("%s/%s has %d entries, with others' text %d", slug, id, len(own), len(got))
			}
			for i, e := range got {
				var want []string
				for _, path := range rules.Related {
					names := strings.Split(path, ".")
					var values []string
					for _, ref := range follow(doc, names[:len(names)-1], "", e.Locale) {
						if s := text(ref, names[len(names)-1]); s != "" && !slices.Contains(values, s) {
							values = append(values, s)
						}
					}
					if len(values) > 0 {
						want = append(want, strings.Join(values, ", "))
						compared[path]++
					}
				}
				if diff := cmp.Diff(own[i].Blocks, e.Blocks[:len(own[i].Blocks)]); diff != "" {
					t.Errorf("%s/%s %s: its own text is another: %s", slug, id, e.Locale, diff)
				}
				if diff := cmp.Diff(want, textsOf(e.Blocks[len(own[i].Blocks):])); diff != "" {
					t.Errorf("%s/%s %s: %s", slug, id, e.Locale, diff)
				}
			}
		}
	}
	for _, path := range []string{
		"categories.name", "primaryCategory.name", "related.name", "polyOne.name", "heroImage.alt", "gallery.alt", "sections.cats.name",
		"layout.quoteBlock.mainCategory.name", "layout.relatedCategories.name", "layout.columns.content.relatedCategories.name",
	} {
		if compared[path] == 0 {
			t.Errorf("no document shows %s: %v", path, compared)
		}
	}
	for _, c := range m.Collections() {
		if want := showAll[c.Slug].Related; len(want) > 0 && (!slices.Equal(c.Related, want) || !slices.Equal(c.Fields[len(c.Fields)-len(want):], want)) {
			t.Errorf("%+v", c)
		}
	}
}

// journal is a small site around one collection: authors have accounts, topics drafts and a trash, places a status for each locale.
var journal = []string{
	`create type tone as enum ('formal', 'casual')`,
	`create table authors (id serial primary key, name varchar, bio jsonb, email varchar, hash varchar, salt varchar, reset_password_token varchar, _verificationtoken varchar, pen_name varchar)`,
	`create table topics (id uuid primary key, title varchar, slug varchar, editor_id int references authors(id) on delete set null, seo_title varchar, api_key varchar, mood tone, deleted_at timestamptz, _status status default 'published')`,
	`create table topics_locales (label varchar, id serial primary key, _locale locale not null, _parent_id uuid not null references topics(id) on delete cascade)`,
	`create table places (id varchar primary key, country varchar)`,
	`create table places_locales (name varchar, _status status, id serial primary key, _locale locale not null, _parent_id varchar not null references places(id) on delete cascade)`,
	`create table posts (id serial primary key, title varchar, plain varchar, extra jsonb, author_id int references authors(id) on delete set null, meta_place_id varchar references places(id) on delete set null, _status status default 'published')`,
	`create table posts_locales (lead varchar, topic_id uuid references topics(id) on delete set null, id serial primary key, _locale locale not null, _parent_id int not null references posts(id) on delete cascade)`,
	blockOf("posts_blocks_hero", ", place_id varchar references places(id) on delete set null"),
	blockOf("posts_blocks_hero_2", ", place_id varchar references places(id) on delete set null"),
	`create table posts_rels (id serial primary key, "order" int, parent_id int not null references posts(id) on delete cascade, path varchar not null, topics_id uuid references topics(id) on delete cascade, places_id varchar references places(id) on delete cascade, authors_id int references authors(id) on delete cascade)`,
	`insert into authors (name, email, pen_name) values ('Ann', 'ann@example.com', 'A.'), ('Bob', 'bob@example.com', ' ')`,
	`insert into topics (id, title, seo_title, _status, deleted_at) values ('00000000-0000-0000-0000-000000000001', 'Sea', 'Sea!', 'published', null), ('00000000-0000-0000-0000-000000000002', 'Draft', '', 'draft', null),
		('00000000-0000-0000-0000-000000000003', 'Trash', '', 'published', now()), ('00000000-0000-0000-0000-000000000004', 'Air', null, 'published', null)`,
	`insert into topics_locales (label, _locale, _parent_id) values ('sea', 'en', '00000000-0000-0000-0000-000000000001'), ('See', 'de', '00000000-0000-0000-0000-000000000001'), ('draft', 'en', '00000000-0000-0000-0000-000000000002')`,
	`insert into places values ('oslo', 'Norway'), ('rome', 'Italy')`,
	`insert into places_locales (name, _status, _locale, _parent_id) values ('Oslo', 'published', 'en', 'oslo'), ('Oslo (Entwurf)', 'draft', 'de', 'oslo'), ('Rome', 'draft', 'en', 'rome')`,
	`insert into posts (title, author_id, meta_place_id) values ('T', 1, 'oslo'), ('U', 2, 'rome')`,
	`insert into posts_locales (lead, topic_id, _locale, _parent_id) values ('LE', '00000000-0000-0000-0000-000000000001', 'en', 1), ('LD', '00000000-0000-0000-0000-000000000004', 'de', 1)`,
	`insert into posts_blocks_hero (_order, _parent_id, _path, id, place_id) values (2, 1, 'layout', 'h1', 'oslo'), (1, 1, 'aside', 'h2', 'rome')`,
	`insert into posts_blocks_hero_2 (_order, _parent_id, _path, id, place_id) values (1, 1, 'layout', 'h3', 'oslo')`,
	`insert into posts_rels ("order", parent_id, path, topics_id) values (2, 1, 'topics', '00000000-0000-0000-0000-000000000001'), (1, 1, 'topics', '00000000-0000-0000-0000-000000000004'),
		(3, 1, 'topics', '00000000-0000-0000-0000-000000000002'), (4, 1, 'topics', '00000000-0000-0000-0000-000000000003'), (1, 1, 'layout.1.about', '00000000-0000-0000-0000-000000000001'), (1, 1, 'layout.5.about', '00000000-0000-0000-0000-000000000004')`,
	`insert into posts_rels ("order", parent_id, path, authors_id) values (2, 1, 'seeAlso', 2)`,
	`insert into posts_rels ("order", parent_id, path, places_id) values (1, 1, 'seeAlso', 'oslo')`,
	`insert into posts_rels ("order", parent_id, path, topics_id) values (3, 1, 'seeAlso', '00000000-0000-0000-0000-000000000001')`,
}

func TestRelated(t *testing.T) {
	pool := build(t, "public", journal...)
	for path, want := range map[string][]string{
		"author.name":                   {"en: Ann", "de: Ann"},
		"author.penName":                {"en: A.", "de: A."},
		"author.email":                  {"en: ann@example.com", "de: ann@example.com"},
		"topic.title":                   {"en: Sea", "de: Air"}, // each locale its own
		"topic.seo.title":               {"en: Sea!", "de: "},
		"topic.label":                   {"en: sea", "de: "}, // no fallback
		"topics.title":                  {"en: Air, Sea", "de: Air, Sea"},
		"topics.label":                  {"en: sea", "de: See"},
		"meta.place.country":            {"en: Norway", "de: "}, // not published in German
		"meta.place.name":               {"en: Oslo", "de: "},
		"layout.hero.place.name":        {"en: Oslo", "de: "},
		"aside.hero.place.name":         {"en: ", "de: "},
		"layout.about.title":            {"en: Sea", "de: Sea"},
		"layout.hero.about.title":       {"en: Sea", "de: Sea"},
		"seeAlso.name":                  {"en: Oslo, Bob", "de: Bob"}, // what has no such field is passed over
		"seeAlso.title":                 {"en: Sea", "de: Sea"},
		"meta_place_id.country":         {"en: Norway", "de: "},
		"author.name topics.title":      {"en: Ann | Air, Sea", "de: Ann | Air, Sea"},
		"topics.title topics.seo_title": {"en: Air, Sea | Sea!", "de: Air, Sea | Sea!"},
	} {
		cfg := rulesFor(Rules{Related: strings.Fields(path), Exclude: []string{"title"}})
		r := NewReader(pool, discover(t, pool, cfg), Config{})
		var got []string
		for _, e := range read(t, r, "posts", "1")[0].Entries {
			got = append(got, e.Locale+": "+strings.Join(textsOf(e.Blocks[1:]), " | ")) // after the lead
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

// TestRelatedWithoutLocale: a document that is not localized shows what another says in each locale.
func TestRelatedWithoutLocale(t *testing.T) {
	pool := build(t, "public", slices.Concat(journal, []string{`drop table posts_locales`})...)
	for path, want := range map[string]string{"topics.label": "sea, See", "metaPlace.name": "Oslo", "topics.title": "Air, Sea", "metaPlace.country": "Norway"} {
		r := NewReader(pool, discover(t, pool, rulesFor(Rules{Related: []string{path}})), Config{})
		e := read(t, r, "posts", "1")[0].Entries
		if len(e) != 1 || e[0].Locale != "" || !slices.Equal(textsOf(e[0].Blocks), []string{"T", want}) && !slices.Equal(textsOf(e[0].Blocks), []string{want}) {
			t.Errorf("%s: %+v", path, e)
		}
		if e := read(t, r, "posts", "2")[0].Entries; path == "metaPlace.country" && len(e[0].Blocks) > 0 && strings.Contains(fmt.Sprint(e), "Italy") {
			t.Errorf("a place that is published in no locale is shown: %+v", e)
		}
	}
}

func TestRelatedErrors(t *testing.T) {
	pool := build(t, "public", journal...)
	for path, want := range map[string]string{
		"author":                     `include "author": it is the path of a relation, a dot, and a field`,
		"author.":                    `it is the path of a relation`,
		"auhtor.name":                `there is no relation "auhtor"; did you mean "author"? There are: aside.hero.place, author,`,
		"topix.title":                `there is no relation "topix"; did you mean "topic"?`,
		"nothing.at.all":             `There are: aside.hero.place, author, layout.about, layout.hero.place, meta_place, seeAlso, topic, topics`,
		"title.name":                 `title is no relation`,
		"extra.author.name":          `extra is no relation`,
		"author.nam":                 `authors has no text field "nam"; did you mean "name"? There are: email, name, pen_name`,
		"author.bio":                 `bio of authors is no text`,
		"author.hash":                `it looks like a secret`,
		"author.salt":                `it looks like a secret`,
		"author.resetPasswordToken":  `it looks like a secret`,
		"author._verificationToken":  `it looks like a secret`,
		"topic.apiKey":               `it looks like a secret`,
		"topic.editor.name":          `editor of topics is a relation too, and only one can be followed`,
		"topic.editor":               `editor of topics is a relation itself`,
		"topic.mood":                 `mood of topics is no text`,
		"topic.titel":                `did you mean "title"?`,
		"seeAlso.titel":              `has no text field "titel"`,
		"layout.hero.plaice.country": `did you mean "layout.hero.place"?`,
	} {
		_, err := Discover(t.Context(), pool, rulesFor(Rules{Related: []string{path}}))
		if !errors.Is(err, ErrRules) || !strings.Contains(fmt.Sprint(err), "posts: ") || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s\ngot  %v\nwant %s", path, err, want)
		}
	}
	// As long as no row tells the name of a relation, it may be one; accounts it leads to only when rows say so.
	exec(t, pool, `truncate posts_rels`)
	m := discover(t, pool, rulesFor(Rules{Related: []string{"whatever.name"}}))
	if got := m.ShownBy("posts"); !slices.Equal(got, []Table{{"public", "places"}, {"public", "places_locales"}}) {
		t.Errorf("it could lead to %v", got)
	}
	if _, err := Discover(t.Context(), pool, rulesFor(Rules{Related: []string{"whatever.nome"}})); !errors.Is(err, ErrRules) {
		t.Errorf("nothing has such a field: %v", err)
	}
}

// TestRelatedQueries: they are as many for one document as for a hundred, in one snapshot, and bounded.
func TestRelatedQueries(t *testing.T) {
	pool := build(t, "public", slices.Concat(journal, []string{
		`insert into posts (title, author_id) select 'P' || n, 1 + n % 2 from generate_series(1, 200) n`,
		`insert into posts_rels ("order", parent_id, path, topics_id) select 1, id, 'topics', '00000000-0000-0000-0000-000000000001' from posts where id > 2`,
	})...)
	m := discover(t, pool, rulesFor(Rules{Related: []string{"author.name", "topics.title", "topics.label"}}))
	count := &counting{}
	cfg := pool.Config()
	cfg.ConnConfig.Tracer = count
	counted, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer counted.Close()
	r := NewReader(counted, m, Config{})
	var keys []document.Key
	for id := range 100 {
		keys = append(keys, document.Key{Collection: "posts", ID: fmt.Sprint(id + 10)})
	}
	queries := func(n int) int {
		if _, _, err := r.Read(t.Context(), keys[:n]); err != nil { // what is prepared once is prepared
			t.Fatal(err)
		}
		count.queries = 0
		docs, _, err := r.Read(t.Context(), keys[:n])
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if got := textsOf(d.Entries[0].Blocks); len(got) != 3 && len(got) != 4 || !strings.Contains(strings.Join(got, "|"), "|Sea|sea, See") {
				t.Fatalf("%s: %q", d.Key, got)
			}
		}
		return count.queries
	}
	if one, many := queries(1), queries(100); one != many || one == 0 {
		t.Errorf("%d queries for one, %d for a hundred", one, many)
	}
	if _, _, err := NewReader(pool, m, Config{MaxDocument: 200}).Read(t.Context(), keys[:1]); failure.Of(err).Class != failure.Permanent || !strings.Contains(err.Error(), "documents it shows") {
		t.Errorf("beyond its bound: %v", err)
	}
	exec(t, pool, `update authors set name = repeat('long ', 2000)`)
	if _, _, err := NewReader(pool, m, Config{MaxBatch: 100_000}).Read(t.Context(), keys); failure.Of(err).Class != failure.Permanent || !strings.Contains(err.Error(), "together") {
		t.Errorf("a batch beyond its bound: %v", err)
	}
	if _, _, err := NewReader(pool, m, Config{MaxBatch: 100_000}).Read(t.Context(), keys[:2]); err != nil {
		t.Error(err)
	}
	exec(t, pool, `drop table authors cascade`)
	if _, _, err := r.Read(t.Context(), keys[:1]); !errors.Is(err, ErrSchemaChanged) {
		t.Errorf("a table that is gone: %v", err)
	}
	if _, _, err := r.Read(t.Context(), nil); err != nil {
		t.Errorf("after that: %v", err)
	}
}
