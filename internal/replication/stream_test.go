package replication_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"payload-cdc/internal/failure"
	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

func TestStreamDeliversWhatCommitted(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), `
			CREATE TABLE posts (id int PRIMARY KEY, title text, body text);
			CREATE TABLE whole (id int PRIMARY KEY, a text);
			CREATE TABLE child (id int PRIMARY KEY, whole int REFERENCES whole);
			CREATE TABLE other (id int);
			ALTER TABLE whole REPLICA IDENTITY FULL;
			ALTER TABLE posts ALTER body SET STORAGE EXTERNAL`, "posts", "whole", "child")
		var got tape
		r := w.read(w.config(), &got)

		var writer uint64
		tx, err := w.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO posts VALUES (1, 'one', repeat('x', 9000)), (2, 'two', NULL)"); err != nil {
			t.Fatal(err)
		}
		if err := tx.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&writer); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{
			"UPDATE posts SET title = 'uno' WHERE id = 1", // body is not touched
			"UPDATE posts SET id = 3 WHERE id = 2",
			"DELETE FROM posts WHERE id = 3",
			"INSERT INTO whole VALUES (1, 'a')",
			"UPDATE whole SET a = 'b'",
			"INSERT INTO other VALUES (1)",
			"SELECT pg_logical_emit_message(true, 'cdc', 'in')",
			"SELECT pg_logical_emit_message(false, 'cdc', 'out')",
			"TRUNCATE whole CASCADE",
			"ALTER TABLE posts RENAME title TO heading",
			"BEGIN; INSERT INTO posts VALUES (8); SAVEPOINT a; INSERT INTO posts VALUES (9); ROLLBACK TO a; COMMIT",
			"BEGIN; INSERT INTO posts VALUES (10); ROLLBACK",
			"DELETE FROM posts WHERE id = 8",
		} {
			w.exec(sql)
		}
		want := []string{
			"I public.posts new id=1 title=one body=xxxxxxxxxxxxxxxxxxxx",
			"I public.posts new id=2 title=two body:n",
			"U public.posts new id=1 title=uno body:u",
			"U public.posts old id=2 title:n body:n new id=3 title=two body:n",
			"D public.posts old id=3 title:n body:n",
			"I public.whole new id=1 a=a",
			"U public.whole old id=1 a=a new id=1 a=b",
			"message cdc in open=true",
			"message cdc out open=false",
			"truncate child whole",
			"I public.posts new id=8 heading:n body:n",
			"D public.posts old id=8 heading:n body:n",
		}
		got.until(t, "the last row", func() bool { return len(got.lines) >= len(want) && !got.open })
		if diff := cmp.Diff(want, got.rows()); diff != "" {
			t.Error(diff)
		}
		if got.begun[0] != wal.XID(writer) {
			t.Errorf("transaction %d, written by %d", got.begun[0], writer)
		}
		if len(got.begun) != len(got.ends) {
			t.Errorf("%d transactions began and %d ended", len(got.begun), len(got.ends))
		}
		for i := 1; i < len(got.ends); i++ {
			if got.ends[i] <= got.ends[i-1] {
				t.Errorf("commit %d ends at %s, after %s", i, got.ends[i], got.ends[i-1])
			}
		}
		r.stop()
		if slot := w.inspect(); slot.Active {
			t.Error("the slot is in use after Close")
		}
	})
}

// Whatever is confirmed, the next stream begins with the first transaction that was not.
func TestStreamResumesWhereItWasConfirmed(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
		var first tape
		r := w.read(w.config(), &first)
		for id := range 5 {
			w.exec("INSERT INTO posts VALUES ($1)", id)
		}
		first.until(t, "five transactions", func() bool { return len(first.lines) == 5 && !first.open })
		before := w.inspect().ConfirmedLSN
		third := first.ends[len(first.ends)-3]
		r.Confirm(third)
		r.Confirm(before) // never back
		poll(t, "the confirmation", func() bool { return w.inspect().ConfirmedLSN == third })
		r.stop()
		if got := w.inspect().ConfirmedLSN; got != third {
			t.Errorf("the slot stands at %s, confirmed was %s", got, third)
		}

		config := w.config()
		config.From = third
		var second tape
		r = w.read(config, &second)
		second.until(t, "the last two", func() bool { return len(second.lines) == 2 && !second.open })
		if diff := cmp.Diff([]string{"I public.posts new id=3", "I public.posts new id=4"}, second.rows()); diff != "" {
			t.Error(diff)
		}
		// Confirmed and stopped at once: the farewell carries it.
		last := second.ends[len(second.ends)-1]
		r.cancel()
		if err := r.wait(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		r.Confirm(last)
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.inspect().ConfirmedLSN; got != last {
			t.Errorf("the slot stands at %s, confirmed last was %s", got, last)
		}
	})
}

