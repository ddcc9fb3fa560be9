package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// writes tries every write there is and returns what each said.
func writes(t *testing.T, s Store) map[string]error {
	ctx := t.Context()
	_, intended := s.Intend(ctx, []owed.Intent{{Key: key("late", "1"), IDs: []string{"late-1"}}}, time.Hour)
	return map[string]error{
		"Save":            s.Save(ctx, owed.Delta{LSN: 1 << 40, Owe: []owed.Debt{{Key: key("late", "1"), Strength: owed.Look}}}),
		"SetPosition":     s.SetPosition(ctx, wal.Position{LSN: 1, Slot: "late"}),
		"SetFingerprints": s.SetFingerprints(ctx, map[string]string{"late": "f"}),
		"Intend":          intended,
		"Settle":          s.Settle(ctx, []owed.Holding{{Key: key("posts", "1"), Gone: []string{"posts-1"}}}),
		"Adopt":           s.Adopt(ctx, []owed.Holding{{Key: key("late", "2"), Held: []document.Held{{ID: "late-2"}}}}),
	}
}

func testFenced(t *testing.T, open Open) {
	again := state(t, open)
	old := again()
	claim(t, old)
	intend(t, old, time.Hour, owed.Intent{Key: key("posts", "1"), IDs: []string{"posts-1"}})
	must(t, old.SetPosition(t.Context(), wal.Position{LSN: 77, Slot: "payload_cdc"}))
	next := again()
	before := claim(t, next)
	for name, err := range writes(t, old) {
		if !errors.Is(err, owed.ErrFenced) {
			t.Errorf("%s by the old instance: %v, want ErrFenced", name, err)
		}
	}
	must(t, next.Save(t.Context(), owed.Delta{}))
	same(t, "the ledger", []string{"posts/1: posts-1=/ahead"},
		ledger(t, next, key("posts", "1"), key("late", "1"), key("late", "2")))
	// Who was fenced may come back, and then fences the other.
	after := claim(t, old)
	if after.Epoch <= before.Epoch {
		t.Errorf("epoch %d after %d", after.Epoch, before.Epoch)
	}
	before.Epoch, before.SavedAt = after.Epoch, after.SavedAt
	// Deadlines are translated to our clock anew each time they are read.
	before.Debts[0].Due = after.Debts[0].Due
	same(t, "the state that fenced writes left", before, after)
	if err := next.Save(t.Context(), owed.Delta{}); !errors.Is(err, owed.ErrFenced) {
		t.Errorf("the one fenced in turn: %v", err)
	}
}

// testTakeover: what the old instance was told is saved is in what the new one read, and nothing is added later.
func testTakeover(t *testing.T, open Open) {
	again := state(t, open)
	old := again()
	claim(t, old)
	var mu sync.Mutex
	acknowledged := map[document.Key]bool{}
	var count atomic.Int64
	var over atomic.Bool
	enough := make(chan struct{})
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for i := 0; ; i++ {
				k := key("posts", fmt.Sprintf("%d-%d", w, i))
				late := over.Load()
				err := old.Save(context.Background(), owed.Delta{Owe: []owed.Debt{{Key: k, Strength: owed.Look}}})
				if errors.Is(err, owed.ErrFenced) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				if late {
					t.Errorf("%s was saved by the old instance after the takeover", k)
					return
				}
				mu.Lock()
				acknowledged[k] = true
				mu.Unlock()
				if count.Add(1) == 40 {
					close(enough)
				}
			}
		})
	}
	<-enough
	taken, err := again().Claim(t.Context())
	over.Store(true)
	workers.Wait()
	must(t, err)
	read := map[document.Key]bool{}
	for _, d := range taken.Debts {
		read[d.Key] = true
	}
	for k := range acknowledged {
		if !read[k] {
			t.Errorf("%s was acknowledged to the old instance and not read by the new one", k)
		}
	}
	same(t, "debts after the takeover", len(taken.Debts), len(claim(t, again()).Debts))
}

func testIntend(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	k := key("posts", "1")
	if c := intend(t, s, time.Hour, owed.Intent{Key: k, IDs: []string{"posts-1", "posts-1#1"}}, owed.Intent{Key: key("posts", "2")}); len(c) != 0 {
		t.Fatalf("conflicts %v", c)
	}
	// Another process sees it before anything is settled, and the crash leaves it.
	s = again()
	want := []string{"posts/1: posts-1#1=/ahead", "posts/1: posts-1=/ahead"}
	same(t, "the ledger of another process", want, ledger(t, s, k))
	got := claim(t, s)
	if len(got.Debts) != 1 || got.Debts[0].Key != k || got.Debts[0].Strength != owed.Prove || doubt(got.Debts[0].Due) != "ahead" {
		t.Fatalf("debts %+v, want a proof of %s at the deadline", got.Debts, k)
	}
	if got := claim(t, again()); len(got.Debts) != 1 {
		t.Fatalf("after a second crash: %+v, want the proof still owed", got.Debts)
	}
	// The hash stays known through the next write; the later deadline counts.
	claim(t, s)
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: k, Held: []document.Held{{ID: "posts-1", Hash: "h"}}, Gone: []string{"posts-1#1"}}}))
	intend(t, s, time.Hour, owed.Intent{Key: k, IDs: []string{"posts-1"}})
	intend(t, s, time.Nanosecond, owed.Intent{Key: k, IDs: []string{"posts-1", "posts-1"}})
	same(t, "announced again", []string{"posts/1: posts-1=h/ahead"}, ledger(t, s, k))
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: k, Held: []document.Held{{ID: "posts-1", Hash: "h2"}}}}))
	intend(t, s, -time.Second, owed.Intent{Key: k, IDs: []string{"posts-1"}})
	same(t, "past its deadline", []string{"posts/1: posts-1=h2/past"}, ledger(t, s, k))
}

