package daemon_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/local"
	"payload-cdc/internal/owed"
)

// confirmed waits until the slot has been confirmed beyond now.
func (w *world) confirmed() {
	w.Helper()
	begin := ask[string](w, `SELECT pg_current_wal_insert_lsn()::text`)
	w.exec(touch)
	w.eventually(func() string {
		if !ask[bool](w, `SELECT confirmed_flush_lsn > $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`, w.cfg.Slot, begin) {
			return "the slot is not confirmed beyond " + begin
		}
		return ""
	})
}

// unready waits until /readyz says no, and why.
func (r *run) unready(why ...string) {
	r.w.Helper()
	r.w.eventually(func() string {
		code, body := r.get("/readyz")
		for _, word := range why {
			if !strings.Contains(body, word) {
				code = 0
			}
		}
		if code != 503 {
			return fmt.Sprintf("readyz: %s, want %q", body, why)
		}
		return ""
	})
}

func TestProvidersDownAtStart(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name   string
		fail   func(s *local.Server)
		reason []string
	}{
		{"index unreachable", func(s *local.Server) { s.VectorFaults().Set(1, local.Rule{Fault: local.Cut, Chance: 1}) }, []string{"index"}},
		{"index refuses the token", func(s *local.Server) { s.VectorFaults().Set(1, local.Rule{Fault: local.BadToken, Chance: 1}) }, []string{"index", "UPSTASH_VECTOR_REST_TOKEN"}},
		{"index behind a broken gateway", func(s *local.Server) { s.VectorFaults().Set(1, local.Rule{Fault: local.BadGateway, Chance: 1}) }, []string{"index"}},
		{"embedding refuses the key", func(s *local.Server) { s.EmbeddingFaults().Set(1, local.Rule{Fault: local.BadToken, Chance: 1}) }, []string{"embedding", "OPENAI_API_KEY"}},
		{"embedding quota used up", func(s *local.Server) { s.EmbeddingFaults().Set(1, local.Rule{Fault: local.Quota, Chance: 1}) }, []string{"embedding"}},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			one.fail(w.server)
			r := w.start()
			w.exec(`UPDATE posts SET title = 'meanwhile' WHERE id = 1`)
			r.unready(one.reason...)
			w.confirmed()
			w.exec(`UPDATE posts SET title = 'meanwhile too' WHERE id = 2`)
			w.confirmed()
			r.stop() // and what is owed survives
			r = w.start()
			w.server.VectorFaults().Set(1)
			w.server.EmbeddingFaults().Set(1)
			w.equal()
			w.drained()
			w.eventually(func() string {
				if code, body := r.get("/readyz"); code != 200 {
					return fmt.Sprintf("readyz: %d %s", code, body)
				}
				return ""
			})
			r.stop()
		})
	}
}

// TestMoreIsOwedThanMemoryHolds: documents that owe are in memory only as far as there is room.
func TestMoreIsOwedThanMemoryHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.MemoryLimit = 1 // as few as there can be, a thousand
	r := w.start()
	w.equal()
	w.drained()
	down := local.Rule{Fault: local.Quota, Chance: 1}
	w.server.EmbeddingFaults().Set(1, down)
	w.exec(`INSERT INTO news (title, _status) SELECT 'owed ' || n, 'published' FROM generate_series(1, 4000) n`)
	owed := func(least int) {
		t.Helper()
		w.eventually(func() string {
			if n := ask[int](w, `SELECT count(*) FROM payload_cdc.owed`); n < least {
				return fmt.Sprintf("%d documents are owed", n)
			}
			return ""
		})
	}
	owed(4000)
	w.confirmed() // Postgres keeps no log for them
	w.exec(`UPDATE news SET _status = 'draft' WHERE title LIKE 'owed %7'`)
	w.exec(`UPDATE posts SET _status = 'draft' WHERE id = 1`)
	w.eventually(func() string { // what needs no embedding goes on meanwhile
		if _, there := w.vectors()["posts-1"]; there {
			return "posts-1 is still in the index"
		}
		return ""
	})
	w.confirmed()
	r.stop()
	r = w.start()
	w.exec(`UPDATE news SET title = title || ' again' WHERE title LIKE 'owed %3'`)
	w.confirmed()
	w.server.EmbeddingFaults().Set(1)
	w.equal()
	w.drained()
	if n := ask[int](w, `SELECT count(*) FROM payload_cdc.parked`); n > 0 {
		t.Errorf("%d documents were parked", n)
	}
	r.stop()
}

