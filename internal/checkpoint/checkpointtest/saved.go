package checkpointtest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

func testFresh(t *testing.T, open Open) {
	again := state(t, open)
	got := claim(t, again())
	if !got.Fresh || got.Epoch < 1 {
		t.Fatalf("a new state: %+v, want it fresh with an epoch", got)
	}
	s := again()
	second := claim(t, s)
	if !second.Fresh || second.Epoch <= got.Epoch {
		t.Fatalf("claimed again: %+v, want it fresh with a later epoch than %d", second, got.Epoch)
	}
	// Debts may be saved before the first position is: the state is still fresh, so they are owed again, not lost.
	must(t, s.Save(t.Context(), owed.Delta{Sweeps: []owed.Sweep{{Collection: "posts", Strength: owed.Prove, Generation: 1}}}))
	s = again()
	if third := claim(t, s); !third.Fresh || len(third.Sweeps) != 1 {
		t.Fatalf("after a save without a position: %+v, want it fresh with its sweep", third)
	}
	must(t, s.SetPosition(t.Context(), wal.Position{Slot: "payload_cdc"}))
	if last := claim(t, again()); last.Fresh {
		t.Fatal("still fresh after a position was set")
	}
}

func testEveryField(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	pos := wal.Position{LSN: 0xFFFF_FFFF_0000_0001, Slot: "payload_cdc", System: "7300000000000000001", Timeline: 3, SlotPoint: 0x16_B374_D848}
	must(t, s.SetPosition(t.Context(), pos))
	must(t, s.SetFingerprints(t.Context(), map[string]string{"posts": "f1", "pages": "f2", "gone": "f3"}))
	must(t, s.SetFingerprints(t.Context(), map[string]string{"pages": "f4", "gone": ""}))
	delta := owed.Delta{
		LSN:      pos.LSN + 7,
		CommitAt: day(9),
		Owe: []owed.Debt{
			{Key: key("posts", "1"), Strength: owed.Look, Version: 1 << 40, XIDs: []wal.XID{5, 1<<40 + 7}, Since: day(1), Due: never, Tries: 3},
			{Key: document.Key{Collection: "posts", ID: "65f", Via: "posts_blocks_hero"}, Strength: owed.Prove, Version: 1, Since: day(2)},
			{Key: key("posts", "ä' \"\\\n{},NULL"), Strength: owed.Look, Since: day(3)},
		},
		Sweeps: []owed.Sweep{
			{
				Collection: "pages", Strength: owed.Prove, Generation: 1 << 41, XIDs: []wal.XID{1 << 33}, Since: day(1), Due: never,
				Reason: "TRUNCATE", Force: true, Stage: owed.Counting, Cursor: "a\x00b\xff", Held: 21,
			},
			{Collection: "posts", Strength: owed.Look},
		},
		Park: []owed.Parked{
			{Key: key("pages", "7"), Reason: "shares an id", Attempts: 4, Since: day(1), Blocker: key("page", "s-7")},
			{Key: key("pages", "8"), Reason: "too long", Since: day(2)},
		},
		Published: map[string]int{"posts": 12},
	}
	must(t, s.Save(t.Context(), delta))

	got := claim(t, again())
	if got.SavedAt.IsZero() {
		t.Error("no time of the save")
	}
	pos.LSN = delta.LSN
	want := owed.State{
		Epoch: got.Epoch, Position: pos, CommitAt: delta.CommitAt, SavedAt: got.SavedAt,
		Debts: delta.Owe, Sweeps: delta.Sweeps, Parked: delta.Park,
		Fingerprints: map[string]string{"posts": "f1", "pages": "f4"},
	}
	same(t, "the state", want, got)
}

