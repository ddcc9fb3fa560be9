package payload

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
)

// copies makes n more posts of the lab's whole post 1: every table below it has as many rows for each.
func copies(t testing.TB, pool *pgxpool.Pool, m *Model, n int) {
	t.Helper()
	var add func(p *table)
	add = func(p *table) {
		columns, values := "", ""
		for _, c := range p.columns {
			value := "t." + quoted(c.name)
			switch {
			case p.parent == nil && c.name == "id":
				value = "1000 + i"
			case c.name == "slug", c.name == "id" && c.typ == "integer":
				continue // unique, or counted
			case c.name == "id", c.name == "_parent_id" && c.typ == "character varying", c.name == "parent_id" && c.typ == "character varying":
				value += " || '-' || i"
			case c.name == p.via:
				value = "1000 + i"
			}
			columns, values = columns+", "+quoted(c.name), values+", "+value
		}
		where := "t." + quoted(p.via) + "::text = '1'"
		switch {
		case p.parent == nil:
			where = "t.id = 1"
		case p.parent.parent != nil:
			where = "t." + quoted(p.via) + " in (select id from " + quoted(p.parent.name) + " where id not like '%-%')"
		}
		exec(t, pool, "insert into "+quoted(p.name)+" ("+columns[2:]+") select "+values[2:]+" from "+quoted(p.name)+" t, generate_series(1, "+fmt.Sprint(n)+") i where "+where)
		for _, child := range p.children {
			add(child)
		}
	}
	// Only post 1's rows, so that a nested row's parent tells nothing of others.
	exec(t, pool, "delete from posts where id <> 1")
	add(m.byName["posts"])
	exec(t, pool, "analyze")
}

// planOf is how Postgres would run a query if it could.
func planOf(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (plan string) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), "set local enable_seqscan = off"); err != nil {
		t.Fatal(err)
	}
	rows, _ := tx.Query(t.Context(), "explain "+sql, args...)
	for rows.Next() {
		plan += string(rows.RawValues()[0]) + "\n"
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err(), sql)
	}
	return plan
}

// TestPartsUseTheirIndexes: no table is scanned for a batch. Those of hasMany fields have an index that begins with the
// order of the values, so a condition on the document alone would walk all of it.
func TestPartsUseTheirIndexes(t *testing.T) {
	pool := lab(t, 0)
	m := discover(t, pool, Config{Collections: named})
	copies(t, pool, m, 200)
	n := 0
	for _, c := range m.collections {
		for _, p := range c.parts {
			plan := planOf(t, pool, p.sql, []string{"1"}, 1<<20)
			if strings.Contains(plan, "Seq Scan") || p.kind == texts && !strings.Contains(plan, `Index Cond: (("order" = ANY`) {
				t.Errorf("%s:\n%s\n%s", p.name, p.sql, plan)
			}
			n++
		}
	}
	if n < 30 {
		t.Errorf("only %d tables", n)
	}
}

// counting counts the queries of a reader's calls.
type counting struct{ queries int }

func (c *counting) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (c *counting) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { c.queries++ }
func (c *counting) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}
func (c *counting) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (c *counting) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) { c.queries++ }

