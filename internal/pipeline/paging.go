package pipeline

import (
	"context"
	"slices"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

// paging is what a Dirty knows of the debts that only the store has. A debt leaves memory once its row is saved. A mark
// of its document makes a new debt, which learns what its row says before anybody works on it. When there is room
// again the rows are read back, page by page in the order of their keys, round and round, until a whole round has found
// each of them in memory. The store loses a row only when its debt is paid.
type paging struct {
	rows    int          // about so many are in the store alone; only zero is exact
	after   document.Key // where the round is
	evicted bool         // debts left memory since the round began: another one is needed
}

// paged says whether the store has debts that memory has not.
func (d *Dirty) paged() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paging.rows > 0
}

// crowded says whether memory holds clearly more debts than most.
func (d *Dirty) crowded(most int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.debts) > most+most/4
}

// evict takes debts out of memory until there are few enough. No save is under way: what is not in unsaved is in the
// store as it is here. Those that wait for a provider go first, for nothing can be done about them; then the newest
// ones. Those in hand, those with a date and those that a sweep counts on stay.
func (d *Dirty) evict(most int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.debts) <= most {
		return
	}
	most -= most / 4 // or the next mark would have us here again
	for _, q := range d.blocked {
		d.evictFrom(q, most)
	}
	d.evictFrom(&d.live, most)
	d.evictFrom(&d.shown, most)
	d.announce()
}

func (d *Dirty) evictFrom(q *queue, most int) {
	for one := q.tail; one != nil && len(d.debts) > most; {
		before := one.prev
		if _, unsaved := d.unsaved.owed[one.Key]; one.stored && !unsaved && !one.swept {
			q.remove(one)
			delete(d.debts, one.Key)
			d.paging.rows++
			d.paging.evicted = true
		}
		one = before
	}
}

// wants says how many debts there is room for, and after which key they are; none while memory is more than half full,
// or the store has none of its own.
func (d *Dirty) wants(most int) (after document.Key, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paging.rows == 0 || len(d.debts) > most/2 {
		return document.Key{}, 0
	}
	if d.paging.after == (document.Key{}) {
		d.paging.evicted = false
	}
	return d.paging.after, max(most-most/4-len(d.debts), 1)
}

// refill puts a page of the store's debts back into memory; last says that it was the round's last. No save is under way.
func (d *Dirty) refill(page []owed.Debt, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, saved := range page {
		d.paging.after = saved.Key
		if _, paid := d.unsaved.paid[saved.Key]; paid || d.debts[saved.Key] != nil {
			continue // the row is about to go, or is that debt's own
		}
		saved.Since, saved.Due = sooner(saved.Since, now), time.Time{} // whoever comes too early is put off again
		one := &debt{Debt: saved, stored: true}
		d.debts[saved.Key] = one
		d.paging.rows--
		d.enqueue(one)
	}
	d.paging.rows = max(d.paging.rows, 1)
	if last {
		d.paging.after = document.Key{}
		if !d.paging.evicted {
			d.paging.rows = 0 // each row has been met, and its debt is in memory
		}
	}
	d.announce()
}

// recount learns how many debts are saved: one that was marked again after it had left memory was counted twice.
func (d *Dirty) recount(saved int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paging.rows > 0 {
		d.paging.rows = max(saved-len(d.debts), 1)
	}
}

// merge learns what the rows of claimed debts say that were marked while only the store had them.
func (d *Dirty) merge(claims []Claim, rows map[document.Key]owed.Debt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range claims {
		c := &claims[i]
		one := c.debt
		if row, ok := rows[c.Key]; ok && one.older {
			one.Strength = max(one.Strength, row.Strength)
			one.Since = sooner(one.Since, row.Since)
			for _, x := range row.XIDs {
				if !d.seen.Sees(x) && !slices.Contains(one.XIDs, x) {
					one.XIDs = append(one.XIDs, x)
				}
			}
			d.unsaved.owe(c.Key)
		}
		one.older = false
		c.Strength, c.Since, c.XIDs, c.older = one.Strength, one.Since, slices.Clone(one.XIDs), false
	}
}

// learn merges claims with what the store says of them, where that may be more. It returns those that can be worked on.
func (r *Reconciler) learn(ctx context.Context, claims []Claim) []Claim {
	var older, rest []Claim
	for _, c := range claims {
		if c.older {
			older = append(older, c)
		} else {
			rest = append(rest, c)
		}
	}
	if len(older) == 0 {
		return claims
	}
	if err := r.learnFrom(ctx, older); err != nil {
		r.sourceFailed(ctx, older, err, r.batch)
		return rest
	}
	return append(rest, older...)
}

func (r *Reconciler) learnFrom(ctx context.Context, older []Claim) error {
	bounded, cancel := context.WithTimeout(ctx, r.cfg.ReadTimeout)
	defer cancel()
	rows, err := r.cfg.Store.FindOwed(bounded, keysOf(older))
	if err == nil {
		r.dirty.merge(older, rows)
	}
	return err
}

// page makes room in memory after a save, and uses what there is. A store that does not answer leaves the debts where
// they are, which is safe, and is asked again after the next save.
func (s *Saver) page(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty.evict(s.cfg.MaxOwed)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ReadTimeout)
	defer cancel()
	after, n := s.dirty.wants(s.cfg.MaxOwed)
	if n > 0 {
		debts, err := s.cfg.Store.Owed(ctx, after, n)
		if err != nil {
			if ctx.Err() == nil {
				s.log.Warn("owed documents cannot be read back from the state; they stay there until they can", "err", err)
			}
			return
		}
		s.dirty.refill(debts, len(debts) < n)
	}
	if s.dirty.paged() && time.Since(s.counted) > countEvery {
		s.counted = time.Now()
		if rows, err := s.cfg.Store.CountOwed(ctx); err == nil {
			s.dirty.recount(rows)
		}
	}
}

// countEvery is how often the store's debts are counted while memory does not hold them all.
const countEvery = 30 * time.Second

// MakeRoom saves a checkpoint when memory holds too many debts, so that some can leave it. It is for whoever reads the
// log: a transaction of any size fits then.
func (p *Pipeline) MakeRoom(ctx context.Context) error {
	if !p.Dirty.crowded(p.cfg.MaxOwed) {
		return nil
	}
	if err := p.saver.save(ctx, true); err != nil {
		return err
	}
	p.saver.page(ctx)
	return nil
}
