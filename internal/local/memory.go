package local

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Memory is a Store that lives as long as it is referenced.
//
// Its cursors are positions in insertion order, as the vendor's appear to be. So a vector deleted between two pages
// makes Range miss another one: clients have to live with that, and tests against this store show whether they do.
type Memory struct {
	metric Metric

	mu         sync.RWMutex
	namespaces map[string]*shelf
}

// shelf is one namespace. Every vector of order is in byID, and the other way round.
type shelf struct {
	order []*Vector // as the ids were first inserted; a replaced vector keeps its place
	byID  map[string]*Vector
}

// NewMemory returns an empty store.
func NewMemory(metric Metric) *Memory {
	return &Memory{metric: metric, namespaces: map[string]*shelf{"": newShelf()}}
}

func newShelf() *shelf { return &shelf{byID: map[string]*Vector{}} }

// Upsert implements Store.
func (m *Memory) Upsert(_ context.Context, namespace string, vectors []Vector) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.namespaces[namespace]
	if s == nil {
		s = newShelf()
		m.namespaces[namespace] = s
	}
	for _, v := range vectors {
		s.put(v)
	}
	return nil
}

// put replaces the vector behind the pointer's place, never the vector itself: readers may hold it.
func (s *shelf) put(v Vector) {
	if old, ok := s.byID[v.ID]; ok {
		s.order[slices.Index(s.order, old)] = &v
	} else {
		s.order = append(s.order, &v)
	}
	s.byID[v.ID] = &v
}

// Update implements Store.
func (m *Memory) Update(_ context.Context, namespace, id string, change func(*Vector) error) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.namespaces[namespace]
	if s == nil || s.byID[id] == nil {
		return false, nil
	}
	v := *s.byID[id]
	if err := change(&v); err != nil {
		return false, err
	}
	s.put(v)
	return true, nil
}

// Fetch implements Store.
func (m *Memory) Fetch(_ context.Context, namespace string, ids []string) ([]*Vector, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := make([]*Vector, len(ids))
	if s := m.namespaces[namespace]; s != nil {
		for i, id := range ids {
			found[i] = s.byID[id]
		}
	}
	return found, nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, namespace string, ids []string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.namespaces[namespace]
	if s == nil {
		return 0, nil
	}
	before := len(s.byID)
	for _, id := range ids {
		delete(s.byID, id)
	}
	gone := before - len(s.byID)
	if gone > 0 {
		s.order = slices.DeleteFunc(s.order, func(v *Vector) bool { return s.byID[v.ID] == nil })
	}
	return gone, nil
}

// Range implements Store.
func (m *Memory) Range(_ context.Context, namespace, prefix, cursor string, limit int) ([]Vector, string, error) {
	begin := 0
	if cursor != "" {
		n, err := strconv.Atoi(cursor)
		if err != nil || n < 0 {
			return nil, "", ErrCursor
		}
		begin = n
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var page []Vector
	s := m.namespaces[namespace]
	if s == nil {
		return page, "", nil
	}
	for i := begin; i < len(s.order); i++ {
		if !strings.HasPrefix(s.order[i].ID, prefix) {
			continue
		}
		if limit > 0 && len(page) == limit {
			return page, strconv.Itoa(i), nil
		}
		page = append(page, *s.order[i])
	}
	return page, "", nil
}

// Query implements Store, exactly: every vector is compared.
func (m *Memory) Query(_ context.Context, namespace string, values []float32, k int, keep func(*Vector) bool) ([]Match, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []Match
	if s := m.namespaces[namespace]; s != nil {
		for _, v := range s.order {
			if keep == nil || keep(v) {
				all = append(all, Match{*v, m.metric.score(values, v.Values)})
			}
		}
	}
	// Stable, so that equally near vectors come in the order they were inserted.
	slices.SortStableFunc(all, func(a, b Match) int { return cmp.Compare(b.Score, a.Score) })
	return slices.Clip(all[:min(k, len(all))]), nil
}

// Namespaces implements Store.
func (m *Memory) Namespaces(context.Context) ([]Namespace, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []Namespace
	for name, s := range m.namespaces {
		all = append(all, Namespace{name, len(s.order)})
	}
	slices.SortFunc(all, func(a, b Namespace) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// Drop implements Store.
func (m *Memory) Drop(_ context.Context, namespace string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.namespaces[namespace] == nil {
		return ErrNoNamespace
	}
	delete(m.namespaces, namespace)
	return nil
}

// Rename implements Store.
func (m *Memory) Rename(_ context.Context, from, to string, replace bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.namespaces[from]
	if s == nil {
		return ErrNoNamespace
	}
	if from == to {
		return nil
	}
	if m.namespaces[to] != nil && !replace {
		return ErrNamespaceExists
	}
	m.namespaces[to] = s
	delete(m.namespaces, from)
	return nil
}

// Reset implements Store.
func (m *Memory) Reset(_ context.Context, namespace string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.namespaces[namespace] != nil {
		m.namespaces[namespace] = newShelf()
	}
	return nil
}

// Close implements Store. There is nothing to release.
func (m *Memory) Close() error { return nil }

// Metric is how an index compares vectors.
type Metric string

// The vendor's similarity functions.
const (
	Cosine     Metric = "COSINE"
	Euclidean  Metric = "EUCLIDEAN"
	DotProduct Metric = "DOT_PRODUCT"
)

// score maps the similarity of two vectors to 0…1, as the vendor documents it. Sums are 64-bit, so that a vector
// scores exactly 1 against itself.
func (m Metric) score(a, b []float32) float32 {
	if len(a) != len(b) {
		return 0
	}
	var dot, aa, bb, dist float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot += x * y
		aa += x * x
		bb += y * y
		dist += (x - y) * (x - y)
	}
	switch m {
	case Euclidean:
		return float32(1 / (1 + dist))
	case DotProduct:
		return float32((1 + dot) / 2)
	default:
		if aa == 0 || bb == 0 {
			return 0.5
		}
		return float32((1 + dot/math.Sqrt(aa*bb)) / 2)
	}
}
