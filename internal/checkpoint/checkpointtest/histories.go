package checkpointtest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// model is the state as its definition says: a few maps. A crash does not touch it.
type model struct {
	pos      wal.Position
	commitAt time.Time
	debts    map[document.Key]owed.Debt
	sweeps   map[string]owed.Sweep
	parked   map[document.Key]owed.Parked
	prints   map[string]string
	ledger   map[string]line
}

type line struct {
	key   document.Key
	hash  string
	doubt string // as doubt says it
}

// testHistories runs random writes and crashes against the model and compares after each crash.
func testHistories(t *testing.T, open Open) {
	var names atomic.Int64
	rapid.Check(t, func(r *rapid.T) {
		name := fmt.Sprintf("history-%d", names.Add(1))
		s := open(t, name)
		defer func() { s.Close() }()
		ctx := context.Background()
		ok := func(err error) {
			if err != nil {
				r.Fatal(err)
			}
		}
		if _, err := s.Claim(ctx); err != nil {
			r.Fatal(err)
		}
		m := model{
			debts: map[document.Key]owed.Debt{}, sweeps: map[string]owed.Sweep{}, parked: map[document.Key]owed.Parked{},
			prints: map[string]string{}, ledger: map[string]line{},
		}
		r.Repeat(map[string]func(*rapid.T){
			"save": func(r *rapid.T) {
				d := drawDelta(r)
				// The answer may be lost, and the delta saved again.
				for range rapid.IntRange(1, 2).Draw(r, "times") {
					ok(s.Save(ctx, d))
				}
				m.save(d)
			},
			"set position": func(r *rapid.T) {
				was := m.pos
				m.pos = wal.Position{
					LSN:    wal.LSN(rapid.Uint64Range(0, 50).Draw(r, "lsn")),
					Slot:   rapid.SampledFrom([]string{"payload_cdc", "other"}).Draw(r, "slot"),
					System: "7", Timeline: rapid.Int32Range(1, 3).Draw(r, "timeline"), SlotPoint: 3,
				}
				m.commitAt = time.Time{}
				if was.System != "" && was.Timeline != m.pos.Timeline {
					m.forget()
				}
				ok(s.SetPosition(ctx, m.pos))
			},
			"set fingerprints": func(r *rapid.T) {
				prints := rapid.MapOfN(collection(), rapid.SampledFrom([]string{"", "f", "g"}), 0, 2).Draw(r, "fingerprints")
				ok(s.SetFingerprints(ctx, prints))
				for c, f := range prints {
					if m.prints[c] = f; f == "" {
						delete(m.prints, c)
					}
				}
			},
			"intend": func(r *rapid.T) {
				intents := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) owed.Intent {
					return owed.Intent{Key: docKey(r), IDs: rapid.SliceOfN(vectorID(), 0, 3).Draw(r, "ids")}
				}), 1, 3).Draw(r, "intents")
				// The same document twice in a call has no defined order against the others; a caller has one worker for it.
				intents = slices.CompactFunc(slices.SortedStableFunc(slices.Values(intents), func(a, b owed.Intent) int {
					return cmp.Compare(a.Key.String(), b.Key.String())
				}), func(a, b owed.Intent) bool { return a.Key == b.Key })
				horizon := rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(r, "horizon")
				got, err := s.Intend(ctx, intents, horizon)
				ok(err)
				want := m.intend(intents, horizon)
				refused := map[document.Key]bool{}
				for _, c := range got {
					refused[c.Key] = true
				}
				if diff := gocmp.Diff(want, refused); diff != "" {
					r.Fatalf("refused (-want +got):\n%s", diff)
				}
			},
			"settle": func(r *rapid.T) {
				var all []owed.Holding
				taken := map[string]bool{}
				for _, k := range rapid.SliceOfNDistinct(rapid.Custom(docKey), 1, 2, rapid.ID).Draw(r, "keys") {
					h := owed.Holding{Key: k, Gone: rapid.SliceOfN(vectorID(), 0, 3).Draw(r, "gone")}
					for _, id := range rapid.SliceOfNDistinct(vectorID(), 0, 3, rapid.ID).Draw(r, "held") {
						// Whoever settles an id has announced it.
						if owner, known := m.ledger[id]; taken[id] || known && owner.key != k {
							continue
						}
						taken[id] = true
						at := rapid.SampledFrom([]time.Time{{}, {}, time.Now().Add(-time.Minute), time.Now().Add(time.Hour)}).Draw(r, "doubt")
						h.Held = append(h.Held, document.Held{ID: id, Hash: rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "hash"), Doubt: at})
					}
					all = append(all, h)
				}
				ok(s.Settle(ctx, all))
				for _, h := range all {
					m.settle(h)
				}
			},
			"adopt": func(r *rapid.T) {
				h := owed.Holding{Key: docKey(r), Held: []document.Held{{ID: vectorID().Draw(r, "id"), Hash: "found"}}}
				ok(s.Adopt(ctx, []owed.Holding{h}))
				if _, known := m.ledger[h.Held[0].ID]; !known {
					m.ledger[h.Held[0].ID] = line{key: h.Key, hash: "found", doubt: "past"}
				}
			},
			"look": func(r *rapid.T) {
				k := docKey(r)
				if diff := gocmp.Diff(m.held(k), ledger(t, s, k), cmpopts.EquateEmpty()); diff != "" {
					r.Fatalf("%s in the ledger (-want +got):\n%s", k, diff)
				}
			},
			"crash": func(r *rapid.T) {
				s.Close()
				s = open(t, name)
				got, err := s.Claim(ctx)
				ok(err)
				m.check(r, got)
			},
		})
		got, err := s.Claim(ctx)
		ok(err)
		m.check(r, got)
	})
}

