package pipeline

import (
	"slices"
	"strings"
	"time"

	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Stats is a look at what is owed, for status pages and metrics.
type Stats struct {
	Read         wal.LSN   // end of the last transaction read
	CommitAt     time.Time // when it committed, by the server's clock
	Owed         int
	Paged        int       // of them, those that wait in the store for room in memory; at most, for some may be in both
	Oldest       time.Time // of the oldest debt, scheduled ones aside; zero when nothing is owed
	Claimed      int
	Parked       int
	ByCollection map[string]Owing
	Sweeps       []owed.Sweep // due or running, scheduled ones aside, by collection
	Paused       []Pause
}

// Owing is a collection's part of Stats.
type Owing struct {
	Owed   int `json:"owed"`
	Parked int `json:"parked"`
}

// Pause is a provider that is not asked at the moment, and why.
type Pause struct {
	Provider string    `json:"provider"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
	Systemic bool      `json:"systemic"` // a person has to act; otherwise it is only failing
	Waiting  int       `json:"waiting"`  // documents
}

// Stats looks at everything that is owed. Its cost grows with the number of debts.
func (d *Dirty) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	s := Stats{Read: d.read, CommitAt: d.commitAt, Owed: len(d.debts) + d.paging.rows, Paged: d.paging.rows, Parked: len(d.parked), ByCollection: map[string]Owing{}}
	for key, one := range d.debts {
		if s.Oldest.IsZero() || one.Since.Before(s.Oldest) {
			s.Oldest = one.Since
		}
		if one.state == claimed {
			s.Claimed++
		}
		c := s.ByCollection[key.Collection]
		c.Owed++
		s.ByCollection[key.Collection] = c
	}
	for key := range d.parked {
		c := s.ByCollection[key.Collection]
		c.Parked++
		s.ByCollection[key.Collection] = c
	}
	for _, one := range d.sweeps {
		if !one.scheduled(now) {
			s.Sweeps = append(s.Sweeps, one.Sweep)
		}
	}
	slices.SortFunc(s.Sweeps, func(a, b owed.Sweep) int { return strings.Compare(a.Collection, b.Collection) })
	return s
}

// ReadTo returns the end of the last transaction read.
func (d *Dirty) ReadTo() wal.LSN {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read
}

// OwedSince says whether anything that was marked at or before t is still owed, sweeps included, and the documents that
// one has marked since: it may have been owed before. Held sweeps and parked documents wait for a person and do not count.
func (d *Dirty) OwedSince(t time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paging.rows > 0 {
		return true
	}
	for _, one := range d.debts {
		if one.older || one.swept || !one.Since.After(t) {
			return true
		}
	}
	for _, s := range d.sweeps {
		if s.Held == 0 && !s.Since.After(t) {
			return true
		}
	}
	return false
}

// waiting counts the debts that wait for a provider.
func (d *Dirty) waiting(provider string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.blocked[provider]; q != nil {
		return q.n
	}
	return 0
}
