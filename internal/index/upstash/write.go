package upstash

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
)

// Upsert writes vectors in requests of at most MaxBatch and about MaxBytes, one after the other. All vectors are
// checked before the first is sent.
func (x *Index) Upsert(ctx context.Context, vectors []document.Vector) error {
	var order []string
	in := map[string]*batch{}
	for i := range vectors {
		tail, err := x.tail(&vectors[i])
		if err != nil {
			return err
		}
		namespace, id := x.place(vectors[i].ID)
		b := in[namespace]
		if b == nil {
			b = &batch{}
			in[namespace] = b
			order = append(order, namespace)
		}
		b.ids, b.values, b.tails = append(b.ids, id), append(b.values, vectors[i].Values), append(b.tails, tail)
	}
	sent := 0
	for _, namespace := range order {
		if err := x.upsert(ctx, namespace, in[namespace], &sent); err != nil {
			return err
		}
	}
	return nil
}

// batch is what a namespace is to hold, as parallel lists.
type batch struct {
	ids    []string
	values [][]float32
	tails  [][]byte
}

// upsert writes to one namespace; sent counts the requests of the whole call.
func (x *Index) upsert(ctx context.Context, namespace string, b *batch, sent *int) error {
	for begin := 0; begin < len(b.ids); {
		// A new buffer each time: after an early answer the last one may still be on its way out.
		body := append(make([]byte, 0, x.size(b, begin)), '[')
		end := begin
		for ; end < len(b.ids) && end-begin < x.cfg.MaxBatch; end++ {
			size := len(body)
			if end > begin {
				body = append(body, ',')
			}
			body = appendHead(body, b.ids[end], b.values[end])
			body = append(body, b.tails[end]...)
			if end > begin && len(body) >= x.cfg.MaxBytes {
				body = body[:size]
				break
			}
		}
		body = append(body, ']')
		if err := x.write(ctx, "upsert", namespace, body, *sent); err != nil {
			return wrap(err, "upsert %d vectors", end-begin)
		}
		*sent++
		begin = end
	}
	return nil
}

// size is about as many bytes as the next request will have: a value takes twelve to thirteen.
func (x *Index) size(b *batch, begin int) int {
	n := 2
	for i := begin; i < min(len(b.ids), begin+x.cfg.MaxBatch); i++ {
		one := len(`{"id":"","vector":[]`) + len(b.ids[i]) + 13*len(b.values[i]) + len(b.tails[i])
		if i > begin && n+one > x.cfg.MaxBytes {
			break
		}
		n += one
	}
	return n
}

// write sends one of a call's writes, sent of which were applied before.
func (x *Index) write(ctx context.Context, command, namespace string, body []byte, sent int) error {
	_, err := x.post(ctx, x.writes, command, namespace, body)
	if err == nil || sent == 0 {
		return err
	}
	// This one was rejected, but the call as a whole was not.
	e := *failure.Of(err)
	e.Rejected = false
	return &e
}

// tail checks a vector and writes what follows its values, `,"metadata":{…},"data":"…"}`.
func (x *Index) tail(v *document.Vector) ([]byte, error) {
	impossible := func(format string, args ...any) error {
		return &failure.Error{
			Class: failure.Permanent, Provider: provider, Rejected: true,
			Err: fmt.Errorf("vector %q: "+format, append([]any{document.PrintID(v.ID)}, args...)...),
		}
	}
	if _, id := document.SplitID(v.ID); id == "" {
		return nil, impossible("an id must not be empty")
	}
	if len(v.Values) != x.cfg.Dimensions {
		return nil, &failure.Error{
			Class: failure.Systemic, Provider: provider, Rejected: true, Remedy: "set CDC_EMBED_DIMENSIONS to the index's dimension",
			Err: fmt.Errorf("vector %q has %d dimensions, the index %d", document.PrintID(v.ID), len(v.Values), x.cfg.Dimensions),
		}
	}
	for _, f := range v.Values {
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return nil, impossible("its values are not all finite")
		}
	}
	if len(v.Data) > maxText {
		return nil, impossible("its text of %d bytes is larger than the service takes (%d)", len(v.Data), maxText)
	}
	metadata, err := document.JSON(v.Metadata)
	if err != nil {
		return nil, impossible("%w", err)
	}
	if len(metadata) > maxMetadata {
		return nil, impossible("its metadata of %d bytes is larger than the service takes (%d)", len(metadata), maxMetadata)
	}
	text, err := document.JSON(v.Data)
	if err != nil {
		return nil, impossible("%w", err)
	}
	b := make([]byte, 0, len(metadata)+len(text)+24)
	b = append(b, `,"metadata":`...)
	b = append(b, metadata...)
	b = append(b, `,"data":`...)
	b = append(b, text...)
	return append(b, '}'), nil
}

// appendHead writes `{"id":"…","vector":[…]`. Reflection would cost more than everything else here together.
func appendHead(b []byte, id string, values []float32) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, id)
	b = append(b, `,"vector":[`...)
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		// The shortest form that reads back as the same 32 bits.
		b = strconv.AppendFloat(b, float64(v), 'g', -1, 32)
	}
	return append(b, ']')
}

// appendString writes a JSON string. Ids are nearly always plain ASCII.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := document.JSON(s) // a string always encodes
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// Delete removes vectors by id, in requests of at most 1000, one after the other. Prefixes and filters are never sent:
// a vector id is a prefix of others.
func (x *Index) Delete(ctx context.Context, ids []string) error {
	if slices.ContainsFunc(ids, func(joined string) bool { _, id := document.SplitID(joined); return id == "" }) {
		return &failure.Error{Class: failure.Permanent, Provider: provider, Rejected: true, Err: errors.New("delete a vector: an id must not be empty")}
	}
	sent := 0
	order, in := x.byNamespace(ids)
	for _, namespace := range order {
		ids := in[namespace]
		for begin := 0; begin < len(ids); sent++ {
			body, end := x.list(ids, begin, maxReads)
			err := x.write(ctx, "delete", namespace, append(body, '}'), sent)
			if err != nil && !absent(err) {
				return wrap(err, "delete %d vectors", end-begin)
			}
			begin = end
		}
	}
	return nil
}

// list writes `{"ids":[…]` of as many ids as a request takes, and returns the end of those.
func (x *Index) list(ids []string, begin, most int) (body []byte, end int) {
	body = append(body, `{"ids":[`...)
	for end = begin; end < len(ids) && end-begin < most && (end == begin || len(body) < x.cfg.MaxBytes); end++ {
		if end > begin {
			body = append(body, ',')
		}
		body = appendString(body, ids[end])
	}
	return append(body, ']'), end
}
