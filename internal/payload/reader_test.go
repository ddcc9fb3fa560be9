package payload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/wal"
)

// named are all collections of the lab that can be indexed.
var named = []string{"blog-posts", "categories", "docPages", "events", "media", "news", "notes", "numbered", "posts", "products"}

func pages(t testing.TB, r *Reader, slug string, n int) []string {
	t.Helper()
	var ids []string
	for cursor := ""; ; {
		keys, next, snapshot, err := r.Published(context.Background(), slug, cursor, n)
		if err != nil {
			t.Fatal(err)
		}
		if snapshot.Xmax == 0 {
			t.Fatal("no snapshot")
		}
		for _, k := range keys {
			if k.Collection != slug || k.Hint() {
				t.Fatalf("key %v", k)
			}
			ids = append(ids, k.ID)
		}
		if cursor = next; cursor == "" {
			return ids
		}
	}
}

// live says whether Payload's read-back of a document is published.
func live(doc map[string]any) bool {
	status, drafts := doc["_status"]
	return (!drafts || status == "published") && doc["deletedAt"] == nil
}

func testPublished(t *testing.T, pool *pgxpool.Pool) {
	r := NewReader(pool, discover(t, pool, Config{Collections: named}), Config{})
	if diff := cmp.Diff(named, r.Collections()); diff != "" {
		t.Error(diff)
	}
	for slug, byLocale := range payloadtest.Expected(t) {
		var want []string
		var keys []document.Key
		var alive []bool
		for _, doc := range byLocale["all"] {
			id := fmt.Sprint(doc["id"])
			if live(doc) {
				want = append(want, id)
			}
			keys, alive = append(keys, document.Key{Collection: slug, ID: id}), append(alive, live(doc))
		}
		for _, n := range []int{1, 2, 100} {
			got := pages(t, r, slug, n)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s by %d: %s", slug, n, diff)
			}
		}
		got, err := r.Live(t.Context(), keys)
		if err != nil || !slices.Equal(got, alive) {
			t.Errorf("%s: live %v, want %v (%v)", slug, got, alive, err)
		}
		if n, err := r.Estimate(t.Context(), slug); err != nil || n != len(want) {
			t.Errorf("%s: estimate %d, want %d (%v)", slug, n, len(want), err)
		}
	}
}

// say returns the words of a value that Payload read back: a string's, or those of a rich text's leaves.
func say(v any) (words []string) {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		for _, e := range v {
			words = append(words, say(e)...)
		}
	case map[string]any:
		if root, ok := v["root"].(map[string]any); ok {
			return say(root["children"])
		}
		if v["type"] == "text" {
			return strings.Fields(v["text"].(string))
		}
		return say(v["children"])
	}
	return words
}