func testSaveAgain(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	delta := owed.Delta{
		LSN: 100, CommitAt: day(1),
		Owe:    []owed.Debt{{Key: key("posts", "1"), Strength: owed.Look, Version: 1, Since: day(1)}},
		Paid:   []document.Key{key("posts", "2")},
		Sweeps: []owed.Sweep{{Collection: "pages", Strength: owed.Look, Generation: 2}},
		Swept:  []string{"posts"},
		Park:   []owed.Parked{{Key: key("posts", "3"), Reason: "why"}},
		Unpark: []document.Key{key("posts", "4")},
	}
	must(t, s.Save(t.Context(), delta))
	s = again()
	once := claim(t, s)
	// The answer to the first save was lost; the same is saved again, by whoever goes on.
	must(t, s.Save(t.Context(), delta))
	twice := claim(t, again())
	once.Epoch, once.SavedAt = twice.Epoch, twice.SavedAt
	same(t, "the state after the same delta again", once, twice)
}

func testPosition(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	must(t, s.Save(t.Context(), owed.Delta{LSN: 200, CommitAt: day(2)}))
	must(t, s.Save(t.Context(), owed.Delta{LSN: 100, CommitAt: day(1)}))
	must(t, s.Save(t.Context(), owed.Delta{CommitAt: day(3)}))
	must(t, s.Save(t.Context(), owed.Delta{}))
	s = again()
	if got := claim(t, s); got.Position.LSN != 200 || !got.CommitAt.Equal(day(2)) {
		t.Fatalf("position %v committed %v, want the furthest saved", got.Position.LSN, got.CommitAt)
	}
	must(t, s.Save(t.Context(), owed.Delta{LSN: 300})) // a keepalive: no transaction ended there
	s = again()
	if got := claim(t, s); got.Position.LSN != 300 || !got.CommitAt.Equal(day(2)) {
		t.Fatalf("position %v committed %v, want the keepalive's, with the last commit known", got.Position.LSN, got.CommitAt)
	}
	// Another system's log begins where it begins.
	restored := wal.Position{LSN: 50, Slot: "payload_cdc", System: "2", Timeline: 1, SlotPoint: 50}
	must(t, s.SetPosition(t.Context(), restored))
	got := claim(t, again())
	same(t, "the position set", restored, got.Position)
	if !got.CommitAt.IsZero() {
		t.Errorf("commit time %v of another log", got.CommitAt)
	}
}

func testOrder(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	must(t, s.Save(t.Context(), owed.Delta{
		Owe: []owed.Debt{
			{Key: key("posts", "1"), Strength: owed.Look, Version: 1, Since: day(1)},
			{Key: key("posts", "1"), Strength: owed.Prove, Version: 2, Since: day(1)},
		},
		Paid:   []document.Key{key("posts", "1")},
		Sweeps: []owed.Sweep{{Collection: "posts", Strength: owed.Look, Generation: 1}, {Collection: "posts", Strength: owed.Prove, Generation: 2}},
		Swept:  []string{"posts"},
		Park:   []owed.Parked{{Key: key("posts", "2"), Attempts: 1}, {Key: key("posts", "2"), Attempts: 2}},
		Unpark: []document.Key{key("posts", "2")},
	}))
	s = again()
	got := claim(t, s)
	if len(got.Debts) != 1 || got.Debts[0].Version != 2 || len(got.Sweeps) != 1 || got.Sweeps[0].Generation != 2 ||
		len(got.Parked) != 1 || got.Parked[0].Attempts != 2 {
		t.Fatalf("%+v, want the last of each", got)
	}
	// A hint and the document of the same id are two debts.
	must(t, s.Save(t.Context(), owed.Delta{Paid: []document.Key{{Collection: "posts", ID: "1", Via: "posts_rows"}}}))
	s = again()
	if got := claim(t, s); len(got.Debts) != 1 {
		t.Fatalf("paying a hint paid a document: %+v", got.Debts)
	}
	must(t, s.Save(t.Context(), owed.Delta{Paid: []document.Key{key("posts", "1")}, Swept: []string{"posts"}, Unpark: []document.Key{key("posts", "2")}}))
	if got := claim(t, again()); len(got.Debts)+len(got.Sweeps)+len(got.Parked) != 0 {
		t.Fatalf("%+v, want nothing left", got)
	}
}

