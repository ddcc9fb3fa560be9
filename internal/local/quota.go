package local

import (
	"net/http"
	"sync"
	"time"
)

// quota counts the vectors written and deleted in a calendar day, UTC. An upsert of n vectors is n writes.
type quota struct {
	mu   sync.Mutex
	day  time.Time
	used int
}

// take uses n of the limit, or refuses all n.
func (q *quota) take(now time.Time, n, limit int) error {
	if limit <= 0 {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if day := now.UTC().Truncate(24 * time.Hour); day != q.day {
		q.day, q.used = day, 0
	}
	if q.used+n > limit {
		return overQuota(limit)
	}
	q.used += n
	return nil
}

func overQuota(limit int) error {
	return refusal(http.StatusForbidden, "Exceeded daily write limit: %d", limit)
}

// pending remembers when a vector will be found by queries. Of what was written without an IndexDelay it knows nothing.
type pending struct {
	mu    sync.Mutex
	until map[place]time.Time
}

type place struct{ namespace, id string }

func (p *pending) add(namespace string, vectors []Vector, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until == nil {
		p.until = map[place]time.Time{}
	}
	for _, v := range vectors {
		p.until[place{namespace, v.ID}] = until
	}
}

// found says whether queries see the vector yet.
func (p *pending) found(namespace, id string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.until[place{namespace, id}]
	return !ok || !now.Before(until)
}

// count returns how many vectors of each namespace are not found yet, and forgets those that are.
func (p *pending) count(now time.Time) map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := map[string]int{}
	for at, until := range p.until {
		if now.Before(until) {
			n[at.namespace]++
		} else {
			delete(p.until, at)
		}
	}
	return n
}

// gone forgets vectors of a namespace.
func (p *pending) gone(namespace string, ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		delete(p.until, place{namespace, id})
	}
}

// emptied forgets a namespace.
func (p *pending) emptied(namespace string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at := range p.until {
		if at.namespace == namespace {
			delete(p.until, at)
		}
	}
}
