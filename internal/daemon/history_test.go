package daemon_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/pgtest"
)

// The state and the database come to be of different histories: by restoring one, or both, or by a promotion.

// halted stops a cluster, does something to its files, and starts it again.
func halted(w *world, c *pgtest.Cluster, act func()) {
	w.Helper()
	if err := c.Stop(); err != nil {
		w.Fatal(err)
	}
	act()
	if err := c.Restart(context.Background()); err != nil {
		w.Fatal(err)
	}
	w.pool.Reset()
}

// backup copies a stopped cluster's files; the returned function puts them back.
func backup(w *world, c *pgtest.Cluster) (restore func()) {
	w.Helper()
	kept := filepath.Join(w.TempDir(), "backup")
	run := func(name string, args ...string) {
		w.Helper()
		if out, err := exec.CommandContext(context.Background(), name, args...).CombinedOutput(); err != nil {
			w.Fatalf("%s %q: %v: %s", name, args, err, out)
		}
	}
	run("cp", "-a", c.Dir, kept)
	return func() {
		w.Helper()
		if err := os.RemoveAll(c.Dir); err != nil {
			w.Fatal(err)
		}
		run("cp", "-a", kept, c.Dir)
	}
}

// change makes documents that differ from the moment before.
func (w *world) change(title string) {
	w.Helper()
	w.exec(`UPDATE posts SET title = $1 WHERE id = 4`, title)
	w.exec(`INSERT INTO posts (title, _status) VALUES ($1, 'published')`, title+", new")
	w.exec(`UPDATE posts SET _status = 'draft' WHERE id = 1`)
	w.exec(`DELETE FROM news WHERE id = 1`)
}

// Source and state are restored together to an older moment. They agree with each other, and only the index knows better.
func TestRestoredTogetherToAnOlderMoment(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Options{})
	w := newWorldIn(t, c.NewDB(t))
	r := w.start()
	w.equal()
	w.drained()
	r.stop()
	var restore func()
	halted(w, c, func() { restore = backup(w, c) })
	r = w.start()
	w.change("of a future that is forgotten")
	w.equal()
	w.drained()
	r.stop() // and the owner record says how far it came
	halted(w, c, restore)
	r = w.start()
	w.equal()
	w.drained()
	w.says("the index is ahead of the checkpoint")
	w.change("another future")
	w.equal()
	r.stop()
}

// The source alone is restored; the state is elsewhere and remembers a longer log.
func TestSourceRestoredAlone(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Options{})
	w := newWorldIn(t, c.NewDB(t))
	w.cfg.StateURI = withPassword(t, pgtest.New(t).URI)
	r := w.start()
	w.equal()
	r.stop()
	var restore func()
	halted(w, c, func() { restore = backup(w, c) })
	r = w.start()
	w.change("of a future that is forgotten")
	w.exec(`CREATE TABLE filler AS SELECT repeat(md5(n::text), 50) FROM generate_series(1, 10000) n`) // a longer log
	w.exec(`UPDATE posts SET title = 'the end' WHERE id = 5`)
	w.equal()
	r.stop()
	halted(w, c, restore)
	stop := w.cfg
	stop.OnGap = "stop"
	if err := w.fails(stop); !strings.Contains(err.Error(), "the checkpoint is ahead of the database's log") {
		t.Errorf("with CDC_ON_GAP=stop: %v", err)
	}
	r = w.start()
	w.equal()
	w.says("the checkpoint is ahead of the database's log")
	w.change("another future")
	w.equal()
	r.stop()
}

// A server that was recovered from its archive, or promoted, is on another timeline.
func TestOtherTimeline(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"restore_command": "false"}})
	w := newWorldIn(t, c.NewDB(t))
	r := w.start()
	w.equal()
	w.drained()
	r.stop()
	w.missed()
	halted(w, c, func() {
		path := filepath.Join(c.Dir, "recovery.signal")
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
	})
	w.eventually(func() string {
		line, err := try[string](w, `SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)`)
		if err != nil {
			return err.Error() // still recovering
		}
		return map[bool]string{true: "it is on the old timeline"}[line == "00000001"]
	})
	stop := w.cfg
	stop.OnGap = "stop"
	if err := w.fails(stop); !strings.Contains(err.Error(), "another timeline") {
		t.Errorf("with CDC_ON_GAP=stop: %v", err)
	}
	r = w.start()
	w.equal()
	w.drained()
	w.says("another timeline")
	r.stop()
	r = w.start()
	w.drained()
	if n := strings.Count(w.log.String(), "changes may have been missed"); n != 1 {
		t.Errorf("it was noticed %d times", n)
	}
	r.stop()
}

// The index is emptied, or loses a part, behind our back: the count of its vectors tells.
func TestIndexEmptiedBehindOurBack(t *testing.T) {
	t.Parallel()
	empty := func(w *world, ids []string) {
		w.Helper()
		if _, err := w.store.Delete(context.Background(), w.cfg.UpstashNamespace, ids); err != nil {
			w.Fatal(err)
		}
	}
	for _, part := range []string{"", "posts-2"} {
		t.Run("while it runs, "+part, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cfg.CountEvery = 500 * time.Millisecond
			r := w.start()
			w.equal()
			w.drained()
			empty(w, w.ids(part))
			w.equal()
			w.says("the index holds fewer vectors than it was given")
			r.stop()
		})
		t.Run("while it is stopped, "+part, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.start()
			w.equal()
			w.drained()
			r.stop()
			empty(w, w.ids(part))
			stop := w.cfg
			stop.OnGap = "stop"
			if err := w.fails(stop); !strings.Contains(err.Error(), "the index holds fewer vectors") || len(w.ids(part)) > 0 {
				t.Errorf("with CDC_ON_GAP=stop: %v", err)
			}
			r = w.start()
			w.equal()
			w.drained()
			r.stop()
		})
	}
}
