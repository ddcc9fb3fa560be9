package daemon_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/pgtest"
)

// Everything here happens behind the daemon's back: what it missed must be noticed and found.

// missed changes documents in every way while nobody reads the log.
func (w *world) missed() {
	w.Helper()
	w.exec(`DELETE FROM posts WHERE id = 1`)
	w.exec(`UPDATE posts SET _status = 'draft' WHERE id = 2`)
	w.exec(`UPDATE posts SET title = 'now published', _status = 'published' WHERE id = 3`)
	w.exec(`UPDATE posts SET title = 'edited behind our back' WHERE id = 4`)
	w.exec(`DELETE FROM blog_posts WHERE id = 2`)
}

func dropSlot(w *world) {
	w.Helper()
	w.eventually(func() string {
		if _, err := try[string](w, `SELECT pg_drop_replication_slot($1)::text`, w.cfg.Slot); err != nil {
			return err.Error()
		}
		return ""
	})
}

func TestWhatHappenedWhileStoppedIsNoticed(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name   string
		behind func(w *world)
		stop   string // what CDC_ON_GAP=stop stops for; empty when it does not
	}{
		{name: "nothing but changes", behind: func(w *world) { w.missed() }},
		{name: "slot dropped", behind: func(w *world) { dropSlot(w); w.missed() }, stop: "does not exist any more"},
		{name: "slot dropped and created by somebody else", behind: func(w *world) {
			dropSlot(w)
			w.missed()
			w.exec(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, w.cfg.Slot)
		}, stop: "made it anew"},
		{name: "slot replaced by an older one's copy", behind: func(w *world) {
			dropSlot(w)
			w.missed()
			w.exec(`SELECT pg_copy_logical_replication_slot('o_' || $1, $1)`, w.cfg.Slot)
		}, stop: "older than the one that was made here"},
		{name: "slot advanced by somebody else", behind: func(w *world) {
			w.missed()
			w.exec(`SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())`, w.cfg.Slot)
		}, stop: "confirmed beyond the checkpoint"},
		{name: "state dropped", behind: func(w *world) { w.exec(`DROP SCHEMA payload_cdc CASCADE`); w.missed() }, stop: "the state is lost"},
		{name: "state and slot dropped", behind: func(w *world) {
			w.exec(`DROP SCHEMA payload_cdc CASCADE`)
			w.missed()
			dropSlot(w)
		}, stop: "the state is lost"},
		{name: "publication dropped", behind: func(w *world) { w.exec(`DROP PUBLICATION ` + w.cfg.Publication); w.missed() }, stop: "cannot be read on"},
		{name: "publication dropped and recreated", behind: func(w *world) {
			w.exec(`DROP PUBLICATION ` + w.cfg.Publication)
			w.missed()
			w.exec(`CREATE PUBLICATION ` + w.cfg.Publication + ` FOR TABLE posts, blog_posts`)
		}, stop: "cannot be read on"},
		{name: "table left the publication", behind: func(w *world) {
			w.exec(`ALTER PUBLICATION ` + w.cfg.Publication + ` DROP TABLE posts`)
			w.missed()
		}},
		{name: "table left the publication and came back", behind: func(w *world) {
			w.exec(`ALTER PUBLICATION ` + w.cfg.Publication + ` DROP TABLE posts`)
			w.exec(`UPDATE posts SET title = 'edited behind our back' WHERE id = 4`)
			w.exec(`ALTER PUBLICATION ` + w.cfg.Publication + ` ADD TABLE posts`)
		}},
		{name: "table replaced", behind: func(w *world) {
			w.exec(`CREATE TABLE copy (LIKE news INCLUDING ALL)`)
			w.exec(`INSERT INTO copy SELECT * FROM news`)
			w.exec(`DROP TABLE news CASCADE`)
			w.exec(`ALTER TABLE copy RENAME TO news`)
			w.exec(`UPDATE news SET title = 'of another table'`)
		}},
		{name: "truncated", behind: func(w *world) { w.exec(`TRUNCATE posts CASCADE`) }},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if strings.Contains(one.name, "older") {
				w.exec(`CREATE PUBLICATION ` + w.cfg.Publication + ` FOR TABLE posts`)
				w.exec(`SELECT pg_create_logical_replication_slot('o_' || $1, 'pgoutput')`, w.cfg.Slot)
			}
			r := w.start()
			w.equal()
			w.drained()
			r.stop()
			one.behind(w)
			cfg := w.cfg
			cfg.OnGap = daemon.Stop
			if one.stop != "" {
				before, slots := w.ids(""), `SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active`
				existing := ask[int](w, slots, w.cfg.Slot)
				err := w.fails(cfg)
				for _, word := range []string{one.stop, "CDC_ON_GAP=repair"} {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("with CDC_ON_GAP=stop it does not say %q: %v", word, err)
					}
				}
				if after := w.ids(""); !slices.Equal(before, after) {
					t.Errorf("with CDC_ON_GAP=stop it changed the index: %q, was %q", after, before)
				}
				if n := ask[int](w, slots, w.cfg.Slot); n > existing {
					t.Error("with CDC_ON_GAP=stop it left a slot that nobody reads")
				}
				if err := w.fails(cfg); !strings.Contains(err.Error(), "CDC_ON_GAP=repair") {
					t.Errorf("it stops only once: %v", err)
				}
				cfg.OnGap = daemon.Mend
			}
			r = w.startWith(cfg)
			w.equal()
			w.drained()
			if text := w.differences(); text != "" {
				t.Fatal(text)
			}
			if one.stop != "" && !w.log.has("changes may have been missed") {
				t.Error("the log does not say that changes may have been missed")
			}
			w.exec(`UPDATE news SET title = 'and on it goes' WHERE id = 1`)
			w.equal()
			r.stop()
			cfg.OnGap = daemon.Stop // all is well again
			r = w.startWith(cfg)
			w.drained()
			r.stop()
		})
	}
}

