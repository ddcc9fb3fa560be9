package pipeline

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
)

// describe hashes what the metadata of an entry's chunks will say beside the text, and refuses, before anything is
// embedded, what no index could hold.
func (r *Reconciler) describe(key document.Key, chunks []document.Chunk) error {
	if len(chunks) == 0 {
		return nil
	}
	first := chunks[0] // title and extra fields are the entry's, the first also has its count and time
	meta, err := metaHash(first.Title, first.Extra)
	if err != nil {
		return &failure.Error{Class: failure.Permanent, Rejected: true, Err: err}
	}
	for i := range chunks {
		chunks[i].Meta = meta
	}
	if len(first.Extra) == 0 {
		return nil
	}
	first.Meta = meta
	written, err := metadata(key, Write{Chunk: first, Chunks: len(chunks)}, r.cfg.Chunker.Model()).MarshalJSON()
	if err == nil && len(written) > r.cfg.MetadataBytes {
		err = fmt.Errorf("its metadata of %d bytes are larger than an index takes (%d): %s", len(written), r.cfg.MetadataBytes, sizes(first.Extra))
	}
	if err != nil {
		return &failure.Error{Class: failure.Permanent, Rejected: true, Remedy: "leave a field out of the collection's metadata", Err: err}
	}
	return nil
}

// sizes names the largest of the extra fields, and theirs.
func sizes(extra map[string]any) string {
	const most = 5
	size := map[string]int{}
	for name, value := range extra {
		field, _ := document.JSON(value) // worked a moment ago
		size[name] = len(field)
	}
	names := slices.SortedFunc(maps.Keys(extra), func(a, b string) int {
		if size[a] != size[b] {
			return size[b] - size[a]
		}
		return strings.Compare(a, b)
	})
	var list []string
	for _, name := range names[:min(most, len(names))] {
		list = append(list, fmt.Sprintf("%s has %d", name, size[name]))
	}
	return strings.Join(list, ", ")
}

// findKept looks up which of a work's texts the index may hold already, under any id of the document: a section that
// moved, a first chunk that is written only for its count and time, new metadata. It returns how many there are.
func (r *Reconciler) findKept(w *work) (n int) {
	w.kept = make([]string, len(w.change.Write))
	if r.keeper == nil {
		return 0
	}
	ids := make(map[string]string, len(w.held)) // by the hash of their text
	for _, h := range w.held {
		if text := textHash(h.Hash); text != "" {
			ids[text] = h.ID
		}
	}
	for i, one := range w.change.Write {
		if w.kept[i] = ids[one.Chunk.Hash]; w.kept[i] != "" {
			n++
		}
	}
	return n
}

// reuse asks the index for the values of a packed request's texts. What the ledger says is only where to look: values
// are used if the index says that they are of exactly this text, by this model. Everything else is embedded.
func (r *Reconciler) reuse(ctx context.Context, batch []piece) {
	batch = living(batch)
	if len(batch) == 0 {
		return
	}
	ids := make([]string, len(batch))
	for i, p := range batch {
		ids[i] = p.w.kept[p.i]
	}
	bounded, cancel := context.WithTimeout(ctx, r.cfg.WriteTimeout)
	defer cancel()
	kept, err := r.keeper.Values(bounded, ids)
	switch e := failure.Of(err); {
	case err == nil:
		r.index.answered()
	case e.Class == failure.Systemic:
		r.failAll(r.index, worksOf(batch), err)
		return
	default:
		// It costs some embeddings, and nobody has to wait for it.
		r.log.Debug("values not read back; the texts are embedded again", "texts", len(batch), "err", err)
	}
	model := r.cfg.Chunker.Model()
	var missing []piece
	var complete []*work
	for _, p := range batch {
		k := kept[p.w.kept[p.i]]
		if k.Hash != p.w.change.Write[p.i].Chunk.Hash || k.Model != model || len(k.Values) == 0 {
			if r.admit(r.embed, p.w) {
				missing = append(missing, p)
			}
		} else if p.fill(k.Values, 0) {
			complete = append(complete, p.w)
		}
	}
	r.embeds.submit(ctx, missing...)
	r.writes.submit(ctx, complete...)
}
