package daemon

import (
	"context"
	"errors"
	"fmt"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/index"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// What Config.OnGap can be: what to do when changes may have been missed.
const (
	Mend = "repair" // compare everything and make it right; the default
	Stop = "stop"   // end, and leave the index as it is
)

// adopted is the position of an owner record that cdc adopt wrote: ahead of any checkpoint.
const adopted = wal.LSN(1)<<63 - 1

// stopped ends the daemon because of what was found.
func stopped(found string) error {
	return &verdict{fmt.Sprintf("stopped by CDC_ON_GAP=stop: changes may have been missed, because %s; "+
		"to go on, start cdc run once with CDC_ON_GAP=repair: everything in the database and in the index is compared and made right", found)}
}

// mayMend says whether a slot that is missing, or of no use, may be made anew: not where a gap is to stop us, for the
// new one would hold back log for nobody.
func (d *Daemon) mayMend(ctx context.Context) error {
	if d.cfg.OnGap != Stop {
		return nil
	}
	position, _, err := checkpoint.Remembered(ctx, d.state, d.cfg.StateSchema)
	if errors.Is(err, checkpoint.ErrNoState) || err == nil && position.LSN == 0 {
		return d.neverBefore(ctx)
	}
	if err != nil {
		return err
	}
	slot, err := replication.InspectSlot(ctx, d.source, d.cfg.Slot)
	if err != nil {
		return fmt.Errorf("look at the slot: %w", err)
	}
	switch {
	case !slot.Exists:
		return stopped(fmt.Sprintf("the slot %s does not exist any more", slot.Name))
	case slot.Lost():
		return stopped(fmt.Sprintf("the server has thrown away log that the slot %s needs (wal_status %s %s)", slot.Name, slot.WALStatus, slot.InvalidationReason))
	case d.renew != nil:
		return stopped(fmt.Sprintf("the slot %s cannot be read on: %s", slot.Name, d.renew))
	}
	return nil
}

// stateLost is why everything is compared when there is no state, and the index has a record of us.
const stateLost = "the state is lost: the index was fed from here before"

// neverBefore says whether this is a first start, as far as the index can tell.
func (d *Daemon) neverBefore(ctx context.Context) error {
	if !d.index.admitted() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	record, found, err := d.index.Owner(ctx)
	if err != nil {
		return fmt.Errorf("ask the index for its owner: %w", err)
	}
	if found && d.lost(record) {
		return stopped(stateLost)
	}
	return nil
}

// lost says whether an owner record that is found beside an empty state means that there was a state.
func (d *Daemon) lost(record index.Owner) bool {
	return record.Slot == d.cfg.Slot && record.LSN != adopted
}
