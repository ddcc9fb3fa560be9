package checkpoint_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/wal"
)

func TestPeek(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t).Pool(t)
	if _, err := checkpoint.Peek(ctx, pool, ""); !errors.Is(err, checkpoint.ErrNoState) {
		t.Fatalf("peek at nothing: %v, want ErrNoState", err)
	}
	if _, _, err := checkpoint.Remembered(ctx, pool, ""); !errors.Is(err, checkpoint.ErrNoState) {
		t.Fatalf("remember nothing: %v, want ErrNoState", err)
	}
	s := open(t, checkpoint.Config{Pool: pool, Instance: "a"})
	if _, err := checkpoint.Peek(ctx, pool, ""); err != nil {
		t.Fatalf("peek at an unclaimed state: %v", err)
	}
	claim(t, s)
	pos := wal.Position{LSN: 7, Slot: "payload_cdc", System: "1", Timeline: 1, SlotPoint: 5}
	one, two, three := document.Key{Collection: "posts", ID: "1"}, document.Key{Collection: "posts", ID: "2"}, document.Key{Collection: "pages", ID: "1"}
	since := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	sweep := owed.Sweep{Collection: "media", Strength: owed.Prove, Reason: "first start", Since: since}
	for _, err := range []error{
		s.SetPosition(ctx, pos),
		s.SetFingerprints(ctx, map[string]string{"posts": "f"}),
		s.Save(ctx, owed.Delta{
			CommitAt: since, LSN: 8,
			Owe:       []owed.Debt{{Key: one, Strength: owed.Look, Since: since.Add(time.Hour)}, {Key: three, Strength: owed.Look, Since: since}},
			Park:      []owed.Parked{{Key: two, Reason: "too long"}},
			Sweeps:    []owed.Sweep{sweep},
			Published: map[string]int{"posts": 3},
		}),
		s.Settle(ctx, []owed.Holding{
			{Key: one, Held: []document.Held{{ID: "posts-1", Hash: "a"}, {ID: "posts-1#1", Hash: "b", Doubt: since}}},
			{Key: two, Held: []document.Held{{ID: "posts-2", Hash: "c"}}},
			{Key: three, Held: []document.Held{{ID: "pages-1"}}},
		}),
		s.Adopt(ctx, []owed.Holding{{Key: three, Held: []document.Held{{ID: "pages-1#1", Hash: "old"}, {ID: "pages-1#2"}}}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := checkpoint.Peek(ctx, pool, "")
	if err != nil {
		t.Fatal(err)
	}
	if got.ClaimedAt.IsZero() || got.SavedAt.IsZero() || len(got.Collections) != 3 || got.Collections[2].PublishedAt.IsZero() {
		t.Fatalf("%+v, want the times and three collections", got)
	}
	pos.LSN = 8
	want := checkpoint.Overview{
		Version: 1, Epoch: 1, Instance: "a", ClaimedAt: got.ClaimedAt, Position: pos, CommitAt: since, SavedAt: got.SavedAt,
		Owed: 2, OldestOwed: since, Parked: 1, InDoubt: 3,
		Collections: []checkpoint.CollectionOverview{
			{Collection: "media"},
			{Collection: "pages", Documents: 1, Chunks: 1, Owed: 1},
			{Collection: "posts", Fingerprint: "f", Documents: 2, Chunks: 3, Owed: 1, Parked: 1, Published: 3, PublishedAt: got.Collections[2].PublishedAt},
		},
		Sweeps: []owed.Sweep{sweep},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("overview (-want +got):\n%s", diff)
	}
	at, prints, err := checkpoint.Remembered(ctx, pool, "")
	if diff := cmp.Diff(pos, at) + cmp.Diff(map[string]string{"posts": "f"}, prints); err != nil || diff != "" {
		t.Errorf("remembered: %v\n%s", err, diff)
	}
	// Neither those in doubt count, nor those that the index was not seen to hold.
	if n, err := s.Certain(ctx); err != nil || n != 2 {
		t.Errorf("%d vectors are certain, want 2: %v", n, err)
	}
}