func collection() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"posts", "pages", "é"})
}

func vectorID() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"v1", "v2", "v3", "v4", "v5", "v6"})
}

func docKey(r *rapid.T) document.Key {
	return document.Key{Collection: collection().Draw(r, "collection"), ID: rapid.SampledFrom([]string{"1", "2"}).Draw(r, "id")}
}

func anyKey(r *rapid.T) document.Key {
	k := docKey(r)
	k.Via = rapid.SampledFrom([]string{"", "", "rows"}).Draw(r, "via")
	return k
}

func drawDelta(r *rapid.T) owed.Delta {
	times := rapid.SampledFrom([]time.Time{{}, day(1), day(2), never})
	ids := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) wal.XID { return wal.XID(rapid.Uint64Range(1, 1<<62).Draw(r, "xid")) }), 0, 2)
	strength := rapid.SampledFrom([]owed.Strength{owed.Look, owed.Prove})
	keys := rapid.SliceOfN(rapid.Custom(anyKey), 0, 2)
	return owed.Delta{
		LSN:      wal.LSN(rapid.Uint64Range(0, 100).Draw(r, "lsn")),
		CommitAt: times.Draw(r, "commit"),
		Owe: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) owed.Debt {
			return owed.Debt{
				Key: anyKey(r), Strength: strength.Draw(r, "strength"), Version: rapid.Int64Range(0, 1<<60).Draw(r, "version"),
				XIDs: ids.Draw(r, "xids"), Since: rapid.SampledFrom([]time.Time{day(1), day(2)}).Draw(r, "since"), Due: times.Draw(r, "due"),
				Tries: rapid.IntRange(0, 9).Draw(r, "tries"), Merge: rapid.Bool().Draw(r, "merge"),
			}
		}), 0, 3).Draw(r, "owe"),
		Paid: keys.Draw(r, "paid"),
		Sweeps: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) owed.Sweep {
			return owed.Sweep{
				Collection: rapid.SampledFrom([]string{"posts", "pages", ""}).Draw(r, "scope"), Strength: strength.Draw(r, "strength"),
				Generation: rapid.Int64Range(0, 9).Draw(r, "generation"), XIDs: ids.Draw(r, "xids"), Since: times.Draw(r, "since"),
				Due: times.Draw(r, "due"), Reason: rapid.StringN(0, 5, 20).Filter(func(s string) bool {
					return !slices.Contains([]rune(s), 0)
				}).Draw(r, "reason"), Force: rapid.Bool().Draw(r, "force"),
				Stage: owed.Stage(rapid.IntRange(0, 3).Draw(r, "stage")), Cursor: string(rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(r, "cursor")),
				Held: rapid.IntRange(0, 50).Draw(r, "held"),
			}
		}), 0, 2).Draw(r, "sweeps"),
		Swept: rapid.SliceOfN(rapid.SampledFrom([]string{"posts", "pages", ""}), 0, 1).Draw(r, "swept"),
		Park: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) owed.Parked {
			return owed.Parked{Key: docKey(r), Reason: "why", Attempts: rapid.IntRange(0, 9).Draw(r, "attempts"), Since: times.Draw(r, "since"), Blocker: docKey(r)}
		}), 0, 2).Draw(r, "park"),
		Unpark: keys.Draw(r, "unpark"),
	}
}

func (m *model) save(d owed.Delta) {
	if d.LSN > 0 && d.LSN >= m.pos.LSN {
		m.pos.LSN = d.LSN
		if !d.CommitAt.IsZero() {
			m.commitAt = d.CommitAt
		}
	}
	for _, k := range d.Paid {
		delete(m.debts, k)
	}
	before := maps.Clone(m.debts)
	for _, one := range d.Owe {
		if row, ok := before[one.Key]; ok && one.Merge {
			one.Strength = max(one.Strength, row.Strength)
			one.XIDs = append(slices.Clone(one.XIDs), row.XIDs...)
			if row.Since.Before(one.Since) {
				one.Since = row.Since
			}
		}
		one.Merge = false
		slices.Sort(one.XIDs)
		one.XIDs = slices.Compact(one.XIDs)
		m.debts[one.Key] = one
	}
	for _, c := range d.Swept {
		delete(m.sweeps, c)
	}
	for _, one := range d.Sweeps {
		m.sweeps[one.Collection] = one
	}
	for _, k := range d.Unpark {
		delete(m.parked, k)
	}
	for _, one := range d.Park {
		m.parked[one.Key] = one
	}
}

