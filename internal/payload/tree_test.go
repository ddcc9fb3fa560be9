package payload

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
)

// Tables as Payload makes them, for collections that the lab does not have.
const (
	aPosts    = `create table posts (id serial primary key, title varchar, _status status default 'published')`
	postTexts = `create table posts_texts (id serial primary key, "order" int not null, parent_id int not null references posts(id) on delete cascade, path varchar not null, text varchar, locale locale)`
)

// arrayOf is an array table below another.
func arrayOf(name, parent, columns string) string {
	key := "varchar"
	if parent == "posts" {
		key = "int"
	}
	return `create table ` + name + ` (_order int not null, _parent_id ` + key + ` not null references ` + parent + `(id) on delete cascade, id varchar primary key` + columns + `)`
}

// blockOf is a block table.
func blockOf(name, columns string) string {
	return `create table ` + name + ` (_order int not null, _parent_id int not null references posts(id) on delete cascade, _path text not null, id varchar primary key` + columns + `, block_name varchar)`
}

func localesOf(table, columns string) string {
	key := "varchar"
	if table == "posts" {
		key = "int"
	}
	return `create table ` + table + `_locales (` + columns + `, id serial primary key, _locale locale not null, _parent_id ` + key + ` not null references ` + table + `(id) on delete cascade)`
}

// saysOf returns what the entries of post 1 say: "locale: title | text | text".
func saysOf(t *testing.T, pool *pgxpool.Pool, cfg Config) (out []string) {
	t.Helper()
	for _, e := range read(t, NewReader(pool, discover(t, pool, cfg), Config{}), "posts", "1")[0].Entries {
		says := []string{e.Title}
		for _, b := range e.Blocks {
			says = append(says, b.Text)
		}
		out = append(out, e.Locale+": "+strings.Join(says, " | "))
	}
	return out
}

