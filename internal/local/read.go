package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

func (s *Server) fetch(ctx context.Context, c call) (any, error) {
	var which struct {
		IDs    *identifiers `json:"ids"`
		Prefix *string      `json:"prefix"`
		include
	}
	if err := decode(c.body, &which); err != nil {
		return nil, err
	}
	if (which.IDs == nil) == (which.Prefix == nil) {
		return nil, refusal(http.StatusUnprocessableEntity, "Only one of ids or prefix must be provided.")
	}
	out := []*found{}
	if which.Prefix != nil {
		page, _, err := s.cfg.Store.Range(ctx, c.namespace, *which.Prefix, "", maxReads)
		if err != nil {
			return nil, err
		}
		for i := range page {
			out = append(out, which.of(&page[i]))
		}
		return out, nil
	}
	if len(*which.IDs) > maxReads {
		return nil, tooManyReads(len(*which.IDs))
	}
	all, err := s.cfg.Store.Fetch(ctx, c.namespace, *which.IDs)
	if err != nil {
		return nil, err
	}
	for _, v := range all {
		if v == nil {
			out = append(out, nil)
		} else {
			out = append(out, which.of(v))
		}
	}
	return out, nil
}

func tooManyReads(n int) error {
	return refusal(http.StatusUnprocessableEntity, "Too many vectors to read in a request: %d, maximum: %d", n, maxReads) // our guess
}

func (s *Server) rangeOver(ctx context.Context, c call) (any, error) {
	var which struct {
		Cursor *identifier `json:"cursor"` // a string or a number
		Limit  int         `json:"limit"`
		Prefix string      `json:"prefix"`
		include
	}
	which.Limit = 10 // our guess
	if err := decode(c.body, &which); err != nil {
		return nil, err
	}
	if which.Limit < 1 {
		return nil, wrongInput(nil, 0)
	}
	if which.Limit > maxReads {
		return nil, tooManyReads(which.Limit)
	}
	cursor := ""
	if which.Cursor != nil && *which.Cursor != "0" {
		cursor = string(*which.Cursor)
	}
	page, next, err := s.cfg.Store.Range(ctx, c.namespace, which.Prefix, cursor, which.Limit)
	if errors.Is(err, ErrCursor) {
		return nil, refusal(http.StatusUnprocessableEntity, "Invalid cursor: %s", cursor) // our guess
	}
	if err != nil {
		return nil, err
	}
	out := struct {
		Next    string   `json:"nextCursor"`
		Vectors []*found `json:"vectors"`
	}{next, []*found{}}
	for i := range page {
		out.Vectors = append(out.Vectors, which.of(&page[i]))
	}
	return out, nil
}

func (s *Server) random(ctx context.Context, c call) (any, error) {
	// The oldest is as random as any.
	page, _, err := s.cfg.Store.Range(ctx, c.namespace, "", "", 1)
	if err != nil || len(page) == 0 {
		return nil, err
	}
	return include{Metadata: true, Vectors: true, Data: true}.of(&page[0]), nil
}

func (s *Server) info(ctx context.Context, _ call) (any, error) {
	type count struct {
		Vectors int `json:"vectorCount"`
		Pending int `json:"pendingVectorCount"`
	}
	type embedding struct {
		Dimension int    `json:"dimension"`
		Metric    Metric `json:"similarityFunction"`
		Model     string `json:"embeddingModel"`
	}
	all, err := s.cfg.Store.Namespaces(ctx)
	if err != nil {
		return nil, err
	}
	out := struct {
		count
		Size       int              `json:"indexSize"`
		Dimension  int              `json:"dimension"`
		Metric     Metric           `json:"similarityFunction"`
		Type       string           `json:"indexType"`
		Dense      embedding        `json:"denseIndex"`
		Namespaces map[string]count `json:"namespaces"`
	}{
		Dimension: s.cfg.Dimensions, Metric: s.cfg.Metric, Type: "DENSE",
		Dense:      embedding{Dimension: s.cfg.Dimensions, Metric: s.cfg.Metric},
		Namespaces: map[string]count{},
	}
	waiting := s.fresh.count(s.cfg.Now())
	for _, n := range all {
		one := count{Pending: min(waiting[n.Name], n.Count)}
		one.Vectors = n.Count - one.Pending
		out.Namespaces[n.Name] = one
		out.Vectors += one.Vectors
		out.Pending += one.Pending
		out.Size += n.Count * 4 * s.cfg.Dimensions
	}
	return out, nil
}

func (s *Server) listNamespaces(ctx context.Context, _ call) (any, error) {
	all, err := s.cfg.Store.Namespaces(ctx)
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, n := range all {
		names = append(names, n.Name)
	}
	return names, nil
}

// question is one query.
type question struct {
	Vector    floats          `json:"vector"`
	Sparse    json.RawMessage `json:"sparseVector"`
	TopK      *int            `json:"topK"`
	Filter    string          `json:"filter"`
	Weighting *string         `json:"weightingStrategy"` // of sparse vectors; without effect here
	Fusion    *string         `json:"fusionAlgorithm"`   // of hybrid indexes; without effect here
	Mode      *string         `json:"queryMode"`
	MaxIdle   *int            `json:"maxIdle"` // seconds, of a resumable query
	include
}

