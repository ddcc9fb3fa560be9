package pipeline

import (
	"context"
	"sync"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Dirty is the set of documents that owe: fair (first marked, first claimed; live changes before swept ones), stingy
// (a document marked many times is claimed once), one claim per document at a time. It also knows how far the log has
// been read, so that a checkpoint is one consistent look at both. All methods are safe for concurrent use and none
// waits for anything outside but Take.
type Dirty struct {
	holdFor time.Duration

	mu      sync.Mutex
	debts   map[document.Key]*debt // every key here is in the log after the checkpoint, or saved with it
	paging  paging                 // debts that only the store has
	live    queue                  // ready debts, in order
	swept   queue                  // ready debts that only a sweep, or a row that they show, marked
	shown   queue                  // ready hints of rows that documents show
	later   dueHeap                // debts that wait for their time
	blocked map[string]*queue      // debts that wait for a provider, by its name
	inHand  map[document.Key]*debt // claimed
	sweeps  map[string]*sweep      // by collection; "" is everything
	parked  map[document.Key]owed.Parked
	behind  bool         // far behind the log's end: more marks of the same documents are about to be read
	seen    wal.Snapshot // newest snapshot known: transactions it sees need not be remembered
	deleted deletions
	freed   freed
	owing   int // debts a sweep made, not yet paid: what bounds a sweep's pace

	read     wal.LSN // end of the last transaction whose marks are all in debts
	commitAt time.Time
	unsaved  unsaved

	waiters int
	news    bool          // since the last announcement something may have become possible for a waiter
	wake    chan struct{} // closed and replaced when something became ready
}

// debt is an owed document and where it is in its life.
type debt struct {
	owed.Debt
	state  state
	queue  *queue // the list it is in, when ready or blocked
	prev   *debt
	next   *debt
	heap   int  // index in later, when there
	swept  bool // only sweeps marked it so far
	stored bool // the store may have a row for it
	older  bool // made while the store had rows that are not in memory: its own may say more
	probe  string
	after  aftermath
}

// aftermath is what was marked while the debt was claimed: all that remains of it once the claim is settled.
type aftermath struct {
	strength owed.Strength // zero: nothing was marked
	xids     []wal.XID
	since    time.Time
	swept    bool
}

type state uint8

const (
	ready state = iota
	later
	claimed
	blocked
)

// Marks is what one transaction, or a part of a very large one, owes.
type Marks struct {
	Keys     []document.Key
	Strength owed.Strength // zero is Look
	XID      wal.XID       // zero when there is nothing to wait for
	Sweeps   []SweepMark
	End      wal.LSN // commit-end LSN, when these are the last marks of the transaction; else zero
	At       time.Time
	since    time.Time // of the hint whose documents these are; zero is now
}

// NewDirty returns an empty set. While reading is far behind, claims are held for holdFor (zero is 10 s) after their
// first mark, so that a document changed a hundred times in the backlog is looked at once.
func NewDirty(holdFor time.Duration) *Dirty {
	if holdFor == 0 {
		holdFor = 10 * time.Second
	}
	return &Dirty{
		holdFor: holdFor,
		debts:   map[document.Key]*debt{},
		blocked: map[string]*queue{},
		inHand:  map[document.Key]*debt{},
		sweeps:  map[string]*sweep{},
		parked:  map[document.Key]owed.Parked{},
		unsaved: newUnsaved(),
		wake:    make(chan struct{}),
	}
}

// Restore puts a saved checkpoint's debts back. It is called once, before anything else.
func (d *Dirty) Restore(s owed.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.read, d.commitAt = s.Position.LSN, s.CommitAt
	d.paging.rows = s.Paged
	for _, saved := range s.Debts {
		saved.Since, saved.Due = sooner(saved.Since, now), sooner(saved.Due, now.Add(restoredMost))
		one := &debt{Debt: saved, stored: true, older: saved.Merge}
		if one.older {
			d.unsaved.owe(saved.Key) // only the ledger's doubt says so, and its row, if there is one, may say more
		}
		one.Merge = false
		d.debts[saved.Key] = one
		if now.Before(saved.Due) {
			if saved.Strength == owed.Prove && saved.Due.After(d.deleted.until) {
				d.deleted.until = saved.Due // what is in doubt may be a deletion
			}
			d.postpone(one, saved.Due)
		} else {
			one.Due = time.Time{}
			d.enqueue(one)
		}
	}
	for _, saved := range s.Sweeps {
		if saved.Reason != daily {
			saved.Since, saved.Due = sooner(saved.Since, now), sooner(saved.Due, now.Add(restoredMost))
		}
		d.sweeps[saved.Collection] = &sweep{Sweep: saved}
	}
	for _, p := range s.Parked {
		if _, ok := d.debts[p.Key]; ok {
			// A doubt of its ledger tries it again: it is the one or the other.
			d.unsaved.unpark(p.Key)
			d.unsaved.owe(p.Key)
			continue
		}
		d.parked[p.Key] = p
		if p.Blocker != (document.Key{}) {
			d.mark(p.Key, owed.Look, 0, now, false) // the other may have let go just before the crash
		}
	}
	d.announce()
}

// restoredMost is how long a restored debt is put off at most. Times were saved by a clock that may have been wrong;
// whoever comes too early is put off again.
const restoredMost = 10 * time.Minute

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Mark records that documents may owe. When m.End is set, everything up to it has been read and marked: the next
// checkpoint may save it. Marking is always safe.
func (d *Dirty) Mark(m Marks) {
	if m.Strength == 0 {
		m.Strength = owed.Look
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	since := now
	if !m.since.IsZero() {
		since = m.since
	}
	for _, key := range m.Keys {
		d.mark(key, m.Strength, m.XID, since, false)
	}
	for _, s := range m.Sweeps {
		d.markSweep(s, m.XID, now)
	}
	if len(m.Keys) > 0 || len(m.Sweeps) > 0 {
		d.unsaved.touched = true
	}
	if m.End > d.read {
		d.read, d.commitAt = m.End, m.At
	}
	// In a backlog most transactions mark what is marked already: waking everybody for each would cost more than
	// reading it.
	if d.news || len(m.Sweeps) > 0 {
		d.announce()
	}
}

// Idle records that the log holds nothing of ours up to end: a keepalive's LSN with no transaction half read.
func (d *Dirty) Idle(end wal.LSN) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if end > d.read {
		d.read = end
	}
}

// mark is the one way into debts. d.mu is held.
func (d *Dirty) mark(key document.Key, strength owed.Strength, xid wal.XID, now time.Time, swept bool) {
	if xid != 0 && d.seen.Sees(xid) {
		xid = 0
	}
	if _, ok := d.parked[key]; ok {
		delete(d.parked, key)
		d.unsaved.unpark(key)
	}
	one := d.debts[key]
	if one == nil {
		one = &debt{Debt: owed.Debt{Key: key, Strength: strength, Since: now, Version: 1}, swept: swept}
		if xid != 0 {
			one.XIDs = append(one.XIDs, xid)
		}
		if swept {
			d.owing++
		}
		_, one.stored = d.unsaved.paid[key] // an older debt's row, not yet taken out
		one.older = d.paging.rows > 0
		one.stored = one.stored || one.older
		d.debts[key] = one
		d.unsaved.owe(key)
		d.enqueue(one)
		return
	}
	one.Version++
	if strength > one.Strength {
		one.Strength = strength
		d.unsaved.owe(key)
	}
	if d.addXID(&one.XIDs, xid) {
		d.unsaved.owe(key)
	}
	if one.swept && !swept {
		one.swept = false
		d.owing--
		d.news = true // room for a sweep
		if one.state == ready {
			one.queue.remove(one)
			d.enqueue(one)
		}
	}
	switch one.state {
	case claimed:
		if one.after.strength == 0 {
			one.after = aftermath{since: now, swept: true}
		}
		one.after.strength = max(one.after.strength, strength)
		one.after.swept = one.after.swept && swept
		d.addXID(&one.after.xids, xid)
	case later:
		// A failing document keeps its backoff, however often it is edited; one that only waits to be proven does not.
		if one.Tries == 0 {
			d.later.remove(one)
			one.Due = time.Time{}
			d.enqueue(one)
		}
	case blocked:
		// It may have been unpublished, which needs no embedding: look again.
		if !swept {
			one.queue.remove(one)
			d.enqueue(one)
		}
	case ready:
	}
}

// addXID remembers a transaction that a read must see; forgotten are those that every new snapshot sees.
func (d *Dirty) addXID(xids *[]wal.XID, xid wal.XID) bool {
	if xid == 0 {
		return false
	}
	list := *xids
	if n := len(list); n > 0 && list[n-1] == xid {
		return false
	}
	if len(list) >= 8 {
		list = d.unseen(list)
	}
	*xids = append(list, xid)
	return true
}

func (d *Dirty) unseen(xids []wal.XID) []wal.XID {
	kept := xids[:0]
	for _, x := range xids {
		if !d.seen.Sees(x) {
			kept = append(kept, x)
		}
	}
	return kept
}

// See tells which transactions reads can see from now on.
func (d *Dirty) See(s wal.Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// Of two snapshots taken at nearly the same time neither need be newer; the one that has seen more ids begin
	// serves, for a transaction once visible stays visible.
	if s.Xmax > d.seen.Xmax || s.Xmax == d.seen.Xmax && s.Xmin >= d.seen.Xmin {
		d.seen = s
	}
}

// SetBehind says whether much of the log is still unread.
func (d *Dirty) SetBehind(behind bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.behind && !behind {
		d.behind = false
		d.announce()
	}
	d.behind = behind
}

// enqueue makes a debt ready. d.mu is held.
func (d *Dirty) enqueue(one *debt) {
	one.state = ready
	delete(d.inHand, one.Key)
	q := &d.live
	switch {
	case one.Key.Shown():
		q = &d.shown
	case one.swept:
		q = &d.swept
	}
	// Whoever waits although the queue is not empty waits for its head, which is older.
	d.news = d.news || q.head == nil
	q.push(one)
}

// postpone makes a claimed or restored debt wait. d.mu is held.
func (d *Dirty) postpone(one *debt, until time.Time) {
	if one.after.strength != 0 && one.Tries == 0 {
		one.after = aftermath{}
		d.enqueue(one)
		return
	}
	one.after = aftermath{}
	one.Due = until
	one.state = later
	delete(d.inHand, one.Key)
	d.later.add(one)
}

// announce wakes whoever waits. d.mu is held.
func (d *Dirty) announce() {
	d.news = false
	if d.waiters > 0 {
		close(d.wake)
		d.wake = make(chan struct{})
	}
}

// waitLocked gives up d.mu and waits until t (for ever, when zero), an announcement, or the context's end.
func (d *Dirty) waitLocked(ctx context.Context, t time.Time) error {
	wake := d.wake
	d.waiters++
	d.mu.Unlock()
	err := sleepUntil(ctx, t, wake)
	d.mu.Lock()
	d.waiters--
	d.mu.Unlock()
	return err
}

// sleepUntil waits for the time (never, when zero), the wake channel or the context's end.
func sleepUntil(ctx context.Context, t time.Time, wake <-chan struct{}) error {
	var timeout <-chan time.Time
	if !t.IsZero() {
		timer := time.NewTimer(time.Until(t))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
	case <-timeout:
	}
	return nil
}
