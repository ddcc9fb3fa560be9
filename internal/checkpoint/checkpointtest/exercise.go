// Package checkpointtest is the conformance suite of the durable state: one body of tests for every implementation.
// It says what a checkpoint promises, so behaviour is changed here first.
package checkpointtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/wal"
)

// Store is what an implementation of the durable state offers.
type Store interface {
	pipeline.Ledger
	pipeline.Store
	Claim(ctx context.Context) (owed.State, error)
	SetPosition(ctx context.Context, pos wal.Position) error
	SetFingerprints(ctx context.Context, fingerprints map[string]string) error
	Close()
}

// MaxOwed is how many debts a claim of the handles under test returns.
const MaxOwed = 2000

// Open opens one more handle on the state of that name, which is made when it does not exist. Handles on one name are
// what processes are: each of them may be the last one that works.
type Open func(t testing.TB, name string) Store

// Exercise runs the suite. Names given to open are lower-case letters, digits and dashes.
func Exercise(t *testing.T, open Open) {
	for name, test := range map[string]func(t *testing.T, open Open){
		"a state that was never saved is fresh":           testFresh,
		"every field comes back":                          testEveryField,
		"saving again changes nothing":                    testSaveAgain,
		"the position never goes back":                    testPosition,
		"what is owed wins within a delta":                testOrder,
		"texts no database can hold stop nothing":         testHostile,
		"nothing is written before the claim":             testUnclaimed,
		"the old instance is fenced":                      testFenced,
		"a takeover loses no acknowledged write":          testTakeover,
		"intents are durable and proved after a crash":    testIntend,
		"an id belongs to one document":                   testConflict,
		"concurrent intents agree on an id's owner":       testRace,
		"settle strikes out only what is gone":            testSettle,
		"what was adopted meanwhile survives a settle":    testAdopt,
		"documents come in pages in byte order":           testDocuments,
		"a thousand documents fit in every call":          testThousand,
		"doubt makes a debt stronger, and no later":       testDoubtMerged,
		"saved debts come in pages in byte order":         testOwed,
		"a claim returns no more debts than asked":        testBounded,
		"another history's transactions are forgotten":    testHistory,
		"random histories end in the state they describe": testHistories,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// state opens handles on a state of the test's own.
func state(t *testing.T, open Open) (again func() Store) {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()[strings.LastIndex(t.Name(), "/")+1:]))
	return func() Store {
		t.Helper()
		s := open(t, name)
		t.Cleanup(s.Close)
		return s
	}
}

func claim(t *testing.T, s Store) owed.State {
	t.Helper()
	got, err := s.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func held(t *testing.T, s Store, keys ...document.Key) map[document.Key][]document.Held {
	t.Helper()
	got, err := s.Held(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func intend(t *testing.T, s Store, horizon time.Duration, intents ...owed.Intent) []owed.Conflict {
	t.Helper()
	got, err := s.Intend(t.Context(), intents, horizon)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func key(collection, id string) document.Key { return document.Key{Collection: collection, ID: id} }

// day is a moment long past, in what every store can hold.
func day(n int) time.Time { return time.Date(2026, 1, 1+n, 12, 30, 15, 123456000, time.UTC) }

// never is a moment that no test reaches.
var never = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

// doubt is a deadline without its exact time: none, past, or far ahead.
func doubt(at time.Time) string {
	switch {
	case at.IsZero():
		return "none"
	case at.After(time.Now().Add(30 * time.Minute)):
		return "ahead"
	default:
		return "past"
	}
}

// ledger is what a store holds for keys, as text: "posts/1: id=hash/doubt …", sorted.
func ledger(t testing.TB, s Store, keys ...document.Key) []string {
	t.Helper()
	got, err := s.Held(context.Background(), keys)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for k, lines := range got {
		for _, h := range lines {
			out = append(out, fmt.Sprintf("%s: %s=%s/%s", k, h.ID, h.Hash, doubt(h.Doubt)))
		}
	}
	slices.Sort(out)
	return out
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}