// TestBatches: a document is the same in a batch of one and of a hundred, and the queries are as many.
func TestBatches(t *testing.T) {
	db := pgtest.New(t)
	payloadtest.LoadDump(t, db)
	pool := db.Pool(t)
	m := discover(t, pool, Config{})
	copies(t, pool, m, 99)
	cfg, err := pgxpool.ParseConfig(db.URI)
	if err != nil {
		t.Fatal(err)
	}
	count := &counting{}
	cfg.ConnConfig.Tracer, cfg.MaxConns = count, 1
	counted, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer counted.Close()
	r := NewReader(counted, m, Config{})
	keys := []document.Key{{Collection: "posts", ID: "1"}}
	for i := range 99 {
		keys = append(keys, document.Key{Collection: "posts", ID: fmt.Sprint(1001 + i)})
	}
	for _, slug := range []string{"events", "news", "blog-posts"} {
		for id := range 5 {
			keys = append(keys, document.Key{Collection: slug, ID: fmt.Sprint(id)})
		}
	}
	read := func(keys []document.Key) ([]document.Document, int) {
		t.Helper()
		count.queries = 0
		docs, _, err := r.Read(t.Context(), keys)
		if err != nil {
			t.Fatal(err)
		}
		return docs, count.queries
	}
	all, _ := read(keys)
	_, many := read(keys[:100])
	for i, k := range keys {
		one, queries := read([]document.Key{k})
		if diff := cmp.Diff(all[i], one[0]); diff != "" {
			t.Fatalf("%v alone is another:\n%s", k, diff)
		}
		if k.Collection == "posts" && queries != many {
			t.Fatalf("%d queries for one, %d for a hundred", queries, many)
		}
	}
	if len(all[57].Entries) != 1 || len(all[57].Entries[0].Blocks) < 40 {
		t.Errorf("a copy of post 1 is not whole: %v", all[57])
	}
}

// BenchmarkRead reads and assembles whole posts of the lab, blocks and arrays and hasMany fields included, in batches of 100.
func BenchmarkRead(b *testing.B) {
	pool := lab(b, 0)
	m := discover(b, pool, Config{})
	copies(b, pool, m, 5000)
	r := NewReader(pool, m, Config{})
	var keys []document.Key
	for i := range 100 {
		keys = append(keys, document.Key{Collection: "posts", ID: fmt.Sprint(1001 + i*37)})
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		docs, _, err := r.Read(context.Background(), keys)
		if err != nil || len(docs[99].Entries) != 1 || len(docs[99].Entries[0].Blocks) < 40 {
			b.Fatal(err, docs[99])
		}
		n += len(docs)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "documents/s")
	b.ReportMetric(float64(len(m.bySlug["posts"].parts)), "queries/batch")
}

// TestReadUsesTheIndex: ids are compared in the column's own type, not as text.
func TestReadUsesTheIndex(t *testing.T) {
	for _, typ := range []string{"integer", "uuid", "numeric", "varchar"} {
		pool := build(t, "public", `create table posts (id `+typ+` primary key, title varchar, _status status default 'published')`)
		c := discover(t, pool, Config{}).collections[0]
		id := map[string]string{"uuid": "6f1f1c2e-8a1b-4c3d-8e5f-6a0100000000"}[typ]
		if id == "" {
			id = "1"
		}
		for sql, args := range map[string][]any{c.parts[0].sql: {[]string{id}, 1 << 20}, c.sql.live: {[]string{id}}, c.sql.after: {10, id}} {
			if plan := planOf(t, pool, sql, args...); !strings.Contains(plan, "Index Cond") {
				t.Errorf("%s: %s\n%s", typ, sql, plan)
			}
		}
	}
}

// BenchmarkShowing pages through the documents that show one row: 100,000 of them, half by a column and half by a row of _rels.
func BenchmarkShowing(b *testing.B) {
	db := pgtest.New(b)
	payloadtest.LoadDump(b, db)
	pool := db.Pool(b)
	exec(b, pool,
		`insert into posts (title, _status, primary_category_id) select 'Post ' || n, 'published', case when n % 2 = 0 then 3 end from generate_series(1, 100000) n`,
		`insert into posts_rels ("order", parent_id, path, categories_id) select 1, id, 'categories', 3 from posts where title like 'Post %' and primary_category_id is null`,
		`analyze posts, posts_rels`)
	r := NewReader(pool, discover(b, pool, Config{Collections: []string{"posts"}, Rules: map[string]Rules{"posts": {Related: []string{"categories.name", "primaryCategory.name"}}}}), Config{})
	for b.Loop() {
		found := 0
		for cursor := ""; ; {
			keys, next, _, err := r.Showing(b.Context(), document.Key{Collection: "posts", ID: "3", Via: "*categories"}, cursor, 500)
			if err != nil {
				b.Fatal(err)
			}
			found += len(keys)
			if cursor = next; cursor == "" {
				break
			}
		}
		if found != 100_000 {
			b.Fatalf("%d documents", found)
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "documents/s")
}
