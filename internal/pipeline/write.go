package pipeline

import (
	"context"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/owed"
)

// embedBatch turns a packed request's texts into vectors. Works whose last vector has come go on to the index.
func (r *Reconciler) embedBatch(ctx context.Context, batch []piece) {
	if live := living(batch); len(live) > 0 {
		r.embedPieces(ctx, live)
	}
}

// living are the pieces whose work has not ended meanwhile.
func living(batch []piece) []piece {
	live := batch[:0]
	for _, p := range batch {
		p.w.mu.Lock()
		if !p.w.ended {
			live = append(live, p)
		}
		p.w.mu.Unlock()
	}
	return live
}

// worksOf are the works of a batch, each once. The pieces of a work stand together.
func worksOf(batch []piece) []*work {
	works := make([]*work, 0, len(batch))
	for i, p := range batch {
		if i == 0 || p.w != batch[i-1].w {
			works = append(works, p.w)
		}
	}
	return works
}

// fill gives a piece its values, and says whether that was the last its work waited for.
func (p piece) fill(values []float32, tokens int) (complete bool) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.vectors[p.i] = values
	p.w.tokens += tokens
	p.w.missing--
	return p.w.missing == 0 && !p.w.ended
}

func (r *Reconciler) embedPieces(ctx context.Context, batch []piece) {
	texts := make([]string, len(batch))
	for i, p := range batch {
		texts[i] = p.w.change.Write[p.i].Chunk.Text
	}
	vectors, err := r.cfg.Embedder.Embed(ctx, texts)
	if err != nil {
		e := failure.Of(err)
		if e.Class == failure.Permanent && len(batch) > 1 {
			// One text spoils the request for all: find it.
			r.embedPieces(ctx, batch[:len(batch)/2])
			r.embedPieces(ctx, batch[len(batch)/2:])
			return
		}
		r.failAll(r.embed, worksOf(batch), err)
		return
	}
	r.embed.passed()
	var complete []*work
	for i, p := range batch {
		if p.fill(vectors[i], p.w.change.Write[p.i].Chunk.Tokens) {
			complete = append(complete, p.w)
		}
	}
	r.writes.submit(ctx, complete...)
}

// write makes the changes of a packed batch of documents: intents first, for a crash after them is looked into; then
// the new vectors, so that a reader always finds the document; then the leftovers' deletion; then the ledger's truth.
func (r *Reconciler) write(ctx context.Context, works []*work) {
	admitted := works[:0]
	for _, w := range works {
		if r.admit(r.index, w) {
			admitted = append(admitted, w)
		}
	}
	if len(admitted) == 0 {
		return
	}
	began := time.Now()
	works, err := r.intend(ctx, admitted)
	if err != nil {
		for _, w := range admitted {
			r.end(w, err, nil)
		}
		return
	}
	var settle []owed.Holding
	var done, failed []*work
	var why error
	for _, one := range r.apply(ctx, works, began) {
		switch {
		case one.err == nil:
			settle = append(settle, one.w.holding())
			done = append(done, one.w)
		// It may have happened, or may still: the intent stays, and a later claim asks the index.
		case failure.Of(one.err).Class == failure.Permanent:
			r.failAll(r.index, []*work{one.w}, one.err)
		default:
			failed, why = append(failed, one.w), one.err
		}
	}
	if len(done) > 0 {
		r.index.passed()
	}
	if len(settle) > 0 {
		err = r.cfg.Ledger.Settle(ctx, settle)
	}
	for _, w := range done {
		if err != nil {
			r.letGo(w) // it may have been written down all the same
		}
		r.end(w, err, nil)
	}
	r.failAll(r.index, failed, why)
}

