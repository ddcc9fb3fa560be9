package pipeline

import (
	"context"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Source reads documents as they are now. Safe for concurrent use.
type Source interface {
	// Collections lists the slugs that are indexed.
	Collections() []string
	// Read returns the documents that keys name, in their order, all from one snapshot, and that snapshot. A document
	// that is missing, unpublished or trashed has no entries.
	Read(ctx context.Context, keys []document.Key) ([]document.Document, wal.Snapshot, error)
	// Resolve returns the document that each hint's row belongs to, in order; the zero Key where there is no such row.
	Resolve(ctx context.Context, hints []document.Key) ([]document.Key, wal.Snapshot, error)
	// Showing pages through the published documents that show a row now, which the hint names. An empty cursor begins, an
	// empty next ends. What begins to show the row meanwhile may be missed: it has changed itself.
	Showing(ctx context.Context, hint document.Key, cursor string, n int) (keys []document.Key, next string, snap wal.Snapshot, err error)
	// Published pages through the published documents of a collection in the order of their ids. An empty cursor
	// begins, an empty next ends.
	Published(ctx context.Context, collection, cursor string, n int) (keys []document.Key, next string, snap wal.Snapshot, err error)
	// Live says of each key whether its document is published, in order.
	Live(ctx context.Context, keys []document.Key) ([]bool, error)
}

// Chunker cuts an entry of a collection into the chunks it should have: numbered in order, with their hashes, and with
// the namespace where the collection's vectors are. Pure and safe for concurrent use.
type Chunker interface {
	Split(collection string, e document.Entry) ([]document.Chunk, error)
	// Model is the id that the chunks' vectors carry.
	Model() string
}

// Embedder turns texts into vectors. Safe for concurrent use. Errors are classified by package failure; a request is
// refused as a whole, and a permanent error of several texts may be the fault of one.
type Embedder interface {
	// Embed returns one validated unit vector for each text, in order.
	Embed(ctx context.Context, texts []string) ([][]float32, error)
}

// Index holds vectors by id, the namespace included (document.Join). Safe for concurrent use. Errors are classified by package failure. A write that fails
// without being rejected may have happened, or may still happen until its deadline.
type Index interface {
	Upsert(ctx context.Context, vectors []document.Vector) error
	Delete(ctx context.Context, ids []string) error
	// Fetch returns what is held under those of ids that exist, in any order. It sees every write acknowledged before.
	Fetch(ctx context.Context, ids []string) ([]document.Stored, error)
	// List pages through everything held. An empty cursor begins, an empty next ends. Vectors written or deleted
	// meanwhile may be missed or repeated.
	List(ctx context.Context, cursor string, n int) (page []document.Stored, next string, err error)
}

// Keeper is an Index that gives back the values it holds, so that a text which has only moved, or whose metadata alone
// have changed, is not embedded again. Optional.
type Keeper interface {
	// Values returns the values held under those of ids that exist, each with what it was made of. It may leave out
	// any: what is missing is embedded.
	Values(ctx context.Context, ids []string) (map[string]document.Kept, error)
}

// Ledger is the durable list of the vectors that the index may hold, by document. It is never smaller than the index.
// Every write is refused with ErrFenced once a newer instance owns the state.
type Ledger interface {
	// Held returns the vectors the index may hold for each of keys; documents without any are absent from the map.
	Held(ctx context.Context, keys []document.Key) (map[document.Key][]document.Held, error)
	// Intend durably announces that the ids may be written or deleted in the index during the next horizon. An id that
	// another document holds is a conflict: nothing is announced for the document that asked for it.
	Intend(ctx context.Context, intents []owed.Intent, horizon time.Duration) ([]owed.Conflict, error)
	// Settle writes down what the index is now known to hold for each document, doubts included, and strikes out what is
	// gone. Lines it does not name may have been adopted meanwhile: they stay.
	Settle(ctx context.Context, documents []owed.Holding) error
	// Adopt adds vectors found in the index to the documents they name, in doubt, where the ledger does not have them.
	Adopt(ctx context.Context, found []owed.Holding) error
	// Documents pages through the ledger's documents of a collection. An empty cursor begins, an empty next ends.
	Documents(ctx context.Context, collection, cursor string, n int) (keys []document.Key, next string, err error)
}

// Store makes a checkpoint durable: one transaction, all of it or nothing.
type Store interface {
	Save(ctx context.Context, delta owed.Delta) error
	// Owed pages through the debts that are saved, in the order of their keys, after the given one; the zero Key begins.
	// Fewer than n are the last.
	Owed(ctx context.Context, after document.Key, n int) ([]owed.Debt, error)
	// FindOwed returns the saved debts of keys.
	FindOwed(ctx context.Context, keys []document.Key) (map[document.Key]owed.Debt, error)
	// CountOwed returns how many debts are saved.
	CountOwed(ctx context.Context) (int, error)
}
