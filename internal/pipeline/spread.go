package pipeline

import (
	"context"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

// spreaders is how many hints of rows that documents show are spread at once. One may reach a hundred thousand
// documents and waits for room most of the time, so it takes neither a reader nor a slot from the others.
const spreaders = 2

// spread works off hints of rows that documents show until ctx ends. A hint that is not spread to its end stays owed, and
// is spread again from its beginning.
func (r *Reconciler) spread(ctx context.Context) {
	for {
		c, err := r.dirty.takeShown(ctx)
		if err != nil {
			return
		}
		claims := []Claim{c}
		if c.older {
			err = r.learnFrom(ctx, claims)
		}
		if err == nil {
			err = r.spreadOne(ctx, claims[0])
		}
		if err != nil {
			if ctx.Err() == nil {
				r.log.Warn("read of what shows a changed row failed", "key", c.Key.String(), "err", err)
			}
			r.failed(&work{claim: c}, err, nil)
		}
	}
}

// spreadOne marks every document that shows the claim's row, page by page at the pace at which they are reconciled, and
// then settles the claim. Dying in between repeats pages; settling first would lose them.
func (r *Reconciler) spreadOne(ctx context.Context, c Claim) error {
	marked := 0
	for cursor := ""; ; {
		keys, next, visible, err := r.showing(ctx, c, cursor)
		if err != nil {
			return err
		}
		if !visible {
			r.dirty.Wait(c, visibleDelay(c))
			return nil
		}
		if cursor == "" {
			// What is in hand may have been read before the change, and need not show the row any more: a reference can go
			// with its row, and name nobody.
			r.dirty.lookAgain(owed.Sweep{Collection: c.Key.Collection, Strength: c.Strength})
		}
		if err := r.dirty.room(ctx, r.cfg.SweepRoom); err != nil {
			return err
		}
		r.dirty.markShowing(c, keys)
		marked += len(keys)
		if next == "" {
			r.dirty.Settle(c)
			if marked > r.cfg.SweepPage { // few are not worth a line
				r.log.Info("documents that show a changed row are owed", "key", c.Key.String(), "documents", marked)
			}
			return nil
		}
		cursor = next
	}
}

// showing reads a page of the documents that show the claim's row. visible says whether reads can see the transactions
// that changed it: before, a document would be read as it was.
func (r *Reconciler) showing(ctx context.Context, c Claim, cursor string) (keys []document.Key, next string, visible bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, r.cfg.ReadTimeout)
	defer cancel()
	keys, next, snapshot, err := r.cfg.Source.Showing(bounded, c.Key, cursor, r.cfg.SweepPage)
	if err != nil {
		return nil, "", false, err
	}
	r.dirty.See(snapshot)
	return keys, next, seesAll(snapshot, c.XIDs), nil
}

// takeShown waits for a ready hint of a row that documents show, and claims it.
func (d *Dirty) takeShown(ctx context.Context) (Claim, error) {
	claims, err := d.takeFrom(ctx, 1, &d.shown)
	if err != nil {
		return Claim{}, err
	}
	return claims[0], nil
}

// markShowing marks a page of the documents that show a claim's row. They owe as long as it does; like a sweep's they come
// after live changes.
func (d *Dirty) markShowing(c Claim, keys []document.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		d.mark(key, c.Strength, 0, c.Since, true)
	}
	d.announce()
}
