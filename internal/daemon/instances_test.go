package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/daemon"
	"payload-cdc/internal/index"
	"payload-cdc/internal/index/upstash"
	"payload-cdc/internal/local"
)

// standing waits until a daemon stands by, and calls itself ready.
func (r *run) standing() {
	r.w.Helper()
	r.w.eventually(func() string {
		if code, body := r.get("/readyz"); code != 200 || !strings.Contains(body, "standby") {
			return fmt.Sprintf("readyz: %d %s", code, body)
		}
		return ""
	})
}

func TestSecondInstanceStandsByAndTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start()
	w.equal()
	w.drained()
	second := w.start()
	second.standing()
	w.exec(`UPDATE posts SET title = 'by the first' WHERE id = 1`)
	w.equal()
	first.stop()
	w.exec(`UPDATE posts SET title = 'by the second' WHERE id = 1`)
	w.equal()
	w.drained()

	// The one whose connections are cut may come back first or second: one of them goes on.
	third := w.start()
	third.standing()
	w.exec(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1`, w.cfg.Slot)
	w.exec(`UPDATE posts SET title = 'after the cut' WHERE id = 1`)
	w.equal()
	w.drained()
	second.stop()
	w.exec(`UPDATE posts SET title = 'by the third' WHERE id = 1`)
	w.equal()
	third.stop()
}

// TestFencedInstanceWritesNothing lets another one claim the state under a running daemon, as happens to one that was
// frozen for a while.
func TestFencedInstanceWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	w.equal()
	w.drained()
	// An index that hangs keeps a write in flight.
	w.server.VectorFaults().Set(1, local.Rule{Fault: local.Stall, Endpoint: "upsert", Chance: 1})
	w.exec(`UPDATE posts SET title = 'in flight' WHERE id = 1`)
	w.eventually(func() string {
		if w.server.VectorFaults().Hits()[local.Stall] == 0 {
			return "nothing is in flight"
		}
		return ""
	})
	store, err := checkpoint.Open(context.Background(), checkpoint.Config{Pool: w.pool, Instance: "the new one"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Claim(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.says("another instance has taken over; standing by")
	w.server.VectorFaults().Set(1)
	w.server.Arrive()
	// It was the only one after all, so it takes over again, proves what was in flight, and goes on.
	w.exec(`UPDATE posts SET title = 'and again' WHERE id = 1`)
	w.equal()
	w.drained()
	r.stop()
}

// owner opens the index as daemons do.
func (w *world) owner() index.Index {
	w.Helper()
	idx, err := upstash.New(upstash.Config{URL: w.cfg.UpstashURL, Token: token, Namespace: w.cfg.UpstashNamespace, Dimensions: 64})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(idx.Close)
	return idx
}

func TestIndexOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.owner().SetOwner(context.Background(), index.Owner{System: "1234567890", Slot: "theirs", LSN: 1}); err != nil {
		t.Fatal(err)
	}
	w.put(leftover("posts", "999"))
	before := w.server.Counts()
	err := w.fails(w.cfg)
	if !errors.Is(err, daemon.ErrOwner) || !strings.Contains(err.Error(), "cdc adopt") || !strings.Contains(err.Error(), "1234567890") {
		t.Errorf("it says: %v", err)
	}
	if after := w.server.Counts(); after.Written != before.Written || after.Deleted != before.Deleted {
		t.Error("it wrote to another database's index")
	}
	if n := ask[int](w, `SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1`, w.cfg.Slot); n != 0 {
		t.Error("it left a slot that nobody reads")
	}
	if _, err := daemon.Adopt(context.Background(), w.cfg); err != nil {
		t.Fatal(err)
	}
	r := w.start()
	w.equal()
	w.drained()
	r.stop()

	// The other one adopts it back while we are stopped, then while we run.
	theirs := index.Owner{System: "1234567890", Slot: "theirs", LSN: 1}
	if err := w.owner().SetOwner(context.Background(), theirs); err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE posts SET title = 'must not arrive' WHERE id = 1`)
	if err := w.fails(w.cfg); !errors.Is(err, daemon.ErrOwner) {
		t.Errorf("it says: %v", err)
	}
	if _, err := daemon.Adopt(context.Background(), w.cfg); err != nil {
		t.Fatal(err)
	}
	r = w.start()
	w.equal()
	w.drained()
	if err := w.owner().SetOwner(context.Background(), theirs); err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE news SET title = 'last words' WHERE id = 1`)
	w.drained()
	r.stop()
	if o, _, err := w.owner().Owner(context.Background()); err != nil || o.System != theirs.System {
		t.Errorf("the record of the new owner was written over: %+v, %v", o, err)
	}
}

// TestDatabaseRestoredToAnOlderMoment: the index's record is ahead of the checkpoint.
func TestDatabaseRestoredToAnOlderMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	w.equal()
	w.drained()
	r.stop()
	record, _, err := w.owner().Owner(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	record.LSN += 1 << 30
	if err := w.owner().SetOwner(context.Background(), record); err != nil {
		t.Fatal(err)
	}
	w.put(leftover("posts", "999")) // written after the moment that was restored
	w.start()
	w.equal()
	w.drained()
	if !w.log.has("restored to an older moment") {
		t.Error("the log does not say why")
	}
}