func (q question) topK() int {
	if q.TopK == nil {
		return 10
	}
	return *q.TopK
}

// matches answers one query with the k nearest vectors.
func (s *Server) matches(ctx context.Context, namespace string, q question, k int) ([]Match, error) {
	if err := s.checkVector(q.Vector, q.Sparse); err != nil {
		return nil, err
	}
	if q.topK() < 1 {
		return nil, wrongInput(nil, 0)
	}
	if q.topK() > maxReads {
		return nil, tooManyReads(q.topK())
	}
	f, err := parseFilter(q.Filter)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	keep := func(v *Vector) bool { return s.fresh.found(namespace, v.ID, now) && f.accepts(v) }
	return s.cfg.Store.Query(ctx, namespace, q.Vector, k, keep)
}

func (in include) scored(all []Match) []*found {
	out := []*found{}
	for i := range all {
		f := in.of(&all[i].Vector)
		f.Score = &all[i].Score
		out = append(out, f)
	}
	return out
}

func (s *Server) query(ctx context.Context, c call) (any, error) {
	questions, many, err := oneOrMany[question](c.body)
	if err != nil {
		return nil, err
	}
	if len(questions) > maxQueries {
		return nil, refusal(http.StatusUnprocessableEntity, "Too many queries in a request: %d, maximum: %d", len(questions), maxQueries) // our guess
	}
	answers := [][]*found{}
	for _, q := range questions {
		all, err := s.matches(ctx, c.namespace, q, q.topK())
		if err != nil {
			return nil, err
		}
		answers = append(answers, q.scored(all))
	}
	// An array of one query is answered as a query alone is. Clients know.
	if !many || len(answers) == 1 {
		return answers[0], nil
	}
	return answers, nil
}

// maxCursors is how many resumable queries may be open; our guess.
const maxCursors = 100

// cursors are the open resumable queries. What one will answer is decided when it starts.
type cursors struct {
	mu   sync.Mutex
	open map[string]*resumable
}

type resumable struct {
	include include
	rest    []Match
	idle    time.Duration
	until   time.Time
}

func (s *Server) queryStart(ctx context.Context, c call) (any, error) {
	var q question
	if err := decode(c.body, &q); err != nil {
		return nil, err
	}
	idle := time.Hour
	if q.MaxIdle != nil {
		if *q.MaxIdle < 1 {
			return nil, wrongInput(nil, 0)
		}
		idle = time.Duration(*q.MaxIdle) * time.Second
	}
	all, err := s.matches(ctx, c.namespace, q, int(^uint(0)>>1))
	if err != nil {
		return nil, err
	}
	k := min(q.topK(), len(all))
	now := s.cfg.Now()
	one := &resumable{include: q.include, rest: all[k:], idle: idle, until: now.Add(idle)}
	uuid := strings.ToLower(rand.Text())

	s.cursor.mu.Lock()
	defer s.cursor.mu.Unlock()
	for id, other := range s.cursor.open {
		if !now.Before(other.until) {
			delete(s.cursor.open, id)
		}
	}
	if len(s.cursor.open) >= maxCursors {
		return nil, refusal(http.StatusTooManyRequests, "Too many active resumable queries: %d", maxCursors) // our guess
	}
	if s.cursor.open == nil {
		s.cursor.open = map[string]*resumable{}
	}
	s.cursor.open[uuid] = one
	return struct {
		UUID   string   `json:"uuid"`
		Scores []*found `json:"scores"`
	}{uuid, q.scored(all[:k])}, nil
}

// resume finds an open query and keeps it open.
func (s *Server) resume(c call) (uuid string, k int, one *resumable, err error) {
	var which struct {
		UUID string `json:"uuid"`
		K    int    `json:"additionalK"`
	}
	if err := decode(c.body, &which); err != nil {
		return "", 0, nil, err
	}
	one = s.cursor.open[which.UUID]
	now := s.cfg.Now()
	if one == nil || !now.Before(one.until) {
		return "", 0, nil, refusal(http.StatusNotFound, "Resumable query with UUID %s does not exist", which.UUID) // our guess
	}
	one.until = now.Add(one.idle)
	return which.UUID, which.K, one, nil
}

func (s *Server) queryNext(_ context.Context, c call) (any, error) {
	s.cursor.mu.Lock()
	defer s.cursor.mu.Unlock()
	_, k, one, err := s.resume(c)
	if err != nil {
		return nil, err
	}
	if k < 1 || k > maxReads {
		return nil, wrongInput(nil, 0)
	}
	k = min(k, len(one.rest))
	page := one.include.scored(one.rest[:k])
	one.rest = one.rest[k:]
	return page, nil
}

func (s *Server) queryEnd(_ context.Context, c call) (any, error) {
	s.cursor.mu.Lock()
	defer s.cursor.mu.Unlock()
	uuid, _, _, err := s.resume(c)
	if err != nil {
		return nil, err
	}
	delete(s.cursor.open, uuid)
	return success, nil
}