func testConflict(t *testing.T, open Open) {
	s := state(t, open)()
	claim(t, s)
	blog, post := key("blog", "post-1"), key("blog-post", "1")
	intend(t, s, time.Hour, owed.Intent{Key: blog, IDs: []string{"blog-post-1"}})
	conflicts := intend(t, s, time.Hour,
		owed.Intent{Key: post, IDs: []string{"blog-post-1", "blog-post-1#1"}},
		owed.Intent{Key: key("posts", "3"), IDs: []string{"posts-3"}})
	want := []owed.Conflict{{Key: post, VectorID: "blog-post-1", Owner: blog}}
	same(t, "conflicts", want, conflicts)
	same(t, "announced", []string{"blog/post-1: blog-post-1=/ahead", "posts/3: posts-3=/ahead"}, ledger(t, s, blog, post, key("posts", "3")))
	// Nor can it be taken by settling.
	if err := s.Settle(t.Context(), []owed.Holding{{Key: post, Held: []document.Held{{ID: "blog-post-1", Hash: "mine"}}}}); err == nil {
		t.Error("settled on another document's id")
	}
	// Found in the index under the other's name, it stays where it is.
	must(t, s.Adopt(t.Context(), []owed.Holding{{Key: post, Held: []document.Held{{ID: "blog-post-1"}}}}))
	same(t, "adopted", 0, len(ledger(t, s, post)))
	// Gone for one is not gone for the other.
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: post, Gone: []string{"blog-post-1"}}}))
	same(t, "the other's", 1, len(ledger(t, s, blog)))
	// The first lets go.
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: blog, Gone: []string{"blog-post-1"}}}))
	same(t, "conflicts", 0, len(intend(t, s, time.Hour, owed.Intent{Key: post, IDs: []string{"blog-post-1"}})))

	// Within one call the first to ask gets it, unless it is refused itself.
	a, b, c := key("x", "1"), key("x", "2"), key("x", "3")
	conflicts = intend(t, s, time.Hour,
		owed.Intent{Key: a, IDs: []string{"one", "blog-post-1"}},
		owed.Intent{Key: b, IDs: []string{"one", "two"}},
		owed.Intent{Key: c, IDs: []string{"three"}},
		owed.Intent{Key: key("x", "4"), IDs: []string{"three"}})
	want = []owed.Conflict{{Key: a, VectorID: "blog-post-1", Owner: post}, {Key: key("x", "4"), VectorID: "three", Owner: c}}
	same(t, "conflicts within a call", want, conflicts)
	same(t, "announced", []string{"x/2: one=/ahead", "x/2: two=/ahead", "x/3: three=/ahead"}, ledger(t, s, a, b, c))
}

// testRace: however concurrent intents interleave, each document got all of its ids or none.
func testRace(t *testing.T, open Open) {
	s := state(t, open)()
	claim(t, s)
	const rounds, contenders = 20, 4
	for round := range rounds {
		shared := fmt.Sprintf("r%d", round)
		var mu sync.Mutex
		var winners []string
		var all sync.WaitGroup
		for w := range contenders {
			all.Go(func() {
				k := key("race", fmt.Sprintf("%d-%d", round, w))
				own := []string{fmt.Sprintf("%s-a%d", shared, w), shared, fmt.Sprintf("%s-z%d", shared, w)}
				if w%2 == 1 {
					slices.Reverse(own)
				}
				conflicts, err := s.Intend(context.Background(), []owed.Intent{{Key: k, IDs: own}}, time.Hour)
				if err != nil {
					t.Error(err)
					return
				}
				lines := len(ledger(t, s, k))
				switch {
				case len(conflicts) == 0 && lines == 3:
					mu.Lock()
					winners = append(winners, k.ID)
					mu.Unlock()
				case len(conflicts) == 1 && lines == 0:
				default:
					t.Errorf("%s: %d conflicts and %d lines", k, len(conflicts), lines)
				}
			})
		}
		all.Wait()
		if len(winners) != 1 {
			t.Fatalf("round %d: the id went to %v, want one document", round, winners)
		}
	}
}
