// Package index says what a vector index has to promise, whoever keeps it: its adapters are in the packages below, and
// package indextest holds each of them to it.
//
// The one invariant: an adapter never sends a write again whose outcome it does not know. It returns the error, not
// rejected, and the caller writes the doubt down; a repeat behind the caller's back could arrive after a later write.
package index

import (
	"context"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// Index holds vectors by id, in namespaces of one provider: its own, and those that ids are joined with (document.Join).
// Safe for concurrent use. Errors are classified by package failure; one that is not Rejected leaves open whether the write, or a part of it, was or will be applied.
// Acknowledged writes are seen by every later Fetch and List.
type Index interface {
	// Upsert replaces whole vectors. A vector that no index could hold is a permanent error before anything is sent.
	Upsert(ctx context.Context, vectors []document.Vector) error
	// Delete removes those of ids that exist.
	Delete(ctx context.Context, ids []string) error
	// Fetch returns what is held under those of ids that exist, in any order. Metadata that is not ours comes as far
	// as it can be understood, see ReadMetadata.
	Fetch(ctx context.Context, ids []string) ([]document.Stored, error)
	// List pages through everything held, in its own namespace and in those it was told of. An empty cursor begins, an
	// empty next ends. Vectors written or deleted meanwhile may be missed or repeated.
	List(ctx context.Context, cursor string, n int) (page []document.Stored, next string, err error)

	// Check compares the index with the configuration. What does not fit is a systemic error with a remedy.
	Check(ctx context.Context) error
	// Owner returns who keeps the namespace, if anyone ever did.
	Owner(ctx context.Context) (Owner, bool, error)
	// SetOwner replaces the owner.
	SetOwner(ctx context.Context, o Owner) error
	// Close releases connections.
	Close()
}

// Keeper is an Index that gives values back.
type Keeper interface {
	// Values returns the values held under those of ids that exist, each with what its metadata say it was made of.
	Values(ctx context.Context, ids []string) (map[string]document.Kept, error)
}

// Counter is an Index that knows, without listing it, how many vectors its namespace holds. One whose acknowledged
// writes are counted later counts those too that are still on their way.
type Counter interface {
	Count(ctx context.Context) (int, error)
}

// Owner is who keeps an index namespace, and how far it came. It is kept in the index itself, outside the namespace:
// it is there to be found by someone who has lost, or never had, the state.
type Owner struct {
	System string // Postgres' system identifier; of several, when the namespaces have different owners, all of them
	Slot   string
	LSN    wal.LSN   // newest checkpoint, at the time
	At     time.Time // when it was written, by the owner's clock
}