// TestLivePaths: a row of a hasMany field, or a block in a block, counts only where its path leads to rows that are there.
func TestLivePaths(t *testing.T) {
	for name, one := range map[string]struct {
		tables string // with statements apart by ";"
		want   string
	}{
		"an array by its name": {
			arrayOf("posts_my_links", "posts", "") + `;insert into posts_my_links values (1, 1, 'a'), (2, 1, 'b');
			insert into posts_texts ("order", parent_id, path, text) values (1, 1, 'my.links.1.words', 'live'), (1, 1, 'my.links.2.words', 'dead'), (1, 1, 'links.0.words', 'dead')`, "live",
		},
		"an array that dbName names": {
			arrayOf("lnk", "posts", "") + ";" + arrayOf("posts_faq", "posts", "") + `;insert into lnk values (1, 1, 'a'); insert into posts_faq values (1, 1, 'a');
			insert into posts_texts ("order", parent_id, path, text) values (1, 1, 'links.0.words', 'live'), (1, 1, 'links.1.words', 'dead'), (1, 1, 'faq.0.words', 'live faq')`, "live faq | live",
		},
		"two arrays that dbName names": {
			arrayOf("lnk", "posts", "") + ";" + arrayOf("btn", "posts", "") + `;insert into lnk values (1, 1, 'a'); insert into btn values (1, 1, 'a');
			insert into posts_texts ("order", parent_id, path, text) values (1, 1, 'links.0.words', 'which?')`, "",
		},
		"an array that was renamed": {
			arrayOf("posts_buttons", "posts", "") + `;insert into posts_buttons values (1, 1, 'a');
			insert into posts_texts ("order", parent_id, path, text) values (1, 1, 'links.0.words', 'left behind'), (1, 1, 'buttons.0.words', 'live')`, "live",
		},
		"blocks of two types share the numbering": {
			blockOf("posts_blocks_a", ", text varchar") + ";" + blockOf("posts_blocks_b", ", text varchar") + `;
			insert into posts_blocks_a values (2, 1, 'layout', 'a2', 'second'), (3, 1, 'layout', 'a3', 'third'), (1, 1, 'layout.0.inner', 'ai', 'inner'), (1, 1, 'layout.7.inner', 'ax', 'dead');
			insert into posts_blocks_b values (1, 1, 'layout', 'b1', 'first'), (1, 1, 'aside', 'b2', 'beside');
			insert into posts_texts ("order", parent_id, path, text) values (1, 1, 'layout.0.inner.0.words', 'deep'), (1, 1, 'layout.1.inner.0.words', 'dead'), (1, 1, 'layout.2.words', 'of the third')`,
			"beside | first | inner | deep | second | third | of the third",
		},
		"rows that SQL has deleted leave no gap": {
			blockOf("posts_blocks_a", ", text varchar") + `;insert into posts_blocks_a values (1, 1, 'layout', 'a', 'one'), (3, 1, 'layout', 'c', 'two');
			insert into posts_texts ("order", parent_id, path, text) values (1, 1, 'layout.1.words', 'of two'), (1, 1, 'layout.2.words', 'dead')`, "one | two | of two",
		},
		"more values than most, in order": {
			`insert into posts_texts ("order", parent_id, path, text) select i, 1, 'tags', 'w' || i from generate_series(40, 31, -1) i`, "w31\nw32\nw33\nw34\nw35\nw36\nw37\nw38\nw39\nw40",
		},
		"paths that are none": {
			blockOf("posts_blocks_a", ", text varchar") + `;insert into posts_blocks_a values (1, 1, '', 'a', 'dead'), (1, 1, '0', 'b', 'dead'), (1, 1, 'a.0', 'c', 'dead'), (1, 1, 'a.0.0.b', 'd', 'dead'), (1, 1, 'layout', 'e', 'live');
			insert into posts_texts ("order", parent_id, path, text) values (1, 1, 'layout.99999999999999999999.words', 'dead'), (1, 1, '.', 'dead'), (1, 1, 'layout.0.', 'dead'),
			 (1, 1, repeat('layout.0.', 300) || 'words', 'dead'), (1, 2, 'tags', 'of nobody')`, "live",
		},
	} {
		t.Run(name, func(t *testing.T) {
			statements := append([]string{aPosts, postTexts, `insert into posts (title) values ('T')`, `insert into posts (title, _status) values ('D', 'draft')`}, strings.Split(one.tables, ";")...)
			got := saysOf(t, build(t, "public", statements...), Config{})
			want := ": T"
			if one.want != "" {
				want += " | " + one.want
			}
			if diff := cmp.Diff([]string{want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLocalesOfRows: an entry for each locale that says something of its own, wherever in the tree, with what is of every
// locale in each; and positions are counted in each locale by themselves.
func TestLocalesOfRows(t *testing.T) {
	tables := []string{
		aPosts, postTexts, blockOf("posts_blocks_promo", ", _locale locale not null, text varchar"), blockOf("posts_blocks_plain", ", url varchar"),
		localesOf("posts_blocks_plain", "heading varchar, icon varchar"), arrayOf("posts_steps", "posts", ", _locale locale not null, step varchar"),
		arrayOf("posts_blocks_promo_items", "posts_blocks_promo", ", _locale locale not null"), `insert into posts (title) values ('T')`,
	}
	for name, one := range map[string]struct {
		rows string
		want []string
		cfg  Config
	}{
		"none says anything": {`insert into posts_blocks_promo (_order, _parent_id, _path, id, _locale) values (1, 1, 'sections', 'a', 'de')`, []string{": T"}, Config{}},
		"one block says something, another locale's says nothing": {
			`insert into posts_blocks_promo (_order, _parent_id, _path, id, _locale, text) values (1, 1, 'sections', 'a', 'de', 'DE'), (1, 1, 'sections', 'b', 'en', ' '), (2, 1, 'sections', 'c', 'de', 'DE 2')`,
			[]string{"de: T | DE | DE 2"},
			Config{},
		},
		"the locales of a block that is of every locale": {
			`insert into posts_blocks_plain (_order, _parent_id, _path, id, url) values (1, 1, 'layout', 'a', '/x');
			insert into posts_blocks_plain_locales (_parent_id, _locale, heading, icon) values ('a', 'fr', 'FR', null), ('a', 'en', 'EN', null), ('a', 'de', null, 'https://example.com/icon.png')`,
			[]string{"en: T | EN", "fr: T | FR"},
			Config{},
		},
		"an array, and values of every locale": {
			`insert into posts_steps values (2, 1, 'a', 'en', 'two'), (1, 1, 'b', 'en', 'one'), (1, 1, 'c', 'de', 'eins');
			insert into posts_texts ("order", parent_id, path, text) values (1, 1, 'tags', 'everywhere')`,
			[]string{"en: T | everywhere | one | two", "de: T | everywhere | eins"},
			Config{},
		},
		"values of a locale": {
			`insert into posts_texts ("order", parent_id, path, text, locale) values (1, 1, 'tags', 'EN', 'en'), (1, 1, 'tags', '/machine', 'de')`, []string{"en: T | EN"}, Config{},
		},
		"paths count in their own locale": {
			`insert into posts_blocks_promo (_order, _parent_id, _path, id, _locale, text) values (1, 1, 'sections', 'a', 'de', 'DE 1'), (2, 1, 'sections', 'b', 'de', 'DE 2'), (1, 1, 'sections', 'c', 'en', 'EN 1');
			insert into posts_blocks_promo_items (_order, _parent_id, id, _locale) values (1, 'b', 'i', 'de');
			insert into posts_texts ("order", parent_id, path, text, locale) values (1, 1, 'sections.1.words', 'of DE 2', 'de'), (1, 1, 'sections.1.words', 'dead', 'en'), (1, 1, 'sections.0.words', 'of none', null),
			 (1, 1, 'sections.0.words', 'of EN 1', 'en'), (1, 1, 'sections.1.items.0.words', 'deep', 'de'), (1, 1, 'sections.1.items.0.words', 'dead', 'en')`,
			[]string{"en: T | EN 1 | of EN 1", "de: T | DE 1 | DE 2 | of DE 2 | deep"},
			Config{},
		},
		// Payload counts the rows of a localized field by their number: what has none at it is dead.
		"gaps in a localized field": {
			`insert into posts_blocks_promo (_order, _parent_id, _path, id, _locale, text) values (1, 1, 'sections', 'a', 'de', 'DE 1'), (3, 1, 'sections', 'b', 'de', 'DE 3');
			insert into posts_texts ("order", parent_id, path, text, locale) values (1, 1, 'sections.1.words', 'dead', 'de'), (1, 1, 'sections.2.words', 'of DE 3', 'de')`,
			[]string{"de: T | DE 1 | DE 3 | of DE 3"},
			Config{},
		},
		"only some locales": {
			`insert into posts_steps values (1, 1, 'b', 'en', 'one'), (1, 1, 'c', 'de', 'eins')`, []string{"de: T | eins"}, Config{Rules: map[string]Rules{"posts": {Locales: []string{"de"}}}},
		},
		"only a locale that it does not have": {
			`insert into posts_steps values (1, 1, 'b', 'en', 'one')`, nil, Config{Rules: map[string]Rules{"posts": {Locales: []string{"de"}}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pool := build(t, "public", append(slices.Clip(tables), strings.Split(one.rows, ";")...)...)
			if diff := cmp.Diff(one.want, saysOf(t, pool, one.cfg)); diff != "" {
				t.Error(diff)
			}
			if !discover(t, pool, one.cfg).Collections()[0].Localized {
				t.Error("the collection is not called localized")
			}
		})
	}
}

// TestRowBounds: what is below a document counts, rows with little text too.
func TestRowBounds(t *testing.T) {
	pool := build(t, "public", aPosts, arrayOf("posts_steps", "posts", ", step varchar"), `insert into posts (title) values ('T'), ('small')`,
		`insert into posts_steps select i, 1, i::text, repeat('x', 100) from generate_series(1, 100) i`, `insert into posts_steps values (1, 2, 'huge', repeat('x', 1000))`)
	m := discover(t, pool, Config{})
	both := []document.Key{{Collection: "posts", ID: "1"}, {Collection: "posts", ID: "2"}}
	for name, one := range map[string]struct {
		cfg  Config
		keys []document.Key
		ok   bool
	}{
		"within":             {Config{}, both, true},
		"a document beyond":  {Config{MaxDocument: 10000}, both[:1], false},
		"a value beyond":     {Config{MaxDocument: 900}, both[1:], false},
		"a batch beyond":     {Config{MaxBatch: 12000}, both, false},
		"one alone":          {Config{MaxBatch: 100}, both[:1], true},
		"small rows weigh":   {Config{MaxDocument: 15000}, both[:1], false},
		"and not too much":   {Config{MaxDocument: 25000}, both[:1], true},
		"the other is small": {Config{MaxDocument: 10000}, both[1:], true},
	} {
		_, _, err := NewReader(pool, m, one.cfg).Read(context.Background(), one.keys)
		if ok := err == nil; ok != one.ok || !ok && failure.Of(err).Class != failure.Permanent {
			t.Errorf("%s: %v", name, err)
		}
	}
}
