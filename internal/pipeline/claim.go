package pipeline

import (
	"context"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Claim is one debt in the hands of one worker. It ends with exactly one of Settle, Defer, Wait, Retry, Park or Block.
type Claim struct {
	Key      document.Key
	Strength owed.Strength
	XIDs     []wal.XID // transactions that the read must see
	Since    time.Time
	Tries    int
	Probe    string // the paused provider that this claim may try
	debt     *debt
	older    bool // the store's row may say more: see Dirty.merge
	freed    int  // documents that had let go of a vector id when it was taken
}

// Take waits for at least one ready debt and claims up to n, or returns the context's error. Hints of rows that documents
// show are not among them: see takeShown.
func (d *Dirty) Take(ctx context.Context, n int) ([]Claim, error) {
	return d.takeFrom(ctx, n, &d.live, &d.swept)
}

func (d *Dirty) takeFrom(ctx context.Context, n int, queues ...*queue) ([]Claim, error) {
	for {
		d.mu.Lock()
		now := time.Now()
		d.promote(now)
		claims, next := d.take(n, now, queues)
		if len(claims) > 0 {
			d.mu.Unlock()
			return claims, nil
		}
		if len(d.later) > 0 && (next.IsZero() || d.later[0].Due.Before(next)) {
			next = d.later[0].Due
		}
		if err := d.waitLocked(ctx, next); err != nil {
			return nil, err
		}
	}
}

// take claims what is ready; next is when something held becomes ready. d.mu is held.
func (d *Dirty) take(n int, now time.Time, queues []*queue) (claims []Claim, next time.Time) {
	for _, q := range queues {
		for len(claims) < n && q.head != nil {
			one := q.head
			if free := one.Since.Add(d.holdFor); d.behind && now.Before(free) && one.probe == "" {
				if next.IsZero() || free.Before(next) {
					next = free
				}
				break
			}
			q.remove(one)
			one.state = claimed
			d.inHand[one.Key] = one
			one.after = aftermath{}
			one.XIDs = d.unseen(one.XIDs)
			claims = append(claims, Claim{
				Key: one.Key, Strength: one.Strength, XIDs: append([]wal.XID(nil), one.XIDs...),
				Since: one.Since, Tries: one.Tries, Probe: one.probe, debt: one, older: one.older, freed: d.freed.n,
			})
			one.probe = ""
		}
	}
	return claims, next
}

func (d *Dirty) promote(now time.Time) {
	for len(d.later) > 0 && !now.Before(d.later[0].Due) {
		one := d.later[0]
		d.later.remove(one)
		one.Due = time.Time{}
		d.enqueue(one)
	}
}

// Settle ends a claim whose document is as it should be. What was marked meanwhile is a new debt.
func (d *Dirty) Settle(c Claim) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settle(c.debt)
	d.announce()
}

// settle reports whether the debt is gone. d.mu is held.
func (d *Dirty) settle(one *debt) bool {
	if one.swept {
		d.owing--
	}
	if one.after.strength == 0 {
		delete(d.debts, one.Key)
		delete(d.inHand, one.Key)
		if one.stored {
			d.unsaved.pay(one.Key)
		} else {
			delete(d.unsaved.owed, one.Key)
		}
		return true
	}
	one.Strength, one.XIDs, one.Since, one.swept = one.after.strength, one.after.xids, one.after.since, one.after.swept
	one.after = aftermath{}
	if one.swept {
		d.owing++
	}
	one.Tries, one.Due = 0, time.Time{}
	d.unsaved.owe(one.Key)
	d.enqueue(one)
	return false
}

// Defer ends a claim whose document is as it should be as far as can be known before until: a write of unknown outcome
// may still arrive. The index is asked again then.
func (d *Dirty) Defer(c Claim, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := c.debt
	if one.after.strength != 0 {
		d.settle(one)
		d.announce()
		return // the new claim finds the doubt in the ledger
	}
	if one.swept {
		one.swept = false // it must not slow a sweep down: its own work is done
		d.owing--
	}
	one.Strength, one.XIDs, one.Tries = owed.Prove, nil, 0
	d.unsaved.owe(one.Key)
	d.postpone(one, until)
	d.announce()
}

// Wait returns a claim that cannot be worked on yet, and is not to blame for it.
func (d *Dirty) Wait(c Claim, delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.postpone(c.debt, time.Now().Add(delay))
	d.announce()
}

// Retry returns a claim that failed. It is ready again after delay.
func (d *Dirty) Retry(c Claim, delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.debt.Tries++
	d.postpone(c.debt, time.Now().Add(delay))
	d.unsaved.owe(c.Key)
	d.announce()
}

// Park sets a document aside that cannot be done as it is. A mark that came meanwhile tries it again at once.
func (d *Dirty) Park(c Claim, reason string, blocker document.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if blocker != (document.Key{}) && c.debt.after.strength == 0 && d.freed.since(c.freed, blocker) {
		// It let go before we got to know that it held on.
		c.debt.after = aftermath{strength: c.Strength, since: c.Since, swept: c.debt.swept}
	}
	if d.settle(c.debt) {
		p := owed.Parked{Key: c.Key, Reason: reason, Attempts: c.Tries + 1, Since: time.Now(), Blocker: blocker}
		d.parked[c.Key] = p
		d.unsaved.park(c.Key)
	}
	d.announce()
}

// RetryParked marks parked documents: one of a collection, or all of it when id is empty, or all when both are. It
// returns how many there were.
func (d *Dirty) RetryParked(collection, id string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for key := range d.parked {
		if (collection == "" || key.Collection == collection) && (id == "" || key.ID == id) {
			d.mark(key, owed.Look, 0, time.Now(), false)
			n++
		}
	}
	d.unsaved.touched = d.unsaved.touched || n > 0
	d.announce()
	return n
}

// Freed marks the documents that were parked because blocker held a vector id they need.
func (d *Dirty) Freed(blocker document.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.freed.add(blocker)
	for key, p := range d.parked {
		if p.Blocker == blocker {
			d.mark(key, owed.Look, 0, time.Now(), false)
			d.unsaved.touched = true
		}
	}
	d.announce()
}

// Block returns a claim whose provider is paused. It waits for Unblock, or for a mark.
func (d *Dirty) Block(c Claim, provider string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	one := c.debt
	if one.after.strength != 0 && !one.after.swept {
		one.after = aftermath{}
		d.enqueue(one)
		d.announce()
		return
	}
	q := d.blocked[provider]
	if q == nil {
		q = &queue{}
		d.blocked[provider] = q
	}
	one.state = blocked
	delete(d.inHand, one.Key)
	q.push(one)
}

// Unblock makes the first n debts that wait for provider ready, each allowed to probe it; n < 0 frees all. It returns
// how many there were.
func (d *Dirty) Unblock(provider string, n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.blocked[provider]
	if q == nil {
		return 0
	}
	freed := 0
	for ; q.head != nil && (n < 0 || freed < n); freed++ {
		one := q.head
		q.remove(one)
		if n >= 0 {
			one.probe = provider
		}
		d.enqueue(one)
	}
	d.announce()
	return freed
}
