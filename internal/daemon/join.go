package daemon

import (
	"context"
	"fmt"
	"time"

	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// beforeSweep waits until every transaction that ran when we began has ended: a table that joined the publication, or a
// slot that was created, while one ran is complete only for what began later. After a change of the publication
// everything begins again, because older servers keep a stale publication in a stream that has read such a transaction:
// the new stream has to begin beyond them all.
func (o *owner) beforeSweep(ctx context.Context) error {
	if o.settled.Load() {
		return nil
	}
	err := replication.WaitForRunning(ctx, o.d.source, func(waiting []replication.Waiting) {
		names := make([]string, len(waiting))
		for i, w := range waiting {
			names[i] = w.String()
		}
		o.d.log.Info("sweeps wait for transactions that were open when the slot or the publication changed", "open", names)
	})
	if err != nil {
		return fmt.Errorf("wait for open transactions: %w", err)
	}
	if o.rejoined && !o.ready.created {
		if err := o.readOn(ctx); err != nil {
			return err
		}
		o.d.reopened = true
		o.end(errAgain)
		<-ctx.Done()
		return ctx.Err()
	}
	o.settled.Store(true)
	return nil
}

// readOn waits until the log is read as far as it goes now.
func (o *owner) readOn(ctx context.Context) error {
	var text string
	// Of commits that are not flushed yet too: their effects can be seen.
	if err := o.d.source.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&text); err != nil {
		return fmt.Errorf("ask the server how far it is: %w", err)
	}
	end, err := wal.ParseLSN(text)
	if err != nil {
		return err
	}
	for o.pipeline.Dirty.ReadTo() < end {
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}
