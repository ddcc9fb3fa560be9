package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"payload-cdc/internal/local"
)

// providers are both vendors' protocols over a store in memory, with a stopwatch.
type providers struct {
	server *local.Server

	mu      sync.Mutex
	waited  map[string]chan time.Time // by vector id: told when it has been applied
	served  []span                    // requests since the last reset
	serving map[*span]struct{}
}

// span is one request, from its arrival until its handler returned.
type span struct {
	path        string
	began, done time.Time
}

func newProviders() *providers {
	p := &providers{waited: map[string]chan time.Time{}, serving: map[*span]struct{}{}}
	p.server = local.New(local.Config{Store: &watchedStore{Store: local.NewMemory(local.Cosine), applied: p.applied}})
	return p
}

// handler is the servers', timed.
func (p *providers) handler() http.Handler {
	inner := p.server.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := &span{path: r.URL.Path, began: time.Now()}
		p.mu.Lock()
		p.serving[s] = struct{}{}
		p.mu.Unlock()
		inner.ServeHTTP(w, r)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.serving, s)
		s.done = time.Now()
		p.served = append(p.served, *s)
	})
}

// expect forgets all requests and returns where the moment will be told at which the vector was applied.
func (p *providers) expect(id string) <-chan time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.served = p.served[:0]
	c := make(chan time.Time, 1)
	p.waited[id] = c
	return c
}

// applied is called by the store after every upsert.
func (p *providers) applied(vectors []local.Vector) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range vectors {
		if c := p.waited[vectors[i].ID]; c != nil {
			delete(p.waited, vectors[i].ID)
			c <- now
		}
	}
}

// busy is how long the servers worked on embeddings and on vectors between two moments: the first is when the client
// could have begun, the second when the write was applied, before its answer was sent.
func (p *providers) busy(from, to time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.served)
	for s := range p.serving {
		all = append(all, span{s.path, s.began, to})
	}
	var sum time.Duration
	for _, s := range all {
		if strings.Contains(s.path, "payload_cdc_owner") {
			continue // not on a publish's way
		}
		began, done := s.began, s.done
		if began.Before(from) {
			began = from
		}
		if done.After(to) {
			done = to
		}
		sum += max(0, done.Sub(began))
	}
	return sum
}

// watchedStore tells what has been applied.
type watchedStore struct {
	local.Store
	applied func([]local.Vector)
}

func (s *watchedStore) Upsert(ctx context.Context, namespace string, vectors []local.Vector) error {
	if err := s.Store.Upsert(ctx, namespace, vectors); err != nil {
		return err
	}
	s.applied(vectors)
	return nil
}
