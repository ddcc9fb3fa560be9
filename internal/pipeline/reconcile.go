package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Reconciler is room 2: it makes the index hold what documents should have. Claims are read in natural batches; from
// there on every document goes its own way through the packers that all share.
type Reconciler struct {
	cfg    Config
	dirty  *Dirty
	log    *slog.Logger
	keeper Keeper // the index, if it gives values back; else nil
	keeps  packer[piece]
	embeds packer[piece]
	writes packer[*work]
	embed  *gate
	index  *gate
	slots  chan struct{} // one for each document in hand
	hand   *semaphore.Weighted

	fatalOnce sync.Once
	fatal     chan error
}

// work is one claimed document on its way to the index.
type work struct {
	claim  Claim
	held   []document.Held // what the index may hold, as the ledger or the index itself says
	before []document.Held // the ledger's lines when the work began
	want   []document.Chunk
	change Change
	doubt  time.Time // an older write could still arrive until then when the index was asked, or the ledger if it was not
	unsure bool      // the ledger's lines are in doubt, or differ from the index: they have to be settled

	kept []string // for change.Write: an id under which the index may hold the same text; empty when there is none

	mu      sync.Mutex
	vectors [][]float32 // for change.Write
	missing int         // vectors still to come
	tokens  int         // embedded
	probing []*gate     // paused providers that this work was let through to
	weight  int64       // of the hand, while it is taken
	hand    *semaphore.Weighted
	ended   bool
}

// close says whether the caller is the one to end the work.
func (w *work) close() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.ended = true
	for _, g := range w.probing {
		g.release()
	}
	if w.weight > 0 {
		w.hand.Release(w.weight)
	}
	return true
}

// admit says whether a work may use a provider now; if not, the work has been put down.
func (r *Reconciler) admit(g *gate, w *work) bool {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return false // another of its texts failed
	}
	ok, probes := true, false
	if !slices.Contains(w.probing, g) {
		if ok, probes = g.admit(w.claim.Probe == g.provider); probes {
			w.probing = append(w.probing, g)
		}
	}
	w.mu.Unlock()
	if !ok && w.close() {
		r.putDown(w, g)
		r.free(1)
	}
	return ok
}

// piece is one text that needs its vector.
type piece struct {
	w *work
	i int // index in w.change.Write
}

func newReconciler(cfg Config, dirty *Dirty) *Reconciler {
	r := &Reconciler{
		cfg: cfg, dirty: dirty, log: cfg.Logger,
		embed: newGate("embedding", dirty, cfg.Logger),
		index: newGate("index", dirty, cfg.Logger),
		slots: make(chan struct{}, cfg.InFlight),
		hand:  semaphore.NewWeighted(int64(cfg.HandBytes)),
		fatal: make(chan error, 1),
	}
	r.keeper, _ = cfg.Index.(Keeper)
	r.keeps = packer[piece]{
		most: cfg.WriteVectors, weight: cfg.WriteVectors, flights: cfg.WriteFlights,
		weigh: func(piece) int { return 1 },
		run:   r.reuse,
	}
	r.embeds = packer[piece]{
		most: cfg.EmbedInputs, weight: cfg.EmbedTokens, flights: cfg.EmbedFlights,
		weigh: func(p piece) int { return p.w.change.Write[p.i].Chunk.Tokens },
		run:   r.embedBatch,
	}
	r.writes = packer[*work]{
		most: cfg.WriteDocuments, weight: cfg.WriteVectors, flights: cfg.WriteFlights,
		weigh: func(w *work) int { return len(w.change.Write) + len(w.change.Delete) },
		run:   r.write,
	}
	return r
}