// Transactions interleave in the log and arrive as they commit: one that wrote before the confirmed position, and
// committed after it, is sent. Its rows' positions say nothing.
func TestStreamInterleavedTransactions(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
		long, err := w.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { long.Rollback(context.WithoutCancel(t.Context())) }()
		if _, err := long.Exec(t.Context(), "INSERT INTO posts VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		var first tape
		r := w.read(w.config(), &first)
		w.exec("INSERT INTO posts VALUES (2)")
		first.until(t, "the short one", func() bool { return len(first.lines) == 1 && !first.open })
		confirmed := first.ends[len(first.ends)-1]
		r.Confirm(confirmed)
		r.stop()
		if _, err := long.Exec(t.Context(), "INSERT INTO posts VALUES (3)"); err != nil {
			t.Fatal(err)
		}
		if err := long.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		config := w.config()
		config.From = confirmed
		var second tape
		r = w.read(config, &second)
		second.until(t, "the long one", func() bool { return len(second.lines) == 2 && !second.open })
		if diff := cmp.Diff([]string{"I public.posts new id=1", "I public.posts new id=3"}, second.rows()); diff != "" {
			t.Error(diff)
		}
		r.stop()
	})
}

// Nothing can be confirmed on a standby, and nothing is created there.
func TestStandbyIsRefused(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{})
	w := newWorld(t, cluster.NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cluster.Dir, "standby.signal")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.pool.Reset()
	plan := replication.Plan{Slot: w.slot, Publication: publication, Tables: named("posts")}
	if err := replication.Preflight(t.Context(), w.pool, plan); err == nil || !strings.Contains(err.Error(), "this server is a standby") {
		t.Errorf("Preflight: %v", err)
	}
	s, err := replication.Open(t.Context(), replication.Config{URI: w.db.URI, Slot: w.slot, Publication: publication})
	if err == nil {
		s.Close(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "this server is a standby") || failure.Of(err).Remedy == "" {
		t.Errorf("Open: %v", err)
	}
	if err := cluster.Stop(); err != nil { // its database cannot be dropped
		t.Fatal(err)
	}
}

// The server believes any position, and then never sends what lies before it.
func TestStreamNeverConfirmsWhatItHasNotSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	var got tape
	hold := make(chan struct{})
	held := make(chan struct{}, 1)
	got.onRow = func() error {
		select {
		case held <- struct{}{}:
		default:
		}
		<-hold
		return nil
	}
	r := w.read(w.config(), &got)
	w.exec("INSERT INTO posts VALUES (1)")
	<-held
	seen := r.Confirmed()
	r.Confirm(w.server().Flushed + 1<<30) // half way through a transaction, and far beyond the log
	if got := r.Confirmed(); got < seen || got >= w.server().Flushed {
		t.Errorf("confirmed %s, where the log ends at %s", got, w.server().Flushed)
	}
	close(hold)
	got.until(t, "the commit", func() bool {
		return len(got.ends) > 0 && got.ends[len(got.ends)-1] > seen && len(got.lines) == 1 && !got.open
	})
	r.Confirm(1 << 60)
	poll(t, "a confirmation within the log", func() bool { return w.inspect().ConfirmedLSN >= got.ends[len(got.ends)-1] })
	if at, end := w.inspect().ConfirmedLSN, w.server().Flushed; at > end {
		t.Errorf("the slot stands at %s beyond the log's end %s", at, end)
	}
}

