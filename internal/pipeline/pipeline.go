package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Config is what a Pipeline is made of. The five parts are required; every number's zero is its default.
type Config struct {
	Source   Source
	Chunker  Chunker
	Embedder Embedder
	Index    Index
	Ledger   Ledger
	Store    Store

	// Saved is called after every attempt to save a checkpoint: with its position, which may then be confirmed, or
	// with the error. After one whose outcome is unknown the pipeline should be ended, and the state claimed anew: only
	// that fences a transaction which may still arrive.
	Saved func(lsn wal.LSN, err error)
	// Observe is called with what became of each document, from many goroutines. Nil ignores it.
	Observe func(Outcome)
	// BeforeSweep is called before a sweep begins or goes on, and may make it wait. Nil lets it begin.
	BeforeSweep func(ctx context.Context) error
	// Estimate is how many published documents a collection has, for progress. Nil and zero mean unknown.
	Estimate func(ctx context.Context, collection string) int
	Logger   *slog.Logger // nil discards

	MaxOwed        int           // documents that owe, kept in memory; the rest stays in the store until there is room; 100,000
	Readers        int           // batches read at once; 2
	ReadDocuments  int           // in a read batch; 64
	InFlight       int           // documents in hand at once; 512
	HandBytes      int           // of their texts and vectors; 64 MiB
	EmbedInputs    int           // texts in a request; 128
	EmbedTokens    int           // tokens in a request; 250,000
	EmbedFlights   int           // requests at once; 4
	WriteDocuments int           // in an index write; 200
	WriteVectors   int           // in an index write; 200
	WriteFlights   int           // writes at once; 4
	MetadataBytes  int           // of a vector, as JSON; beyond, the document is parked. 48 KiB
	WriteTimeout   time.Duration // of one index request; 30 s. A write is in doubt for three times as long
	Tick           time.Duration // between checkpoints; 1 s
	ReadTimeout    time.Duration // of one read of the source and the ledger; 60 s
	IdleEvery      time.Duration // between checkpoints that only move an idle position; 30 s
	SaveTimeout    time.Duration // of one save; 10 s
	Debounce       time.Duration // a sweep waits this long for more marks of it; 5 s
	HoldFor        time.Duration // claims wait this long while reading is far behind; 10 s
	SweepEvery     time.Duration // between the look sweeps of a collection; 24 h
	SweepPage      int           // documents; 500
	SweepRoom      int           // documents owed because of sweeps at once; 2,000
	ListPage       int           // vectors; 1,000
	Grace          time.Duration // for the claims in hand at shutdown; 5 s
}

func (c Config) withDefaults() Config {
	number := func(n *int, otherwise int) {
		if *n == 0 {
			*n = otherwise
		}
	}
	duration := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	number(&c.MaxOwed, 100_000)
	number(&c.Readers, 2)
	number(&c.ReadDocuments, 64)
	number(&c.InFlight, 512)
	number(&c.HandBytes, 64<<20)
	number(&c.EmbedInputs, 128)
	number(&c.EmbedTokens, 250_000)
	number(&c.EmbedFlights, 4)
	number(&c.WriteDocuments, 200)
	number(&c.WriteVectors, 200)
	number(&c.WriteFlights, 4)
	number(&c.MetadataBytes, 48<<10)
	number(&c.SweepPage, 500)
	number(&c.SweepRoom, 2000)
	number(&c.ListPage, 1000)
	duration(&c.WriteTimeout, 30*time.Second)
	duration(&c.Tick, time.Second)
	duration(&c.IdleEvery, 30*time.Second)
	duration(&c.ReadTimeout, time.Minute)
	duration(&c.SaveTimeout, 10*time.Second)
	duration(&c.Debounce, 5*time.Second)
	duration(&c.SweepEvery, 24*time.Hour)
	duration(&c.Grace, 5*time.Second)
	if c.Saved == nil {
		c.Saved = func(wal.LSN, error) {}
	}
	if c.Observe == nil {
		c.Observe = func(Outcome) {}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Kind is what became of a document.
type Kind uint8

// The outcomes. Parked is the one that is not a success.
const (
	Unchanged Kind = iota
	Entered
	Left
	Revised
	Parked
)

// String is the word for logs and metrics.
func (k Kind) String() string {
	return [...]string{"unchanged", "entered", "left", "revised", "parked"}[k]
}

// Outcome is what became of one document that owed.
type Outcome struct {
	Key     document.Key
	Kind    Kind
	Written int           // vectors
	Deleted int           // vectors
	Tokens  int           // embedded
	Took    time.Duration // since the oldest mark
}

func (r *Reconciler) observe(w *work, kind Kind) {
	o := Outcome{Key: w.claim.Key, Kind: kind, Took: time.Since(w.claim.Since)}
	if kind != Parked {
		o.Written, o.Deleted = len(w.change.Write), len(w.change.Delete)
		w.mu.Lock()
		o.Tokens = w.tokens
		w.mu.Unlock()
	}
	r.log.Debug("document reconciled", "key", o.Key.String(), "outcome", kind.String(), "written", o.Written, "deleted", o.Deleted, "took", o.Took)
	r.cfg.Observe(o)
}

// Pipeline joins the three rooms around one Dirty.
type Pipeline struct {
	Dirty *Dirty

	cfg        Config
	reconciler *Reconciler
	sweeper    *Sweeper
	saver      *Saver
}

// New returns a pipeline that goes on from the saved state.
func New(cfg Config, state owed.State) *Pipeline {
	cfg = cfg.withDefaults()
	d := NewDirty(cfg.HoldFor)
	d.Restore(state)
	return &Pipeline{
		Dirty: d, cfg: cfg,
		reconciler: newReconciler(cfg, d),
		sweeper:    &Sweeper{cfg: cfg, dirty: d, log: cfg.Logger},
		saver:      newSaver(cfg, d),
	}
}

// Run works until ctx ends, then finishes or returns the claims in hand and saves a last checkpoint. It returns nil on
// a clean end, and owed.ErrFenced when another instance has taken over.
func (p *Pipeline) Run(ctx context.Context) error {
	p.Dirty.schedule(p.cfg.Source.Collections(), p.cfg.SweepEvery)
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return p.reconciler.Run(running) })
	g.Go(func() error { return p.sweeper.Run(running) })
	g.Go(func() error { return p.saver.Run(running) })
	err := g.Wait()
	if errors.Is(err, owed.ErrFenced) {
		return err
	}
	if ctx.Err() == nil {
		return err
	}
	return p.saver.last(context.WithoutCancel(ctx))
}

// Save saves a checkpoint now.
func (p *Pipeline) Save(ctx context.Context) error { return p.saver.save(ctx, true) }

// Ask requests a checkpoint soon: the server waits for one.
func (p *Pipeline) Ask() { p.saver.Ask() }

// SavedAt is when the last checkpoint was saved; before the first, when the pipeline was made.
func (p *Pipeline) SavedAt() time.Time {
	p.saver.mu.Lock()
	defer p.saver.mu.Unlock()
	return p.saver.at
}

// Debounce is how long a sweep owed by the log waits for more marks of it.
func (p *Pipeline) Debounce() time.Duration { return p.cfg.Debounce }

// Stats looks at what is owed and which providers are paused.
func (p *Pipeline) Stats() Stats {
	s := p.Dirty.Stats()
	for _, g := range []*gate{p.reconciler.embed, p.reconciler.index} {
		if pause := g.pause(); pause != nil {
			pause.Waiting = p.Dirty.waiting(g.provider)
			s.Paused = append(s.Paused, *pause)
		}
	}
	return s
}