// Run takes and works until ctx ends, then gives what is in hand the grace to finish; what does not, stays owed.
func (r *Reconciler) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	inHand, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()

	done := make(chan struct{})
	var gates, readers sync.WaitGroup
	gates.Go(func() { r.embed.run(done) })
	gates.Go(func() { r.index.run(done) })
	for range r.cfg.Readers {
		readers.Go(func() { r.take(ctx, inHand) })
	}
	for range spreaders {
		readers.Go(func() { r.spread(ctx) })
	}
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-r.fatal:
		abandon()
	}
	stop()
	close(done)
	timer := time.AfterFunc(r.cfg.Grace, abandon)
	defer timer.Stop()
	readers.Wait()
	r.keeps.wait()
	r.embeds.wait()
	r.writes.wait()
	r.embeds.wait() // a write never submits an embedding, but a late embedding submits a write
	r.writes.wait()
	gates.Wait()
	return err
}

// take claims and reads until ctx ends.
func (r *Reconciler) take(ctx, inHand context.Context) {
	for {
		n := r.acquire(ctx)
		if n == 0 {
			return
		}
		claims, err := r.dirty.Take(ctx, n)
		for range n - len(claims) {
			<-r.slots
		}
		if err != nil {
			return
		}
		r.batch(inHand, claims)
	}
}

// acquire waits for one free slot and takes as many more as are free, up to a read batch.
func (r *Reconciler) acquire(ctx context.Context) int {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; n < r.cfg.ReadDocuments; n++ {
		select {
		case r.slots <- struct{}{}:
		default:
			return n
		}
	}
	return r.cfg.ReadDocuments
}

// batch works on claims that were taken together.
func (r *Reconciler) batch(ctx context.Context, claims []Claim) {
	var hints, documents []Claim
	for _, c := range r.learn(ctx, claims) {
		if c.Key.Hint() {
			hints = append(hints, c)
		} else {
			documents = append(documents, c)
		}
	}
	if len(hints) > 0 {
		r.resolve(ctx, hints)
	}
	if len(documents) > 0 {
		r.reconcile(ctx, documents)
	}
}

// resolve turns hints into marks of their documents. A row that is gone took its name with it: its collection is owed
// a sweep.
func (r *Reconciler) resolve(ctx context.Context, hints []Claim) {
	bounded, cancel := context.WithTimeout(ctx, r.cfg.ReadTimeout)
	defer cancel()
	owners, snapshot, err := r.cfg.Source.Resolve(bounded, keysOf(hints))
	if err != nil {
		r.sourceFailed(ctx, hints, err, r.resolve)
		return
	}
	r.dirty.See(snapshot)
	for i, c := range hints {
		switch {
		case !seesAll(snapshot, c.XIDs):
			r.dirty.Wait(c, visibleDelay(c))
			r.free(1)
			continue
		case owners[i] == document.Key{}:
			r.dirty.Mark(Marks{Sweeps: []SweepMark{{Collection: c.Key.Collection, Strength: c.Strength, Reason: "a nested row changed and is gone", Delay: r.cfg.Debounce}}, since: c.Since})
		default:
			r.dirty.Mark(Marks{Keys: []document.Key{owners[i]}, Strength: c.Strength, since: c.Since})
		}
		r.dirty.Settle(c)
		r.free(1)
	}
}

