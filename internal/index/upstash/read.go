package upstash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/index"
	"payload-cdc/internal/wal"
)

// held is a vector as it is answered.
type held struct {
	ID       string          `json:"id"`
	Metadata json.RawMessage `json:"metadata"`
	Vector   []float32       `json:"vector"` // only if asked for
}

// stored is h as it is known outside; namespace is where it is.
func (x *Index) stored(namespace string, h *held) document.Stored {
	return document.Stored{ID: x.joined(namespace, h.ID), Metadata: index.ReadMetadata(h.Metadata)}
}

// What to tell of a vector, and of how many at once: with values and metadata one may have 100 kB.
const (
	andMetadata = `,"includeMetadata":true}`
	andValues   = `,"includeMetadata":true,"includeVectors":true}`
	maxValues   = 200
)

// Fetch implements index.Index, in requests of at most 1000 ids.
func (x *Index) Fetch(ctx context.Context, ids []string) ([]document.Stored, error) {
	var found []document.Stored
	order, in := x.byNamespace(ids)
	for _, namespace := range order {
		all, err := x.fetch(ctx, namespace, in[namespace], maxReads, andMetadata)
		if err != nil {
			return nil, err
		}
		for _, h := range all {
			found = append(found, x.stored(namespace, h))
		}
	}
	return found, nil
}

// Values implements index.Keeper. Vectors of another dimension, or without metadata of ours, are left out.
func (x *Index) Values(ctx context.Context, ids []string) (map[string]document.Kept, error) {
	kept := map[string]document.Kept{}
	order, in := x.byNamespace(ids)
	for _, namespace := range order {
		all, err := x.fetch(ctx, namespace, in[namespace], maxValues, andValues)
		if err != nil {
			return nil, err
		}
		for _, h := range all {
			if m := index.ReadMetadata(h.Metadata); m.Hash != "" && len(h.Vector) == x.cfg.Dimensions {
				kept[x.joined(namespace, h.ID)] = document.Kept{Values: h.Vector, Hash: m.Hash, Model: m.Model}
			}
		}
	}
	return kept, nil
}

func (x *Index) fetch(ctx context.Context, namespace string, ids []string, most int, tell string) ([]*held, error) {
	ids = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(ids))), func(id string) bool { return id == "" })
	var found []*held
	for begin := 0; begin < len(ids); {
		body, end := x.list(ids, begin, most)
		result, err := x.post(ctx, x.reads, "fetch", namespace, append(body, tell...))
		switch {
		case absent(err):
			begin = end
			continue
		case err != nil:
			return nil, wrap(err, "fetch %d vectors", end-begin)
		}
		var page []*held // null where there is none
		if err := json.Unmarshal(result, &page); err != nil {
			return nil, wrap(unreadable("%w", err), "fetch %d vectors", end-begin)
		}
		if len(page) != end-begin {
			return nil, wrap(unreadable("%d answers to %d ids", len(page), end-begin), "fetch %d vectors", end-begin)
		}
		for i, h := range page {
			if h == nil {
				continue
			}
			if h.ID != ids[begin+i] {
				return nil, wrap(unreadable("vector %q where %q was asked for", h.ID, ids[begin+i]), "fetch %d vectors", end-begin)
			}
			found = append(found, h)
		}
		begin = end
	}
	return found, nil
}

// List implements index.Index, one namespace after the other. n is bounded to the 1000 the service gives at once. A
// cursor is the service's own, joined with the namespace it belongs to.
func (x *Index) List(ctx context.Context, cursor string, n int) ([]document.Stored, string, error) {
	if n <= 0 || n > maxReads {
		n = maxReads
	}
	namespace, from := x.place(cursor)
	if from == "" {
		from = "0"
	}
	page, next, err := x.listPage(ctx, namespace, from, n)
	if err != nil {
		return nil, "", wrap(err, "list vectors")
	}
	if next != "" {
		return page, x.joined(namespace, next), nil
	}
	all := x.places()
	if following := slices.Index(all, namespace) + 1; following > 0 && following < len(all) {
		return page, document.Join(all[following], "0"), nil
	}
	return page, "", nil
}

