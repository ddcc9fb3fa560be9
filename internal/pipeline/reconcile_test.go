package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
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

// run starts a pipeline over a world without faults of its own, and stops it when the test ends.
func run(t *testing.T, w *world, change func(*pipeline.Config)) *pipeline.Pipeline {
	t.Helper()
	p, stop := start(t, w, change)
	t.Cleanup(stop)
	return p
}

// start is run for a test that stops the pipeline itself.
func start(t *testing.T, w *world, change func(*pipeline.Config)) (p *pipeline.Pipeline, stop func()) {
	t.Helper()
	w.fresh = false
	me, state := w.claim()
	cfg := pipeline.Config{
		Source: me, Chunker: me, Embedder: me, Index: me, Ledger: me, Store: me,
		WriteTimeout: writeTimeout, Debounce: time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	p = pipeline.New(cfg, state)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return p, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the pipeline ended with %v", err)
		}
	}
}

// edit commits one document and marks it, as reading the log does.
func edit(w *world, p *pipeline.Pipeline, k document.Key, v version) {
	w.commit(map[document.Key]version{k: v}, 0, false)
	w.mu.Lock()
	tx := w.log[len(w.log)-1]
	w.mu.Unlock()
	p.Dirty.Mark(pipeline.Marks{Keys: tx.keys, XID: tx.xid, End: tx.lsn, At: time.Now()})
}

// settle waits until nothing is owed.
func settle(t *testing.T, p *pipeline.Pipeline) {
	t.Helper()
	for range 3000 {
		time.Sleep(100 * time.Millisecond)
		if !p.Dirty.OwedSince(time.Now()) {
			return
		}
	}
	t.Fatalf("still owed after five minutes: %+v", p.Stats())
}

// watched is an index that tells of every write before it happens, and can refuse it.
type watched struct {
	pipeline.Index
	upsert func([]document.Vector) error
	delete func([]string) error
}

func (w watched) Upsert(ctx context.Context, v []document.Vector) error {
	if err := w.upsert(v); err != nil {
		return err
	}
	return w.Index.Upsert(ctx, v)
}

func (w watched) Delete(ctx context.Context, ids []string) error {
	if err := w.delete(ids); err != nil {
		return err
	}
	return w.Index.Delete(ctx, ids)
}

func watch(c *pipeline.Config, calls *[]string) {
	c.Index = watched{
		Index: c.Index,
		upsert: func(v []document.Vector) error {
			for _, one := range v {
				*calls = append(*calls, "upsert "+one.ID)
			}
			return nil
		},
		delete: func(ids []string) error {
			for _, id := range ids {
				*calls = append(*calls, "delete "+id)
			}
			return nil
		},
	}
}

// TestUpsertBeforeDelete: a reader of the index never misses a published document because it was edited.
func TestUpsertBeforeDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		var calls []string
		p := run(t, w, func(c *pipeline.Config) { watch(c, &calls) })
		edit(w, p, key("1"), version{published: true, text: "one two three"})
		settle(t, p)
		calls = nil
		edit(w, p, key("1"), version{published: true, text: "other two"})
		settle(t, p)
		if got := strings.Join(calls, ", "); got != "upsert a-1, delete a-1#2" {
			t.Errorf("an edit did: %s", got)
		}
	})
}

// TestNothingChangedAsksNobody: a save that changes no text embeds and writes nothing, and neither does a draft.
func TestNothingChangedAsksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		var calls []string
		var outcomes []string
		p := run(t, w, func(c *pipeline.Config) {
			watch(c, &calls)
			c.Observe = func(o pipeline.Outcome) { outcomes = append(outcomes, o.Kind.String()) }
		})
		for _, v := range []version{
			{published: true, text: "one two"},
			{published: true, text: "one two"},
			{published: true, text: "one three"},
			{},
			{text: "draft"},
		} {
			edit(w, p, key("1"), v)
			settle(t, p)
		}
		if got := fmt.Sprint(outcomes); got != "[entered unchanged revised left unchanged]" {
			t.Errorf("outcomes are %s", got)
		}
		if w.embedded != 4 {
			t.Errorf("%d texts were embedded, want two, none, and two of which one is the first", w.embedded)
		}
		if got := strings.Join(calls, ", "); got != "upsert a-1, upsert a-1#1, upsert a-1, upsert a-1#1, delete a-1, delete a-1#1" {
			t.Errorf("the index was asked: %s", got)
		}
	})
}

