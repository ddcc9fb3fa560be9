package pipeline_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/wal"
)

func key(id string) document.Key { return document.Key{Collection: "a", ID: id} }

// poll takes what is ready now.
func poll(d *pipeline.Dirty, n int) []pipeline.Claim {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	claims, _ := d.Take(ctx, n)
	return claims
}

// TestDirtyAgainstItsDefinition drives a Dirty and a naive model of it through the same random life: a document owes
// from a mark until a claim that was taken after that mark is settled or parked, and a saved checkpoint holds exactly
// the documents that owe.
func TestDirtyAgainstItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := pipeline.NewDirty(0)
		marks := map[document.Key]int{}   // marks not yet answered for
		proves := map[document.Key]bool{} // among them one that wants a prove
		claims := []pipeline.Claim{}      // in hand
		taken := map[document.Key]int{}   // marks that the claim in hand answers for
		parked := map[document.Key]bool{} //
		store := map[document.Key]owed.Debt{}
		shelf := map[document.Key]bool{} // parked, in the store
		var end, saved wal.LSN

		pick := func() (pipeline.Claim, bool) {
			if len(claims) == 0 {
				return pipeline.Claim{}, false
			}
			n := rapid.IntRange(0, len(claims)-1).Draw(t, "claim")
			c := claims[n]
			claims = slices.Delete(claims, n, n+1)
			return c, true
		}
		answer := func(c pipeline.Claim) (remarked bool) {
			marks[c.Key] -= taken[c.Key]
			delete(taken, c.Key)
			if marks[c.Key] == 0 {
				delete(marks, c.Key)
				delete(proves, c.Key)
				return false
			}
			delete(proves, c.Key) // the rest may be weaker, and nothing is lost if it is not
			return true
		}
		t.Repeat(map[string]func(*rapid.T){
			"mark": func(t *rapid.T) {
				end += 8
				m := pipeline.Marks{End: end, XID: wal.XID(end)}
				for range rapid.IntRange(1, 3).Draw(t, "keys") {
					k := key(rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "key"))
					m.Keys = append(m.Keys, k)
					marks[k]++
					delete(parked, k)
				}
				if rapid.Bool().Draw(t, "prove") {
					m.Strength = owed.Prove
					for _, k := range m.Keys {
						proves[k] = taken[k] == 0 || proves[k]
					}
				}
				d.Mark(m)
			},
			"take": func(t *rapid.T) {
				more := poll(d, rapid.IntRange(1, 3).Draw(t, "n"))
				d.Merge(more, store)
				for _, c := range more {
					if proves[c.Key] && c.Strength != owed.Prove {
						t.Fatalf("%v was claimed to look, and owes a prove", c.Key)
					}
					if _, twice := taken[c.Key]; twice {
						t.Fatalf("%v was claimed twice", c.Key)
					}
					if marks[c.Key] == 0 {
						t.Fatalf("%v was claimed and owes nothing", c.Key)
					}
					taken[c.Key] = marks[c.Key]
					claims = append(claims, c)
				}
			},
			"settle": func(*rapid.T) {
				if c, ok := pick(); ok {
					d.Settle(c)
					answer(c)
				}
			},
			"park": func(*rapid.T) {
				if c, ok := pick(); ok {
					d.Park(c, "poison", document.Key{})
					if !answer(c) {
						parked[c.Key] = true
					}
				}
			},
			"retry": func(*rapid.T) {
				if c, ok := pick(); ok {
					d.Retry(c, 0)
					delete(taken, c.Key)
				}
			},
			"wait": func(*rapid.T) {
				if c, ok := pick(); ok {
					d.Wait(c, 0)
					delete(taken, c.Key)
				}
			},
			"defer": func(*rapid.T) {
				if c, ok := pick(); ok {
					d.Defer(c, time.Now().Add(-time.Second))
					if !answer(c) {
						marks[c.Key] = 1 // the prove that is still to come
					}
				}
			},
			"block": func(*rapid.T) {
				if c, ok := pick(); ok {
					d.Block(c, "index")
					delete(taken, c.Key)
				}
			},
			"unblock": func(t *rapid.T) { d.Unblock("index", rapid.IntRange(-1, 2).Draw(t, "n")) },
			"save": func(t *rapid.T) {
				delta, _ := d.Capture()
				happened, told := rapid.Bool().Draw(t, "happened"), rapid.Bool().Draw(t, "told")
				if happened || told {
					for _, one := range delta.Owe {
						if row, ok := store[one.Key]; ok && one.Merge {
							one.Strength = max(one.Strength, row.Strength)
						}
						one.Merge = false
						store[one.Key] = one
					}
					for _, k := range delta.Paid {
						delete(store, k)
					}
					for _, p := range delta.Park {
						shelf[p.Key] = true
					}
					for _, k := range delta.Unpark {
						delete(shelf, k)
					}
					saved = max(saved, delta.LSN)
				}
				if !told {
					d.Uncapture(delta)
					return
				}
				if saved != end {
					t.Fatalf("saved position is %v, want %v", saved, end)
				}
				if got, want := sorted(store), sorted(marks); !slices.Equal(got, want) {
					t.Fatalf("the store holds %v, owed are %v", got, want)
				}
				if got, want := sorted(shelf), sorted(parked); !slices.Equal(got, want) {
					t.Fatalf("the store holds %v as parked, parked are %v", got, want)
				}
				if most := rapid.IntRange(0, 4).Draw(t, "most"); most > 0 {
					d.Page(most, rowsOf(store))
				}
			},
			"": func(t *rapid.T) {
				s := d.Stats()
				if s.Owed != len(marks) && s.Paged == 0 || s.Parked != len(parked) || s.Claimed != len(claims) {
					t.Fatalf("owed %d parked %d claimed %d, want %d %d %d", s.Owed, s.Parked, s.Claimed, len(marks), len(parked), len(claims))
				}
			},
		})
		// Everything owed can be claimed in the end.
		for _, c := range claims {
			d.Retry(c, 0)
		}
		d.Unblock("index", -1)
		left := sorted(marks)
		got := []string{}
		for range 20 {
			for _, c := range poll(d, 100) {
				got = append(got, c.Key.String())
			}
			// A store that is up to date gives back what left memory.
			for _, c := range got {
				delete(store, key(c[2:]))
			}
			d.Page(100, rowsOf(store))
		}
		slices.Sort(got)
		if !slices.Equal(got, left) {
			t.Fatalf("claimable at the end are %v, owed %v", got, left)
		}
	})
}

