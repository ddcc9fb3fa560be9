package main

import (
	"context"
	"sync"
	"time"

	"payload-cdc/internal/local"
)

// Watched is the index's store, and says when something becomes true of what it holds. Expectations are looked at
// within each write, before the writer has its answer, so the moment is exact: no query could have found it earlier.
type Watched struct {
	local.Store

	mu       sync.Mutex
	expected map[*expectation]struct{}
}

type expectation struct {
	met func(vectors []local.Vector) bool
	at  chan time.Time // has room for one
}

// Watch wraps a store.
func Watch(store local.Store) *Watched {
	return &Watched{Store: store, expected: map[*expectation]struct{}{}}
}

// Expect watches until met holds of all vectors; at then receives the moment, once. met must be quick. The caller must
// call forget when it no longer waits.
func (w *Watched) Expect(met func(vectors []local.Vector) bool) (at <-chan time.Time, forget func()) {
	e := &expectation{met: met, at: make(chan time.Time, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expected[e] = struct{}{}
	return e.at, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.expected, e)
	}
}

// look asks every expectation whether it is met now.
func (w *Watched) look(ctx context.Context) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.expected) == 0 {
		return
	}
	vectors, _, err := w.Range(context.WithoutCancel(ctx), "", "", "", 0)
	if err != nil {
		return // who waits is told by its deadline
	}
	for e := range w.expected {
		if e.met(vectors) {
			e.at <- now
			delete(w.expected, e)
		}
	}
}

// Upsert implements local.Store.
func (w *Watched) Upsert(ctx context.Context, namespace string, vectors []local.Vector) error {
	defer w.look(ctx)
	return w.Store.Upsert(ctx, namespace, vectors)
}

// Delete implements local.Store.
func (w *Watched) Delete(ctx context.Context, namespace string, ids []string) (int, error) {
	defer w.look(ctx)
	return w.Store.Delete(ctx, namespace, ids)
}
