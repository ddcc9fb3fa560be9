package e2e_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"payload-cdc/internal/local"
	"payload-cdc/internal/pgtest"
	"payload-cdc/test/e2e"
	"payload-cdc/test/payloadtest"
)

// The binary is killed at random moments of a write load while both providers fail in every way they can, lies about
// writes included. In the end the index equals what is published, to the vector.
func TestKilledAtRandomMoments(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	seed := seedOf(t)
	random := rand.New(rand.NewPCG(seed, 1))
	w := e2e.New(t, e2e.Options{Env: map[string]string{"CDC_INDEX_TIMEOUT": "1s"}})
	faults := []local.Rule{
		{Fault: local.Cut, Chance: .03},
		{Fault: local.CutBody, Chance: .03},
		{Fault: local.AppliedThenCut, Chance: .03},
		{Fault: local.Late, Chance: .03, Delay: 700 * time.Millisecond},
		{Fault: local.Stall, Chance: .01, Delay: 1200 * time.Millisecond},
		{Fault: local.Slow, Chance: .05, Delay: 200 * time.Millisecond},
		{Fault: local.RateLimit, Chance: .03, Delay: 100 * time.Millisecond},
		{Fault: local.ServerError, Chance: .03},
		{Fault: local.BadGateway, Chance: .03},
		{Fault: local.BadToken, Chance: .003},
	}
	// A used-up daily quota is rightly waited for until midnight: only lives that end before have one.
	w.Server.VectorFaults().Set(seed, append(slices.Clip(faults), local.Rule{Fault: local.Quota, Chance: .003})...)
	w.Server.EmbeddingFaults().Set(seed+1,
		local.Rule{Fault: local.Cut, Chance: .03},
		local.Rule{Fault: local.CutBody, Chance: .03},
		local.Rule{Fault: local.Slow, Chance: .05, Delay: 200 * time.Millisecond},
		local.Rule{Fault: local.RateLimit, Chance: .03, Delay: 100 * time.Millisecond},
		local.Rule{Fault: local.ServerError, Chance: .03},
		local.Rule{Fault: local.BadGateway, Chance: .03},
		local.Rule{Fault: local.BadToken, Chance: .003},
		local.Rule{Fault: local.ShortData, Chance: .02},
		local.Rule{Fault: local.WrongIndex, Chance: .02},
		local.Rule{Fault: local.OutOfOrder, Chance: .05},
		local.Rule{Fault: local.NotANumber, Chance: .02},
	)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	pool := w.DB.Pool(t)
	for n := range 4 {
		writers.Go(func() {
			if err := newLoad(pool, seed, n).run(ctx, rate.NewLimiter(30, 1)); err != nil {
				t.Errorf("writer %d: %v", n, err)
			}
		})
	}
	writers.Go(func() {
		if err := editor(ctx, w.Payload, rand.New(rand.NewPCG(seed, 2)), rate.NewLimiter(5, 1)); err != nil {
			t.Errorf("editor: %v", err)
		}
	})

	for range 20 {
		cdc := w.Start(t)
		moment := time.Duration(random.Int64N(int64(2500 * time.Millisecond)))
		select {
		case <-time.After(moment):
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
		cdc.Kill(t)
	}
	stop()
	writers.Wait()
	t.Logf("index faults %v, embedding faults %v, counts %+v", w.Server.VectorFaults().Hits(), w.Server.EmbeddingFaults().Hits(), w.Server.Counts())

	w.Server.VectorFaults().Set(seed+2, faults...)
	cdc := w.Start(t)
	w.WaitConverged(t) // with the faults still on
	w.Server.VectorFaults().Set(0)
	w.Server.EmbeddingFaults().Set(0)
	w.Server.Arrive() // what was still on its way may undo it once more, and for the last time
	w.WaitSettled(t, cdc)
	cdc.Stop(t)
	w.WaitConverged(t)
}

// A commit is in the log before other sessions can see it; with a synchronous standby that does not answer, for as long
// as that lasts. Reading the document back too early would see the text before it.
func TestHiddenCommit(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{})
	w := e2e.New(t, e2e.Options{Cluster: cluster})
	ctx := t.Context()
	id, err := w.Payload.Create(ctx, "posts", fields{"title": "Before", "content": payloadtest.RichText("Seen by everybody."), "_status": "published"})
	if err != nil {
		t.Fatal(err)
	}
	cdc := w.Start(t)
	cdc.WaitReady(t)
	w.WaitConverged(t)

	settings := func(standby string) {
		t.Helper()
		if err := cluster.SetSettings(ctx, map[string]string{"synchronous_standby_names": standby}); err != nil {
			t.Fatal(err)
		}
	}
	settings("nobody")
	hidden := make(chan error, 1)
	go func() { hidden <- w.Payload.Publish(ctx, "posts", id, fields{"title": "After"}) }()
	pool := w.DB.Pool(t)
	e2e.Eventually(t, "the commit waits for a standby", func() []string {
		var waiting bool
		if err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')").Scan(&waiting); err != nil {
			return []string{err.Error()}
		}
		if !waiting {
			return []string{"nobody waits"}
		}
		return nil
	})
	// Three seconds in which cdc has read the change and cannot see it.
	if _, err := pool.Exec(ctx, "SELECT pg_sleep(3)"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-hidden:
		t.Fatalf("the commit did not stay hidden: %v", err)
	default:
	}
	if problems := e2e.Compare(w.Vectors(t), []payloadtest.Entry{{Collection: "posts", ID: id, Title: "Before", Content: "Seen by everybody.", Words: "Before\nSeen by everybody.", UpdatedAt: "any"}}); len(problems) > 0 {
		t.Errorf("while the commit was hidden:\n  %s", strings.Join(problems, "\n  "))
	}
	settings("")
	if err := <-hidden; err != nil {
		t.Fatal(err)
	}
	w.WaitConverged(t)
	cdc.Stop(t)
}

// seedOf prints the seed; CDC_E2E_SEED repeats one.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("CDC_E2E_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("CDC_E2E_SEED: %v", err)
		}
	}
	t.Logf("CDC_E2E_SEED=%d", seed)
	return seed
}
