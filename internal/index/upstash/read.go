package upstash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/index"
	"payload-cdc/internal/wal"
)

// held is a vector as it is answered without its values.
type held struct {
	ID       string          `json:"id"`
	Metadata json.RawMessage `json:"metadata"`
}

func (h *held) stored() document.Stored {
	return document.Stored{ID: h.ID, Metadata: index.ReadMetadata(h.Metadata)}
}

// Fetch implements index.Index, in requests of at most 1000 ids.
func (x *Index) Fetch(ctx context.Context, ids []string) ([]document.Stored, error) {
	var found []document.Stored
	all, err := x.fetch(ctx, x.cfg.Namespace, ids)
	for _, h := range all {
		found = append(found, h.stored())
	}
	return found, err
}

func (x *Index) fetch(ctx context.Context, namespace string, ids []string) ([]*held, error) {
	ids = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(ids))), func(id string) bool { return id == "" })
	var found []*held
	for begin := 0; begin < len(ids); {
		body, end := x.list(ids, begin)
		result, err := x.post(ctx, x.reads, "fetch", namespace, append(body, `,"includeMetadata":true}`...))
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

// List implements index.Index. n is bounded to the 1000 the service gives at once.
func (x *Index) List(ctx context.Context, cursor string, n int) ([]document.Stored, string, error) {
	if n <= 0 || n > maxReads {
		n = maxReads
	}
	from := cursor
	if from == "" {
		from = "0"
	}
	body := appendString([]byte(`{"cursor":`), from)
	body = fmt.Appendf(body, `,"limit":%d,"includeMetadata":true}`, n)
	result, err := x.post(ctx, x.reads, "range", x.cfg.Namespace, body)
	if absent(err) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", wrap(err, "list vectors")
	}
	var page struct {
		Next    *string  `json:"nextCursor"`
		Vectors *[]*held `json:"vectors"`
	}
	switch err := json.Unmarshal(result, &page); {
	case err != nil:
		return nil, "", wrap(unreadable("%w", err), "list vectors")
	case page.Next == nil || page.Vectors == nil:
		return nil, "", wrap(unreadable("no cursor or no vectors"), "list vectors")
	case *page.Next == from:
		return nil, "", wrap(unreadable("the cursor %q leads to itself", from), "list vectors")
	}
	all := make([]document.Stored, 0, len(*page.Vectors))
	for _, h := range *page.Vectors {
		if h == nil || h.ID == "" {
			return nil, "", wrap(unreadable("a vector without id"), "list vectors")
		}
		all = append(all, h.stored())
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
	one := is.Namespaces[x.cfg.Namespace] // one that holds nothing may not be listed
	return one.Vectors + one.Pending, nil
}

// owner is the metadata of an owner's vector. An owner is found by id, so its values mean nothing.
type owner struct {
	System string `json:"system"`
	Slot   string `json:"slot"`
	LSN    string `json:"lsn"`
	At     string `json:"at"`
}

// ownerID names the namespace that an owner's vector speaks for.
func (x *Index) ownerID() string {
	if x.cfg.Namespace == "" {
		return "default"
	}
	return "namespace:" + x.cfg.Namespace
}

// Owner implements index.Index.
func (x *Index) Owner(ctx context.Context) (index.Owner, bool, error) {
	all, err := x.fetch(ctx, OwnerNamespace, []string{x.ownerID()})
	if err != nil {
		return index.Owner{}, false, wrap(err, "read the index's owner")
	}
	if len(all) == 0 {
		return index.Owner{}, false, nil
	}
	var m owner
	err = json.Unmarshal(all[0].Metadata, &m)
	lsn, lsnErr := wal.ParseLSN(m.LSN)
	at, atErr := time.Parse(time.RFC3339Nano, m.At)
	if err := errors.Join(err, lsnErr, atErr); err != nil || m.System == "" {
		return index.Owner{}, false, wrap(&failure.Error{
			Class: failure.Systemic, Provider: provider, Rejected: true, Remedy: "run cdc adopt if the index is yours",
			Err: errors.New("the owner record is not understood"),
		}, "read the index's owner")
	}
	return index.Owner{System: m.System, Slot: m.Slot, LSN: lsn, At: at}, true, nil
}

// SetOwner implements index.Index.
func (x *Index) SetOwner(ctx context.Context, o index.Owner) error {
	metadata, err := encode(owner{o.System, o.Slot, o.LSN.String(), o.At.UTC().Format(time.RFC3339Nano)})
	if err != nil {
		return wrap(err, "write the index's owner")
	}
	values := make([]float32, x.cfg.Dimensions)
	values[0] = 1
	body := appendHead(nil, x.ownerID(), values)
	body = append(body, `,"metadata":`...)
	body = append(body, metadata...)
	if err := x.write(ctx, "upsert", OwnerNamespace, append(body, '}'), 0); err != nil {
		return wrap(err, "write the index's owner")
	}
	return nil
}
