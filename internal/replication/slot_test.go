package replication_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/replication"
)

func TestCreateAndInspectSlot(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), "CREATE TABLE posts (id int PRIMARY KEY)")
		if got := w.inspect(); got != (replication.Slot{Name: w.slot}) {
			t.Errorf("a slot that does not exist: %+v", got)
		}
		created, err := replication.CreateSlot(t.Context(), replication.SlotConfig{URI: w.db.URI, Slot: w.slot, Failover: true})
		if err != nil {
			t.Fatal(err)
		}
		if created.Failover != (version >= 17) {
			t.Errorf("failover %t on version %d", created.Failover, version)
		}
		want := replication.Slot{
			Name: w.slot, Exists: true, Plugin: "pgoutput", Database: w.db.Name, Ours: true, WALStatus: "reserved",
			ConfirmedLSN: created.Point, SafeBytes: -1, Failover: version >= 17,
		}
		got := w.inspect()
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(replication.Slot{}, "RestartLSN", "RetainedBytes")); diff != "" {
			t.Error(diff)
		}
		if got.RestartLSN == 0 || got.RestartLSN > got.ConfirmedLSN {
			t.Errorf("restart_lsn %s, confirmed %s", got.RestartLSN, got.ConfirmedLSN)
		}
		if _, err := replication.CreateSlot(t.Context(), replication.SlotConfig{URI: w.db.URI, Slot: w.slot}); !errors.Is(err, replication.ErrExists) {
			t.Errorf("created twice: %v", err)
		}
		if _, err := replication.CreateSlot(t.Context(), replication.SlotConfig{URI: w.db.URI, Slot: "UPPER"}); err == nil || !strings.Contains(err.Error(), "lower-case") {
			t.Errorf("a bad name: %v", err)
		}

		forgotten, err := replication.ForgottenSlots(t.Context(), w.pool, w.slot[:8], "another")
		if err != nil || len(forgotten) != 1 || forgotten[0].Name != w.slot {
			t.Errorf("forgotten: %+v, %v", forgotten, err)
		}
		if forgotten, err = replication.ForgottenSlots(t.Context(), w.pool, w.slot[:8], w.slot); err != nil || len(forgotten) > 0 {
			t.Errorf("forgotten besides ours: %+v, %v", forgotten, err)
		}
		server := w.server()
		if server.Major() != version || server.System == "" || server.Timeline != 1 || !server.Superuser || !server.Replication ||
			server.WALLevel != "logical" || server.Standby || server.Flushed == 0 || server.Next == 0 || server.KeepBytes != -1 ||
			server.Timeout != time.Minute || server.Slots == 0 || server.Database != w.db.Name {
			t.Errorf("the server: %+v", server)
		}
	})
}

// A transaction that is open when a slot is created, or a table is published, is waited for, and named.
func TestWaitForRunning(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.Start(t, pgtest.Options{Version: version}).NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY)")
		tx, err := w.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO posts VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		defer func() { tx.Rollback(context.Background()) }()
		named := make(chan []replication.Waiting, 100)
		ended := make(chan error, 1)
		go func() {
			ended <- replication.WaitForRunning(t.Context(), w.pool, func(waiting []replication.Waiting) { named <- waiting })
		}()
		select {
		case waiting := <-named:
			if len(waiting) != 1 || waiting[0].PID == 0 || waiting[0].State != "idle in transaction" || waiting[0].Database != w.db.Name || waiting[0].Age <= 0 {
				t.Errorf("waited for %+v", waiting)
			}
		case err := <-ended:
			t.Fatalf("did not wait: %v", err)
		}
		// One that begins later is nobody's concern.
		later, err := w.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer later.Rollback(context.Background())
		if _, err := later.Exec(t.Context(), "INSERT INTO posts VALUES (2)"); err != nil {
			t.Fatal(err)
		}
		// Two phases: not over when prepared, but when it is rolled back.
		if _, err := tx.Exec(t.Context(), "PREPARE TRANSACTION 'half'"); err != nil {
			t.Fatal(err)
		}
		for prepared := false; !prepared; {
			select {
			case waiting := <-named:
				prepared = len(waiting) == 1 && waiting[0].Prepared == "half"
			case err := <-ended:
				t.Fatalf("did not wait for the prepared transaction: %v", err)
			}
		}
		tx.Rollback(t.Context())
		w.exec("ROLLBACK PREPARED 'half'")
		if err := <-ended; err != nil {
			t.Error(err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := replication.WaitForRunning(ctx, w.pool, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// A commit that waits for a standby is in the log, and streamed, while no other session sees it.
func TestWaitForRunningSeesHiddenCommits(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{})
	w := newWorld(t, cluster.NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	if err := cluster.SetSettings(t.Context(), map[string]string{"synchronous_standby_names": "ghost"}); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), w.db.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	committed := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "INSERT INTO posts VALUES (1)")
		committed <- err
	}()
	var got tape
	w.read(w.config(), &got)
	got.until(t, "the hidden row", func() bool { return len(got.ends) > 0 && len(got.lines) == 1 })
	named := make(chan []replication.Waiting, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- replication.WaitForRunning(t.Context(), w.pool, func(waiting []replication.Waiting) { named <- waiting })
	}()
	select {
	case waiting := <-named:
		if len(waiting) != 1 || waiting[0].Wait != "SyncRep" || waiting[0].XID != got.begun[len(got.begun)-1] {
			t.Errorf("waited for %+v, the stream had %v", waiting, got.begun)
		}
	case err := <-ended:
		t.Fatalf("did not wait: %v", err)
	}
	if err := cluster.SetSettings(t.Context(), map[string]string{"synchronous_standby_names": ""}); err != nil {
		t.Fatal(err)
	}
	if err := <-committed; err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var n int
	if err := w.pool.QueryRow(t.Context(), "SELECT count(*) FROM posts").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows visible afterwards, %v", n, err)
	}
}

func TestCreateSlotSaysWhomItWaitsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t, pgtest.Options{}).NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY)")
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	if _, err := tx.Exec(t.Context(), "INSERT INTO posts VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	_, err = replication.CreateSlot(t.Context(), replication.SlotConfig{URI: w.db.URI, Slot: w.slot, Patience: 50 * time.Millisecond})
	if !errors.Is(err, replication.ErrPatience) {
		t.Errorf("out of patience: %v", err)
	}
	if w.inspect().Exists {
		t.Error("half a slot is left")
	}
	named := make(chan []replication.Waiting, 100)
	type result struct {
		replication.Created
		error
	}
	ended := make(chan result, 1)
	go func() {
		created, err := replication.CreateSlot(t.Context(), replication.SlotConfig{
			URI: w.db.URI, Slot: w.slot, Waiting: func(waiting []replication.Waiting) { named <- waiting },
		})
		ended <- result{created, err}
	}()
	select {
	case waiting := <-named:
		if len(waiting) != 1 || waiting[0].State != "idle in transaction" {
			t.Errorf("waited for %+v", waiting)
		}
	case r := <-ended:
		t.Fatalf("did not wait: %v", r.error)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := <-ended; r.error != nil || r.Point == 0 {
		t.Errorf("%+v", r)
	}
}

func TestTeardown(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
		down := replication.Teardown{Slot: w.slot, Publication: publication, ApplicationName: "mine"}
		w.exec("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 300000))")
		config := w.config()
		config.ApplicationName = "theirs"
		var got tape
		r := w.read(config, &got)
		var active *replication.ActiveError
		if _, err := down.Run(t.Context(), w.pool); !errors.As(err, &active) || active.PID != r.PID() {
			t.Errorf("in use: %v", err)
		}
		r.stop()

		config.ApplicationName = "mine"
		config.StatusEvery = time.Hour // holds back what it has
		r = w.read(config, &got)
		down.Force = true
		released, err := down.Run(t.Context(), w.pool)
		if err != nil {
			t.Fatal(err)
		}
		if !released.Slot || !released.Publication || released.Bytes < 300000 {
			t.Errorf("released %+v", released)
		}
		if err := r.wait(); !errors.Is(err, replication.ErrStopping) {
			t.Errorf("Run: %v", err)
		}
		if w.inspect().Exists || w.published(publication) != nil {
			t.Error("something is left")
		}
		if released, err := down.Run(t.Context(), w.pool); err != nil || released != (replication.Released{}) {
			t.Errorf("again: %+v, %v", released, err)
		}
	})
}

// Another program's slot under our name is not ours to drop.
func TestTeardownLeavesForeignSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t), "CREATE TABLE posts (id int PRIMARY KEY)")
	w.exec("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", w.slot)
	if _, err := (replication.Teardown{Slot: w.slot}).Run(t.Context(), w.pool); err == nil || !w.inspect().Exists {
		t.Errorf("Run: %v", err)
	}
	w.exec("SELECT pg_drop_replication_slot($1)", w.slot)
	other := newWorld(t, pgtest.New(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	if _, err := (replication.Teardown{Slot: other.slot}).Run(t.Context(), w.pool); err == nil || !other.inspect().Exists {
		t.Errorf("Run in another database: %v", err)
	}
}
