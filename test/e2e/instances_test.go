package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
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

// state waits until an instance is in a state, as its status says it.
func state(t *testing.T, p *e2e.Process, wanted ...string) {
	t.Helper()
	e2e.Eventually(t, "an instance is "+strings.Join(wanted, " or "), func() []string {
		s, err := p.Status(t)
		if err != nil {
			return []string{err.Error()}
		}
		if slices.Contains(wanted, s.State) {
			return nil
		}
		return []string{"it is " + s.State}
	})
}

// TestTakeover measures how long a second instance takes. Only the first is sure to be streaming, so each round starts
// another one that stands by.
func TestTakeover(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{})
	first := w.Start(t)
	first.WaitReady(t)
	state(t, first, "streaming")
	for round, end := range []func(){
		func() { first.Kill(t) },
		func() { first.Stop(t) },
	} {
		second := w.Start(t)
		state(t, second, "standby")
		began := time.Now()
		end()
		ended := time.Now()
		if _, err := w.Payload.Create(t.Context(), "posts", fields{"title": fmt.Sprint("With the second alone ", round), "_status": "published"}); err != nil {
			t.Fatal(err)
		}
		w.WaitConverged(t)
		t.Logf("%s: the first was gone after %s, and the second had a new document in the index %s later",
			[]string{"SIGKILL", "SIGTERM"}[round], ended.Sub(began).Round(time.Millisecond), time.Since(ended).Round(time.Millisecond))
		first = second
	}
	first.Stop(t)
}

// TestRollingRestart replaces an instance as orchestrators do, new one first, under load. The pair is never unready.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var others sync.WaitGroup
	writer := newLoad(w.DB.Pool(t), seedOf(t), 0)
	others.Go(func() {
		if err := writer.run(ctx, rate.NewLimiter(30, 1)); err != nil {
			t.Errorf("writer: %v", err)
		}
	})

	var mu sync.Mutex
	var alive []*e2e.Process
	pair := func(p ...*e2e.Process) {
		mu.Lock()
		defer mu.Unlock()
		alive = p
	}
	asked := 0
	others.Go(func() {
		for ctx.Err() == nil {
			mu.Lock()
			asking := alive
			mu.Unlock()
			var answers []string
			for _, p := range asking {
				code, body, err := p.Get(ctx, "/readyz")
				if err != nil && ctx.Err() == nil && strings.Contains(err.Error(), "deadline") || code == http.StatusOK {
					answers = nil // ready, or the machine is too slow to tell
					break
				}
				answers = append(answers, fmt.Sprintf("%d %s %v", code, body, err))
			}
			if answers != nil && ctx.Err() == nil {
				t.Errorf("none of them is ready: %s", strings.Join(answers, "; "))
			}
			asked++
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})

	old := w.Start(t)
	old.WaitReady(t)
	pair(old)
	for range 3 {
		fresh := w.Start(t)
		fresh.WaitReady(t)
		pair(fresh, old)
		old.Stop(t)
		pair(fresh)
		state(t, fresh, "streaming", "catching_up")
		old = fresh
	}
	stop()
	others.Wait()
	t.Logf("asked %d times", asked)
	w.WaitSettled(t, old)
	old.Stop(t)
}

// TestFrozenInstance freezes the one that streams, with writes on the wire, until the server has given it up and the other
// one has taken over. What the wire then delivers late is mended, and the frozen one wakes up to write nothing.
func TestFrozenInstance(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"wal_sender_timeout": "3s"}})
	// A write may arrive for thirty seconds after it was announced, and is proven after that.
	w := e2e.New(t, e2e.Options{Cluster: cluster, Env: map[string]string{"CDC_INDEX_TIMEOUT": "10s"}})
	pool := w.DB.Pool(t)
	var ids []string
	for n := range 6 {
		id, err := w.Payload.Create(t.Context(), "posts", fields{"title": fmt.Sprint("Post ", n), "content": payloadtest.RichText("At first."), "_status": "published"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	door, address := w.NewDoor(t), w.Env["UPSTASH_VECTOR_REST_URL"]
	w.Env["UPSTASH_VECTOR_REST_URL"] = door.Address
	frozen := w.Start(t)
	frozen.WaitReady(t)
	w.WaitSettled(t, frozen)
	w.Env["UPSTASH_VECTOR_REST_URL"] = address
	other := w.Start(t)
	state(t, other, "standby")

	edit := func(id, text string) {
		t.Helper()
		if err := w.Payload.Publish(t.Context(), "posts", id, fields{"content": payloadtest.RichText(text)}); err != nil {
			t.Fatal(err)
		}
	}
	w.Server.VectorFaults().Set(1, local.Rule{Fault: local.Stall, Endpoint: "upsert", Chance: 1, Delay: time.Hour})
	edit(ids[0], "On the wire.")
	edit(ids[1], "On the wire, and unpublished after.")
	e2e.Eventually(t, "both are on the wire", func() []string {
		var n int
		err := pool.QueryRow(t.Context(), "SELECT count(DISTINCT doc_id) FROM payload_cdc.ledger WHERE deadline IS NOT NULL").Scan(&n)
		if hits := w.Server.VectorFaults().Hits()[local.Stall]; err != nil || n < 2 || hits == 0 {
			return []string{fmt.Sprintf("%d documents in %d requests, %v", n, hits, err)}
		}
		return nil
	})
	frozen.Freeze(t)
	began := time.Now()
	w.Server.VectorFaults().Set(1)
	edit(ids[0], "By the other.")
	if err := w.Payload.Unpublish(t.Context(), "posts", ids[1]); err != nil {
		t.Fatal(err)
	}
	edit(ids[2], "Unseen by the frozen one.")
	if err := w.Payload.Delete(t.Context(), "posts", ids[3]); err != nil {
		t.Fatal(err)
	}
	w.WaitConverged(t)
	t.Logf("the other had all of it in the index %s after the freeze", time.Since(began).Round(time.Millisecond))

	// What was on the wire arrives, as long as it still can.
	possible := func() (still bool) {
		t.Helper()
		err := pool.QueryRow(t.Context(), "SELECT coalesce(max(deadline) > clock_timestamp(), false) FROM payload_cdc.ledger").Scan(&still)
		if err != nil {
			t.Fatal(err)
		}
		return still
	}
	if possible() {
		w.Server.Arrive()
		_, arrived := w.Vectors(t)["posts-"+ids[1]]
		if possible() && !arrived { // nobody has proven it yet
			t.Error("nothing arrived late")
		}
	} else {
		t.Log("this machine is too slow for a write to be late")
	}
	before := door.Writes()
	frozen.Thaw(t)
	state(t, frozen, "standby")
	edit(ids[4], "After the wake-up.")
	w.WaitSettled(t, other) // what came late is mended
	state(t, frozen, "standby")
	if after := door.Writes(); len(after) > len(before) {
		t.Errorf("after its wake-up the frozen one wrote to the index: %q", after[len(before):])
	}
	other.Stop(t)
	edit(ids[5], "By the one that was frozen.")
	w.WaitSettled(t, frozen)
	frozen.Stop(t)
}
