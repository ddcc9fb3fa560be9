package local

import (
	"context"
	"encoding/json"
	"errors"
)

// Vector is what a store holds under an id.
type Vector struct {
	ID       string
	Values   []float32
	Metadata json.RawMessage // a JSON object, nil when there is none
	Data     *string         // nil when there is none
}

// Match is a vector and how near it is to a query, from 0 to 1.
type Match struct {
	Vector
	Score float32
}

// Namespace is a namespace and how many vectors it holds.
type Namespace struct {
	Name  string // "" is the default one, which always exists
	Count int
}

// ErrNoNamespace says that a namespace to be dropped or renamed does not exist.
var ErrNoNamespace = errors.New("namespace does not exist")

// ErrNamespaceExists says that the new name of a namespace is taken.
var ErrNamespaceExists = errors.New("namespace exists already")

// Store holds vectors by namespace and id. Each call is atomic, and seen by every call that begins after it returned.
// Safe for concurrent use. What it returns belongs to the store and is only read.
type Store interface {
	// Upsert replaces whole vectors, the last of equal ids winning, and creates the namespace.
	Upsert(ctx context.Context, namespace string, vectors []Vector) error
	// Update lets change rewrite a copy of the vector with that id. It returns false when there is none.
	Update(ctx context.Context, namespace, id string, change func(*Vector) error) (bool, error)
	// Fetch returns the vectors in the order of ids, nil where there is none.
	Fetch(ctx context.Context, namespace string, ids []string) ([]*Vector, error)
	// Delete returns how many of ids there were.
	Delete(ctx context.Context, namespace string, ids []string) (int, error)
	// Range pages through the vectors whose ids begin with prefix, oldest id first. An empty cursor begins, an empty
	// next ends. A limit of zero or less is all. ErrCursor when the cursor is not one of ours.
	Range(ctx context.Context, namespace, prefix, cursor string, limit int) (page []Vector, next string, err error)
	// Query returns the k vectors nearest to values among those that keep accepts, nearest first.
	Query(ctx context.Context, namespace string, values []float32, k int, keep func(*Vector) bool) ([]Match, error)
	// Namespaces lists all namespaces, the default one first.
	Namespaces(ctx context.Context) ([]Namespace, error)
	// Drop removes a namespace and all in it, or returns ErrNoNamespace.
	Drop(ctx context.Context, namespace string) error
	// Rename moves a namespace, over an existing one if replace is set.
	Rename(ctx context.Context, from, to string, replace bool) error
	// Reset empties a namespace, which stays.
	Reset(ctx context.Context, namespace string) error
	// Close releases what the store holds open.
	Close() error
}

// ErrCursor says that a cursor did not come from the store.
var ErrCursor = errors.New("cursor is not valid")
