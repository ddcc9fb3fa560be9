package checkpointtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

func testSettle(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	one, two := key("posts", "1"), key("posts", "2")
	intend(t, s, time.Hour,
		owed.Intent{Key: one, IDs: []string{"posts-1", "posts-1#1", "posts-1#2"}},
		owed.Intent{Key: two, IDs: []string{"posts-2"}})
	must(t, s.Settle(t.Context(), nil))
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: one}}))
	must(t, s.Settle(t.Context(), []owed.Holding{{
		Key:  one,
		Held: []document.Held{{ID: "posts-1", Hash: "a"}, {ID: "posts-1#1", Hash: "b", Doubt: time.Now().Add(time.Hour)}},
		Gone: []string{"posts-1#2", "posts-1#3", "posts-2"}, // one that is not there, one that is another's
	}}))
	want := []string{"posts/1: posts-1#1=b/ahead", "posts/1: posts-1=a/none", "posts/2: posts-2=/ahead"}
	same(t, "settled", want, ledger(t, s, one, two))
	// A doubt that has passed is still a doubt, and what is not named stays. Of a line named twice the last word counts.
	must(t, s.Settle(t.Context(), []owed.Holding{
		{Key: one, Held: []document.Held{{ID: "posts-1", Hash: "stale"}, {ID: "posts-1#4"}}},
		{Key: two, Held: []document.Held{{ID: "posts-2", Hash: "c"}}},
		{Key: one, Held: []document.Held{{ID: "posts-1", Hash: "a", Doubt: day(1)}}, Gone: []string{"posts-1#4"}},
	}))
	same(t, "what is not named", []string{"posts/1: posts-1#1=b/ahead", "posts/1: posts-1=a/past", "posts/2: posts-2=c/none"}, ledger(t, s, one, two))
	// Both held and gone is held.
	must(t, s.Settle(t.Context(), []owed.Holding{{
		Key: one, Held: []document.Held{{ID: "posts-1", Hash: "a", Doubt: day(1)}}, Gone: []string{"posts-1#1", "posts-1", "posts-1"},
	}}))
	s = again()
	same(t, "settled again", []string{"posts/1: posts-1=a/past", "posts/2: posts-2=c/none"}, ledger(t, s, one, two))
	got := claim(t, s)
	if len(got.Debts) != 1 || got.Debts[0].Key != one || doubt(got.Debts[0].Due) != "past" {
		t.Fatalf("debts %+v, want a proof of %s, due", got.Debts, one)
	}
	// An id may pass from one document to another within a call.
	must(t, s.Settle(t.Context(), []owed.Holding{
		{Key: two, Held: []document.Held{{ID: "posts-1", Hash: "d"}}},
		{Key: one, Gone: []string{"posts-1"}},
	}))
	same(t, "passed on", []string{"posts/2: posts-1=d/none", "posts/2: posts-2=c/none"}, ledger(t, s, one, two))
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: two, Gone: []string{"posts-1", "posts-2"}}}))
	if left := held(t, s, one, two); len(left) != 0 {
		t.Fatalf("left %v, want documents without vectors to be absent", left)
	}
	if got := claim(t, again()); len(got.Debts) != 0 {
		t.Fatalf("debts %+v, want none", got.Debts)
	}
}

// testAdopt: a listing finds a vector while a worker is busy with its document. The worker's settle must not forget it.
func testAdopt(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	k := key("posts", "1")
	held(t, s, k) // a worker begins
	intend(t, s, time.Hour, owed.Intent{Key: k, IDs: []string{"posts-1", "posts-1#1"}})
	must(t, s.Adopt(t.Context(), nil))
	must(t, s.Adopt(t.Context(), []owed.Holding{{Key: k, Held: []document.Held{{ID: "posts-1", Hash: "old"}, {ID: "posts-1#7", Hash: "old"}, {ID: "posts-1#7"}}}}))
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: k, Held: []document.Held{{ID: "posts-1", Hash: "new"}}, Gone: []string{"posts-1#1"}}}))
	want := []string{"posts/1: posts-1#7=old/past", "posts/1: posts-1=new/none"}
	same(t, "after the worker's settle", want, ledger(t, s, k))
	keys, _, err := s.Documents(t.Context(), "posts", "", 10)
	must(t, err)
	same(t, "documents", []document.Key{k}, keys)
	// Looking at it is no write: it needs no claim, and the doubt stays.
	s = again()
	same(t, "seen by another process", want, ledger(t, s, k))
	if got := claim(t, s); len(got.Debts) != 1 || got.Debts[0].Key != k || got.Debts[0].Strength != owed.Prove {
		t.Fatalf("debts %+v, want a proof of %s", got.Debts, k)
	}
	// The next worker finds it in the ledger and settles it: as held, or as gone.
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: k, Held: []document.Held{{ID: "posts-1#7", Hash: "old"}}}}))
	same(t, "confirmed", []string{"posts/1: posts-1#7=old/none", "posts/1: posts-1=new/none"}, ledger(t, s, k))
	must(t, s.Settle(t.Context(), []owed.Holding{{Key: k, Gone: []string{"posts-1", "posts-1#7"}}}))
	same(t, "after the next worker's settle", 0, len(ledger(t, s, k)))
}

