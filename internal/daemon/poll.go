package daemon

import (
	"context"
	"time"

	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// poll looks every second how far the server is and what a person has asked for, and every ten how the slot does and
// whether tables have changed: for lag, for warnings in time, and because the log says nothing of tables that leave the
// publication or are not in it yet.
func (o *owner) poll(ctx context.Context) {
	d := o.d
	tick := time.NewTicker(min(time.Second, d.cfg.LookEvery))
	defer tick.Stop()
	warned := false
	looked := time.Now() // it was all looked at to prepare
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := o.glance(ctx); err != nil {
			d.log.Debug("the server could not be asked how far it is", "err", err)
		}
		if err := o.answer(ctx); err != nil {
			d.log.Debug("requests could not be answered", "err", err)
		}
		if time.Since(looked) < d.cfg.LookEvery {
			continue
		}
		looked = time.Now()
		slot, err := replication.InspectSlot(ctx, d.source, d.cfg.Slot)
		if err != nil {
			continue // the stream will tell
		}
		d.setSlot(slot)
		if o.waitedFor(ctx) {
			o.end(replication.ErrSynchronous)
			return
		}
		if again, err := o.changed(ctx); err != nil {
			d.log.Debug("the tables could not be looked at", "err", err)
		} else if again {
			o.end(errAgain)
			return
		}
		if covered, err := d.cover(ctx, o.ready.model, o.ready.server.Role, o.ready.gone); err != nil {
			d.log.Debug("the publication could not be looked at", "err", err)
		} else {
			d.setCoverage(covered)
			if covered.change { // somebody has given us the right
				o.end(errAgain)
				return
			}
		}
		warned = d.watchRetained(slot, warned)
	}
}

// waitedFor says whether the server has come to count us as a synchronous standby: then the application's commits wait for
// our checkpoints. Without the stream they wait for nobody we could be blamed for, and Preflight refuses to read on.
func (o *owner) waitedFor(ctx context.Context) bool {
	state, err := replication.SyncState(ctx, o.d.source, o.stream.PID())
	if err != nil {
		o.d.log.Debug("the server could not be asked whether commits wait for us", "err", err)
	}
	return state == "sync" || state == "quorum" || state == "potential"
}

// observe counts what became of a document.
func (d *Daemon) observe(o pipeline.Outcome) {
	d.metrics.Outcome(o.Key.Collection, o.Kind.String(), o.Took, o.Written, o.Deleted, o.Tokens)
}

// glance asks the server how far its log is, and which transactions can be seen by now: those need no remembering, so
// that a backlog's marks cost nothing to keep.
func (o *owner) glance(ctx context.Context) error {
	var end, visible string
	err := o.d.source.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text, pg_current_snapshot()::text").Scan(&end, &visible)
	if err != nil {
		return err
	}
	lsn, err := wal.ParseLSN(end)
	if err != nil {
		return err
	}
	snapshot, err := wal.ParseSnapshot(visible)
	if err != nil {
		return err
	}
	o.d.flushed.Store(uint64(lsn))
	o.pipeline.Dirty.See(snapshot)
	return nil
}
