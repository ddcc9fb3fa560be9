package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// owner is one period of owning the slot and the state. Whatever ends it, the next one begins from the store:
// recovery is the normal path, and there is no other.
type owner struct {
	d        *Daemon
	ready    prepared
	source   *source
	pipeline *pipeline.Pipeline
	stream   *replication.Stream
	looking  sync.Mutex
	shape    string  // of the schema, as last seen; guarded by looking
	began    wal.LSN // the checkpoint, as it was found
	rejoined bool    // tables joined the publication, by us or by others, and the stream may not have been opened beyond that

	saved     atomic.Uint64 // LSN of the last checkpoint
	recorded  wal.LSN       // LSN in the index's owner record; used by one goroutine at a time
	compared  bool          // the owner record was compared with the checkpoint; likewise
	settled   atomic.Bool   // what ran when we began has ended
	interrupt context.CancelCauseFunc
}

// Why a period of owning ends although the log could be read on.
var (
	errAgain   = errors.New("the database's tables or publication changed")
	errUnsaved = errors.New("the checkpoint cannot be saved")
)

// own stands by until the slot is free, prepares, takes over the state, and works until ctx ends or something breaks.
func (d *Daemon) own(ctx context.Context) error {
	ready, stream, err := d.acquire(ctx)
	if err != nil {
		return err
	}
	o := &owner{d: d, ready: ready, stream: stream, shape: ready.shape, rejoined: ready.change.Changed()}
	defer func() {
		// Whatever happened, the slot is left free, and the server hears how far we are.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := stream.Close(closing); err != nil {
			d.log.Debug("stream closed", "err", err)
		}
	}()
	state, err := d.takeOver(ctx)
	if err != nil {
		return err
	}
	if err := o.begin(ctx, state); err != nil {
		return err
	}
	d.setOwner(o)
	defer d.setOwner(nil)
	return o.run(ctx)
}

// takeOver claims the state: whoever owned it before can write no more.
func (d *Daemon) takeOver(ctx context.Context) (owed.State, error) {
	if d.store == nil {
		store, err := checkpoint.Open(ctx, checkpoint.Config{
			Pool: d.state, Schema: d.cfg.StateSchema, Instance: d.cfg.Instance, Timeout: 10 * time.Second,
			MaxOwed: d.cfg.maxOwed(), Logger: d.log,
		})
		if err != nil {
			return owed.State{}, err
		}
		d.store = store
	}
	state, err := d.store.Claim(ctx)
	if err != nil {
		// Its tables may be gone: opened again, it makes new ones.
		d.store.Close()
		d.store = nil
		return owed.State{}, fmt.Errorf("take over the state: %w", err)
	}
	return state, nil
}

// begin makes a pipeline of the state, owes what the preparation found, and saves that before anything else happens:
// only then may the state say that it belongs to this slot and these tables.
func (o *owner) begin(ctx context.Context, state owed.State) error {
	d := o.d
	marks, err := o.gaps(ctx, &state)
	if err != nil {
		return err
	}
	prints := d.fingerprints(o.ready.model, o.ready.members)
	everything := len(marks) > 0
	for _, m := range changes(state.Fingerprints, prints) {
		was, known := state.Fingerprints[m.Collection]
		switch away := slices.Contains(o.ready.gone, m.Collection); {
		case away && was == gonePrint:
			continue // swept, or held, since
		case away:
			m.Reason, m.Force = goneReason, false // nobody has said that it should leave
			marks = append(marks, m)
			continue
		case was == gonePrint && !m.Force:
			m.Reason = rejoined // it is back
		}
		o.rejoined = o.rejoined || m.Reason == rejoined || !known && !state.Fresh
		if !everything || m.Force {
			marks = append(marks, m) // a sweep of everything covers the others
		}
	}
	// Owed by a join before a crash: the stream was not opened anew then.
	o.rejoined = o.rejoined || !d.reopened && slices.ContainsFunc(state.Sweeps, func(s owed.Sweep) bool { return s.Reason == rejoined })
	d.reopened = false
	marks = append(marks, d.unstreamed()...)
	o.source = newSource(d.source, o.ready.model, payload.Config{MaxBatch: int(d.cfg.MemoryLimit / 32)}, d.log, o.end)
	o.pipeline = pipeline.New(pipeline.Config{
		Source: o.source, Chunker: d.cutter, Embedder: d.embedder, Index: d.index, Ledger: d.store, Store: d.store,
		Logger: d.log, Saved: o.checkpointed, Observe: d.observe, Estimate: o.source.estimate, BeforeSweep: o.beforeSweep,
		MaxOwed: d.cfg.maxOwed(), HandBytes: int(d.cfg.MemoryLimit / 8), EmbedInputs: d.embedder.MaxInputs(), EmbedTokens: d.embedder.MaxTokens(),
		WriteTimeout: d.cfg.IndexTimeout, Tick: d.cfg.Tick,
	}, state)
	if err := o.glance(ctx); err != nil {
		return fmt.Errorf("ask the server how far it is: %w", err)
	}
	o.pipeline.Dirty.Sweep(marks...)
	if err := o.pipeline.Save(ctx); err != nil {
		return fmt.Errorf("save the first checkpoint: %w", err)
	}
	p := state.Position
	p.Slot, p.System, p.Timeline = d.cfg.Slot, o.ready.server.System, o.ready.server.Timeline
	if err := d.store.SetPosition(ctx, p); err != nil {
		return err
	}
	for slug := range state.Fingerprints {
		if _, ok := prints[slug]; !ok {
			prints[slug] = "" // no longer indexed: forgotten
			if slices.Contains(d.cfg.Collections, slug) {
				prints[slug] = gonePrint // its name is no mistake
			}
		}
	}
	return d.store.SetFingerprints(ctx, prints)
}

