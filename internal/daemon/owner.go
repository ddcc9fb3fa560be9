package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/index"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/wal"
)

// ErrOwner means that the index belongs to another database.
var ErrOwner = errors.New("the index belongs to another database")

// guarded is an index that takes no write before it is known to belong to this database: a staging clone that was
// started with production's keys must change nothing.
type guarded struct {
	index.Index
	count func(provider string, took time.Duration, class string, inputs int)

	mu      sync.Mutex
	system  string // the source's system identifier
	checked bool

	trouble atomic.Pointer[trouble] // why it does not answer, or not as it should; nil when it does
}

// trouble is what nobody would hear of otherwise: the pipeline pauses for documents that cannot be written, but at a
// first start there are none before the index has been listed.
type trouble struct {
	err   error
	since time.Time
}

// note keeps what the index last answered.
func (g *guarded) note(err error) {
	switch before := g.trouble.Load(); {
	case err == nil:
		g.trouble.Store(nil)
	case errors.Is(err, context.Canceled):
	case before != nil:
		g.trouble.Store(&trouble{err, before.since})
	default:
		g.trouble.Store(&trouble{err, time.Now()})
	}
}

// expect says which database system is read. Another one than before has to be admitted anew.
func (g *guarded) expect(system string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.system != system {
		g.system, g.checked = system, false
	}
}

// admit compares the index's owner with the database we read. It asks the index once; until that has worked, nothing
// is written.
func (g *guarded) admit(ctx context.Context) (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.checked {
		return nil
	}
	defer func() { g.note(err) }()
	owner, found, err := g.Owner(ctx)
	if err != nil {
		return fmt.Errorf("ask the index for its owner: %w", err)
	}
	// Another database's index is no business of ours, whatever its shape.
	if found && owner.System != g.system {
		return &failure.Error{
			Class: failure.Systemic, Provider: "index", Rejected: true,
			Remedy: "if this database is to feed the index from now on, run: cdc adopt. If it is a copy, give it an index or a namespace of its own",
			Err:    fmt.Errorf("%w: its system identifier is %s, this one's is %s", ErrOwner, owner.System, g.system),
		}
	}
	if err := g.Check(ctx); err != nil {
		return err
	}
	g.checked = true
	return nil
}

// revoke lets nothing more be written before the index is admitted again.
func (g *guarded) revoke() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checked = false
}

// admitted says whether the index is known to be ours.
func (g *guarded) admitted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.checked
}

// Upsert is the index's, once it is known to be ours.
func (g *guarded) Upsert(ctx context.Context, vectors []document.Vector) error {
	if err := g.admit(ctx); err != nil {
		return err
	}
	return g.counted(func() error { return g.Index.Upsert(ctx, vectors) })
}

// Delete is the index's, once it is known to be ours.
func (g *guarded) Delete(ctx context.Context, ids []string) error {
	if err := g.admit(ctx); err != nil {
		return err
	}
	return g.counted(func() error { return g.Index.Delete(ctx, ids) })
}

// Fetch is the index's.
func (g *guarded) Fetch(ctx context.Context, ids []string) (found []document.Stored, err error) {
	err = g.counted(func() error {
		found, err = g.Index.Fetch(ctx, ids)
		return err
	})
	return found, err
}

// Values is the index's, if it gives values back.
func (g *guarded) Values(ctx context.Context, ids []string) (kept map[string]document.Kept, err error) {
	keeper, ok := g.Index.(index.Keeper)
	if !ok {
		return nil, nil
	}
	err = g.counted(func() error {
		kept, err = keeper.Values(ctx, ids)
		return err
	})
	return kept, err
}

// List is the index's.
func (g *guarded) List(ctx context.Context, cursor string, n int) (page []document.Stored, next string, err error) {
	page, next, err = g.Index.List(ctx, cursor, n)
	if err != nil || g.admitted() {
		g.note(err)
	}
	return page, next, err
}

func (g *guarded) counted(call func() error) error {
	began := time.Now()
	err := call()
	g.count("upstash", time.Since(began), class(err), 0)
	return err
}

const (
	// ownerEvery is how often the owner record is renewed. Each renewal is a write that providers count.
	ownerEvery = 10 * time.Minute
	// ownerSoon is how often it is tried as long as it has not worked.
	ownerSoon = 15 * time.Second
)

// indexAhead is why everything is compared when the index's owner record is newer than the checkpoint.
const indexAhead = "the index is ahead of the checkpoint: the database was restored to an older moment"

// keepOwner writes who owns the index and how far it has come, now and again.
func (o *owner) keepOwner(ctx context.Context) {
	for {
		o.lateCompare(ctx)
		o.writeOwner(ctx)
		every := ownerEvery
		if o.recorded == 0 {
			every = ownerSoon
		}
		if !pause(ctx, every) {
			return
		}
	}
}

// compare asks the index for its owner record, for whether it is ahead of the checkpoint that we began with. The zero
// record is none.
func (o *owner) compare(ctx context.Context) (record index.Owner, err error) {
	record, found, err := o.d.index.Owner(ctx)
	if err != nil {
		return index.Owner{}, fmt.Errorf("ask the index for its owner: %w", err)
	}
	if found && record.System != o.ready.server.System {
		// Adopted by another database since it was admitted. The record is theirs, and so is the index.
		o.d.index.revoke()
		return index.Owner{}, o.d.index.admit(ctx)
	}
	o.compared = true
	return record, nil
}

// lateCompare does what could not be done when we began, because the index did not answer then.
func (o *owner) lateCompare(ctx context.Context) {
	if o.compared || o.d.index.admit(ctx) != nil {
		return
	}
	record, err := o.compare(ctx)
	if err != nil || record.LSN <= o.began {
		return
	}
	if o.d.cfg.OnGap == Stop && record.LSN != adopted {
		o.end(stopped(indexAhead))
		return
	}
	o.d.log.Warn("changes may have been missed: everything is compared with the index", "reason", indexAhead)
	o.pipeline.Dirty.Sweep(pipeline.SweepMark{Strength: owed.Prove, Reason: indexAhead})
	// Owed durably before the record says that all is well.
	if err := o.pipeline.Save(ctx); err != nil {
		o.compared = false
	}
}

// writeOwner writes the owner record, if it would say something new and is still ours.
func (o *owner) writeOwner(ctx context.Context) {
	lsn := wal.LSN(o.saved.Load())
	if lsn == 0 || lsn == o.recorded || !o.compared || o.d.index.admit(ctx) != nil {
		return
	}
	if o.recorded != 0 {
		if _, err := o.compare(ctx); err != nil {
			o.d.log.Warn("the index's owner record is not renewed", "err", err)
			return
		}
	}
	// Nor for another instance that has taken over: one that was frozen has not heard of it yet.
	if err := o.d.store.Save(ctx, owed.Delta{}); err != nil {
		o.d.log.Debug("owner record not written", "err", err)
		return
	}
	err := o.d.index.SetOwner(ctx, index.Owner{System: o.ready.server.System, Slot: o.d.cfg.Slot, LSN: lsn, At: time.Now()})
	if err != nil {
		o.d.log.Debug("owner record not written", "err", err)
		return
	}
	o.recorded = lsn
}
