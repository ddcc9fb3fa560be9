package pipeline

import (
	"context"
	"slices"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// How long after it was held a sweep counts again: at first, and at most.
const (
	heldFirst = 10 * time.Second
	heldMost  = time.Hour
)

// debounceMost bounds how long a sweep that is marked again and again is put off.
const debounceMost = time.Minute

// SweepMark owes a sweep of a collection, or of everything when Collection is empty.
type SweepMark struct {
	Collection string
	Strength   owed.Strength
	Reason     string        // for people
	Delay      time.Duration // wait this long for more marks of the same sweep
	Force      bool          // absent documents are marked however many they are
	listed     bool          // the index's listing is already in the ledger
	since      time.Time     // of the debt that this one follows from; zero is now
}

// daily is the reason of a sweep that nothing but its date owes.
const daily = "daily"

// sweep is an owed sweep and whether it runs.
type sweep struct {
	owed.Sweep
	running bool
	stale   bool // marked while running: it begins again
	listed  bool
	tries   int // failed ones in a row
	holds   int // how often it was found to be held, in a row
}

// scheduled says that the sweep is not owed yet: it only has a date.
func (s *sweep) scheduled(now time.Time) bool { return s.Since.After(now) }

// begin resets the sweep to its first stage.
func (s *sweep) begin() {
	s.Stage, s.Cursor, s.Held, s.stale = owed.Marking, "", 0, false
	if s.Strength == owed.Prove && !s.listed {
		s.Stage = owed.Listing
	}
}

// Sweep owes sweeps.
func (d *Dirty) Sweep(marks ...SweepMark) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range marks {
		d.markSweep(m, 0, time.Now())
	}
	d.announce()
}

// markSweep is the one way into sweeps. d.mu is held.
func (d *Dirty) markSweep(m SweepMark, xid wal.XID, now time.Time) {
	if m.Strength == 0 {
		m.Strength = owed.Look
	}
	s := d.sweeps[m.Collection]
	if s == nil || s.scheduled(now) && !s.running {
		generation := int64(0)
		if s != nil {
			generation = s.Generation
		}
		s = &sweep{Sweep: owed.Sweep{
			Collection: m.Collection, Strength: m.Strength, Generation: generation, Since: now, Due: now.Add(m.Delay),
			Reason: m.Reason, Force: m.Force,
		}, listed: m.listed}
		d.sweeps[m.Collection] = s
	} else {
		if m.Strength > s.Strength || m.Strength == owed.Prove && m.Reason != "" {
			s.Reason = m.Reason
		}
		if m.Strength == owed.Prove {
			s.listed = m.listed
		}
		s.Strength = max(s.Strength, m.Strength)
		s.Force = s.Force || m.Force
		// Put off while more marks come, within bounds, and never past what was promised before.
		if due := now.Add(m.Delay); due.Before(s.Due) || s.Due.After(now) && due.Before(s.Since.Add(debounceMost)) {
			s.Due = due
		}
	}
	if !m.since.IsZero() && m.since.Before(s.Since) {
		s.Since = m.since
	}
	s.Generation++
	if xid != 0 && !d.seen.Sees(xid) {
		d.addXID(&s.XIDs, xid)
	}
	// Also while it runs: what is saved from now on must not look half done.
	s.begin()
	s.stale = s.running
	d.unsaved.sweeps[m.Collection] = struct{}{}
}

// schedule gives every collection without a sweep a look sweep at the given distance, and forgets those of collections
// that are no longer indexed.
func (d *Dirty) schedule(collections []string, every time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, c := range collections {
		// A date further off than that was set by a clock that was wrong.
		if s := d.sweeps[c]; s == nil || s.Reason == daily && s.Since.After(now.Add(every)) {
			d.scheduleOne(c, every)
		}
	}
	for c, s := range d.sweeps {
		if c != "" && s.scheduled(now) && !slices.Contains(collections, c) {
			delete(d.sweeps, c)
			d.unsaved.sweeps[c] = struct{}{}
		}
	}
}

func (d *Dirty) scheduleOne(collection string, every time.Duration) {
	at := time.Now().Add(every)
	d.sweeps[collection] = &sweep{Sweep: owed.Sweep{
		Collection: collection, Strength: owed.Look, Since: at, Due: at, Reason: daily, Stage: owed.Marking,
	}}
	d.unsaved.sweeps[collection] = struct{}{}
}

// takeSweep waits for a sweep that is due and claims it. One that is held is due ever more rarely: it may have counted
// documents whose marks had not been read yet.
func (d *Dirty) takeSweep(ctx context.Context) (owed.Sweep, error) {
	for {
		d.mu.Lock()
		now := time.Now()
		var next *sweep
		for _, s := range d.sweeps {
			if next == nil || s.Due.Before(next.Due) {
				next = s
			}
		}
		if next != nil && !now.Before(next.Due) {
			next.running = true
			claimed := next.Sweep
			claimed.XIDs = slices.Clone(next.XIDs)
			d.mu.Unlock()
			return claimed, nil
		}
		var at time.Time
		if next != nil {
			at = next.Due
		}
		if err := d.waitLocked(ctx, at); err != nil {
			return owed.Sweep{}, err
		}
	}
}

// advance marks a page of a running sweep's documents and moves its cursor, as one. It returns false when the sweep
// was marked meanwhile and has to begin again.
func (d *Dirty) advance(s owed.Sweep, keys []document.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, key := range keys {
		d.mark(key, s.Strength, 0, now, true)
	}
	d.announce()
	running := d.sweeps[s.Collection]
	if running == nil || running.stale {
		return false
	}
	running.Stage, running.Cursor, running.Held = s.Stage, s.Cursor, s.Held
	d.unsaved.sweeps[s.Collection] = struct{}{}
	return true
}

// lookAgain marks the documents of a sweep that are in hand. One that was read before what the sweep is owed for may be
// published no longer, and not yet be in the ledger: nothing else would find it once it is written.
func (d *Dirty) lookAgain(s owed.Sweep) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for key := range d.inHand {
		if key.Collection == s.Collection && !key.Shown() {
			d.mark(key, s.Strength, 0, now, true)
		}
	}
}

// endSweep ends a running sweep: done, and scheduled again when every is not zero; or held, when held absent documents
// wait for a person; or begun again, when it was marked meanwhile or failed.
func (d *Dirty) endSweep(s owed.Sweep, held int, every time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	running := d.sweeps[s.Collection]
	if running == nil {
		return
	}
	running.running = false
	if err == nil || running.stale {
		running.tries = 0
	}
	d.unsaved.sweeps[s.Collection] = struct{}{}
	switch {
	case running.stale:
		running.begin()
	case err != nil:
		running.tries++
		running.Due = time.Now().Add(retryDelay(running.tries))
	case held > 0:
		if held != running.Held {
			running.holds = 0
		}
		running.Held = held
		running.Due = time.Now().Add(min(heldFirst<<min(running.holds, 20), heldMost))
		running.holds++
	default:
		delete(d.sweeps, s.Collection)
		if every > 0 {
			d.scheduleOne(s.Collection, every)
		}
	}
	d.announce()
}

// counted keeps the number of published documents that a sweep met.
func (d *Dirty) counted(collection string, published int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsaved.published[collection] = published
}

// room waits until fewer than most documents are owed because of sweeps.
func (d *Dirty) room(ctx context.Context, most int) error {
	for {
		d.mu.Lock()
		if d.owing < most {
			d.mu.Unlock()
			return ctx.Err()
		}
		if err := d.waitLocked(ctx, time.Time{}); err != nil {
			return err
		}
	}
}
