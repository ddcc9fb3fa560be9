package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/wal"
)

// editRow commits a row that documents show and marks its hints, as reading the log does.
func editRow(w *world, p *pipeline.Pipeline, row, text string, hide time.Duration) {
	w.commitRow(row, text, hide)
	w.mu.Lock()
	tx := w.log[len(w.log)-1]
	w.mu.Unlock()
	p.Dirty.Mark(pipeline.Marks{Keys: tx.hints, XID: tx.xid, End: tx.lsn, At: time.Now()})
}

// showingSource is a source whose Showing can be watched, and refused.
type showingSource struct {
	pipeline.Source
	before func(ctx context.Context, hint document.Key, cursor string) error
}

func (s showingSource) Showing(ctx context.Context, hint document.Key, cursor string, n int) ([]document.Key, string, wal.Snapshot, error) {
	if err := s.before(ctx, hint, cursor); err != nil {
		return nil, "", wal.Snapshot{}, err
	}
	return s.Source.Showing(ctx, hint, cursor, n)
}

// TestShownRowReachesEveryDocument: whoever shows a row gets its new text, however many they are, a bounded number of them
// owed at once, and changes of others go first.
func TestShownRowReachesEveryDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const documents, page, room = 1500, 50, 100
		w := newWorld(1)
		most, cursors := 0, 0
		edited := false
		var p *pipeline.Pipeline
		p = run(t, w, func(c *pipeline.Config) {
			c.SweepPage, c.SweepRoom = page, room
			c.Source = showingSource{c.Source, func(_ context.Context, hint document.Key, cursor string) error {
				most = max(most, p.Stats().Owed)
				if hint.Collection != "a" || cursor == "" {
					return nil
				}
				if cursors++; cursors == 3 {
					edit(w, p, key("other"), version{published: true, text: "urgent"})
				}
				if cursors == 20 {
					w.mu.Lock()
					edited = w.vectors["a-other"].Data == "urgent"
					w.mu.Unlock()
				}
				return nil
			}}
		})
		editRow(w, p, "r", "old", 0)
		changes := map[document.Key]version{}
		for n := range documents {
			changes[key(fmt.Sprint(n))] = version{published: n%100 > 0, text: "own", shows: "r"}
		}
		w.commit(changes, 0, false)
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "a", Reason: "test"})
		settle(t, p)
		check(t, w)
		most = 0
		editRow(w, p, "r", "new", 0)
		settle(t, p)
		check(t, w)
		if got := w.vectors["a-1#1"].Data; got != "new" {
			t.Errorf("the index holds %q of the row", got)
		}
		if limit := room + 2*page + 10; most > limit {
			t.Errorf("%d documents were owed at once, want at most %d", most, limit)
		}
		if cursors < documents/page/2 || !edited {
			t.Errorf("%d pages; another document was done meanwhile: %v", cursors, edited)
		}
	})
}

// TestShownRowWaitsForItsTransaction: before reads can see the row's change, its documents would be read as they were.
func TestShownRowWaitsForItsTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, nil)
		editRow(w, p, "r", "old", 0)
		edit(w, p, key("1"), version{published: true, text: "own", shows: "r"})
		settle(t, p)
		editRow(w, p, "r", "new", 5*time.Second)
		settle(t, p)
		check(t, w)
		if got := w.vectors["a-1#1"].Data; got != "new" {
			t.Errorf("the index holds %q of the row", got)
		}
	})
}

