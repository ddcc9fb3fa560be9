package owed

import (
	"errors"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// ErrFenced is returned by every write to the state once a newer instance has taken it over. Whoever gets it stops.
var ErrFenced = errors.New("another instance has taken over the state")

// Intent announces vector ids that may be written or deleted for a document.
type Intent struct {
	Key document.Key
	IDs []string
}

// Conflict is a vector id that a document asked for and another one holds.
type Conflict struct {
	Key      document.Key
	VectorID string
	Owner    document.Key
}

// Holding is what is now known of the vectors of a document. Lines that it does not name stay as they are.
type Holding struct {
	Key  document.Key
	Held []document.Held
	Gone []string // ids that the index does not hold and that nothing can bring back
}

// Delta is what changed since the last checkpoint was saved. Applying it twice is harmless.
type Delta struct {
	LSN       wal.LSN   // end of the last transaction read; zero leaves the saved one
	CommitAt  time.Time // when that transaction committed, by the server's clock; zero when unknown
	Owe       []Debt    // new or changed
	Paid      []document.Key
	Sweeps    []Sweep  // new or changed
	Swept     []string // collections whose sweep is done
	Park      []Parked
	Unpark    []document.Key
	Published map[string]int // published documents a sweep counted, by collection
}

// State is all that a checkpoint holds, as it is read at start.
type State struct {
	Fresh        bool // nothing was ever saved: the index may hold anything
	Epoch        int64
	Position     wal.Position
	CommitAt     time.Time
	SavedAt      time.Time
	Debts        []Debt // intents of older epochs included, as prove debts due when their write can no longer arrive
	Paged        int    // further debts that were left in the store: the Debts are the oldest ones
	Sweeps       []Sweep
	Parked       []Parked
	Fingerprints map[string]string // by collection, of all that decides its chunks
}