// TestUnpublishGoesOnWithoutEmbeddings: an outage of one provider stops only what needs it, parks nothing, and is
// over by itself.
func TestUnpublishGoesOnWithoutEmbeddings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		var down atomic.Bool
		var asked atomic.Int32
		p := run(t, w, func(c *pipeline.Config) {
			inner := c.Embedder
			c.Embedder = embedder(func(ctx context.Context, texts []string) ([][]float32, error) {
				asked.Add(1)
				if down.Load() {
					return nil, &failure.Error{Class: failure.Systemic, Provider: "openai", Rejected: true, Err: errors.New("quota exhausted")}
				}
				return inner.Embed(ctx, texts)
			})
		})
		for n := range 20 {
			edit(w, p, key(fmt.Sprint(n)), version{published: true, text: "one"})
		}
		settle(t, p)
		down.Store(true)
		asked.Store(0)
		for n := range 10 {
			edit(w, p, key(fmt.Sprint(n)), version{published: true, text: "two"})
		}
		for n := 10; n < 20; n++ {
			edit(w, p, key(fmt.Sprint(n)), version{})
		}
		time.Sleep(5 * time.Minute)
		s := p.Stats()
		if s.Owed != 10 || s.Parked != 0 || len(s.Paused) != 1 || !s.Paused[0].Systemic || s.Paused[0].Reason == "" {
			t.Errorf("during the outage: %+v", s)
		}
		if n := asked.Load(); n > 15 {
			t.Errorf("the provider was asked %d times while it was down", n)
		}
		w.mu.Lock()
		if len(w.vectors) != 10 || w.position != wal.LSN(len(w.log))*100 {
			t.Errorf("%d vectors and position %v, want the unpublished ten gone and everything confirmed", len(w.vectors), w.position)
		}
		w.mu.Unlock()
		down.Store(false)
		settle(t, p)
		check(t, w)
		if s := p.Stats(); len(s.Paused) > 0 {
			t.Errorf("after the outage: %+v", s.Paused)
		}
	})
}

type embedder func(context.Context, []string) ([][]float32, error)

func (f embedder) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	return f(ctx, texts)
}

// TestCollisionParksUntilFreed: a vector id belongs to one document; the second waits until the first lets go.
func TestCollisionParksUntilFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, nil)
		first := document.Key{Collection: "a", ID: "b-1"}
		second := document.Key{Collection: "a-b", ID: "1"}
		edit(w, p, first, version{published: true, text: "one"})
		settle(t, p)
		edit(w, p, second, version{published: true, text: "two"})
		settle(t, p)
		parked := p.Dirty.Parked()
		if len(parked) != 1 || parked[0].Key != second || !strings.Contains(parked[0].Reason, "a/b-1") {
			t.Fatalf("parked is %+v", parked)
		}
		edit(w, p, first, version{})
		settle(t, p)
		w.mu.Lock()
		v := w.vectors["a-b-1"]
		w.mu.Unlock()
		if v.Data != "two" || len(p.Dirty.Parked()) != 0 {
			t.Errorf("after the first let go the index holds %q, parked %v", v.Data, p.Dirty.Parked())
		}
	})
}

// halfVanish indexes sixty documents and lets thirty of them vanish without a trace in what was read of the log.
func halfVanish(t *testing.T, w *world, p *pipeline.Pipeline) (gone []document.Key) {
	t.Helper()
	for n := range 60 {
		edit(w, p, key(fmt.Sprint(n)), version{published: true, text: "one"})
	}
	settle(t, p)
	changes := map[document.Key]version{}
	for n := range 30 {
		changes[key(fmt.Sprint(n))] = version{}
	}
	w.commit(changes, 0, false)
	return slices.Collect(maps.Keys(changes))
}