// reconcile reads a batch of documents and sends each on its way.
func (r *Reconciler) reconcile(ctx context.Context, claims []Claim) {
	keys := keysOf(claims)
	var documents []document.Document
	var snapshot wal.Snapshot
	var held map[document.Key][]document.Held
	bounded, cancel := context.WithTimeout(ctx, r.cfg.ReadTimeout)
	defer cancel()
	g, both := errgroup.WithContext(bounded)
	g.Go(func() (err error) {
		documents, snapshot, err = r.cfg.Source.Read(both, keys)
		return err
	})
	g.Go(func() (err error) {
		held, err = r.cfg.Ledger.Held(both, keys)
		return err
	})
	if err := g.Wait(); err != nil {
		r.sourceFailed(ctx, claims, err, r.reconcile)
		return
	}
	r.dirty.See(snapshot)

	works := make([]*work, 0, len(claims))
	for i, c := range claims {
		if !seesAll(snapshot, c.XIDs) {
			r.dirty.Wait(c, visibleDelay(c))
			r.free(1)
			continue
		}
		w := &work{claim: c, held: held[c.Key], before: held[c.Key]}
		for _, h := range w.held {
			if h.Doubt.After(w.doubt) {
				w.doubt = h.Doubt
			}
		}
		var err error
		if w.want, err = r.split(c.Key, documents[i].Entries); err != nil {
			r.end(w, err, nil)
			continue
		}
		works = append(works, w)
	}
	works = r.prove(ctx, works)

	var keeps, pieces []piece
	var writes []*work
	submit := func() {
		r.keeps.submit(ctx, keeps...)
		r.embeds.submit(ctx, pieces...)
		r.writes.submit(ctx, writes...)
		keeps, pieces, writes = nil, nil, nil
	}
	for _, w := range works {
		w.change = Diff(w.claim.Key, w.want, w.held)
		if len(w.change.Write)+len(w.change.Delete) == 0 {
			r.unchanged(ctx, w)
			continue
		}
		// Asked before anything is embedded: embedding for an index that takes nothing only costs money.
		if !r.admit(r.index, w) {
			continue
		}
		if len(w.change.Write) == 0 {
			writes = append(writes, w)
			continue
		}
		if !r.grasp(ctx, w, submit) {
			continue
		}
		w.vectors, w.missing = make([][]float32, len(w.change.Write)), len(w.change.Write)
		if r.findKept(w) < len(w.change.Write) && !r.admit(r.embed, w) {
			continue
		}
		for i, id := range w.kept {
			if id != "" {
				keeps = append(keeps, piece{w, i})
			} else {
				pieces = append(pieces, piece{w, i})
			}
		}
	}
	submit()
}

// grasp takes as much of the hand as the work's texts and vectors will need, a giant all of it. While others have it, it
// waits; before that, what was already collected is submitted, or they might be the others. false says that the work has
// ended instead.
func (r *Reconciler) grasp(ctx context.Context, w *work, submit func()) bool {
	const each = 16 << 10 // a vector as numbers and as JSON
	weight := 0
	for _, one := range w.change.Write {
		weight += each + len(one.Chunk.Text) + len(one.Chunk.Data)
	}
	w.hand, w.weight = r.hand, int64(min(weight, r.cfg.HandBytes))
	if r.hand.TryAcquire(w.weight) {
		return true
	}
	submit()
	if err := r.hand.Acquire(ctx, w.weight); err != nil {
		w.weight = 0
		r.end(w, err, nil)
		return false
	}
	return true
}

// split cuts a document into the chunks it should have.
func (r *Reconciler) split(key document.Key, entries []document.Entry) ([]document.Chunk, error) {
	var want []document.Chunk
	for _, e := range entries {
		chunks, err := r.cfg.Chunker.Split(key.Collection, e)
		if err != nil {
			return nil, err
		}
		if err := r.describe(key, chunks); err != nil {
			return nil, err
		}
		want = append(want, chunks...)
	}
	return want, nil
}

// sourceFailed returns claims whose batch could not be read. A permanent error is the fault of one document: halves
// are tried again until it stands alone.
func (r *Reconciler) sourceFailed(ctx context.Context, claims []Claim, err error, again func(context.Context, []Claim)) {
	e := failure.Of(err)
	if e.Class == failure.Permanent && len(claims) > 1 {
		again(ctx, claims[:len(claims)/2])
		again(ctx, claims[len(claims)/2:])
		return
	}
	if e.Class != failure.Permanent && ctx.Err() == nil {
		r.log.Warn("read failed; the documents stay owed", "documents", len(claims), "first", claims[0].Key.String(), "err", err)
	}
	for _, c := range claims {
		r.end(&work{claim: c}, err, nil)
	}
}