func testDocuments(t *testing.T, open Open) {
	s := state(t, open)()
	claim(t, s)
	ids := []string{"10", "9", "a", "B", "ä", "Z", "", "a b", "a-b", "+", "65f", "é", "😀"}
	var intents []owed.Intent
	for _, id := range ids {
		intents = append(intents, owed.Intent{Key: key("posts", id), IDs: []string{"posts-" + id, "posts-" + id + "#1"}})
	}
	intents = append(intents, owed.Intent{Key: key("pages", "1"), IDs: []string{"pages-1"}})
	intend(t, s, time.Hour, intents...)
	slices.Sort(ids) // Go compares bytes
	for n := range len(ids) + 2 {
		var got []string
		cursor := ""
		for {
			keys, next, err := s.Documents(t.Context(), "posts", cursor, n)
			must(t, err)
			for _, k := range keys {
				got = append(got, k.ID)
			}
			if n > 0 && len(keys) > n {
				t.Fatalf("a page of %d, want at most %d", len(keys), n)
			}
			if next == "" {
				break
			}
			if next == cursor {
				t.Fatalf("page after %q: no progress", cursor)
			}
			cursor = next
		}
		same(t, fmt.Sprintf("pages of %d", n), ids, got)
	}
	keys, next, err := s.Documents(t.Context(), "none", "", 5)
	must(t, err)
	if len(keys) != 0 || next != "" {
		t.Fatalf("an unknown collection has %v %q", keys, next)
	}
}

func testThousand(t *testing.T, open Open) {
	again := state(t, open)
	s := again()
	claim(t, s)
	const documents, chunks = 1000, 8
	var keys []document.Key
	var intents []owed.Intent
	var settle, found []owed.Holding
	var delta owed.Delta
	for i := range documents {
		k := key("posts", fmt.Sprint(i))
		intent, holding := owed.Intent{Key: k}, owed.Holding{Key: k}
		for c := range chunks {
			id := fmt.Sprintf("posts-%d#%d", i, c)
			intent.IDs = append(intent.IDs, id)
			holding.Held = append(holding.Held, document.Held{ID: id, Hash: fmt.Sprintf("%032d", c)})
		}
		keys, intents, settle = append(keys, k), append(intents, intent), append(settle, holding)
		found = append(found, owed.Holding{Key: k, Held: []document.Held{{ID: fmt.Sprintf("posts-%d#old", i)}}})
		delta.Owe = append(delta.Owe, owed.Debt{Key: k, Strength: owed.Look, Version: 1, Since: day(1)})
		delta.Park = append(delta.Park, owed.Parked{Key: k})
	}
	must(t, s.Save(t.Context(), delta))
	same(t, "conflicts", 0, len(intend(t, s, time.Hour, intents...)))
	must(t, s.Settle(t.Context(), settle))
	must(t, s.Adopt(t.Context(), found))
	lines := 0
	for _, h := range held(t, s, append(keys, keys...)...) {
		lines += len(h)
	}
	same(t, "lines", documents*(chunks+1), lines)
	same(t, "debts", documents, len(claim(t, s).Debts))
	must(t, s.Save(t.Context(), owed.Delta{Paid: keys, Unpark: keys}))
	for i := range settle {
		settle[i].Gone = []string{found[i].Held[0].ID}
	}
	must(t, s.Settle(t.Context(), settle))
	lines = 0
	for _, h := range held(t, s, keys...) {
		lines += len(h)
	}
	same(t, "lines at the end", documents*chunks, lines)
	got := claim(t, again())
	same(t, "debts and parked at the end", 0, len(got.Debts)+len(got.Parked))
}
