package pipeline

import (
	"time"

	"payload-cdc/internal/document"
)

// freed remembers the documents that let go of a vector id lately.
type freed struct {
	n    int // so far
	last [64]document.Key
}

func (f *freed) add(key document.Key) {
	f.last[f.n%len(f.last)] = key
	f.n++
}

// since says whether the document may have been among those after the first n.
func (f *freed) since(n int, key document.Key) bool {
	for ; n < f.n; n++ {
		if f.n-n > len(f.last) || f.last[n%len(f.last)] == key {
			return true
		}
	}
	return false
}

// deletions tells a listing whether it was disturbed.
type deletions struct {
	n     int64     // begun or ended
	until time.Time // one of unknown outcome can still arrive until then
}

// deleting counts the beginning or the end of a deletion in the index; doubt is until when one whose outcome is
// unknown can still arrive.
func (d *Dirty) deleting(doubt time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deleted.n++
	if doubt.After(d.deleted.until) {
		d.deleted.until = doubt
	}
}

// deletions returns the count, and whether none of unknown outcome can still arrive.
func (d *Dirty) deletions() (n int64, settled bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.deleted.n, !time.Now().Before(d.deleted.until)
}

// deletionsSettle is when the last deletion of unknown outcome can no longer arrive, at least a second from now.
func (d *Dirty) deletionsSettle() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if soon := time.Now().Add(time.Second); d.deleted.until.Before(soon) {
		return soon
	}
	return d.deleted.until
}
