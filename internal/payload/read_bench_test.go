package payload

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"payload-cdc/internal/document"
)

// BenchmarkRead reads and assembles a post of the lab's size, in batches of 100.
func BenchmarkRead(b *testing.B) {
	pool := lab(b, 0)
	m := discover(b, pool, Config{})
	var cols []string
	for _, c := range m.byName["posts"].columns {
		if c.name != "id" && c.name != "slug" {
			cols = append(cols, quoted(c.name))
		}
	}
	list := strings.Join(cols, ", ")
	exec(b, pool, `insert into posts (`+list+`) select `+list+` from posts, generate_series(1, 5000) where id = 1`, `analyze posts`)
	r := NewReader(pool, m, Config{})
	var keys []document.Key
	for i := range 100 {
		keys = append(keys, document.Key{Collection: "posts", ID: fmt.Sprint(1000 + i*37)})
	}
	n := 0
	for b.Loop() {
		docs, _, err := r.Read(context.Background(), keys)
		if err != nil || len(docs[99].Entries) != 1 {
			b.Fatal(err, docs[99])
		}
		n += len(docs)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "documents/s")
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
		for sql, args := range map[string][]any{c.sql.roots: {[]string{id}, 1 << 20}, c.sql.live: {[]string{id}}, c.sql.after: {10, id}} {
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			plan := ""
			if _, err = tx.Exec(t.Context(), "set local enable_seqscan = off"); err == nil {
				rows, _ := tx.Query(t.Context(), "explain "+sql, args...)
				for rows.Next() {
					plan += string(rows.RawValues()[0]) + "\n"
				}
				err = rows.Err()
			}
			_ = tx.Rollback(t.Context())
			if err != nil || !strings.Contains(plan, "Index Cond") {
				t.Errorf("%s: %v\n%s\n%s", typ, err, sql, plan)
			}
		}
	}
}