func rowsOf(store map[document.Key]owed.Debt) []owed.Debt {
	return slices.SortedFunc(maps.Values(store), func(a, b owed.Debt) int { return strings.Compare(a.Key.String(), b.Key.String()) })
}

func sorted[V any](m map[document.Key]V) []string {
	var list []string
	for k := range maps.Keys(m) {
		list = append(list, k.String())
	}
	slices.Sort(list)
	return list
}

func TestDirtyIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := pipeline.NewDirty(0)
		d.Restore(owed.State{Debts: []owed.Debt{{Key: key("restored"), Strength: owed.Look, Since: time.Now()}}})
		d.Mark(pipeline.Marks{Keys: []document.Key{key("live")}})
		var got []string
		for _, c := range poll(d, 9) {
			got = append(got, c.Key.ID)
		}
		if fmt.Sprint(got) != "[restored live]" {
			t.Errorf("claimed %v, want the restored one first", got)
		}
	})
}

// TestDirtyHoldsWhileBehind: in a backlog a document marked again and again is claimed once.
func TestDirtyHoldsWhileBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := pipeline.NewDirty(5 * time.Second)
		d.SetBehind(true)
		for n := range 100 {
			d.Mark(pipeline.Marks{Keys: []document.Key{key("1")}, XID: wal.XID(n + 1), End: wal.LSN(n + 1)})
		}
		if claims := poll(d, 9); len(claims) > 0 {
			t.Fatalf("claimed %v while far behind", claims)
		}
		began := time.Now()
		if _, err := d.Take(t.Context(), 9); err != nil {
			t.Fatal(err)
		}
		if held := time.Since(began); held != 5*time.Second {
			t.Errorf("held for %v, want five seconds: a backlog that never ends must not starve", held)
		}
		d.Mark(pipeline.Marks{Keys: []document.Key{key("2")}})
		go func() { time.Sleep(time.Second); d.SetBehind(false) }()
		began = time.Now()
		if _, err := d.Take(t.Context(), 9); err != nil {
			t.Fatal(err)
		}
		if held := time.Since(began); held != time.Second {
			t.Errorf("held for %v after having caught up", held)
		}
	})
}

// TestDirtyForgetsVisibleTransactions: what every new snapshot sees needs no remembering, what none sees yet does.
func TestDirtyForgetsVisibleTransactions(t *testing.T) {
	d := pipeline.NewDirty(0)
	d.See(wal.Snapshot{Xmin: 50, Xmax: 60, Running: []wal.XID{52}})
	for xid := wal.XID(40); xid < 65; xid++ {
		d.Mark(pipeline.Marks{Keys: []document.Key{key("1")}, XID: xid})
	}
	got := poll(d, 1)[0].XIDs
	if want := []wal.XID{52, 60, 61, 62, 63, 64}; !slices.Equal(got, want) {
		t.Errorf("the claim must see %v, want %v", got, want)
	}
}

func TestDirtyMarkNeverAllocatesForKnownDocuments(t *testing.T) {
	d := pipeline.NewDirty(0)
	d.See(wal.Snapshot{Xmin: 1 << 40, Xmax: 1 << 40})
	m := pipeline.Marks{Keys: []document.Key{key("1")}, XID: 7, End: 8}
	d.Mark(m)
	if n := testing.AllocsPerRun(100, func() { m.End++; d.Mark(m) }); n > 0 {
		t.Errorf("%v allocations per mark", n)
	}
}