// TestShownRowStaysOwedUntilSpread: a hint that is half spread when the process dies is spread again, also when its end
// was not to be had.
func TestShownRowStaysOwedUntilSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		w.fresh = false
		life := func(before func(ctx context.Context, hint document.Key, cursor string) error) (p *pipeline.Pipeline, die func()) {
			me, state := w.claim()
			p = pipeline.New(pipeline.Config{
				Source: showingSource{me, before}, Chunker: me, Embedder: me, Index: me, Ledger: me, Store: me,
				WriteTimeout: writeTimeout, SweepPage: 3, Grace: time.Second,
			}, state)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- p.Run(ctx) }()
			return p, func() {
				w.mu.Lock()
				me.dead = true
				w.mu.Unlock()
				cancel()
				<-done
			}
		}
		stuck := func(ctx context.Context, _ document.Key, cursor string) error {
			if cursor == "" {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		p, die := life(stuck)
		w.commitRow("r", "old", 0)
		for n := range 9 {
			edit(w, p, key(fmt.Sprint(n)), version{published: true, text: "own", shows: "r"})
		}
		settle(t, p)
		editRow(w, p, "r", "new", 0)
		time.Sleep(10 * time.Second)
		w.mu.Lock()
		hint := document.Key{Collection: "a", ID: "r", Via: "*rows"}
		if _, ok := w.debts[hint]; !ok || w.position != wal.LSN(len(w.log))*100 {
			t.Errorf("half spread, the store owes %v at %v", w.debts, w.position)
		}
		w.mu.Unlock()
		die()

		tries := 0
		p, die = life(func(_ context.Context, _ document.Key, cursor string) error {
			if tries++; tries == 1 || tries == 3 {
				return errNet
			}
			return nil
		})
		defer die()
		settle(t, p)
		check(t, w)
	})
}

// TestShownRowLooksAgainAtWhatIsInHand: a document that was read before the row's change may show it no longer, because
// the reference went with the row, and nothing else names it.
func TestShownRowLooksAgainAtWhatIsInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		embedding, release := make(chan struct{}), make(chan struct{})
		p := run(t, w, func(c *pipeline.Config) {
			embed := c.Embedder
			held := false
			c.Embedder = embedder(func(ctx context.Context, texts []string) ([][]float32, error) {
				if !held {
					held = true
					close(embedding)
					<-release
				}
				return embed.Embed(ctx, texts)
			})
		})
		w.commitRow("r", "old", 0)
		edit(w, p, key("1"), version{published: true, text: "own", shows: "r"})
		<-embedding
		w.commit(map[document.Key]version{key("1"): {published: true, text: "own"}}, 0, false) // the reference is gone
		editRow(w, p, "r", "", 0)
		time.Sleep(5 * time.Second)
		if s := p.Stats(); s.Owed != 1 {
			t.Errorf("%d are owed, want only the document in hand: the hints are spread", s.Owed)
		}
		close(release)
		settle(t, p)
		check(t, w)
	})
}

// TestShownRowsHoldNobody: hints that are not to be spread at the moment leave readers and slots to the others.
func TestShownRowsHoldNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		down := true
		p := run(t, w, func(c *pipeline.Config) {
			c.Readers, c.InFlight = 1, 2
			c.Source = showingSource{c.Source, func(ctx context.Context, _ document.Key, _ string) error {
				if down {
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			}}
		})
		for n := range 20 {
			w.commitRow(fmt.Sprint("r", n), "row", 0)
			p.Dirty.Mark(pipeline.Marks{Keys: []document.Key{{Collection: "a", ID: fmt.Sprint("r", n), Via: "*rows"}}})
		}
		edit(w, p, key("1"), version{published: true, text: "own", shows: "r1"})
		time.Sleep(5 * time.Second)
		w.mu.Lock()
		if w.vectors["a-1"].Data != "own" {
			t.Error("a document waits for hints of others")
		}
		w.mu.Unlock()
		down = false
		settle(t, p)
		check(t, w)
	})
}

// TestSpreadFailures: an error that will not pass parks the hint, loudly; others are tried again.
func TestSpreadFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		var err error = &failure.Error{Class: failure.Permanent, Rejected: true, Err: errors.New("no such thing")}
		p := run(t, w, func(c *pipeline.Config) {
			c.Source = showingSource{c.Source, func(context.Context, document.Key, string) error { return err }}
		})
		hint := document.Key{Collection: "a", ID: "r", Via: "*rows"}
		p.Dirty.Mark(pipeline.Marks{Keys: []document.Key{hint}})
		time.Sleep(5 * time.Second)
		if parked := p.Dirty.Parked(); len(parked) != 1 || parked[0].Key != hint {
			t.Errorf("parked is %v", parked)
		}
		err = errNet
		p.Dirty.Mark(pipeline.Marks{Keys: []document.Key{hint}})
		time.Sleep(5 * time.Second)
		if s := p.Stats(); s.Owed != 1 || s.Parked != 0 {
			t.Errorf("owed %d, parked %d; want it owed", s.Owed, s.Parked)
		}
		err = nil
		settle(t, p)
	})
}

