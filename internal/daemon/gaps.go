package daemon

import (
	"context"
	"errors"
	"strings"

	"payload-cdc/internal/index"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
)

// gaps compares the state with the slot, the server and the index's owner record. It sets the state right, and returns
// the sweeps that are owed for what may have been missed.
func (o *owner) gaps(ctx context.Context, state *owed.State) ([]pipeline.SweepMark, error) {
	d, ready, p := o.d, o.ready, &state.Position
	from := ready.slot.ConfirmedLSN
	history := p.System != "" && (p.System != ready.server.System || p.Timeline != ready.server.Timeline)
	var reasons []string
	gap := func(broken bool, reason string) {
		if broken {
			reasons = append(reasons, reason)
		}
	}
	switch {
	case state.Fresh:
		p.LSN = from
	case p.System != "" && p.System != ready.server.System:
		gap(true, "the state was saved by another database system")
		p.LSN = from
	case p.LSN > ready.server.Flushed:
		gap(true, "the checkpoint is ahead of the database's log: it was restored, or failed over")
		p.LSN = from
	default:
		gap(ready.created, "the slot is new")
		gap(!ready.created && from > p.LSN, "the slot was confirmed beyond the checkpoint: somebody advanced it, or made it anew")
		gap(!ready.created && p.Slot == d.cfg.Slot && from < p.SlotPoint, "the slot is older than the one that was made here: it was replaced, or the database restored")
		gap(history, "the database is on another timeline: it failed over")
		p.LSN = max(p.LSN, from)
	}
	switch {
	case ready.created:
		p.SlotPoint = ready.point
	case p.Slot != d.cfg.Slot || from < p.SlotPoint:
		p.SlotPoint = 0 // unknown
	}
	o.began = p.LSN
	var record index.Owner
	if d.index.admitted() {
		asking, cancel := context.WithTimeout(ctx, askPatience)
		var err error
		record, err = o.compare(asking)
		cancel()
		if errors.Is(err, ErrOwner) {
			return nil, err
		}
		if err != nil {
			d.log.Warn("the index does not say how far it has come; it is asked again", "err", err)
		}
	}
	switch {
	case !state.Fresh:
		gap(record.LSN > o.began && len(reasons) == 0, indexAhead)
	default:
		gap(d.lost(record), stateLost)
	}
	if len(reasons) > 0 && d.cfg.OnGap == Stop && record.LSN != adopted {
		return nil, stopped(strings.Join(reasons, "; "))
	}
	if state.Fresh && len(reasons) == 0 {
		d.log.Info("first start: everything published will be indexed, and what is in the index is looked through")
		return []pipeline.SweepMark{{Strength: owed.Prove, Reason: "first start"}}, nil
	}
	if history {
		// Transaction ids of another history mean nothing here.
		for i := range state.Debts {
			state.Debts[i].XIDs, state.Debts[i].Strength = nil, owed.Prove
		}
		for i := range state.Sweeps {
			state.Sweeps[i].XIDs = nil
		}
	}
	if len(reasons) == 0 {
		return nil, nil
	}
	reason := strings.Join(reasons, "; ")
	mark := pipeline.SweepMark{Strength: owed.Prove, Reason: reason}
	if history || state.Fresh {
		// The ledger may have forgotten writes that are on the wire, and so cannot tell when they have arrived: what is
		// compared before that is not compared for good.
		mark.Delay = pipeline.Horizon(d.cfg.IndexTimeout)
	}
	d.log.Warn("changes may have been missed: everything is compared with the index", "reason", reason, "in", mark.Delay)
	return []pipeline.SweepMark{mark}, nil
}