func testRead(t *testing.T, pool *pgxpool.Pool) {
	r := NewReader(pool, discover(t, pool, Config{Collections: named}), Config{})
	var keys []document.Key
	var docs []map[string]any
	for _, slug := range named {
		for _, doc := range payloadtest.Expected(t)[slug]["all"] {
			keys, docs = append(keys, document.Key{Collection: slug, ID: fmt.Sprint(doc["id"])}), append(docs, doc)
		}
	}
	got, snapshot, err := r.Read(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	if snapshot.Xmax == 0 {
		t.Error("no snapshot")
	}
	for i, doc := range docs {
		if got[i].Key != keys[i] {
			t.Fatalf("document %d is %v, want %v", i, got[i].Key, keys[i])
		}
		var locales, want []string
		if byLocale, ok := doc["title"].(map[string]any); ok && live(doc) {
			for _, l := range []string{"en", "de", "fr"} {
				if byLocale[l] != nil {
					want = append(want, l)
				}
			}
		} else if live(doc) {
			want = []string{""}
		}
		for _, e := range got[i].Entries {
			locales = append(locales, e.Locale)
			for _, name := range []string{"title", "name", "content", "caption", "description", "summary", "text", "bodyHTML"} {
				v := doc[name]
				if byLocale, ok := v.(map[string]any); ok && e.Locale != "" {
					v = byLocale[e.Locale]
				}
				var ours []string
				for _, b := range e.Blocks {
					ours = append(ours, strings.Fields(b.Text)...)
				}
				if name == "title" || name == "name" {
					ours = strings.Fields(e.Title)
				}
				if want := say(v); !within(want, ours) {
					t.Errorf("%v %s: %s: words %q are missing from %q", keys[i], e.Locale, name, want, ours)
				}
			}
			if at, ok := doc["updatedAt"].(string); ok && e.UpdatedAt.Format("2006-01-02T15:04:05.000Z") != at {
				t.Errorf("%v was updated at %v, want %s", keys[i], e.UpdatedAt, at)
			}
		}
		if !slices.Equal(locales, want) {
			t.Errorf("%v has locales %q, want %q", keys[i], locales, want)
		}
	}

	// Never text: machines' columns, plain JSON, drafts.
	all, _ := json.Marshal(got)
	for _, not := range []string{"c@example.com", "post-1", "json text", "must not be indexed", "hello-main.txt", `/p/1`, "EN four draft", "Event trashed"} {
		if strings.Contains(string(all), not) {
			t.Errorf("%q is embedded", not)
		}
	}
}

func testResolve(t *testing.T, pool *pgxpool.Pool) {
	m := discover(t, pool, Config{Collections: named})
	r := NewReader(pool, m, Config{})
	rows, err := pool.Query(t.Context(), `select s.id, c._parent_id::text from posts_blocks_hero_cta_links s join posts_blocks_hero c on c.id = s._parent_id order by s.id`)
	if err != nil {
		t.Fatal(err)
	}
	var hints, want []document.Key
	for rows.Next() {
		var link, post string
		if err := rows.Scan(&link, &post); err != nil {
			t.Fatal(err)
		}
		hints = append(hints, document.Key{Collection: "posts", ID: link, Via: "posts_blocks_hero_cta_links"})
		want = append(want, document.Key{Collection: "posts", ID: post})
	}
	if len(hints) < 3 {
		t.Fatal("the lab has no nested rows")
	}
	var hero, post string
	if err := pool.QueryRow(t.Context(), `select id, _parent_id::text from posts_blocks_hero limit 1`).Scan(&hero, &post); err != nil {
		t.Fatal(err)
	}
	hints = append(hints, []document.Key{
		{Collection: "posts", ID: hero, Via: "posts_blocks_hero"},
		{Collection: "posts", ID: "gone", Via: "posts_blocks_hero"},
		{Collection: "posts", ID: "1", Via: "no_such_table"},
		{Collection: "events", ID: hero, Via: "posts_blocks_hero"},
		{Collection: "nope", ID: "1", Via: "posts_blocks_hero"},
		hints[0],
	}...)
	want = append(want, document.Key{Collection: "posts", ID: post}, document.Key{}, document.Key{}, document.Key{}, document.Key{}, want[0])
	got, snapshot, err := r.Resolve(t.Context(), hints)
	if err != nil || snapshot.Xmax == 0 {
		t.Fatal(snapshot, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// likePayload makes a schema look like Payload's.
const likePayload = `create table %[1]s.payload_migrations (id serial primary key);
create type %[1]s.status as enum ('draft', 'published'); create type %[1]s.locale as enum ('en', 'de', 'fr');`

func build(t *testing.T, schema string, statements ...string) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.New(t).Pool(t)
	q := quoted(schema)
	if schema != "public" {
		exec(t, pool, "create schema "+q)
	}
	exec(t, pool, fmt.Sprintf(likePayload, q))
	for _, s := range statements {
		exec(t, pool, strings.ReplaceAll(s, "$schema", q))
	}
	return pool
}

func read(t *testing.T, r *Reader, slug string, ids ...string) []document.Document {
	t.Helper()
	var keys []document.Key
	for _, id := range ids {
		keys = append(keys, document.Key{Collection: slug, ID: id})
	}
	docs, _, err := r.Read(context.Background(), keys)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// titlesOf returns "locale:title" of every entry.
func titlesOf(docs ...document.Document) (out []string) {
	for _, d := range docs {
		for _, e := range d.Entries {
			out = append(out, e.Locale+":"+e.Title)
		}
	}
	return out
}

func TestStatus(t *testing.T) {
	pool := build(t, "public", `create table posts (id serial primary key, title varchar, _status status default 'draft', deleted_at timestamptz)`,
		`insert into posts (title, _status, deleted_at) values ('live', 'published', null), ('draft', 'draft', null), ('null', null, null), ('trash', 'published', now())`)
	r := NewReader(pool, discover(t, pool, Config{}), Config{})
	if diff := cmp.Diff([]string{":live"}, titlesOf(read(t, r, "posts", "1", "2", "3", "4", "5")...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"1"}, pages(t, r, "posts", 1)); diff != "" {
		t.Error(diff)
	}
	r.model.collections[0].root.rows = 5e6 // too many to count
	if n, err := r.Estimate(t.Context(), "posts"); err != nil || n == 0 {
		t.Errorf("the planner believes in %d (%v)", n, err)
	}
}

func TestStatusPerLocale(t *testing.T) {
	pool := build(t, "cms", `create table $schema.posts (id uuid primary key default gen_random_uuid(), byline varchar, deleted_at timestamptz)`,
		`create table $schema.posts_locales (title varchar, _status $schema.status default 'draft', id serial primary key, _locale $schema.locale not null, _parent_id uuid not null references $schema.posts(id) on delete cascade, unique (_locale, _parent_id))`,
		`insert into $schema.posts (id, byline, deleted_at) values ('00000000-0000-0000-0000-000000000001', 'by me', null), ('00000000-0000-0000-0000-000000000002', 'by you', null),
		 ('00000000-0000-0000-0000-000000000003', 'by none', now()), ('00000000-0000-0000-0000-000000000004', 'no locale', null)`,
		`insert into $schema.posts_locales (_parent_id, _locale, title, _status) values
		 ('00000000-0000-0000-0000-000000000001', 'de', 'DE', 'published'), ('00000000-0000-0000-0000-000000000001', 'en', 'EN', 'published'), ('00000000-0000-0000-0000-000000000001', 'fr', null, 'published'),
		 ('00000000-0000-0000-0000-000000000002', 'en', 'EN draft', 'draft'), ('00000000-0000-0000-0000-000000000003', 'en', 'trashed', 'published')`)
	r := NewReader(pool, discover(t, pool, Config{Schema: "cms"}), Config{})
	first := "00000000-0000-0000-0000-000000000001"
	docs := read(t, r, "posts", first, "00000000-0000-0000-0000-000000000002", "00000000-0000-0000-0000-000000000003", "00000000-0000-0000-0000-000000000004",
		"not a uuid", strings.ToUpper("aaaaaaaa-0000-0000-0000-000000000001"))
	if diff := cmp.Diff([]string{"en:EN", "de:DE"}, titlesOf(docs...)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]document.Block{{Text: "by me"}}, docs[0].Entries[1].Blocks); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{first}, pages(t, r, "posts", 1)); diff != "" {
		t.Error(diff)
	}
}

// TestStatusOfEachLocale: a locale that is not published is not there, also of a document that is live in another, and
// where nothing is localized but the status.
func TestStatusOfEachLocale(t *testing.T) {
	pool := build(t, "public", `create table posts (id serial primary key, title varchar)`, `create table news (id serial primary key, title varchar)`,
		`create table posts_locales (lead varchar, _status status default 'draft', id serial primary key, _locale locale not null, _parent_id int not null references posts(id) on delete cascade)`,
		`create table news_locales (_status status default 'draft', id serial primary key, _locale locale not null, _parent_id int not null references news(id) on delete cascade)`,
		`insert into posts (title) values ('T')`, `insert into news (title) values ('N')`, `insert into posts_locales (_parent_id, _locale, lead, _status) values (1, 'en', 'EN', 'published'), (1, 'de', 'DE', 'draft')`,
		`insert into news_locales (_parent_id, _locale, _status) values (1, 'en', 'published'), (1, 'de', 'draft'), (1, 'fr', 'published')`)
	r := NewReader(pool, discover(t, pool, Config{}), Config{})
	if diff := cmp.Diff([]string{"en:T", "en:N", "fr:N"}, titlesOf(read(t, r, "posts", "1")[0], read(t, r, "news", "1")[0])); diff != "" {
		t.Error(diff)
	}
}

func TestLocalized(t *testing.T) {
	pool := build(t, "public", `create table posts (id serial primary key, byline varchar, _status status default 'published')`,
		`create table posts_locales (title varchar, id serial primary key, _locale locale not null, _parent_id int not null references posts(id) on delete cascade)`,
		`insert into posts (byline) values ('two'), ('no row'), ('empty rows')`,
		`insert into posts_locales (_parent_id, _locale, title) values (1, 'fr', 'FR'), (1, 'en', 'EN'), (1, 'de', ' '), (3, 'en', null)`)
	r := NewReader(pool, discover(t, pool, Config{}), Config{})
	if diff := cmp.Diff([]string{"en:EN", "fr:FR", ":", "en:"}, titlesOf(read(t, r, "posts", "1", "2", "3")...)); diff != "" {
		t.Error(diff)
	}
}

func TestIDs(t *testing.T) {
	ids := map[string][]string{
		"integer": {"1", "-5", "2147483647"},
		"bigint":  {"9223372036854775807", "7"},
		"uuid":    {"6f1f1c2e-8a1b-4c3d-8e5f-6a0100000000", "00000000-0000-0000-0000-000000000000"},
		"numeric": {"1.5", "1", "-0.25", "123456789012345678901234567890.5"},
		"varchar": {"sku-1", "sku/2 'ü", "a%b#c@d", "{1,2}", `"quoted" \ back`, "NULL", "", "1; drop table posts"},
	}
	absent := []string{"", "2147483648", "99999999999999999999", "01", "1.50", "x", "1e3", "NaN", "{}", "null", "0x1", "\x00", "\xff", "1 ", "6F1F1C2E-8A1B-4C3D-8E5F-6A0100000000"}
	for typ, has := range ids {
		t.Run(typ, func(t *testing.T) {
			pool := build(t, "public", `create table posts (id `+typ+` primary key, title varchar, _status status default 'published')`)
			for _, id := range has {
				if _, err := pool.Exec(t.Context(), `insert into posts values ($1::text::`+typ+`, $1)`, id); err != nil {
					t.Fatal(err)
				}
			}
			r := NewReader(pool, discover(t, pool, Config{}), Config{})
			asked := append(slices.Clone(has), absent...)
			for i, d := range read(t, r, "posts", asked...) {
				want := slices.Contains(has, asked[i])
				if len(d.Entries) > 0 != want || want && d.Entries[0].Title != strings.TrimSpace(asked[i]) {
					t.Errorf("%q: %v", asked[i], d.Entries)
				}
			}
			for _, n := range []int{1, 3} {
				got := pages(t, r, "posts", n)
				slices.Sort(got)
				slices.Sort(has)
				if diff := cmp.Diff(has, got); diff != "" {
					t.Error(diff)
				}
			}
			if _, _, _, err := r.Published(t.Context(), "posts", "after nonsense", 10); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHostileNames(t *testing.T) {
	schema := `we"ird'; drop schema "x`
	table, child, column := `po"sts';--`, `%s"kid`, `ti tle"; select '%d`
	pool := build(t, schema,
		`create table $schema.`+quoted(table)+` (id varchar primary key, `+quoted(column)+` varchar, _status $schema.status default 'published')`,
		`create table $schema.`+quoted(child)+` (_order int, _parent_id varchar not null references $schema.`+quoted(table)+`(id) on delete cascade, id varchar primary key)`,
		`create table $schema.grandkid (_order int, _parent_id varchar not null references $schema.`+quoted(child)+`(id) on delete cascade, id varchar primary key)`,
		`insert into $schema.`+quoted(table)+` values ('a', 'text of a')`, `insert into $schema.`+quoted(child)+` values (1, 'a', 'k1')`)
	m := discover(t, pool, Config{Schema: schema})
	r := NewReader(pool, m, Config{})
	slug := m.Collections()[0].Slug
	if got := read(t, r, slug, "a")[0].Entries; len(got) != 1 || len(got[0].Blocks) != 1 {
		t.Errorf("read %v", got)
	}
	keys, _, err := r.Resolve(t.Context(), []document.Key{{Collection: slug, ID: "k1", Via: child}})
	if err != nil || keys[0].ID != "a" {
		t.Error(keys, err)
	}
}

func TestReadErrors(t *testing.T) {
	db := pgtest.New(t)
	pool := db.Pool(t)
	exec(t, pool, fmt.Sprintf(likePayload, "public"), `create table posts (id serial primary key, title varchar, _status status default 'published')`,
		`insert into posts (title) select repeat('x', 1000) from generate_series(1, 10)`)
	m := discover(t, pool, Config{})
	keys := []document.Key{{Collection: "posts", ID: "1"}, {Collection: "posts", ID: "2"}}

	for _, cfg := range []Config{{MaxDocument: 500}, {MaxBatch: 1500}} {
		_, _, err := NewReader(pool, m, cfg).Read(t.Context(), keys)
		if failure.Of(err).Class != failure.Permanent {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if docs, _, err := NewReader(pool, m, Config{MaxBatch: 500}).Read(t.Context(), keys[:1]); err != nil || len(docs[0].Entries) != 1 {
		t.Errorf("one document alone: %v %v", docs, err)
	}

	r := NewReader(pool, m, Config{})
	if docs, snapshot, err := r.Read(t.Context(), nil); err != nil || len(docs) != 0 || snapshot.Xmax == 0 {
		t.Errorf("no keys: %v %v %v", docs, snapshot, err)
	}
	if docs := read(t, r, "unknown", "1"); len(docs[0].Entries) != 0 {
		t.Error("a collection that is not indexed has entries")
	}

	role := "reader_" + db.Name
	exec(t, pool, `create role `+quoted(role)+` login`)
	t.Cleanup(func() { exec(t, pool, `drop role `+quoted(role)) })
	cfg, _ := pgxpool.ParseConfig(db.URI)
	cfg.ConnConfig.User = role
	poor, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer poor.Close()
	if _, err := Discover(t.Context(), poor, Config{}); err != nil {
		t.Errorf("the catalog is for all: %v", err)
	}
	_, _, err = NewReader(poor, m, Config{}).Read(t.Context(), keys)
	if e := failure.Of(err); e.Class != failure.Systemic || !strings.Contains(e.Remedy, "GRANT SELECT") || !strings.Contains(err.Error(), "posts") || !strings.Contains(e.Remedy, role) {
		t.Errorf("without a right to read: %v", err)
	}

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.Read(canceled, keys); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	for _, sql := range []string{`alter table posts rename column title to heading`, `drop table posts`} {
		exec(t, pool, sql)
		if _, _, err := r.Read(t.Context(), keys); !errors.Is(err, ErrSchemaChanged) {
			t.Errorf("after %s: %v", sql, err)
		}
	}
	if _, _, _, err := r.Published(t.Context(), "posts", "", 1); !errors.Is(err, ErrSchemaChanged) {
		t.Errorf("published: %v", err)
	}
}

// TestReadIsOneSnapshot: the snapshot that comes with the documents is the one they were read in.
func TestReadIsOneSnapshot(t *testing.T) {
	pool := build(t, "public", `create table posts (id serial primary key, title varchar, _status status default 'published')`, `insert into posts (title) values ('old')`)
	r := NewReader(pool, discover(t, pool, Config{}), Config{})
	key := []document.Key{{Collection: "posts", ID: "1"}}
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var xid uint64
	if err := tx.QueryRow(t.Context(), `with u as (update posts set title = 'new') select pg_current_xact_id()::text::bigint`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	docs, snapshot, err := r.Read(t.Context(), key)
	if err != nil || snapshot.Sees(wal.XID(xid)) || docs[0].Entries[0].Title != "old" {
		t.Errorf("before the commit: %v %v %v", docs, snapshot, err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	docs, snapshot, err = r.Read(t.Context(), key)
	if err != nil || !snapshot.Sees(wal.XID(xid)) || docs[0].Entries[0].Title != "new" {
		t.Errorf("after the commit: %v %v %v", docs, snapshot, err)
	}
}

// TestProtocolModes: poolers force other modes than pgx's default.
func TestProtocolModes(t *testing.T) {
	db := pgtest.New(t)
	exec(t, db.Pool(t), fmt.Sprintf(likePayload, "public"), `create table posts (id uuid primary key, title varchar, body jsonb, _status status default 'published')`,
		`insert into posts (id, title, body) values ('6f1f1c2e-8a1b-4c3d-8e5f-6a0100000000', 'T', '[{"children":[{"text":"x"}]}]')`)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		cfg, err := pgxpool.ParseConfig(db.URI)
		if err != nil {
			t.Fatal(err)
		}
		cfg.ConnConfig.DefaultQueryExecMode = map[string]pgx.QueryExecMode{
			"cache_statement": pgx.QueryExecModeCacheStatement, "cache_describe": pgx.QueryExecModeCacheDescribe, "describe_exec": pgx.QueryExecModeDescribeExec,
			"exec": pgx.QueryExecModeExec, "simple_protocol": pgx.QueryExecModeSimpleProtocol,
		}[mode]
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(pool, discover(t, pool, Config{}), Config{})
		for range 2 {
			docs := read(t, r, "posts", "6f1f1c2e-8a1b-4c3d-8e5f-6a0100000000")
			if diff := cmp.Diff([]document.Entry{{Title: "T", Blocks: []document.Block{{Text: "x"}}}}, docs[0].Entries); diff != "" {
				t.Errorf("%s: %s", mode, diff)
			}
			if diff := cmp.Diff([]string{"6f1f1c2e-8a1b-4c3d-8e5f-6a0100000000"}, pages(t, r, "posts", 1)); diff != "" {
				t.Errorf("%s: %s", mode, diff)
			}
		}
		pool.Close()
	}
}
