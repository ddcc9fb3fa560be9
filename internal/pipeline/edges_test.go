package pipeline_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/wal"
)

// TestFreedBeforeParked: the document that holds an id may let go while the one that wants it is being refused.
func TestFreedBeforeParked(t *testing.T) {
	d := pipeline.NewDirty(0)
	d.Mark(pipeline.Marks{Keys: []document.Key{key("1")}})
	c := poll(d, 1)[0]
	d.Freed(key("2"))
	d.Park(c, "its vector id is held", key("2"))
	if again := poll(d, 1); len(again) != 1 || len(d.Parked()) != 0 {
		t.Fatalf("%d claims and %v parked, want one and none", len(again), d.Parked())
	}
	d.Mark(pipeline.Marks{Keys: []document.Key{key("3")}})
	c = poll(d, 1)[0]
	d.Freed(key("2"))
	d.Park(c, "its vector id is held", key("4"))
	if len(d.Parked()) != 1 {
		t.Errorf("another document's letting go unparked: %v", d.Parked())
	}
}

// TestRestoreAfterAWrongClock: what was saved by a clock that was years ahead is not put off for years.
func TestRestoreAfterAWrongClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := pipeline.NewDirty(0)
		ahead := time.Now().AddDate(20, 0, 0)
		d.Restore(owed.State{
			Debts:  []owed.Debt{{Key: key("1"), Strength: owed.Look, Since: ahead, Due: ahead, Tries: 3}},
			Sweeps: []owed.Sweep{{Collection: "b", Strength: owed.Prove, Since: ahead, Due: ahead, Reason: "TRUNCATE"}},
		})
		if !d.OwedSince(time.Now()) {
			t.Error("what was owed is owed no more")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if claims, err := d.Take(ctx, 1); err != nil || len(claims) != 1 {
			t.Errorf("after an hour: %v, %v", claims, err)
		}
	})
}

// TestRestoreOwedOrParked: a parked document whose ledger is in doubt is tried again, and then is parked no more.
func TestRestoreOwedOrParked(t *testing.T) {
	d := pipeline.NewDirty(0)
	d.Restore(owed.State{
		Debts:  []owed.Debt{{Key: key("1"), Strength: owed.Prove}},
		Parked: []owed.Parked{{Key: key("1"), Reason: "too long"}},
	})
	d.Settle(poll(d, 1)[0])
	if delta, _ := d.Capture(); len(d.Parked()) != 0 || len(delta.Unpark) != 1 {
		t.Errorf("%v is parked, and %v taken out of the store", d.Parked(), delta.Unpark)
	}
}

// saves is a store that tells of each save.
type saves struct {
	pipeline.Store
	save func(ctx context.Context, d owed.Delta) error
}

func (s saves) Save(ctx context.Context, d owed.Delta) error { return s.save(ctx, d) }

// TestNoSaveAfterOneInDoubt: a save that failed may still arrive. One that came after it in the same epoch could be
// undone by it.
func TestNoSaveAfterOneInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		me, state := w.claim()
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		p := pipeline.New(pipeline.Config{
			Source: me, Chunker: me, Embedder: me, Index: me, Ledger: me,
			Store: saves{me, func(context.Context, owed.Delta) error { n++; return errNet }},
			Saved: func(_ wal.LSN, err error) {
				if err != nil {
					cancel() // as the daemon does
				}
			},
		}, state)
		p.Dirty.Mark(pipeline.Marks{Keys: []document.Key{key("1")}})
		if err := p.Run(ctx); !errors.Is(err, errNet) {
			t.Errorf("ended with %v, want the save that failed", err)
		}
		if n != 1 {
			t.Errorf("saved %d times, want once", n)
		}
	})
}

// TestSaveIsNotGivenUp: a save under way at shutdown comes to its end before the last one begins.
func TestSaveIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		me, state := w.claim()
		ctx, cancel := context.WithCancel(t.Context())
		p := pipeline.New(pipeline.Config{
			Source: me, Chunker: me, Embedder: me, Index: me, Ledger: me,
			Store: saves{me, func(saving context.Context, _ owed.Delta) error {
				cancel()
				return sleep(saving, time.Second)
			}},
		}, state)
		p.Dirty.Mark(pipeline.Marks{Keys: []document.Key{key("1")}})
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}

// slow is an embedder that takes its time.
type slow struct {
	pipeline.Embedder
	takes time.Duration
}

func (s slow) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	if err := sleep(ctx, s.takes); err != nil {
		return nil, err
	}
	return s.Embedder.Embed(ctx, texts)
}

// TestLateWriteAfterTheIndexWasAsked: an old write arrives after the index was asked, within its time, while the new
// text is being embedded; its time is over when the document is done.
func TestLateWriteAfterTheIndexWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.ledger["a-1#5"] = line{key: key("1"), doubt: time.Now().Add(time.Second)}
		p := run(t, w, func(c *pipeline.Config) { c.Embedder = slow{c.Embedder, 3 * time.Second} })
		edit(w, p, key("1"), version{published: true, text: "one"})
		time.Sleep(900 * time.Millisecond)
		w.mu.Lock()
		w.vectors["a-1#5"] = document.Vector{ID: "a-1#5", Metadata: document.Metadata{Collection: "a", DocID: "1", Chunk: 5}}
		w.mu.Unlock()
		settle(t, p)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.vectors) != 1 || len(w.ledger) != 1 {
			t.Errorf("the index holds %v, the ledger %v, want one chunk", w.vectors, w.ledger)
		}
	})
}

// TestProbeWithoutVerdict: while an index takes no writes, documents that only have to be compared go on.
func TestProbeWithoutVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		var closed atomic.Bool
		refuse := func() error {
			if closed.Load() {
				return &failure.Error{Class: failure.Systemic, Rejected: true, Err: errors.New("quota of writes exhausted")}
			}
			return nil
		}
		p := run(t, w, func(c *pipeline.Config) {
			c.Index = watched{
				Index: c.Index, upsert: func([]document.Vector) error { return refuse() }, delete: func([]string) error { return refuse() },
			}
		})
		var keys []document.Key
		for n := range 40 {
			keys = append(keys, key(strconv.Itoa(n)))
			edit(w, p, keys[n], version{published: true, text: "one"})
		}
		settle(t, p)
		closed.Store(true)
		edit(w, p, key("new"), version{published: true, text: "two"})
		time.Sleep(100 * time.Millisecond)
		p.Dirty.Mark(pipeline.Marks{Keys: keys, Strength: owed.Prove})
		time.Sleep(3 * time.Minute)
		if s := p.Stats(); s.Owed != 1 || len(s.Paused) != 1 {
			t.Errorf("%d documents are owed, want the one that has to be written; paused: %v", s.Owed, s.Paused)
		}
		closed.Store(false)
		settle(t, p)
	})
}

// TestRestoredCollisionIsTriedAgain: the document that holds the id may have let go just before the crash.
func TestRestoredCollisionIsTriedAgain(t *testing.T) {
	d := pipeline.NewDirty(0)
	d.Restore(owed.State{Parked: []owed.Parked{{Key: key("1"), Blocker: key("2")}, {Key: key("3")}}})
	claims := poll(d, 9)
	if len(claims) != 1 || claims[0].Key != key("1") || len(d.Parked()) != 1 {
		t.Errorf("claims %v, parked %v", claims, d.Parked())
	}
}