func TestWhatHappensWhileRunningIsNoticed(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name   string
		behind func(w *world)
	}{
		{"publication dropped", func(w *world) { w.exec(`DROP PUBLICATION ` + w.cfg.Publication); w.missed() }},
		{"publication dropped and recreated", func(w *world) {
			w.exec(`DROP PUBLICATION ` + w.cfg.Publication)
			w.missed()
			w.exec(`CREATE PUBLICATION ` + w.cfg.Publication + ` FOR TABLE posts, blog_posts`)
		}},
		{"table left the publication", func(w *world) {
			w.exec(`ALTER PUBLICATION ` + w.cfg.Publication + ` DROP TABLE posts`)
			w.missed()
		}},
		{"table left the publication and came back", func(w *world) {
			w.exec(`ALTER PUBLICATION ` + w.cfg.Publication + ` DROP TABLE posts`)
			w.exec(`UPDATE posts SET title = 'edited behind our back' WHERE id = 4`)
			w.exec(`ALTER PUBLICATION ` + w.cfg.Publication + ` ADD TABLE posts`)
		}},
		{"state dropped", func(w *world) { w.exec(`DROP SCHEMA payload_cdc CASCADE`); w.missed() }},
		{"slot dropped", func(w *world) {
			w.eventually(func() string {
				w.exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1`, w.cfg.Slot)
				if _, err := try[string](w, `SELECT pg_drop_replication_slot($1)::text`, w.cfg.Slot); err != nil {
					return err.Error()
				}
				return ""
			})
			w.missed()
		}},
		{"truncated", func(w *world) { w.exec(`TRUNCATE posts CASCADE`) }},
		{"all our sessions cut", func(w *world) {
			w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'payload_cdc%'`)
			w.missed()
		}},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.start()
			w.equal()
			w.drained()
			one.behind(w)
			w.equal()
			w.drained()
			w.exec(`UPDATE news SET title = 'and on it goes' WHERE id = 1`)
			w.exec(`UPDATE posts SET title = 'and on' WHERE id = 6`)
			w.equal()
			r.stop()
		})
	}
}

func TestSlotInvalidated(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}})
	w := newWorldIn(t, c.NewDB(t))
	r := w.start()
	w.equal()
	w.drained()
	r.stop()
	w.missed()
	w.exec(`CREATE TABLE public.payload_filler (id int primary key, x text)`)
	w.eventually(func() string {
		w.exec(`INSERT INTO payload_filler SELECT n, repeat(md5(n::text), 50) FROM generate_series(1, 10000) n`)
		w.exec(`TRUNCATE payload_filler`)
		w.exec(`SELECT pg_switch_wal()`)
		w.exec(`CHECKPOINT`)
		return map[bool]string{false: "the slot lives"}[ask[string](w, `SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1`, w.cfg.Slot) == "lost"]
	})
	r = w.start()
	w.equal()
	w.drained()
	if !w.log.has("changes may have been missed") {
		t.Error("the log does not say that changes may have been missed")
	}
	w.exec(`UPDATE news SET title = 'and on it goes' WHERE id = 1`)
	w.equal()
	r.stop()
}

func TestPostgresCrashesInTheMiddleOfALoad(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Options{})
	w := newWorldIn(t, c.NewDB(t))
	r := w.start()
	w.equal()
	for round := range 3 {
		for i := range 40 {
			w.exec(`INSERT INTO posts (title, description, _status) VALUES ($1, $2, 'published')`, fmt.Sprintf("load %d", i), fmt.Sprintf("round %d", round))
			w.exec(`UPDATE posts SET description = description || ' again', _status = CASE WHEN id % 3 = 0 THEN 'draft' ELSE 'published' END::enum_posts_status WHERE title = $1`, fmt.Sprintf("load %d", i))
		}
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.pool.Reset()
	}
	w.equal()
	w.drained()
	r.stop()
}

func TestPostgresShutsDownWithoutWaitingForUs(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Options{})
	w := newWorldIn(t, c.NewDB(t))
	r := w.start()
	w.equal()
	w.exec(`UPDATE posts SET title = 'just before' WHERE id = 1`)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if log := c.Log(20_000); strings.Contains(log, "immediate shutdown") {
		t.Error("the shutdown had to be forced")
	}
	w.eventually(func() string {
		if code, body := r.get("/readyz"); code != 503 {
			return fmt.Sprintf("readyz without a database: %d %s", code, body)
		}
		return ""
	})
	if err := c.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.pool.Reset()
	w.equal()
	w.drained()
	w.eventually(func() string {
		if code, body := r.get("/readyz"); code != 200 {
			return fmt.Sprintf("readyz: %d %s", code, body)
		}
		return ""
	})
	r.stop()
}
