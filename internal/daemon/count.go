package daemon

import (
	"context"
	"time"

	"payload-cdc/internal/index"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
)

const (
	// countSoon is how long to wait for a moment at which counting means something.
	countSoon = 15 * time.Second
	// countPause is how long a shortfall has to last: providers may count later than they answer.
	countPause = 3 * time.Second
)

// indexShort is why everything is compared when the index holds less than it was given.
const indexShort = "the index holds fewer vectors than it was given: it was emptied, or has lost a part"

// keepCount compares, at each start and once a day, how many vectors the index holds with how many it was given.
func (o *owner) keepCount(ctx context.Context) {
	counter, ok := o.d.index.Index.(index.Counter)
	if !ok {
		return
	}
	for {
		wait := time.Until(o.d.counted.Add(o.d.cfg.CountEvery))
		if wait <= 0 {
			if o.recount(ctx, counter) {
				o.d.counted = time.Now()
				continue
			}
			wait = min(countSoon, o.d.cfg.CountEvery)
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// recount owes everything a comparison if vectors are missing. It returns false when it could not tell: while documents
// are in hand the two numbers move, and a sweep that proves finds out by itself. Vectors of others in the same namespace
// make up for ours in the count; so this finds what is missing beyond their number.
func (o *owner) recount(ctx context.Context, counter index.Counter) bool {
	held, given, ok := o.count(ctx, counter)
	if !ok || held >= given {
		return ok
	}
	if !pause(ctx, countPause) {
		return false
	}
	if held, given, ok = o.count(ctx, counter); !ok || held >= given {
		return ok
	}
	if o.d.cfg.OnGap == Stop {
		o.end(stopped(indexShort))
		return true
	}
	o.d.log.Warn("everything is compared with the index", "reason", indexShort, "held", held, "given", given)
	o.pipeline.Dirty.Sweep(pipeline.SweepMark{Strength: owed.Prove, Reason: indexShort})
	return o.pipeline.Save(ctx) == nil
}

// count returns what the index holds and what the ledger says that it was given, if nothing moved meanwhile.
func (o *owner) count(ctx context.Context, counter index.Counter) (held, given int, ok bool) {
	if !o.d.index.admitted() || !o.quiet() {
		return 0, 0, false
	}
	given, err := o.d.store.Certain(ctx)
	if err != nil {
		return 0, 0, false
	}
	if held, err = counter.Count(ctx); err != nil {
		o.d.log.Debug("the index could not be counted", "err", err)
		return 0, 0, false
	}
	again, err := o.d.store.Certain(ctx)
	return held, given, err == nil && again == given && o.quiet()
}

// quiet says that no document is in hand, and no comparison with the index is owed.
func (o *owner) quiet() bool {
	s := o.pipeline.Stats()
	for _, sweep := range s.Sweeps {
		if sweep.Strength == owed.Prove && sweep.Held == 0 {
			return false
		}
	}
	return s.Claimed == 0
}
