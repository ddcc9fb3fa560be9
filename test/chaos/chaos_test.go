package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"payload-cdc/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := removeBinary(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// Whatever happens to cdc and around it, in the end the index equals what is published. SEED repeats a seed, SEEDS asks
// for several, CHAOS_SECONDS says how long each is bad.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("takes twenty seconds")
	}
	number := func(name string, otherwise uint64) uint64 {
		s := os.Getenv(name)
		if s == "" {
			return otherwise
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	first := number("SEED", uint64(rand.Uint32()))
	length := time.Duration(number("CHAOS_SECONDS", 8)) * time.Second
	cluster := pgtest.Start(t, pgtest.Options{Settings: settings()})
	for n := range number("SEEDS", 1) {
		p := Draw(first+n, length)
		t.Run(fmt.Sprint("seed=", p.Seed), func(t *testing.T) {
			t.Logf("again: make chaos SEED=%d CHAOS_SECONDS=%d", p.Seed, int(length.Seconds()))
			chaos(t, cluster, p)
		})
	}
}

func chaos(t *testing.T, cluster *pgtest.Cluster, p Plan) {
	w := newWorld(t, cluster, p.Second)
	t.Cleanup(func() {
		if t.Failed() {
			path := filepath.Join("..", "..", ".cache", "chaos", fmt.Sprintf("%d.log", p.Seed))
			end := w.log.keep(t, path)
			t.Logf("two instances: %t, the first kept in the end: %t, the plan:\n%s", p.Second, p.Keep, p)
			t.Logf("all that was done and said is in .cache/chaos/%d.log; its end:\n%s", p.Seed, end)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	var writers []*writer
	for n := range 3 {
		wr := newWriter(w.pool, p.Seed, n)
		writers = append(writers, wr)
		running.Go(func() {
			if err := wr.run(writing); err != nil {
				t.Error(err)
			}
		})
	}
	w.log.began = time.Now()
	if err := w.startAll(); err != nil {
		t.Fatal(err)
	}
	for since := time.Now(); w.written() == 0 && time.Since(since) < patience; {
		time.Sleep(20 * time.Millisecond)
	}
	w.drizzle(p.Seed)
	if err := w.direct(ctx, p); err != nil {
		t.Error(err)
	}
	stop()
	running.Wait()
	w.settle(ctx, t, p.Keep)
	tell(t, w, writers)
}

// patience is how long the index may take to be right, on a machine that runs much else.
const patience = 90 * time.Second

// settle ends all that goes wrong, lets one cdc run, the one that runs if it is kept, and waits until the index is as it has to be and nothing is owed.
func (w *world) settle(ctx context.Context, t *testing.T, keep bool) {
	t.Helper()
	for n, i := range w.instances {
		if n > 0 || !keep {
			i.kill()
		}
	}
	if err := w.clear(); err != nil {
		t.Fatal(err)
	}
	want, err := ask(ctx, w.pool)
	if err != nil {
		t.Fatal(err)
	}
	w.log.printf("=== it is quiet now, %d texts are published", len(want))
	cdc := w.instances[0]
	if !keep {
		if err := cdc.start(); err != nil {
			t.Fatal(err)
		}
	}
	problems := func() []string {
		vectors, err := w.server.Vectors(ctx, "")
		if err != nil {
			t.Fatal(err)
		}
		return compare(vectors, want)
	}
	until := time.Now().Add(patience)
	var forced time.Time
	for {
		wrong := problems()
		s, err := cdc.status(ctx)
		switch {
		case err != nil:
			wrong = append(wrong, err.Error())
		case s.Owed.Documents > 0 || len(s.Owed.Sweeps) > 0 || s.Parked > 0:
			wrong = append(wrong, fmt.Sprintf("%+v", s))
		case s.State != "streaming" && s.State != "catching_up":
			wrong = append(wrong, fmt.Sprintf("%s: %s", s.State, s.Reason))
		}
		if len(wrong) == 0 {
			break
		}
		for _, sweep := range s.Owed.Sweeps { // what is gone is gone: a person has looked
			if sweep.Held > 0 && time.Since(forced) > 5*time.Second {
				forced = time.Now()
				said, err := cdc.run(ctx, "verify", "--repair", "--force")
				w.log.printf("=== %d of %s are held: %s %v", sweep.Held, sweep.Collection, said, err)
			}
		}
		if time.Now().After(until) {
			t.Fatalf("the index is not what it has to be:\n  %s", strings.Join(wrong[:min(len(wrong), 30)], "\n  "))
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := cdc.stop(); err != nil {
		t.Error(err)
	}
	if code := cdc.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("cdc ended with %d after SIGTERM, want 0", code)
	}
	if wrong := problems(); len(wrong) > 0 {
		t.Errorf("the index, after all:\n  %s", strings.Join(wrong, "\n  "))
	}
}

var broken = regexp.MustCompile(`(?m)^(panic:|fatal error:|WARNING: DATA RACE).*`)

// tell says what this seed was worth, and whether cdc broke in any way that the index does not show.
func tell(t *testing.T, w *world, writers []*writer) {
	t.Helper()
	done, lost := map[string]int{}, 0
	for _, wr := range writers {
		lost += wr.lost
		for what, n := range wr.done {
			done[what] += n
		}
	}
	t.Logf("done %v, %d lost; asked %+v; index faults %v, embedding faults %v",
		done, lost, w.server.Counts(), w.server.VectorFaults().Hits(), w.server.EmbeddingFaults().Hits())
	if found := broken.FindString(w.log.String()); found != "" {
		t.Errorf("cdc broke: %s", found)
	}
	for _, i := range w.instances {
		for _, end := range i.ends {
			if end != "exit status 1" { // it may give up while Postgres does not answer, and is started again
				t.Errorf("instance %s ended by itself: %s", i.name, end)
			}
		}
	}
}
