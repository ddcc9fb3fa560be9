package pipeline

import (
	"maps"
	"slices"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

// unsaved names what differs from the store: only names, for what is saved is what is true at the moment of saving.
type unsaved struct {
	touched   bool // something of ours was read: worth saving the position for
	owed      map[document.Key]struct{}
	paid      map[document.Key]struct{} // the store may have a row, and must not
	parked    map[document.Key]struct{} // parked or no longer parked
	sweeps    map[string]struct{}       // changed or done
	published map[string]int
}

func newUnsaved() unsaved {
	return unsaved{
		owed: map[document.Key]struct{}{}, paid: map[document.Key]struct{}{}, parked: map[document.Key]struct{}{},
		sweeps: map[string]struct{}{}, published: map[string]int{},
	}
}

func (u *unsaved) owe(key document.Key) {
	u.owed[key] = struct{}{}
	delete(u.paid, key)
}

func (u *unsaved) pay(key document.Key) {
	u.paid[key] = struct{}{}
	delete(u.owed, key)
}

func (u *unsaved) park(key document.Key)   { u.parked[key] = struct{}{} }
func (u *unsaved) unpark(key document.Key) { u.parked[key] = struct{}{} }

func (u *unsaved) empty() bool {
	return !u.touched && len(u.owed)+len(u.paid)+len(u.parked)+len(u.sweeps)+len(u.published) == 0
}

// Capture is the checkpoint at this moment: the end of the last transaction read, and what changed since the last
// capture of all that is owed. worth is false when saving it would only move an idle position. It ends with Captured
// or Uncapture.
func (d *Dirty) Capture() (delta owed.Delta, worth bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.unsaved
	delta = owed.Delta{LSN: d.read, CommitAt: d.commitAt, Paid: slices.Collect(maps.Keys(u.paid))}
	for key := range u.owed {
		one := d.debts[key]
		if one == nil {
			continue
		}
		// From here on the store may have its row, whatever becomes of the save.
		one.stored = true
		saved := one.Debt
		saved.Merge = one.older
		saved.XIDs = slices.Clone(d.unseen(one.XIDs))
		delta.Owe = append(delta.Owe, saved)
	}
	for key := range u.parked {
		if p, ok := d.parked[key]; ok {
			delta.Park = append(delta.Park, p)
		} else {
			delta.Unpark = append(delta.Unpark, key)
		}
	}
	for scope := range u.sweeps {
		if s, ok := d.sweeps[scope]; ok {
			saved := s.Sweep
			saved.XIDs = slices.Clone(s.XIDs)
			delta.Sweeps = append(delta.Sweeps, saved)
		} else {
			delta.Swept = append(delta.Swept, scope)
		}
	}
	if len(u.published) > 0 {
		delta.Published = u.published
	}
	worth = !u.empty()
	d.unsaved = newUnsaved()
	return delta, worth
}

// Uncapture takes back a capture whose save failed, or whose outcome is unknown: all of it is saved again.
func (d *Dirty) Uncapture(delta owed.Delta) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsaved.touched = true
	again := func(key document.Key) {
		if one, ok := d.debts[key]; ok {
			one.stored = true // it may be a newer debt than the one that was being saved
			d.unsaved.owe(key)
		} else {
			d.unsaved.pay(key)
		}
	}
	for _, debt := range delta.Owe {
		again(debt.Key)
	}
	for _, key := range delta.Paid {
		again(key)
	}
	for _, p := range delta.Park {
		d.unsaved.park(p.Key)
	}
	for _, key := range delta.Unpark {
		d.unsaved.unpark(key)
	}
	for _, s := range delta.Sweeps {
		d.unsaved.sweeps[s.Collection] = struct{}{}
	}
	for _, scope := range delta.Swept {
		d.unsaved.sweeps[scope] = struct{}{}
	}
	for collection, n := range delta.Published {
		if _, newer := d.unsaved.published[collection]; !newer {
			d.unsaved.published[collection] = n
		}
	}
}
