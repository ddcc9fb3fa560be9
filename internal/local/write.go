package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

const success = "Success"

// textNotAllowed answers every command that would have the index embed a text.
func (s *Server) textNotAllowed(context.Context, call) (any, error) {
	return nil, refusal(http.StatusUnprocessableEntity,
		"Embedding data for this index is not allowed. The index must be created with an embedding model to use it.")
}

func (s *Server) upsert(ctx context.Context, c call) (any, error) {
	given, _, err := oneOrMany[incoming](c.body)
	if err != nil {
		return nil, err
	}
	if len(given) > maxWrites {
		return nil, refusal(http.StatusUnprocessableEntity, "Too many vectors in a request: %d, maximum: %d", len(given), maxWrites) // our guess
	}
	vectors := make([]Vector, len(given))
	for i, it := range given {
		if err := s.checkVector(it.Vector, it.Sparse); err != nil {
			return nil, err
		}
		if it.ID == nil {
			return nil, wrongInput(nil, 0)
		}
		if *it.ID == "" {
			return nil, refusal(http.StatusUnprocessableEntity, "Vector id must not be empty") // our guess
		}
		vectors[i] = Vector{ID: string(*it.ID), Values: it.Vector, Data: it.Data}
		if vectors[i].Metadata, err = object(it.Metadata); err != nil {
			return nil, err
		}
		if err := checkText(it.Data); err != nil {
			return nil, err
		}
	}
	now := s.cfg.Now()
	if err := s.quota.take(now, len(vectors), s.cfg.DailyWrites); err != nil {
		return nil, err
	}
	if s.cfg.IndexDelay > 0 {
		s.fresh.add(c.namespace, vectors, now.Add(s.cfg.IndexDelay))
	}
	if err := s.cfg.Store.Upsert(ctx, c.namespace, vectors); err != nil {
		return nil, err
	}
	s.counts.add(func(n *Counts) { n.Written += len(vectors) })
	return success, nil
}

// checkVector refuses what a dense index of ours cannot hold.
func (s *Server) checkVector(values []float32, sparse json.RawMessage) error {
	switch {
	case !isNull(sparse) || values == nil:
		return refusal(http.StatusUnprocessableEntity, "This index requires dense vectors")
	case len(values) != s.cfg.Dimensions:
		return refusal(http.StatusUnprocessableEntity, "Invalid vector dimension: %d, expected: %d", len(values), s.cfg.Dimensions)
	case !finite(values):
		return wrongInput(nil, 0)
	case s.cfg.Metric == Cosine && zero(values):
		return refusal(http.StatusUnprocessableEntity, "Zero vectors have no direction to compare") // our guess
	}
	return nil
}

func checkText(text *string) error {
	if text != nil && len(*text) > maxText {
		return refusal(http.StatusUnprocessableEntity, "Data size exceeds the limit of %d bytes", maxText) // our guess
	}
	return nil
}

func (s *Server) update(ctx context.Context, c call) (any, error) {
	var it incoming
	if err := decode(c.body, &it); err != nil {
		return nil, err
	}
	if it.ID == nil {
		return nil, wrongInput(nil, 0)
	}
	if !isNull(it.Sparse) || it.Vector != nil {
		if err := s.checkVector(it.Vector, it.Sparse); err != nil {
			return nil, err
		}
	}
	metadata, err := object(it.Metadata)
	if err != nil {
		return nil, err
	}
	if err := checkText(it.Data); err != nil {
		return nil, err
	}
	if it.Mode != "" && it.Mode != "OVERWRITE" && it.Mode != "PATCH" {
		return nil, wrongInput(nil, 0)
	}
	now := s.cfg.Now()
	if err := s.quota.take(now, 1, s.cfg.DailyWrites); err != nil {
		return nil, err
	}
	ok, err := s.cfg.Store.Update(ctx, c.namespace, string(*it.ID), func(v *Vector) error {
		if it.Vector != nil {
			v.Values = it.Vector
		}
		if it.Data != nil {
			v.Data = it.Data
		}
		if metadata == nil {
			return nil
		}
		if it.Mode != "PATCH" {
			v.Metadata = metadata
			return nil
		}
		merged, err := mergePatch(v.Metadata, metadata)
		if err != nil {
			return err
		}
		v.Metadata, err = object(merged)
		return err
	})
	if err != nil {
		return nil, err
	}
	n := 0
	if ok {
		n = 1
		s.counts.add(func(n *Counts) { n.Written++ })
	}
	return map[string]int{"updated": n}, nil
}

// mergePatch is RFC 7396 on two objects: a null deletes a key, an object is merged, all else replaces. Numbers stay as
// they were written.
func mergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	var p map[string]json.RawMessage
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, err
	}
	t := map[string]json.RawMessage{}
	if len(target) > 0 && target[0] == '{' {
		if err := json.Unmarshal(target, &t); err != nil {
			return nil, err
		}
	}
	for key, value := range p {
		switch {
		case string(value) == "null":
			delete(t, key)
		case value[0] == '{':
			merged, err := mergePatch(t[key], value)
			if err != nil {
				return nil, err
			}
			t[key] = merged
		default:
			t[key] = value
		}
	}
	return marshal(t)
}