// end ends a work exactly once.
func (r *Reconciler) end(w *work, err error, g *gate) {
	if !w.close() {
		return
	}
	defer r.free(1)
	if err == nil {
		r.settled(w)
		return
	}
	r.failed(w, err, g)
}

// failed is the one place where an error becomes a retry, a pause or a parked document.
func (r *Reconciler) failed(w *work, err error, g *gate) {
	e := failure.Of(err)
	switch {
	case errors.Is(err, owed.ErrFenced):
		r.stop(err)
		r.dirty.Wait(w.claim, time.Second)
	case errors.Is(err, context.Canceled):
		r.dirty.Wait(w.claim, time.Second) // we are shutting down: it stays owed
	case e.Class == failure.Permanent:
		r.log.Error("document parked", "key", w.claim.Key.String(), "tries", w.claim.Tries+1, "err", err)
		r.dirty.Park(w.claim, e.Error(), document.Key{})
		r.observe(w, Parked)
	case g != nil && g.pause() != nil:
		r.putDown(w, g)
	default:
		delay := retryDelay(w.claim.Tries + 1)
		if wait := time.Until(e.Until); wait > delay {
			delay = min(wait, time.Minute)
		}
		r.log.Debug("document will be tried again", "key", w.claim.Key.String(), "tries", w.claim.Tries+1, "delay", delay, "err", err)
		r.dirty.Retry(w.claim, delay)
	}
}

// letGo tells those who wait for an id of the work's document that it may have let go.
func (r *Reconciler) letGo(w *work) {
	if w.doubt.IsZero() && (len(w.change.Delete) > 0 || w.unsure) {
		r.dirty.Freed(w.claim.Key)
	}
}

// settled ends a work that succeeded.
func (r *Reconciler) settled(w *work) {
	if !w.doubt.IsZero() {
		r.dirty.Defer(w.claim, w.doubt) // and it lets go of no id before
	} else {
		r.dirty.Settle(w.claim)
		r.letGo(w)
	}
	switch {
	case len(w.change.Write)+len(w.change.Delete) == 0:
		r.observe(w, Unchanged)
	case len(w.held) == 0:
		r.observe(w, Entered)
	case len(w.want) == 0:
		r.observe(w, Left)
	default:
		r.observe(w, Revised)
	}
}

// putDown returns the claim of a work whose provider is paused.
func (r *Reconciler) putDown(w *work, g *gate) {
	r.dirty.Block(w.claim, g.provider)
	if g.blocked() {
		r.dirty.Unblock(g.provider, -1) // it came back while we put it down
	}
}

// failAll ends works whose shared request failed at a provider.
func (r *Reconciler) failAll(g *gate, works []*work, err error) {
	if len(works) == 0 {
		return
	}
	switch e := failure.Of(err); {
	case errors.Is(err, context.Canceled), errors.Is(err, owed.ErrFenced): // not the provider's doing
	case e.Class == failure.Permanent:
		g.passed()
	default:
		g.failed(e)
	}
	for _, w := range works {
		r.end(w, err, g)
	}
}

// stop ends the pipeline: going on would be wrong.
func (r *Reconciler) stop(err error) {
	r.fatalOnce.Do(func() { r.fatal <- err })
}

func (r *Reconciler) free(n int) {
	for range n {
		<-r.slots
	}
}

func keysOf(claims []Claim) []document.Key {
	keys := make([]document.Key, len(claims))
	for i, c := range claims {
		keys[i] = c.Key
	}
	return keys
}

func seesAll(s wal.Snapshot, xids []wal.XID) bool {
	for _, x := range xids {
		if !s.Sees(x) {
			return false
		}
	}
	return true
}

// visibleDelay is how long to wait for a commit to become visible: milliseconds at first, at most a second.
func visibleDelay(c Claim) time.Duration {
	return min(max(time.Since(c.Since)/4, time.Millisecond), time.Second)
}
