package pipeline

import (
	"context"
	"maps"
	"slices"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

// Page makes room for most debts and uses what there is, with a store that holds rows in the order of their keys.
func (d *Dirty) Page(most int, rows []owed.Debt) {
	d.evict(most)
	after, n := d.wants(most)
	if n == 0 {
		return
	}
	var page []owed.Debt
	for _, row := range rows {
		if row.Key.String() > after.String() && len(page) < n {
			page = append(page, row)
		}
	}
	d.refill(page, len(page) < n)
}

// Merge does what a reconciler does with claims before it works on them.
func (d *Dirty) Merge(claims []Claim, rows map[document.Key]owed.Debt) { d.merge(claims, rows) }

// InHand is how many documents are being worked on.
func (p *Pipeline) InHand() int { return len(p.reconciler.slots) }

// Parked lists the documents set aside, in no order.
func (d *Dirty) Parked() []owed.Parked {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.parked))
}

// TakeShown is takeShown.
func (d *Dirty) TakeShown(ctx context.Context) (Claim, error) { return d.takeShown(ctx) }