// intend announces a batch's ids in the ledger. Documents that would share an id with another are parked.
func (r *Reconciler) intend(ctx context.Context, works []*work) ([]*work, error) {
	intents := make([]owed.Intent, len(works))
	for i, w := range works {
		ids := make([]string, 0, len(w.change.Write)+len(w.change.Delete))
		for _, one := range w.change.Write {
			ids = append(ids, one.ID)
		}
		intents[i] = owed.Intent{Key: w.claim.Key, IDs: append(ids, w.change.Delete...)}
	}
	conflicts, err := r.cfg.Ledger.Intend(ctx, intents, r.horizon())
	if err != nil || len(conflicts) == 0 {
		return works, err
	}
	refused := map[document.Key]bool{}
	for _, c := range conflicts {
		refused[c.Key] = true
	}
	kept := make([]*work, 0, len(works))
	for _, w := range works {
		if !refused[w.claim.Key] {
			kept = append(kept, w)
		}
	}
	for _, c := range conflicts {
		for _, w := range works {
			if w.claim.Key == c.Key {
				r.collide(w, c)
			}
		}
	}
	return kept, nil
}

// collide parks a document whose vector id belongs to another one, until that one lets go.
func (r *Reconciler) collide(w *work, c owed.Conflict) {
	if !w.close() {
		return
	}
	reason := "its vector id " + document.PrintID(c.VectorID) + " is held by " + c.Owner.String() + "; rename one of the two"
	r.log.Error("document parked", "key", c.Key.String(), "reason", reason)
	r.dirty.Park(w.claim, reason, c.Owner)
	r.observe(w, Parked)
	r.free(1)
}

func (r *Reconciler) horizon() time.Duration { return Horizon(r.cfg.WriteTimeout) }

// Horizon is how long after its intent a write may still arrive: it is sent within one timeout of the intent, given up
// within another, and a provider that has it by then finishes it within a third.
func Horizon(timeout time.Duration) time.Duration { return 3 * timeout }

// applied is the fate of one document's change.
type applied struct {
	w   *work
	err error
}

// apply makes the changes in the index; began is when their intents were announced. A permanent error of several documents is halved until the culprit stands
// alone.
func (r *Reconciler) apply(ctx context.Context, works []*work, began time.Time) []applied {
	if len(works) == 0 {
		return nil
	}
	err := r.applyAll(ctx, works, began)
	if err != nil && failure.Of(err).Class == failure.Permanent && len(works) > 1 {
		half := len(works) / 2
		return append(r.apply(ctx, works[:half], began), r.apply(ctx, works[half:], began)...)
	}
	all := make([]applied, len(works))
	for i, w := range works {
		all[i] = applied{w, err}
	}
	return all
}

// applyAll upserts, then deletes, what the works need.
func (r *Reconciler) applyAll(ctx context.Context, works []*work, began time.Time) error {
	var vectors []document.Vector
	var leftover []string
	for _, w := range works {
		for i, one := range w.change.Write {
			vectors = append(vectors, document.Vector{
				ID: one.ID, Values: w.vectors[i], Data: one.Chunk.Data, Metadata: metadata(w.claim.Key, one, r.cfg.Chunker.Model()),
			})
		}
		leftover = append(leftover, w.change.Delete...)
	}
	step := func(do func(context.Context) error) error {
		for time.Since(began) > r.cfg.WriteTimeout {
			// The intents would run out before a very large document is written: renew them.
			began = time.Now()
			if _, err := r.intend(ctx, works); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(ctx, r.cfg.WriteTimeout)
		defer cancel()
		return do(ctx)
	}
	for len(vectors) > 0 {
		n := min(len(vectors), r.cfg.WriteVectors)
		if err := step(func(ctx context.Context) error { return r.cfg.Index.Upsert(ctx, vectors[:n]) }); err != nil {
			return err
		}
		vectors = vectors[n:]
	}
	for len(leftover) > 0 {
		n := min(len(leftover), r.cfg.WriteVectors)
		if err := step(func(ctx context.Context) error { return r.deleteIDs(ctx, leftover[:n]) }); err != nil {
			return err
		}
		leftover = leftover[n:]
	}
	return nil
}

// deleteIDs deletes from the index, and lets a listing that goes on meanwhile know.
func (r *Reconciler) deleteIDs(ctx context.Context, ids []string) error {
	r.dirty.deleting(time.Time{})
	err := r.cfg.Index.Delete(ctx, ids)
	doubt := time.Time{}
	if err != nil && !failure.Of(err).Rejected {
		doubt = time.Now().Add(r.horizon())
	}
	r.dirty.deleting(doubt)
	return err
}