// listPage lists a page of one namespace.
func (x *Index) listPage(ctx context.Context, namespace, from string, n int) ([]document.Stored, string, error) {
	body := appendString([]byte(`{"cursor":`), from)
	body = fmt.Appendf(body, `,"limit":%d%s`, n, andMetadata)
	result, err := x.post(ctx, x.reads, "range", namespace, body)
	if absent(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	var page struct {
		Next    *string  `json:"nextCursor"`
		Vectors *[]*held `json:"vectors"`
	}
	switch err := json.Unmarshal(result, &page); {
	case err != nil:
		return nil, "", unreadable("%w", err)
	case page.Next == nil || page.Vectors == nil:
		return nil, "", unreadable("no cursor or no vectors")
	case *page.Next == from:
		return nil, "", unreadable("the cursor %q leads to itself", from)
	}
	all := make([]document.Stored, 0, len(*page.Vectors))
	for _, h := range *page.Vectors {
		if h == nil || h.ID == "" {
			return nil, "", unreadable("a vector without id")
		}
		if !document.Marked(h.ID) { // never one of ours, and it could not be named
			all = append(all, x.stored(namespace, h))
		}
	}
	return all, *page.Next, nil
}

// Check implements index.Index.
func (x *Index) Check(ctx context.Context) error {
	result, err := x.post(ctx, x.reads, "info", "", []byte("[]"))
	if err != nil {
		return wrap(err, "check the index")
	}
	var is struct {
		Type      string `json:"indexType"`
		Dimension int    `json:"dimension"`
		Metric    string `json:"similarityFunction"`
	}
	if err := json.Unmarshal(result, &is); err != nil {
		return wrap(unreadable("%w", err), "check the index")
	}
	var why error
	switch {
	case is.Type != "DENSE" && is.Type != "": // absent before there were other types
		why = fmt.Errorf("its type is %s", is.Type)
	case is.Dimension != x.cfg.Dimensions:
		why = fmt.Errorf("its dimension is %d, the vectors' %d", is.Dimension, x.cfg.Dimensions)
	case is.Metric != x.cfg.Metric:
		why = fmt.Errorf("its metric is %s", is.Metric)
	default:
		return nil
	}
	remedy := fmt.Sprintf("create an index of type DENSE, dimension %d and metric %s", x.cfg.Dimensions, x.cfg.Metric)
	if is.Dimension != x.cfg.Dimensions {
		remedy += fmt.Sprintf(", or set CDC_EMBED_DIMENSIONS=%d", is.Dimension)
	}
	return wrap(&failure.Error{Class: failure.Systemic, Provider: provider, Rejected: true, Remedy: remedy, Err: why}, "check the index")
}

// Count implements index.Counter.
func (x *Index) Count(ctx context.Context) (int, error) {
	result, err := x.post(ctx, x.reads, "info", "", []byte("[]"))
	if err != nil {
		return 0, wrap(err, "count the vectors")
	}
	var is struct {
		Namespaces map[string]struct {
			Vectors int `json:"vectorCount"`
			Pending int `json:"pendingVectorCount"`
		} `json:"namespaces"`
	}
	if err := json.Unmarshal(result, &is); err != nil {
		return 0, wrap(unreadable("%w", err), "count the vectors")
	}
	if is.Namespaces == nil {
		return 0, wrap(unreadable("no namespaces"), "count the vectors")
	}
	n := 0
	for _, place := range x.places() { // one that holds nothing may not be listed
		n += is.Namespaces[place].Vectors + is.Namespaces[place].Pending
	}
	return n, nil
}

// owner is the metadata of an owner's vector. An owner is found by id, so its values mean nothing.
type owner struct {
	System string `json:"system"`
	Slot   string `json:"slot"`
	LSN    string `json:"lsn"`
	At     string `json:"at"`
}

// ownerID names the namespace that an owner's vector speaks for.
func ownerID(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return "namespace:" + namespace
}

// places are all namespaces, its own first.
func (x *Index) places() []string {
	all := []string{x.cfg.Namespace}
	for _, name := range x.cfg.Namespaces {
		if name != x.cfg.Namespace {
			all = append(all, name)
		}
	}
	return all
}

// Owner implements index.Index. Every namespace has a record: two databases may share an index as long as they share no
// namespace.
func (x *Index) Owner(ctx context.Context) (index.Owner, bool, error) {
	var ids, systems []string
	for _, namespace := range x.places() {
		ids = append(ids, ownerID(namespace))
	}
	all, err := x.fetch(ctx, OwnerNamespace, ids, maxReads, andMetadata)
	if err != nil {
		return index.Owner{}, false, wrap(err, "read the index's owner")
	}
	if len(all) == 0 {
		return index.Owner{}, false, nil
	}
	var first index.Owner // that of its own namespace, if there is one
	for i, h := range all {
		one, err := h.owner()
		if err != nil {
			return index.Owner{}, false, wrap(err, "read the index's owner")
		}
		if i == 0 || h.ID == ids[0] {
			first = one
		}
		if !slices.Contains(systems, one.System) {
			systems = append(systems, one.System)
		}
	}
	first.System = strings.Join(systems, " and ")
	return first, true, nil
}

func (h *held) owner() (index.Owner, error) {
	var m owner
	err := json.Unmarshal(h.Metadata, &m)
	lsn, lsnErr := wal.ParseLSN(m.LSN)
	at, atErr := time.Parse(time.RFC3339Nano, m.At)
	if err := errors.Join(err, lsnErr, atErr); err != nil || m.System == "" {
		return index.Owner{}, &failure.Error{
			Class: failure.Systemic, Provider: provider, Rejected: true, Remedy: "run cdc adopt if the index is yours",
			Err: errors.New("the owner record is not understood"),
		}
	}
	return index.Owner{System: m.System, Slot: m.Slot, LSN: lsn, At: at}, nil
}

// SetOwner implements index.Index.
func (x *Index) SetOwner(ctx context.Context, o index.Owner) error {
	metadata, err := document.JSON(owner{o.System, o.Slot, o.LSN.String(), o.At.UTC().Format(time.RFC3339Nano)})
	if err != nil {
		return wrap(err, "write the index's owner")
	}
	values := make([]float32, x.cfg.Dimensions)
	values[0] = 1
	all := &batch{}
	for _, namespace := range x.places() {
		all.ids, all.values = append(all.ids, ownerID(namespace)), append(all.values, values)
		all.tails = append(all.tails, append(append([]byte(`,"metadata":`), metadata...), '}'))
	}
	sent := 0
	if err := x.upsert(ctx, OwnerNamespace, all, &sent); err != nil {
		return wrap(err, "write the index's owner")
	}
	return nil
}
