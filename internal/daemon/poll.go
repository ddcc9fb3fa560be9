package daemon

import (
	"context"
	"time"

	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// retainedWarning is how much log the slot may hold back before we say so, bytes.
const retainedWarning = 1 << 30

// poll looks every second how far the server is and what a person has asked for, and every ten how the slot does and whether tables have changed: for
// lag, for warnings in time, and because the log says nothing of tables that leave the publication or are not in it yet.
func (o *owner) poll(ctx context.Context) {
	d := o.d
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	warned := false
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var end string
		if err := d.source.QueryRow(ctx, "SELECT pg_current_wal_flush_lsn()::text").Scan(&end); err == nil {
			if lsn, err := wal.ParseLSN(end); err == nil {
				d.flushed.Store(uint64(lsn))
			}
		}
		if err := o.answer(ctx); err != nil {
			d.log.Debug("requests could not be answered", "err", err)
		}
		if n%10 != 0 {
			continue
		}
		slot, err := replication.InspectSlot(ctx, d.source, d.cfg.Slot)
		if err != nil {
			continue // the stream will tell
		}
		d.setSlot(slot)
		if again, err := o.changed(ctx); err != nil {
			d.log.Debug("the tables could not be looked at", "err", err)
		} else if again {
			o.end(errAgain)
			return
		}
		bad := slot.RetainedBytes > retainedWarning || slot.WALStatus == "unreserved"
		if bad && !warned {
			d.log.Warn("the slot holds back much of the server's log; if it fills the disk, or max_slot_wal_keep_size, the slot is lost",
				"slot", slot.Name, "retained_mib", slot.RetainedBytes>>20, "wal_status", slot.WALStatus)
		}
		warned = bad
	}
}

// observe counts what became of a document.
func (d *Daemon) observe(o pipeline.Outcome) {
	d.metrics.Outcome(o.Key.Collection, o.Kind.String(), o.Took, o.Written, o.Deleted, o.Tokens)
}