func TestIndexOfAnotherDimension(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.EmbedDimensions = 32
	r := w.start()
	r.unready("dimension", "64", "32", "CDC_EMBED_DIMENSIONS")
	w.confirmed()
	r.stop()
	w.cfg.EmbedDimensions = 64
	w.start()
	w.equal()
	w.drained()
}

func TestStoppedWhileTheIndexStalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.IndexTimeout = time.Minute
	r := w.start()
	w.equal()
	w.drained()
	w.server.VectorFaults().Set(1, local.Rule{Fault: local.Stall, Chance: 1, Delay: time.Hour})
	w.exec(`UPDATE posts SET title = 'in flight' WHERE id = 1`)
	w.exec(`UPDATE posts SET _status = 'draft' WHERE id = 2`)
	w.eventually(func() string {
		if w.server.VectorFaults().Hits()[local.Stall] == 0 {
			return "nothing is in flight"
		}
		return ""
	})
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if n := ask[int](w, `SELECT count(*) FROM (SELECT collection, doc_id FROM payload_cdc.owed UNION SELECT collection, doc_id FROM payload_cdc.ledger WHERE deadline IS NOT NULL) o`); n == 0 {
		t.Error("nothing is owed")
	}
	w.server.VectorFaults().Set(1)
	w.start()
	w.server.Arrive() // late writes may come after newer ones; they are proven once they no longer can
	w.equal()
}

func TestParkedDocumentsHoldNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.equal()
	text := `jsonb_build_object('root', jsonb_build_object('type', 'root', 'children', jsonb_build_array(jsonb_build_object('type', 'paragraph', 'children',
		jsonb_build_array(jsonb_build_object('type', 'text', 'text', repeat('too much of it ', $1)))))))`
	w.exec(`UPDATE posts SET content = `+text+` WHERE id = 1`, 700_000)
	w.says("document parked")
	parked := func() []owed.Parked {
		t.Helper()
		list, err := daemon.Parked(t.Context(), w.cfg)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	w.eventually(func() string { return map[bool]string{false: "nothing is parked in the state"}[len(parked()) == 1] })
	first := parked()[0]
	if first.Key.String() != "posts/1" || !strings.Contains(first.Reason, "bytes of text") || first.Attempts != 1 {
		t.Errorf("parked is %+v", first)
	}
	for _, wrong := range [][2]string{{"posts", "2"}, {"news", ""}} {
		if _, err := daemon.RetryParked(t.Context(), w.cfg, wrong[0], wrong[1]); err == nil || !strings.Contains(err.Error(), wrong[0]) {
			t.Errorf("retry of what is not parked: %v", err)
		}
	}
	if _, err := daemon.RetryParked(t.Context(), w.cfg, "posts", "1"); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() string {
		if list := parked(); len(list) != 1 || !list[0].Since.After(first.Since) {
			return fmt.Sprintf("parked are %+v, want it anew", list)
		}
		return ""
	})
	w.exec(`UPDATE posts SET title = 'goes on' WHERE id = 2`)
	w.eventually(func() string {
		if strings.Contains(w.differences(), "posts-2") {
			return w.differences()
		}
		return ""
	})
	w.exec(`UPDATE posts SET content = `+text+` WHERE id = 1`, 10)
	w.equal()
	w.drained()
}

// TestIdle counts what a daemon writes that has nothing to do.
func TestIdle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.equal()
	w.drained()
	saves := func() string {
		return ask[string](w, `SELECT string_agg(relname || ' ' || n_tup_ins + n_tup_upd + n_tup_del, ',' ORDER BY relname) FROM pg_stat_user_tables WHERE schemaname = 'payload_cdc'`)
	}
	saved := func() time.Time { return ask[time.Time](w, `SELECT saved_at FROM payload_cdc.checkpoint`) }
	before, rows := saved(), saves()
	cpu := cpuTime()
	distinct := map[time.Time]bool{before: true}
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		<-time.After(100 * time.Millisecond)
		distinct[saved()] = true
	}
	t.Logf("in 8 s: %d checkpoints, CPU of all tests' daemons %s; %s → %s", len(distinct)-1, cpuTime()-cpu, rows, saves())
	if len(distinct) > 2 { // one that was due
		t.Errorf("an idle daemon saved %d checkpoints in 8 s", len(distinct)-1)
	}
}
