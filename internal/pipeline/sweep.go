package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

// Absent documents of a sweep are held when they are more than both of these: a person has to say that they are
// really gone.
const (
	heldShare = 0.10
	heldCount = 20
)

// Sweeper works off owed sweeps, one page at a time, at the pace at which their documents are reconciled.
type Sweeper struct {
	cfg   Config
	dirty *Dirty
	log   *slog.Logger
}

// Run works off sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		sweep, err := s.dirty.takeSweep(ctx)
		if err != nil {
			return err
		}
		held, err := s.sweep(ctx, sweep)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, owed.ErrFenced) {
			return err
		}
		if err != nil && !errors.Is(err, errStale) {
			s.log.Warn("sweep failed; it goes on where it was", "collection", scopeName(sweep.Collection), "err", err)
		}
		every := s.cfg.SweepEvery
		if !slices.Contains(s.cfg.Source.Collections(), sweep.Collection) {
			every = 0 // everything, or a collection that has left
		}
		s.dirty.endSweep(sweep, held, every, err)
	}
}

var errStale = errors.New("the sweep was marked again")

// sweep runs one sweep from where it is to its end. It returns the number of absent documents it holds back.
func (s *Sweeper) sweep(ctx context.Context, sweep owed.Sweep) (held int, err error) {
	if s.cfg.BeforeSweep != nil {
		if err := s.cfg.BeforeSweep(ctx); err != nil {
			return 0, err
		}
	}
	if err := s.visible(ctx, sweep); err != nil {
		return 0, err
	}
	if sweep.Held == 0 {
		s.dirty.lookAgain(sweep)
	}
	began := time.Now()
	quiet := sweep.Reason == daily || sweep.Held > 0
	if !quiet {
		s.log.Info("sweep begins", "collection", scopeName(sweep.Collection), "strength", sweep.Strength.String(), "reason", sweep.Reason, "resumed", sweep.Cursor != "")
	}
	p := &progress{log: s.log, collection: sweep.Collection, last: time.Now()}
	if sweep.Stage == owed.Listing {
		if err := s.list(ctx, &sweep, p); err != nil {
			return 0, err
		}
	}
	if sweep.Collection == "" {
		marks := make([]SweepMark, 0)
		for _, c := range s.cfg.Source.Collections() {
			marks = append(marks, SweepMark{Collection: c, Strength: sweep.Strength, Reason: sweep.Reason, Force: sweep.Force, listed: true, since: sweep.Since})
		}
		s.dirty.Sweep(marks...)
		return 0, nil
	}
	if sweep.Stage == owed.Marking {
		if err := s.markPublished(ctx, &sweep, p); err != nil {
			return 0, err
		}
	}
	absent := 0
	if sweep.Stage == owed.Counting {
		// Counting is never resumed half-way: its count is not saved.
		sweep.Cursor = ""
		total, gone := 0, 0
		err := s.ledger(ctx, &sweep, func(keys, missing []document.Key) error {
			total, gone = total+len(keys), gone+len(missing)
			p.say("comparing what the index may hold", total, 0)
			return nil
		})
		if err != nil {
			return 0, err
		}
		if gone > heldCount && float64(gone) > heldShare*float64(total) && !sweep.Force {
			if gone != sweep.Held {
				s.log.Error("sweep found so many documents gone that their removal waits for you",
					"collection", sweep.Collection, "absent", gone, "indexed", total,
					"remedy", "if they really are gone, run: cdc verify --repair --force")
			}
			return gone, nil
		}
		if sweep.Held > 0 {
			s.log.Info("sweep is held no longer: fewer documents are gone than it counted", "collection", sweep.Collection, "absent", gone, "before", sweep.Held)
		}
		sweep.Stage, sweep.Cursor, sweep.Held = owed.Releasing, "", 0
		if !s.dirty.advance(sweep, nil) {
			return 0, errStale
		}
	}
	err = s.ledger(ctx, &sweep, func(_, missing []document.Key) error {
		absent += len(missing)
		if err := s.dirty.room(ctx, s.cfg.SweepRoom); err != nil {
			return err
		}
		if !s.dirty.advance(sweep, missing) {
			return errStale
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if !quiet {
		s.log.Info("sweep has marked everything", "collection", sweep.Collection, "published", p.marked, "absent", absent, "took", time.Since(began).Round(time.Millisecond))
	}
	return 0, nil
}

// visible waits until reads can see the transactions that owed the sweep.
func (s *Sweeper) visible(ctx context.Context, sweep owed.Sweep) error {
	for delay := time.Millisecond; len(sweep.XIDs) > 0; delay = min(2*delay, time.Second) {
		_, snapshot, err := s.cfg.Source.Read(ctx, nil)
		if err != nil {
			return err
		}
		s.dirty.See(snapshot)
		if seesAll(snapshot, sweep.XIDs) {
			return nil
		}
		if err := sleepUntil(ctx, time.Now().Add(delay), nil); err != nil {
			return err
		}
	}
	return nil
}

// listings is how often the index is listed again because vectors were deleted meanwhile.
const listings = 10

// list puts what the index holds into the ledger, so that no vector is left without a document that answers for it.
// Vectors that do not name one of our collections are only counted.
//
// An index may page by position, so a deletion behind the cursor makes it skip a vector. A listing therefore counts
// only if nothing was deleted meanwhile, and is never resumed half-way.
func (s *Sweeper) list(ctx context.Context, sweep *owed.Sweep, p *progress) error {
	for n := 1; ; n++ {
		before, settled := s.dirty.deletions()
		ours, others, err := s.listOnce(ctx, sweep.Collection, p)
		if err != nil {
			return err
		}
		after, _ := s.dirty.deletions()
		if before == after && settled || n == listings {
			s.log.Info("the index has been listed", "vectors", ours, "others", others, "times", n, "undisturbed", before == after && settled)
			break
		}
		if err := sleepUntil(ctx, s.dirty.deletionsSettle(), nil); err != nil {
			return err
		}
	}
	sweep.Stage, sweep.Cursor = owed.Marking, ""
	if sweep.Collection != "" && !s.dirty.advance(*sweep, nil) {
		return errStale
	}
	return nil
}

// listOnce pages through the index from beginning to end.
func (s *Sweeper) listOnce(ctx context.Context, collection string, p *progress) (ours, others int, err error) {
	collections := s.cfg.Source.Collections()
	for cursor := ""; ; {
		page, next, err := s.cfg.Index.List(ctx, cursor, s.cfg.ListPage)
		if err != nil {
			return 0, 0, fmt.Errorf("list the index: %w", err)
		}
		at := map[document.Key]int{}
		var found []owed.Holding
		for _, v := range page {
			key := document.Key{Collection: v.Metadata.Collection, ID: v.Metadata.DocID}
			if key.ID == "" || !slices.Contains(collections, key.Collection) {
				others++
				continue
			}
			if collection != "" && key.Collection != collection {
				continue
			}
			ours++
			i, ok := at[key]
			if !ok {
				i = len(found)
				at[key] = i
				found = append(found, owed.Holding{Key: key})
			}
			found[i].Held = append(found[i].Held, document.Held{ID: v.ID, Hash: hashHeld(v.Metadata)})
		}
		if len(found) > 0 {
			if err := s.cfg.Ledger.Adopt(ctx, found); err != nil {
				return 0, 0, fmt.Errorf("adopt vectors found in the index: %w", err)
			}
		}
		p.say("listing the index", ours+others, 0)
		if next == "" {
			return ours, others, nil
		}
		cursor = next
	}
}

// markPublished marks every published document of the collection.
func (s *Sweeper) markPublished(ctx context.Context, sweep *owed.Sweep, p *progress) error {
	whole := sweep.Cursor == ""
	for {
		keys, next, snapshot, err := s.cfg.Source.Published(ctx, sweep.Collection, sweep.Cursor, s.cfg.SweepPage)
		if err != nil {
			return fmt.Errorf("read a page of %s: %w", sweep.Collection, err)
		}
		s.dirty.See(snapshot)
		if err := s.dirty.room(ctx, s.cfg.SweepRoom); err != nil {
			return err
		}
		sweep.Cursor = next
		if next == "" {
			sweep.Stage = owed.Counting
		}
		if !s.dirty.advance(*sweep, keys) {
			return errStale
		}
		p.marked += len(keys)
		if p.total == 0 && s.cfg.Estimate != nil && next != "" {
			p.total = s.cfg.Estimate(ctx, sweep.Collection)
		}
		p.say("marking published documents", p.marked, p.total)
		if next == "" {
			if whole {
				s.dirty.counted(sweep.Collection, p.marked)
			}
			return nil
		}
	}
}

// ledger pages through the documents that the ledger holds for the collection, with those of them that are not
// published.
func (s *Sweeper) ledger(ctx context.Context, sweep *owed.Sweep, each func(keys, missing []document.Key) error) error {
	for {
		keys, next, err := s.cfg.Ledger.Documents(ctx, sweep.Collection, sweep.Cursor, s.cfg.SweepPage)
		if err != nil {
			return fmt.Errorf("read the ledger of %s: %w", sweep.Collection, err)
		}
		var missing []document.Key
		if len(keys) > 0 {
			live, err := s.cfg.Source.Live(ctx, keys)
			if err != nil {
				return fmt.Errorf("compare the ledger of %s with the source: %w", sweep.Collection, err)
			}
			for i, ok := range live {
				if !ok {
					missing = append(missing, keys[i])
				}
			}
		}
		sweep.Cursor = next
		if err := each(keys, missing); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
	}
}

// progress speaks up every few seconds during a long sweep.
type progress struct {
	log        *slog.Logger
	collection string
	marked     int
	total      int
	last       time.Time
}

func (p *progress) say(doing string, n, total int) {
	if time.Since(p.last) < 5*time.Second {
		return
	}
	p.last = time.Now()
	if total > 0 {
		p.log.Info("sweep goes on", "doing", doing, "collection", scopeName(p.collection), "done", n, "of", total)
		return
	}
	p.log.Info("sweep goes on", "doing", doing, "collection", scopeName(p.collection), "done", n)
}

func scopeName(collection string) string {
	if collection == "" {
		return "everything"
	}
	return collection
}
