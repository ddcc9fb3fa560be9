package e2e_test

import (
	"fmt"
	"testing"

	"payload-cdc/internal/local"
	"payload-cdc/test/e2e"
)

// Whatever happens, memory stays within CDC_MEMORY_LIMIT: a transaction of very many documents while nothing can be
// embedded, a document larger than any may be, and one of thousands of chunks.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	const limit = 256 << 20 // the default
	w := e2e.New(t, e2e.Options{Env: map[string]string{"CDC_LOG_LEVEL": "info"}})
	pool := w.DB.Pool(t)
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	count := func(sql string, want int) {
		t.Helper()
		e2e.Eventually(t, fmt.Sprintf("%s is %d", sql, want), func() []string {
			var n int
			if err := pool.QueryRow(t.Context(), sql).Scan(&n); err != nil {
				return []string{err.Error()}
			}
			if n != want {
				return []string{fmt.Sprintf("it is %d", n)}
			}
			return nil
		})
	}
	cdc := w.Start(t)
	cdc.WaitReady(t)
	within := func(what string) {
		t.Helper()
		peak := cdc.PeakMemory(t)
		t.Logf("after %s: %d MiB", what, peak>>20)
		if peak > limit {
			t.Errorf("after %s memory has been %d MiB", what, peak>>20)
		}
	}
	within("the start")

	// 80,000 documents in one transaction, more than fit, and nobody to embed them.
	w.Server.EmbeddingFaults().Set(1, local.Rule{Fault: local.Quota, Chance: 1})
	exec(`INSERT INTO news (title, _status, updated_at) SELECT 'one of very many ' || n, 'published', now() FROM generate_series(1, 80000) n`)
	count(`SELECT count(*) FROM payload_cdc.owed`, 80_000)
	within("a huge transaction")
	exec(`DELETE FROM news`)
	count(`SELECT count(*) FROM payload_cdc.owed`, 0)
	within("its deletion")
	w.Server.EmbeddingFaults().Set(1)

	paragraphs := `jsonb_build_object('root', jsonb_build_object('type', 'root', 'children', (SELECT jsonb_agg(jsonb_build_object(
		'type', 'heading', 'tag', 'h2', 'children', jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'Section ' || n)))
		) || jsonb_agg(jsonb_build_object('type', 'paragraph', 'children', jsonb_build_array(jsonb_build_object('type', 'text', 'text', repeat(md5(n::text) || ' ', $2)))))
		FROM generate_series(1, $1) n)))`
	exec(`INSERT INTO posts (id, title, content, _status) VALUES (9001, 'A giant', `+paragraphs+`, 'published')`, 1000, 1500)
	count(`SELECT count(*) FROM payload_cdc.parked`, 1)
	within("a document of 50 MB")

	exec(`INSERT INTO posts (id, title, content, _status) SELECT 9002, 'Very many sections', jsonb_build_object('root', jsonb_build_object('type', 'root',
		'children', jsonb_agg(node ORDER BY n, part))), 'published' FROM (
			SELECT n, 1 AS part, jsonb_build_object('type', 'heading', 'tag', 'h2', 'children', jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'Section ' || n))) AS node FROM generate_series(1, 10000) n
			UNION ALL
			SELECT n, 2, jsonb_build_object('type', 'paragraph', 'children', jsonb_build_array(jsonb_build_object('type', 'text', 'text', repeat('word' || n || ' ', 12)))) FROM generate_series(1, 10000) n) s`)
	e2e.Eventually(t, "a document of 10,000 chunks is in the index", func() []string {
		if n := len(w.Vectors(t)); n < 10_000 {
			return []string{fmt.Sprintf("it has %d", n)}
		}
		return nil
	})
	within("a document of 10,000 chunks")
	exec(`DELETE FROM posts WHERE id > 9000`)
	w.WaitConverged(t)
}