// Other tables' changes move the slot too, or the log would pile up in a quiet database.
func TestStreamIdleMovesTheSlot(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), "CREATE TABLE posts (id int PRIMARY KEY); CREATE TABLE other (id int)", "posts")
		var got tape
		config := w.config()
		config.StatusEvery = 50 * time.Millisecond
		r := w.read(config, &got)
		w.exec("INSERT INTO other SELECT generate_series(1, 1000)")
		end := w.server().Flushed
		got.until(t, "idle, or an empty transaction", func() bool {
			return got.idle >= end || len(got.ends) > 0 && got.ends[len(got.ends)-1] >= end
		})
		r.Confirm(end)
		poll(t, "the slot to move", func() bool { return w.inspect().ConfirmedLSN >= end })
		if rows := got.rows(); len(rows) > 0 {
			t.Errorf("%q came from tables that are not published", rows)
		}
		if got.asked {
			t.Error("a server that is not shutting down asked for an answer")
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
		refuse := func(name string, want error, change func(*replication.Config)) {
			t.Helper()
			config := w.config()
			change(&config)
			s, err := replication.Open(t.Context(), config)
			if err == nil {
				s.Close(t.Context())
			}
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
		refuse("no slot", replication.ErrMissing, func(c *replication.Config) { c.Slot = "nowhere" })
		refuse("beyond the log", replication.ErrAhead, func(c *replication.Config) { c.From = w.server().Flushed + 1<<20 })
		refuse("behind the slot", replication.ErrGap, func(c *replication.Config) { c.From = w.inspect().ConfirmedLSN - 1 })
		refuse("no publication", replication.ErrPublicationMissing, func(c *replication.Config) { c.Publication = "nowhere" })

		var got tape
		r := w.read(w.config(), &got)
		refuse("in use", replication.ErrActive, func(*replication.Config) {})
		_, err := replication.Open(t.Context(), w.config())
		var active *replication.ActiveError
		if !errors.As(err, &active) || active.PID != r.PID() {
			t.Errorf("in use by %d: %v", r.PID(), err)
		}
		r.stop()

		w.exec("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", w.slot+"_td")
		s, err := replication.Open(t.Context(), replication.Config{URI: w.db.URI, Slot: w.slot + "_td", Publication: publication})
		if err == nil {
			s.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), "test_decoding") {
			t.Errorf("another plugin's slot: %v", err)
		}
		if _, err := replication.Open(t.Context(), replication.Config{URI: w.db.URI, Slot: `Robert'); --`, Publication: publication}); err == nil || !strings.Contains(err.Error(), "lower-case letters") {
			t.Errorf("a name that no slot can have: %v", err)
		}
	})
}

// The publication has to exist where the slot stands in the log. Postgres 18 only warns, and then sends nothing.
func TestStreamPublicationYoungerThanTheSlot(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), "CREATE TABLE posts (id int PRIMARY KEY)")
		w.create()
		w.exec("INSERT INTO posts VALUES (1)")
		w.exec("CREATE PUBLICATION " + publication + " FOR TABLE posts")
		var got tape
		r := w.read(w.config(), &got)
		if err := r.wait(); !errors.Is(err, replication.ErrPublicationMissing) {
			t.Errorf("Run: %v", err)
		}
		if len(got.ends) > 0 && got.ends[len(got.ends)-1] > w.server().Flushed {
			t.Error("a commit was delivered from behind the publication")
		}
	})
}

func TestStreamLostSlot(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		cluster := pgtest.Start(t, pgtest.Options{Version: version, Settings: map[string]string{
			"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB",
		}})
		w := newWorld(t, cluster.NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
		poll(t, "the slot to be lost", func() bool {
			w.exec("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000)) FROM generate_series(1, 5)")
			w.exec("SELECT pg_switch_wal()")
			w.exec("CHECKPOINT")
			return w.inspect().Lost()
		})
		if _, err := replication.Open(t.Context(), w.config()); !errors.Is(err, replication.ErrLost) {
			t.Errorf("Open: %v", err)
		}
	})
}

// A receiver that takes its time does not cost the connection: the status goes out beside it.
func TestStreamSurvivesASlowReceiver(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"wal_sender_timeout": "1s"}})
	w := newWorld(t, cluster.NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY, body text)", "posts")
	var got tape
	got.onRow = func() error {
		if len(got.rows()) == 1 { // blocks once, three times as long as the server would wait
			<-time.After(3 * time.Second)
		}
		return nil
	}
	r := w.read(w.config(), &got)
	// More than the socket's buffers hold, so that keepalives lie behind what is not read.
	w.exec("INSERT INTO posts SELECT i, repeat(md5(i::text), 200) FROM generate_series(1, 3000) i")
	got.until(t, "all rows", func() bool { return len(got.lines) == 3000 && !got.open })
	w.exec("INSERT INTO posts VALUES (0)")
	got.until(t, "one more", func() bool { return len(got.lines) == 3001 })
	r.stop()
}

