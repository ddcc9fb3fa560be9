// Package owed is the vocabulary of debts: what the index may not have yet, durable in the checkpoint. A document has
// the chunks it should have, or it owes.
package owed

import (
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// Strength says how a debt is looked into.
type Strength uint8

// Look compares the document with the ledger. Prove asks the index itself first. A stronger mark wins.
const (
	Look Strength = iota + 1
	Prove
)

// String is the word for logs and pages.
func (s Strength) String() string {
	switch s {
	case Look:
		return "look"
	case Prove:
		return "prove"
	default:
		return "none"
	}
}

// Debt is one document (or hint) that owes.
type Debt struct {
	Key      document.Key
	Strength Strength
	Version  int64     // grows with every mark; a settle removes only the version it claimed
	XIDs     []wal.XID // transactions that a read must see; pruned once visible
	Since    time.Time // of the oldest mark still owed
	Due      time.Time // not before; zero is now
	Tries    int       // failed attempts so far
	Merge    bool      // a saved debt of the key may say more than this one, and must not be made weaker by it
}

// Sweep is a debt of a scope: every document of a collection. It marks the union of what the source publishes, what
// the ledger holds and, when proving, what the index lists.
type Sweep struct {
	Collection string
	Strength   Strength
	Generation int64     // grows with every mark of the scope; a sweep that ran under an older one runs again
	XIDs       []wal.XID // transactions that its reads must see
	Since      time.Time
	Due        time.Time // not before; zero is now
	Reason     string    // for people: "first start", "TRUNCATE", …
	Force      bool      // absent documents are never held
	Stage      Stage
	Cursor     string // opaque, within Stage; empty is its beginning
	Held       int    // absent documents that wait for --force; zero when none do
}

// Request is what a person asked for from outside the process that owns the state: a sweep that proves, or that parked
// documents are tried again.
type Request struct {
	ID         int64
	Collection string // empty is everything
	Force      bool   // of a sweep: absent documents are not held, and those that are, are let go
	Parked     bool   // try parked documents again; otherwise sweep
	Document   string // of parked ones: the id of the only one; empty is each of the collection
}

// Stage is how far a sweep has come.
type Stage uint8

// The stages, in order.
const (
	Listing   Stage = iota // the index's own listing goes into the ledger (prove only)
	Marking                // published documents are marked
	Counting               // documents in the ledger that are not published are counted
	Releasing              // and marked, unless they are too many
)

// Parked is a document set aside because it cannot be done as it is. Any new mark tries it again.
type Parked struct {
	Key      document.Key
	Reason   string
	Attempts int
	Since    time.Time
	Blocker  document.Key // the document whose vector id it would share; zero when that is not the reason
}

// String is the word for status pages.
func (s Stage) String() string {
	return [...]string{"listing", "marking", "counting", "releasing"}[min(s, Releasing)]
}
