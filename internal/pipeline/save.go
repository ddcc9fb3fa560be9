package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Saver is room 3: it makes the checkpoint durable, and only then lets the position be confirmed.
type Saver struct {
	cfg   Config
	dirty *Dirty
	log   *slog.Logger
	asked chan struct{}

	mu     sync.Mutex // one save at a time
	saved  wal.LSN
	at     time.Time // of the last save
	failed error     // of the last save; nil when it was saved

	counted time.Time // the store's debts, last
}

func newSaver(cfg Config, dirty *Dirty) *Saver {
	return &Saver{cfg: cfg, dirty: dirty, log: cfg.Logger, asked: make(chan struct{}, 1), at: time.Now()}
}

// Ask requests a save before the next idle one is due: the server waits for us.
func (s *Saver) Ask() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// Run saves every tick until ctx ends. It fails only when another instance has taken over.
func (s *Saver) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Tick)
	defer tick.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-s.asked:
			asked = true
			// Never more often than the tick, however often the server asks.
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
		if err := s.save(ctx, asked); errors.Is(err, owed.ErrFenced) {
			return err
		}
		s.page(ctx)
	}
}

// last saves the last checkpoint. A save that failed may still be under way in the store, and would strike out what one
// that overtook it has written: then the next owner, whom the store lets wait for it, starts from what there is.
func (s *Saver) last(ctx context.Context) error {
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if failed != nil {
		return fmt.Errorf("no last checkpoint after one that failed: %w", failed)
	}
	return s.save(ctx, true)
}

// save saves one checkpoint and confirms it. An idle position is saved only when it was asked for, or every
// IdleEvery: what saving writes to the log must not be a reason to save again.
func (s *Saver) save(ctx context.Context, asked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delta, worth := s.dirty.Capture()
	if !worth && (delta.LSN == s.saved || !asked && time.Since(s.at) < s.cfg.IdleEvery) {
		return nil
	}
	// Not given up at shutdown: what the last save writes would meet a transaction that is still under way, and if that
	// one came second it would strike out what is owed again.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.SaveTimeout)
	defer cancel()
	err := s.cfg.Store.Save(bounded, delta)
	if err != nil {
		s.dirty.Uncapture(delta)
		if s.failed == nil && ctx.Err() == nil {
			s.log.Error("checkpoint could not be saved; nothing is confirmed until it can", "err", err)
		}
		s.failed = err
	} else {
		if s.failed != nil {
			s.log.Info("checkpoint is saved again", "lsn", delta.LSN.String())
		}
		s.failed, s.saved, s.at = nil, delta.LSN, time.Now()
	}
	// Ours first: dying before the confirmation repeats work, the other order would lose it.
	s.cfg.Saved(delta.LSN, err)
	return err
}