// A receiver that hangs costs the connection: undrained, it could stop checkpoints on the primary.
func TestStreamClosesWhenTheReceiverHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	var got tape
	hold := make(chan struct{})
	got.onRow = func() error { <-hold; return nil }
	config := w.config()
	config.StallTimeout = 200 * time.Millisecond
	r := w.read(config, &got)
	w.exec("INSERT INTO posts VALUES (1)")
	got.until(t, "the row", func() bool { return len(got.lines) == 1 })
	poll(t, "the slot to be free while the receiver hangs", func() bool { return !w.inspect().Active })
	close(hold)
	if err := r.wait(); !errors.Is(err, replication.ErrStalled) {
		t.Errorf("Run: %v", err)
	}
	// Nothing of it was confirmed, so it comes again.
	var again tape
	w.read(w.config(), &again)
	again.until(t, "the row again", func() bool { return len(again.lines) == 1 && !again.open })
}

// What the receiver refuses is not confirmed.
func TestStreamStopsAtTheReceiversError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	no := errors.New("no")
	var got tape
	got.onRow = func() error { return no }
	r := w.read(w.config(), &got)
	w.exec("INSERT INTO posts VALUES (1)")
	if err := r.wait(); !errors.Is(err, no) {
		t.Fatalf("Run: %v", err)
	}
	r.Confirm(1 << 60)
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var again tape
	w.read(w.config(), &again)
	again.until(t, "the row again", func() bool { return len(again.lines) == 1 && !again.open })
}

// A server whose last bytes cannot be confirmed, because the checkpoint lived in it, must still be able to stop.
func TestStreamLetsAServerShutDown(t *testing.T) {
	for _, confirm := range []bool{true, false} {
		t.Run(fmt.Sprintf("confirm=%t", confirm), func(t *testing.T) {
			t.Parallel()
			cluster := pgtest.Start(t, pgtest.Options{})
			w := newWorld(t, cluster.NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
			var got tape
			r := w.read(w.config(), &got)
			w.exec("INSERT INTO posts VALUES (1)")
			got.until(t, "the row", func() bool { return len(got.lines) == 1 && !got.open })
			if confirm {
				go func() {
					for {
						select {
						case <-r.ended:
							return
						case <-time.After(10 * time.Millisecond):
							got.mu.Lock()
							end := got.idle
							got.mu.Unlock()
							r.Confirm(end)
						}
					}
				}()
			}
			w.pool.Close()
			if err := cluster.Stop(); err != nil {
				t.Error(err)
			}
			if err := r.wait(); err == nil || errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			} else {
				t.Log(err)
			}
			if !confirm && !got.asked { // who has confirmed everything in time is not asked
				t.Error("the server stopped without asking")
			}
			if log := cluster.Log(4000); strings.Contains(log, "immediate shutdown") {
				t.Errorf("it had to be forced:\n%s", log)
			}
		})
	}
}