// run reads, reconciles and saves until ctx ends or one of them cannot go on.
func (o *owner) run(ctx context.Context) error {
	interrupted, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	o.interrupt = interrupt
	g, working := errgroup.WithContext(interrupted)
	g.Go(func() error { return o.pipeline.Run(working) })
	g.Go(func() error { return o.read(working) })
	g.Go(func() error { o.poll(working); return nil })
	g.Go(func() error { o.beat(working); return nil })
	g.Go(func() error { o.keepOwner(working); return nil })
	g.Go(func() error { o.keepCount(working); return nil })
	if o.d.cfg.UntilCaughtUp {
		g.Go(func() error { return o.untilCaughtUp(working) })
	}
	err := g.Wait()
	if cause := context.Cause(interrupted); cause != nil && ctx.Err() == nil {
		err = cause
	}
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	o.writeOwner(final)
	return err
}

// read feeds the log to the pipeline until ctx ends or the stream breaks.
func (o *owner) read(ctx context.Context) error {
	o.d.set(streaming, "")
	err := o.stream.Run(ctx, &feed{
		pipeline: o.pipeline, makeRoom: func() error { return o.pipeline.MakeRoom(ctx) },
		marks: o.ready.model.Marks(), flushed: &o.d.flushed, reads: o.d.metrics.Read, unknown: o.d.unknown,
		heard: o.d.heard, agree: func(r *wal.Relation) error { return o.agree(ctx, r) }, agreed: map[uint32]*wal.Relation{},
	})
	if ctx.Err() == nil {
		return err
	}
	return nil // own closes the stream, after the last checkpoint
}

// checkpointed is called after every attempt to save a checkpoint.
func (o *owner) checkpointed(lsn wal.LSN, err error) {
	if err == nil {
		o.saved.Store(uint64(lsn))
		o.stream.Confirm(lsn)
		return
	}
	// Nothing can be confirmed, so the server must not wait for us: not with its log, and not with its shutdown.
	o.end(fmt.Errorf("%w: %w", errUnsaved, err))
}

// end ends this period of owning.
func (o *owner) end(cause error) {
	if o.interrupt != nil {
		o.interrupt(cause)
	}
}

// patience is how long a run until caught up waits for a provider that needs a person.
const patience = 10 * time.Second

// untilCaughtUp ends the run once everything that had been committed before the daemon began is in the index, or with
// an error when that cannot happen without a person.
func (o *owner) untilCaughtUp(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var reached time.Time
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if n%20 == 0 {
			for _, p := range o.pipeline.Stats().Paused {
				if p.Systemic && time.Since(p.Since) > patience {
					return &verdict{fmt.Sprintf("not caught up: %s: %s; %d documents wait for it and stay owed", p.Provider, p.Reason, p.Waiting)}
				}
			}
		}
		if o.pipeline.Dirty.ReadTo() < o.d.target {
			continue
		}
		if reached.IsZero() {
			reached = time.Now()
		}
		if !o.pipeline.Dirty.OwedSince(reached) {
			return o.verdict()
		}
	}
}

// verdict says how a run until caught up ended: errCaughtUp, or what is not in the index although it should be.
func (o *owner) verdict() error {
	s := o.pipeline.Stats()
	held := 0
	for _, sweep := range s.Sweeps {
		held += sweep.Held
	}
	if s.Parked > 0 || held > 0 {
		return &verdict{fmt.Sprintf("caught up, but %d documents are parked and the removal of %d waits for a person: see cdc status", s.Parked, held)}
	}
	return errCaughtUp
}

// verdict is a caught-up run's bad news.
type verdict struct{ text string }

func (v *verdict) Error() string { return v.text }

func tableNames(tables []replication.Table) string {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.String()
	}
	return strings.Join(names, ", ")
}