// forget is what another history of the database makes of debts.
func (m *model) forget() {
	for k, one := range m.debts {
		one.Strength, one.XIDs = owed.Prove, nil
		m.debts[k] = one
	}
	for c, w := range m.sweeps {
		w.XIDs = nil
		m.sweeps[c] = w
	}
}

// intend announces what does not conflict and returns who was refused. Whoever clashes with an earlier one of the same
// call waits for the others.
func (m *model) intend(intents []owed.Intent, horizon time.Duration) map[document.Key]bool {
	refused := map[document.Key]bool{}
	for len(intents) > 0 {
		asked := map[string]bool{}
		var later []owed.Intent
		for _, one := range intents {
			if slices.ContainsFunc(one.IDs, func(id string) bool { return asked[id] }) {
				later = append(later, one)
				continue
			}
			taken := false
			for _, id := range one.IDs {
				asked[id] = true
				owner, known := m.ledger[id]
				taken = taken || known && owner.key != one.Key
			}
			if taken {
				refused[one.Key] = true
				continue
			}
			for _, id := range one.IDs {
				l := m.ledger[id]
				l.key = one.Key
				if horizon > 0 {
					l.doubt = "ahead"
				} else if l.doubt != "ahead" {
					l.doubt = "past"
				}
				m.ledger[id] = l
			}
		}
		intents = later
	}
	return refused
}

func (m *model) settle(h owed.Holding) {
	for _, id := range h.Gone {
		if m.ledger[id].key == h.Key {
			delete(m.ledger, id)
		}
	}
	for _, one := range h.Held {
		m.ledger[one.ID] = line{key: h.Key, hash: one.Hash, doubt: doubt(one.Doubt)}
	}
}

// held is what ledger prints.
func (m *model) held(k document.Key) []string {
	var out []string
	for id, l := range m.ledger {
		if l.key == k {
			out = append(out, fmt.Sprintf("%s: %s=%s/%s", k, id, l.hash, l.doubt))
		}
	}
	slices.Sort(out)
	return out
}

// check compares what a claim read with the model.
func (m *model) check(r *rapid.T, got owed.State) {
	want := maps.Clone(m.debts)
	proofs := map[document.Key]string{}
	for _, l := range m.ledger {
		if l.doubt == "none" {
			continue
		}
		if proofs[l.key] != "ahead" {
			proofs[l.key] = l.doubt
		}
	}
	read := map[document.Key]owed.Debt{}
	for _, d := range got.Debts {
		if _, twice := read[d.Key]; twice {
			r.Fatalf("%s owes twice", d.Key)
		}
		slices.Sort(d.XIDs)
		d.XIDs = slices.Compact(d.XIDs)
		read[d.Key] = d
		proof, doubted := proofs[d.Key]
		w, owes := want[d.Key]
		if !doubted {
			continue
		}
		// Exact times of proofs are the database's; what matters is which of the two came first.
		w.Key, w.Strength = d.Key, owed.Prove
		if !owes {
			w.Since, w.Merge = d.Since, true
		}
		if !owes || w.Due.Equal(never) {
			if doubt(d.Due) != proof || d.Due.Equal(never) {
				r.Fatalf("%s is due %v, want the deadline, %s", d.Key, d.Due, proof)
			}
			w.Due = d.Due
		}
		want[d.Key] = w
	}
	for k := range proofs {
		if _, ok := read[k]; !ok {
			r.Fatalf("%s is in doubt and owes nothing", k)
		}
	}
	sweeps, parked := map[string]owed.Sweep{}, map[document.Key]owed.Parked{}
	for _, w := range got.Sweeps {
		sweeps[w.Collection] = w
	}
	for _, p := range got.Parked {
		parked[p.Key] = p
	}
	for what, pair := range map[string][2]any{
		"debts": {want, read}, "sweeps": {m.sweeps, sweeps}, "parked": {m.parked, parked},
		"position": {m.pos, got.Position}, "commit": {m.commitAt, got.CommitAt}, "fingerprints": {m.prints, got.Fingerprints},
		"fresh": {m.pos == wal.Position{}, got.Fresh},
	} {
		if diff := gocmp.Diff(pair[0], pair[1], cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("%s (-want +got):\n%s", what, diff)
		}
	}
}