func TestStreamXIDsBeyond32Bits(t *testing.T) {
	for _, version := range pgtest.Supported() {
		t.Run(fmt.Sprintf("postgres-%d", version), func(t *testing.T) {
			if _, err := os.Stat(fmt.Sprintf("/usr/lib/postgresql/%d/bin/pg_resetwal", version)); err != nil {
				t.Skip("no pg_resetwal of this version")
			}
			cluster := pgtest.Start(t, pgtest.Options{Version: version})
			if err := cluster.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := cluster.ResetWAL(t.Context(), "-e", "1"); err != nil {
				t.Fatal(err)
			}
			if err := cluster.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			w := newWorld(t, cluster.NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
			var got tape
			w.read(w.config(), &got)
			var writer uint64
			err := w.pool.QueryRow(t.Context(), "WITH w AS (INSERT INTO posts VALUES (1) RETURNING 1) SELECT pg_current_xact_id()::text::bigint FROM w").Scan(&writer)
			if err != nil {
				t.Fatal(err)
			}
			got.until(t, "the row", func() bool { return len(got.lines) == 1 })
			if last := got.begun[len(got.begun)-1]; last != wal.XID(writer) || last < 1<<32 {
				t.Errorf("transaction %d, written by %d", last, writer)
			}
		})
	}
}

func TestStreamHostileNames(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		const name = `Pub "lication", 'größe' \ $1; --`
		table := replication.Table{Schema: `Sche"ma`, Name: `'Tä"ble, x`}
		w := newWorld(t, pgtest.NewVersion(t, version), `CREATE SCHEMA "Sche""ma"; CREATE TABLE "Sche""ma"."'Tä""ble, x" ("I""d" int PRIMARY KEY)`)
		if _, err := replication.EnsurePublication(t.Context(), w.pool, name, []replication.Table{table}); err != nil {
			t.Fatal(err)
		}
		w.create()
		config := w.config()
		config.Publication = name
		var got tape
		w.read(config, &got)
		w.exec(`INSERT INTO "Sche""ma"."'Tä""ble, x" VALUES (1)`)
		got.until(t, "the row", func() bool { return len(got.lines) == 1 })
		if diff := cmp.Diff([]string{`I Sche"ma.'Tä"ble, x new I"d=1`}, got.rows()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestOpenRefusesToBeASynchronousStandby(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{})
	w := newWorld(t, cluster.NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	config := w.config()
	config.ApplicationName = "nobody listed"
	var got tape
	r := w.read(config, &got)
	if state, err := replication.SyncState(t.Context(), w.pool, r.PID()); state != "async" || err != nil {
		t.Errorf("SyncState: %q, %v", state, err)
	}
	r.stop()
	if err := cluster.SetSettings(t.Context(), map[string]string{"synchronous_standby_names": "payload_cdc"}); err != nil {
		t.Fatal(err)
	}
	if _, err := replication.Open(t.Context(), w.config()); !errors.Is(err, replication.ErrSynchronous) {
		t.Errorf("Open: %v", err)
	}
	r = w.read(config, &got) // under another name nobody waits for it
	if err := cluster.SetSettings(t.Context(), map[string]string{"synchronous_standby_names": "*"}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the server to count us", func() bool {
		state, err := replication.SyncState(t.Context(), w.pool, r.PID())
		return err == nil && state == "sync"
	})
	r.stop()
	poll(t, "the server to count us no more", func() bool { // the walsender ends a moment after its connection
		state, err := replication.SyncState(t.Context(), w.pool, r.PID())
		return err == nil && state == ""
	})
	// Nothing the test does from here on may wait for a standby that is not there.
	if err := cluster.SetSettings(t.Context(), map[string]string{"synchronous_standby_names": ""}); err != nil {
		t.Fatal(err)
	}
}

func TestStreamLeavesNothingRunning(t *testing.T) {
	w := newWorld(t, pgtest.New(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	ignore := goleak.IgnoreCurrent()
	var got tape
	r := w.read(w.config(), &got)
	w.exec("INSERT INTO posts VALUES (1)")
	got.until(t, "the row", func() bool { return len(got.lines) == 1 })
	r.stop()

	stream, err := replication.Open(t.Context(), w.config())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Close(t.Context()); err != nil { // never run
		t.Fatal(err)
	}
	// The server ends it.
	r = w.read(w.config(), &got)
	w.exec("SELECT pg_terminate_backend($1)", r.PID())
	if err := r.wait(); err == nil {
		t.Error("Run went on without a server")
	}
	r.Close(t.Context())
	w.pool.Reset()
	goleak.VerifyNone(t, ignore, goleak.IgnoreTopFunction("github.com/jackc/pgx/v5/pgxpool.(*Pool).backgroundHealthCheck"))
}

// A large backlog is read whole and confirmed to its end; what bench drains with.
func TestDiscardDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t), "CREATE TABLE posts (id int PRIMARY KEY, body text)", "posts")
	w.exec("INSERT INTO posts SELECT i, md5(i::text) FROM generate_series(1, 20000) i")
	end := w.server().Flushed
	seen, err := replication.Drain(t.Context(), w.config(), end)
	if err != nil {
		t.Fatal(err)
	}
	if seen.Rows != 20000 {
		t.Errorf("%d rows", seen.Rows)
	}
	if got := w.inspect().ConfirmedLSN; got < end {
		t.Errorf("the slot stands at %s, drained was %s", got, end)
	}
}