func testHostile(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	long := make([]byte, 1<<20)
	for i := range long {
		long[i] = 0xC3
	}
	must(t, s.Save(t.Context(), owed.Delta{
		LSN: 10,
		Owe: []owed.Debt{
			{Key: key("posts", "a\x00b"), Strength: owed.Look},
			{Key: key("posts", "ok"), Strength: owed.Look},
		},
		Paid:   []document.Key{key("posts", "c\xff")},
		Sweeps: []owed.Sweep{{Collection: "posts", Reason: "a\x00\xff", Strength: owed.Look}},
		Park:   []owed.Parked{{Key: key("posts", "p"), Reason: string(long)}, {Key: key("posts", "q"), Reason: "<html>\x00\xfe"}},
	}))
	must(t, s.Adopt(t.Context(), []owed.Holding{
		{Key: key("posts", "1"), Held: []document.Held{{ID: "posts-\x00"}, {ID: "posts-1", Hash: "\x00"}}},
		{Key: key("posts", "\x00"), Held: []document.Held{{ID: "posts-2"}}},
	}))
	same(t, "the adopted", 1, len(ledger(t, s, key("posts", "1"), key("posts", "\x00"))))
	got := claim(t, again())
	if got.Position.LSN != 10 || len(got.Debts) != 2 || len(got.Parked) != 2 || len(got.Sweeps) != 1 {
		t.Fatalf("%d debts, %d parked, %d sweeps at %v; want all that can exist", len(got.Debts), len(got.Parked), len(got.Sweeps), got.Position.LSN)
	}
}

func testUnclaimed(t *testing.T, open Open) {
	s := state(t, open)()
	for name, err := range writes(t, s) {
		if err == nil || errors.Is(err, owed.ErrFenced) {
			t.Errorf("%s before a claim: %v, want an error of its own", name, err)
		}
	}
	first := claim(t, s)
	if second := claim(t, s); second.Epoch <= first.Epoch {
		t.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
	}
	must(t, s.Save(t.Context(), owed.Delta{LSN: 1}))
}

func testDoubtMerged(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	must(t, s.Save(t.Context(), owed.Delta{Owe: []owed.Debt{
		{Key: key("posts", "now"), Strength: owed.Look, Version: 4, XIDs: []wal.XID{9}, Since: day(1), Tries: 2},
		{Key: key("posts", "before"), Strength: owed.Look, Since: day(2), Due: day(3)},
		{Key: key("posts", "later"), Strength: owed.Look, Due: never},
		{Key: key("posts", "else"), Strength: owed.Look, Since: day(4), Due: never},
	}}))
	for _, id := range []string{"now", "before", "later", "only"} {
		intend(t, s, time.Hour, owed.Intent{Key: key("posts", id), IDs: []string{"posts-" + id, "posts-" + id + "#1"}})
	}
	got := map[string]owed.Debt{}
	for _, d := range claim(t, again()).Debts {
		got[d.Key.ID] = d
	}
	same(t, "a debt due now", owed.Debt{Key: key("posts", "now"), Strength: owed.Prove, Version: 4, XIDs: []wal.XID{9}, Since: day(1), Tries: 2}, got["now"])
	same(t, "a debt due before", owed.Debt{Key: key("posts", "before"), Strength: owed.Prove, Since: day(2), Due: day(3)}, got["before"])
	same(t, "a debt without doubt", owed.Debt{Key: key("posts", "else"), Strength: owed.Look, Since: day(4), Due: never}, got["else"])
	for _, id := range []string{"later", "only"} {
		d := got[id]
		if d.Strength != owed.Prove || d.Since.IsZero() || doubt(d.Due) != "ahead" || !d.Due.Before(never) {
			t.Errorf("%s: %+v, want a proof due at the deadline", id, d)
		}
	}
	same(t, "debts", 5, len(got))
}

