package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/local"
)

// direct does what the plan says, and returns when all of it is undone. Steps overlap, but no two of them are about the
// same thing.
func (w *world) direct(ctx context.Context, p Plan) error {
	var mu sync.Mutex
	var errs []error
	var running sync.WaitGroup
	began, behind := time.Now(), time.Duration(0) // how far the plan is delayed by what had to be waited for
	for _, s := range p.Steps {
		if s.At+behind > 2*p.Length {
			w.log.printf("=== the rest of the plan is left out, the machine is slow")
			break
		}
		written := w.written()
		select {
		case <-time.After(time.Until(began.Add(s.At + behind))):
		case <-ctx.Done():
			return ctx.Err()
		}
		if s.Work {
			since := time.Now()
			for w.written() == written && time.Since(since) < 4*time.Second && ctx.Err() == nil {
				time.Sleep(5 * time.Millisecond)
			}
			behind += time.Since(since)
		}
		running.Go(func() {
			// The plan has kept them apart, but what it planned may take longer.
			for _, name := range s.holds() {
				w.held[name].Lock()
				defer w.held[name].Unlock()
			}
			w.log.printf("=== %s %s for %s, %d", s.What, s.On, s.For.Round(time.Millisecond), s.N)
			err := w.do(ctx, p.Seed, s)
			w.log.printf("=== %s %s is over", s.What, s.On)
			if err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", s, err))
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// written is how much cdc has done to the index.
func (w *world) written() int {
	n := w.server.Counts()
	return n.Written + n.Deleted
}

// do does one step and undoes it.
func (w *world) do(ctx context.Context, seed uint64, s Step) error {
	last := func() {
		select {
		case <-time.After(s.For):
		case <-ctx.Done():
		}
	}
	l := w.links[s.On]
	poisoned := func(kind string, attributes map[string]int) error {
		err := l.poison(kind, attributes)
		last()
		return errors.Join(err, l.heal())
	}
	switch s.What {
	case "kill", "term":
		i := w.named(s.On)[0]
		var err error
		if s.What == "kill" {
			i.kill()
		} else {
			err = i.stop()
		}
		last()
		return errors.Join(err, i.start())
	case "freeze":
		i := w.named(s.On)[0]
		i.signal(syscall.SIGSTOP)
		last()
		i.signal(syscall.SIGCONT)
		return nil
	case "crash":
		err := w.cluster.Kill()
		last()
		return errors.Join(err, w.cluster.Restart(ctx))
	case "cut":
		if err := l.down(); err != nil {
			return err
		}
		last()
		return l.up()
	case "reset":
		return poisoned("reset_peer", map[string]int{"timeout": 0})
	case "latency":
		return poisoned("latency", map[string]int{"latency": s.N, "jitter": s.N / 2})
	case "hole":
		return poisoned("timeout", map[string]int{"timeout": 0})
	case "limit":
		return poisoned("limit_data", map[string]int{"bytes": s.N})
	case "weather":
		faults, all := w.server.VectorFaults(), vectorWeather()
		if s.On == "models" {
			faults, all = w.server.EmbeddingFaults(), modelWeather()
		}
		faults.Set(seed+uint64(s.N), all[s.N%len(all)]...)
		last()
		w.drizzle(seed)
		return nil
	case "quota":
		w.server.VectorFaults().Set(seed, local.Rule{Fault: local.Quota, Chance: .5})
		last()
		w.drizzle(seed)
		// It rightly waits until midnight. Who runs then has never heard of it.
		for _, i := range w.instances {
			i.kill()
		}
		return w.startAll()
	case "forget":
		return w.sql(ctx, "DROP SCHEMA IF EXISTS payload_cdc CASCADE")
	case "amnesia":
		return w.down(last, func() error { return w.sql(ctx, "DROP SCHEMA IF EXISTS payload_cdc CASCADE") })
	case "slotless":
		return w.down(last, func() error {
			return w.sql(ctx, "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '"+w.slot+"'",
				"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '"+w.slot+"'")
		})
	case "unlisted":
		return w.down(last, func() error { return w.sql(ctx, "DROP PUBLICATION IF EXISTS payload_cdc") })
	}
	return errors.New("no such step")
}

// down does something while no cdc runs.
func (w *world) down(last func(), do func() error) error {
	for _, i := range w.instances {
		i.kill()
	}
	err := do()
	last()
	return errors.Join(err, w.startAll())
}

func (w *world) startAll() error {
	var errs []error
	for _, i := range w.instances {
		errs = append(errs, i.start())
	}
	return errors.Join(errs...)
}

// sql runs statements past every link, again until they work: locks of a cdc that hangs are waited for.
func (w *world) sql(ctx context.Context, statements ...string) error {
	until := time.Now().Add(30 * time.Second)
	for {
		err := func() error {
			conn, err := pgx.Connect(ctx, w.db.URI)
			if err != nil {
				return err
			}
			defer conn.Close(ctx)
			for _, statement := range append([]string{"SET lock_timeout = '500ms'"}, statements...) {
				if _, err := conn.Exec(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		}()
		if err == nil || ctx.Err() != nil || time.Now().After(until) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// drizzle is how the providers are as a rule: something goes wrong now and then.
func (w *world) drizzle(seed uint64) {
	w.server.VectorFaults().Set(seed, vectors(.02)...)
	w.server.EmbeddingFaults().Set(seed+1, models(.02)...)
}

// clear ends all that goes wrong.
func (w *world) clear() error {
	w.server.VectorFaults().Set(0)
	w.server.EmbeddingFaults().Set(0)
	w.server.Arrive() // what was still on its way
	var errs []error
	for _, l := range w.links {
		errs = append(errs, l.heal())
	}
	return errors.Join(errs...)
}
