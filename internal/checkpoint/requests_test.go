package checkpoint_test

import (
	"errors"
	"testing"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pgtest"
)

// A request waits for whoever owns the state, and goes only when its owner says so.
func TestRequests(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	if err := checkpoint.Ask(t.Context(), pool, "", owed.Request{}); !errors.Is(err, checkpoint.ErrNoState) {
		t.Fatalf("asking before there is a state: %v", err)
	}
	first, err := checkpoint.Open(t.Context(), checkpoint.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for _, r := range []owed.Request{{Collection: "posts", Parked: true, Document: "4"}, {Force: true}} {
		if err := checkpoint.Ask(t.Context(), pool, "", r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := first.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := first.Requests(t.Context())
	if err != nil || len(list) != 2 || list[0].Collection != "posts" || !list[0].Parked || list[0].Document != "4" || list[0].Force || !list[1].Force {
		t.Fatalf("requests %+v, %v", list, err)
	}
	if err := first.Answered(t.Context(), list[:1]); err != nil {
		t.Fatal(err)
	}
	second, err := checkpoint.Open(t.Context(), checkpoint.Config{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := second.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Answered(t.Context(), list); !errors.Is(err, owed.ErrFenced) {
		t.Errorf("a former owner answers: %v", err)
	}
	if list, err = second.Requests(t.Context()); err != nil || len(list) != 1 || !list[0].Force {
		t.Errorf("requests %+v, %v, want the one not answered", list, err)
	}
}