func testOwed(t *testing.T, open Open) {
	s := state(t, open)()
	claim(t, s)
	var owe []owed.Debt
	for _, id := range []string{"10", "9", "a", "B", "ä", "Z", "", "a b", "😀"} { // Go compares bytes
		owe = append(owe,
			owed.Debt{Key: key("posts", id), Strength: owed.Look, Version: 1, XIDs: []wal.XID{7}, Since: day(1), Tries: 2},
			owed.Debt{Key: document.Key{Collection: "pages", ID: id, Via: "pages_blocks"}, Strength: owed.Prove, Version: 1, Since: day(1)})
	}
	must(t, s.Save(t.Context(), owed.Delta{Owe: owe}))
	slices.SortFunc(owe, func(a, b owed.Debt) int {
		return cmp.Or(strings.Compare(a.Key.Collection, b.Key.Collection), strings.Compare(a.Key.ID, b.Key.ID), strings.Compare(a.Key.Via, b.Key.Via))
	})
	for n := 1; n < len(owe)+2; n++ {
		var got []owed.Debt
		for after := (document.Key{}); ; after = got[len(got)-1].Key {
			page, err := s.Owed(t.Context(), after, n)
			must(t, err)
			got = append(got, page...)
			if len(page) < n {
				break
			}
		}
		same(t, fmt.Sprintf("pages of %d", n), owe, got)
	}
	count, err := s.CountOwed(t.Context())
	must(t, err)
	same(t, "their number", len(owe), count)
}

func testBounded(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	var owe []owed.Debt
	for n := range MaxOwed + 5 {
		owe = append(owe, owed.Debt{Key: key("posts", fmt.Sprint(n)), Strength: owed.Look, Version: 1, Since: day(n % 20)})
	}
	must(t, s.Save(t.Context(), owed.Delta{Owe: owe}))
	// A document in doubt is always among them.
	intend(t, s, time.Hour, owed.Intent{Key: key("posts", "19"), IDs: []string{"posts-19"}})
	got := claim(t, again())
	if len(got.Debts) < MaxOwed || len(got.Debts) > MaxOwed+1 || got.Paged != 5 {
		t.Fatalf("%d debts and %d left in the store, want %d and 5", len(got.Debts), got.Paged, MaxOwed)
	}
	doubted := 0
	for _, d := range got.Debts {
		if d.Key.ID == "19" && d.Strength == owed.Prove {
			doubted++
		}
		if d.Key.ID != "19" && d.Since.After(day(19)) {
			t.Errorf("%v is there and not the oldest", d.Key)
		}
	}
	same(t, "the document in doubt", 1, doubted)
}

func testHistory(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	here := wal.Position{LSN: 9, Slot: "payload_cdc", System: "1", Timeline: 1}
	owe := func() {
		t.Helper()
		must(t, s.Save(t.Context(), owed.Delta{
			Owe:    []owed.Debt{{Key: key("posts", "1"), Strength: owed.Look, Version: 1, XIDs: []wal.XID{7}, Since: day(1)}},
			Sweeps: []owed.Sweep{{Collection: "pages", Strength: owed.Look, XIDs: []wal.XID{7}}},
		}))
	}
	owe()
	must(t, s.SetPosition(t.Context(), here)) // it was of none before: the debts are of this one
	must(t, s.SetPosition(t.Context(), here))
	s = again()
	if got := claim(t, s); len(got.Debts[0].XIDs) != 1 || len(got.Sweeps[0].XIDs) != 1 || got.Debts[0].Strength != owed.Look {
		t.Fatalf("in the same history: %+v, %+v", got.Debts[0], got.Sweeps[0])
	}
	for _, there := range []wal.Position{
		{LSN: 9, Slot: "payload_cdc", System: "1", Timeline: 2},
		{LSN: 9, Slot: "payload_cdc", System: "2", Timeline: 2},
	} {
		owe()
		must(t, s.SetPosition(t.Context(), there))
		s = again()
		if got := claim(t, s); len(got.Debts[0].XIDs) > 0 || len(got.Sweeps[0].XIDs) > 0 || got.Debts[0].Strength != owed.Prove {
			t.Errorf("in history %s/%d: %+v, %+v", there.System, there.Timeline, got.Debts[0], got.Sweeps[0])
		}
	}
}