// slowSource answers a second late.
type slowSource struct{ pipeline.Source }

func (s slowSource) Resolve(ctx context.Context, hints []document.Key) ([]document.Key, wal.Snapshot, error) {
	time.Sleep(time.Second)
	return s.Source.Resolve(ctx, hints)
}

func (s slowSource) Showing(ctx context.Context, hint document.Key, cursor string, n int) ([]document.Key, string, wal.Snapshot, error) {
	time.Sleep(time.Second)
	return s.Source.Showing(ctx, hint, cursor, n)
}

func (s slowSource) Published(ctx context.Context, collection, cursor string, n int) ([]document.Key, string, wal.Snapshot, error) {
	time.Sleep(time.Second)
	return s.Source.Published(ctx, collection, cursor, n)
}

// TestCaughtUp: what hints and sweeps that were owed have marked since is still owed since then.
func TestCaughtUp(t *testing.T) {
	for name, mark := range map[string]func(w *world, d *pipeline.Dirty){
		"a hint": func(_ *world, d *pipeline.Dirty) {
			d.Mark(pipeline.Marks{Keys: []document.Key{{Collection: "a", ID: "row-1", Via: "rows"}}})
		},
		"a row that it shows": func(_ *world, d *pipeline.Dirty) {
			d.Mark(pipeline.Marks{Keys: []document.Key{{Collection: "a", ID: "r", Via: "*rows"}}})
		},
		"a sweep": func(_ *world, d *pipeline.Dirty) {
			d.Sweep(pipeline.SweepMark{Collection: "a", Reason: "test"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(1)
				release := make(chan struct{})
				p := run(t, w, func(c *pipeline.Config) {
					c.Source = slowSource{c.Source}
					embed := c.Embedder
					c.Embedder = embedder(func(ctx context.Context, texts []string) ([][]float32, error) {
						<-release
						return embed.Embed(ctx, texts)
					})
				})
				w.commit(map[document.Key]version{key("1"): {published: true, text: "one", shows: "r"}}, 0, false)
				mark(w, p.Dirty)
				reached := time.Now()
				time.Sleep(10 * time.Second)
				if s := p.Stats(); s.Owed != 1 || len(s.Sweeps) != 0 || s.Claimed != 1 {
					t.Errorf("owed %d, sweeps %v, claimed %d; want only the document", s.Owed, s.Sweeps, s.Claimed)
				}
				if !p.Dirty.OwedSince(reached) {
					t.Error("called caught up while the document is not in the index")
				}
				close(release)
				settle(t, p)
				check(t, w)
			})
		})
	}
}

// TestHintsOfShownRowsAreTakenApart: readers never get one, whatever becomes of it, and it is claimed like any other.
func TestHintsOfShownRowsAreTakenApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := pipeline.NewDirty(0)
		hint := document.Key{Collection: "a", ID: "r", Via: "*rows"}
		if rapid.Bool().Draw(t, "restored") {
			d.Restore(owed.State{Debts: []owed.Debt{{Key: hint, Strength: owed.Look, Since: time.Now()}}})
		}
		d.Mark(pipeline.Marks{Keys: []document.Key{hint, key("1")}, XID: 7})
		claims := poll(d, 9)
		if len(claims) != 1 || claims[0].Key != key("1") {
			t.Fatalf("readers took %v", claims)
		}
		c, err := d.TakeShown(context.Background())
		if err != nil || c.Key != hint || !slices.Equal(c.XIDs, []wal.XID{7}) {
			t.Fatalf("took %v, %v", c, err)
		}
		again := rapid.Bool().Draw(t, "marked again")
		if again {
			d.Mark(pipeline.Marks{Keys: []document.Key{hint}, Strength: owed.Prove})
		}
		switch rapid.IntRange(0, 2).Draw(t, "end") {
		case 0:
			d.Settle(c)
		case 1:
			d.Wait(c, 0)
			again = true
		case 2:
			d.Retry(c, 0)
			again = true
		}
		if s := d.Stats(); s.Owed != 2 && again || s.Owed != 1 && !again || s.Claimed != 1 {
			t.Fatalf("owed %d, claimed %d, again %v", s.Owed, s.Claimed, again)
		}
		if claims := poll(d, 9); len(claims) > 0 {
			t.Fatalf("readers took %v", claims)
		}
	})
}