func (s *Server) delete(ctx context.Context, c call) (any, error) {
	ids, err := s.toDelete(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := s.quota.take(s.cfg.Now(), len(ids), s.cfg.DailyWrites); err != nil {
		return nil, err
	}
	n, err := s.cfg.Store.Delete(ctx, c.namespace, ids)
	if err != nil {
		return nil, err
	}
	s.fresh.gone(c.namespace, ids)
	s.counts.add(func(counts *Counts) { counts.Deleted += n })
	return map[string]int{"deleted": n}, nil
}

// toDelete returns the ids that a delete means. Older clients send a bare array of ids, or one id without quotes.
func (s *Server) toDelete(ctx context.Context, c call) ([]string, error) {
	body := bytes.TrimSpace(c.body)
	if len(body) > 0 && body[0] == '[' {
		var ids identifiers
		err := decode(body, &ids)
		return ids, err
	}
	if len(body) > 0 && body[0] != '{' {
		var id identifier
		if json.Unmarshal(body, &id) == nil {
			return []string{string(id)}, nil
		}
		return []string{string(body)}, nil
	}
	var which struct {
		IDs    *identifiers `json:"ids"`
		Prefix *string      `json:"prefix"`
		Filter *string      `json:"filter"`
	}
	if err := decode(body, &which); err != nil {
		return nil, err
	}
	ways := 0
	for _, one := range []bool{which.IDs != nil, which.Prefix != nil, which.Filter != nil} {
		if one {
			ways++
		}
	}
	if ways != 1 {
		return nil, refusal(http.StatusUnprocessableEntity, "Only and only one of the ids, prefix, or filter must be provided.")
	}
	if which.IDs != nil {
		return *which.IDs, nil
	}
	var prefix string
	keep := func(*Vector) bool { return true }
	if which.Filter != nil {
		f, err := parseFilter(*which.Filter)
		if err != nil {
			return nil, err
		}
		keep = f.accepts
	} else if prefix = *which.Prefix; prefix == "" {
		return nil, refusal(http.StatusUnprocessableEntity, "Prefix must not be empty") // our guess
	}
	page, _, err := s.cfg.Store.Range(ctx, c.namespace, prefix, "", 0)
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range page {
		if keep(&page[i]) {
			ids = append(ids, page[i].ID)
		}
	}
	return ids, nil
}

func (s *Server) reset(ctx context.Context, c call) (any, error) {
	names := []string{c.namespace}
	if c.all {
		all, err := s.cfg.Store.Namespaces(ctx)
		if err != nil {
			return nil, err
		}
		names = nil
		for _, n := range all {
			names = append(names, n.Name)
		}
	}
	for _, name := range names {
		if err := s.cfg.Store.Reset(ctx, name); err != nil {
			return nil, err
		}
		s.fresh.emptied(name)
	}
	return success, nil
}

func (s *Server) deleteNamespace(ctx context.Context, c call) (any, error) {
	if c.namespace == "" {
		return nil, refusal(http.StatusUnprocessableEntity, "Default namespace cannot be deleted") // our guess
	}
	if err := s.cfg.Store.Drop(ctx, c.namespace); err != nil {
		return nil, s.namespaceError(err, c.namespace)
	}
	s.fresh.emptied(c.namespace)
	return success, nil
}

func (s *Server) renameNamespace(ctx context.Context, c call) (any, error) {
	var names struct {
		From    *string `json:"namespace"`
		To      *string `json:"newNamespace"`
		Replace bool    `json:"deleteExisting"`
	}
	if err := decode(c.body, &names); err != nil {
		return nil, err
	}
	if names.From == nil || names.To == nil {
		return nil, wrongInput(nil, 0)
	}
	if *names.From == "" || *names.To == "" {
		return nil, refusal(http.StatusUnprocessableEntity, "Default namespace cannot be renamed") // our guess
	}
	if err := s.cfg.Store.Rename(ctx, *names.From, *names.To, names.Replace); err != nil {
		return nil, s.namespaceError(err, *names.From)
	}
	return map[string]bool{"renamed": true}, nil
}

func (s *Server) namespaceError(err error, name string) error {
	switch {
	case errors.Is(err, ErrNoNamespace):
		return refusal(http.StatusNotFound, "Namespace %s for the index %s does not exist", name, s.cfg.Name)
	case errors.Is(err, ErrNamespaceExists):
		return refusal(http.StatusUnprocessableEntity, "The new namespace for the index %s exists already", s.cfg.Name) // our guess
	default:
		return err
	}
}