// TestSweepHoldsMassDeletion: when a large part of a collection seems gone, its removal waits for a person; live marks
// are never held.
func TestSweepHoldsMassDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, nil)
		halfVanish(t, w, p)
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "a", Reason: "test"})
		settle(t, p)
		sweeps := p.Stats().Sweeps
		if len(sweeps) != 1 || sweeps[0].Held != 30 || len(w.vectors) != 60 {
			t.Fatalf("sweeps %+v, %d vectors; want thirty held back", sweeps, len(w.vectors))
		}
		time.Sleep(3 * time.Hour) // it counts again, and finds the same
		if len(w.vectors) != 60 || p.Stats().Sweeps[0].Held != 30 {
			t.Fatalf("%d vectors after some hours, sweeps %+v", len(w.vectors), p.Stats().Sweeps)
		}
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "a", Reason: "a person said so", Force: true})
		settle(t, p)
		if len(w.vectors) != 30 || len(p.Stats().Sweeps) != 0 {
			t.Errorf("%d vectors after --force, sweeps %+v", len(w.vectors), p.Stats().Sweeps)
		}
	})
}

// TestSweepHeldByMistake: documents that were unpublished and whose marks have not been read yet look as if they had gone
// without a trace. Once they have been read, nothing waits for a person.
func TestSweepHeldByMistake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, nil)
		gone := halfVanish(t, w, p)
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "a", Reason: "test"})
		time.Sleep(5 * time.Second)
		if s := p.Stats().Sweeps; len(s) != 1 || s[0].Held != 30 {
			t.Fatalf("sweeps %+v, want thirty held back", s)
		}
		p.Dirty.Mark(pipeline.Marks{Keys: gone}) // the reader has come so far
		time.Sleep(time.Minute)
		if s := p.Stats(); len(w.vectors) != 30 || len(s.Sweeps) != 0 || s.Owed != 0 {
			t.Errorf("%d vectors, %d owed, sweeps %+v; want nothing held", len(w.vectors), s.Owed, s.Sweeps)
		}
	})
}

// TestFenced: once another instance has taken over, the pipeline ends and has changed nothing.
func TestFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.fresh = false
		me, state := w.claim()
		p := pipeline.New(pipeline.Config{Source: me, Chunker: me, Embedder: me, Index: me, Ledger: me, Store: me}, state)
		done := make(chan error, 1)
		go func() { done <- p.Run(t.Context()) }()
		time.Sleep(3 * time.Second)
		w.claim()
		edit(w, p, key("1"), version{published: true, text: "one"})
		if err := <-done; !errors.Is(err, owed.ErrFenced) {
			t.Errorf("the pipeline ended with %v", err)
		}
		if len(w.vectors) > 0 || len(w.debts) > 0 {
			t.Errorf("a fenced instance wrote: %v %v", w.vectors, w.debts)
		}
	})
}

// frozen is a ledger of an instance that is frozen right after its first announcement, for long.
type frozen struct {
	pipeline.Ledger
	once   sync.Once
	freeze func()
}

func (f *frozen) Intend(ctx context.Context, intents []owed.Intent, horizon time.Duration) ([]owed.Conflict, error) {
	conflicts, err := f.Ledger.Intend(ctx, intents, horizon)
	f.once.Do(f.freeze)
	return conflicts, err
}

// TestFrozenBeforeAWrite: an instance wakes up between what it has announced and the write of it. By then another one has
// proven that nothing of it can arrive any more, so the announcement is renewed, and that is refused.
func TestFrozenBeforeAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.fresh = false
		me, state := w.claim()
		ledger := &frozen{Ledger: me, freeze: func() {
			w.claim()
			time.Sleep(time.Hour)
		}}
		p := pipeline.New(pipeline.Config{Source: me, Chunker: me, Embedder: me, Index: me, Ledger: ledger, Store: me}, state)
		done := make(chan error, 1)
		go func() { done <- p.Run(t.Context()) }()
		time.Sleep(3 * time.Second)
		edit(w, p, key("1"), version{published: true, text: "one"})
		if err := <-done; !errors.Is(err, owed.ErrFenced) {
			t.Errorf("the pipeline ended with %v", err)
		}
		time.Sleep(2 * time.Hour) // and what was in hand goes on
		if len(w.vectors) > 0 {
			t.Errorf("it wrote after its wake-up: %v", w.vectors)
		}
	})
}

// TestProveComparesTheCount: a late write of an older text can leave a first chunk whose own text is right and whose
// count is not.
func TestProveComparesTheCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, nil)
		edit(w, p, key("1"), version{published: true, text: "one two"})
		settle(t, p)
		w.mu.Lock()
		late := w.vectors["a-1"]
		late.Metadata.Chunks = 5
		w.vectors["a-1"] = late
		w.mu.Unlock()
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "a", Strength: owed.Prove, Reason: "test"})
		settle(t, p)
		check(t, w)
	})
}
