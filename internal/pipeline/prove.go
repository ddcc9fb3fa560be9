package pipeline

import (
	"context"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/owed"
)

// prove asks the index what it really holds for the documents that owe a prove or whose ledger lines are in doubt. It
// returns the works that can go on.
func (r *Reconciler) prove(ctx context.Context, works []*work) []*work {
	var ids []string
	var asked []*work
	rest := works[:0]
	for _, w := range works {
		if w.claim.Strength != owed.Prove && w.doubt.IsZero() {
			rest = append(rest, w)
			continue
		}
		if !r.admit(r.index, w) {
			continue
		}
		ids = append(ids, w.ids()...)
		asked = append(asked, w)
	}
	if len(asked) == 0 {
		return rest
	}
	began := time.Now()
	found, err := r.cfg.Index.Fetch(ctx, ids)
	if err != nil && failure.Of(err).Class == failure.Permanent && len(asked) > 1 {
		// One id spoils the question for all: find it.
		half := len(asked) / 2
		rest = append(rest, r.prove(ctx, asked[:half:half])...)
		return append(rest, r.prove(ctx, asked[half:])...)
	}
	if err != nil {
		r.failAll(r.index, asked, err)
		return rest
	}
	r.index.answered()
	stored := make(map[string]document.Metadata, len(found))
	for _, s := range found {
		stored[s.ID] = s.Metadata
	}
	for _, w := range asked {
		w.proven(stored, began)
	}
	return append(rest, asked...)
}

// ids are all that the index may hold for the document or should.
func (w *work) ids() []string {
	ids := make([]string, 0, len(w.held)+len(w.want))
	known := make(map[string]bool, len(w.held))
	for _, h := range w.held {
		known[h.ID] = true
		ids = append(ids, h.ID)
	}
	for _, c := range w.want {
		if id := VectorID(w.claim.Key, c); !known[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// proven replaces what the ledger says by what the index holds; asked is when it was asked. A doubt that ended before
// is settled by the answer. One that ended later, if only by the time the change was made, is not: the old write may
// have arrived in between.
func (w *work) proven(stored map[string]document.Metadata, asked time.Time) {
	ledger := make(map[string]bool, len(w.before))
	for _, h := range w.before {
		ledger[h.ID] = true
	}
	counts := map[string]int{} // of chunks, by locale
	for _, c := range w.want {
		counts[c.Locale]++
	}
	held := make([]document.Held, 0, len(w.held))
	for _, id := range w.ids() {
		m, ok := stored[id]
		ours := ok && m.Collection == w.claim.Key.Collection && m.DocID == w.claim.Key.ID
		switch {
		case ours && m.Chunk == 0 && m.Chunks != counts[m.Locale]:
			// A late write of an older text can leave a first chunk whose own text is right and whose count is not.
			held = append(held, document.Held{ID: id})
		case ours:
			held = append(held, document.Held{ID: id, Hash: hashHeld(m)})
		case ok && ledger[id]:
			// It is ours by the ledger and carries another document's name: unknown content.
			held = append(held, document.Held{ID: id})
		}
		if ours && !ledger[id] || !ok && ledger[id] {
			w.unsure = true
		}
	}
	if !w.doubt.IsZero() {
		w.unsure = true
		if !w.doubt.After(asked) {
			w.doubt = time.Time{}
		}
	}
	if !w.unsure {
		for i, h := range w.before {
			if i >= len(held) || held[i].ID != h.ID || held[i].Hash != h.Hash {
				w.unsure = true
				break
			}
		}
	}
	w.held = held
}

// unchanged ends a work that has nothing to write.
func (r *Reconciler) unchanged(ctx context.Context, w *work) {
	if w.unsure {
		if err := r.cfg.Ledger.Settle(ctx, []owed.Holding{w.holding()}); err != nil {
			r.letGo(w) // it may have been written down all the same
			r.end(w, err, nil)
			return
		}
	}
	r.end(w, nil, nil)
}

// holding is what the index is known to hold once the change has been made.
func (w *work) holding() owed.Holding {
	doubt := w.doubt
	h := owed.Holding{Key: w.claim.Key}
	was := make(map[string]string, len(w.held))
	for _, line := range w.held {
		was[line.ID] = line.Hash
	}
	for _, one := range w.change.Write {
		delete(was, one.ID)
	}
	kept := make(map[string]bool, len(w.want))
	for _, c := range w.want {
		id := VectorID(w.claim.Key, c)
		kept[id] = true
		hash, left := was[id] // as it was: an older version's line says nothing of the metadata, and neither do we
		if !left {
			hash = hashOf(c)
		}
		h.Held = append(h.Held, document.Held{ID: id, Hash: hash, Doubt: doubt})
	}
	for _, lines := range [][]document.Held{w.before, w.held} {
		for _, line := range lines {
			switch {
			case kept[line.ID]:
				continue
			case doubt.IsZero():
				h.Gone = append(h.Gone, line.ID)
			default:
				// What an older write can still bring back stays in the ledger until it no longer can.
				h.Held = append(h.Held, document.Held{ID: line.ID, Doubt: doubt})
			}
			kept[line.ID] = true
		}
	}
	return h
}
