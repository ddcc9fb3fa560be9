package pipeline

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"payload-cdc/internal/failure"
)

// failuresToPause is how many requests in a row may fail before a provider counts as down. A systemic error pauses at
// once.
const failuresToPause = 5

// gate stands before one provider. While the provider is down, claims that need it wait in Dirty and one at a time is
// let through to see whether it is back; all others, and all work that does not need it, goes on.
type gate struct {
	provider string
	dirty    *Dirty
	log      *slog.Logger
	changed  chan struct{} // a pause began, or a probe ended without ending it; capacity 1

	mu       sync.Mutex
	paused   *Pause
	probing  bool
	alone    bool // at the last time to probe nobody was waiting: the next one that waits is let through
	probeAt  time.Time
	failures int // in a row
	probes   int // failed ones of this pause
}

func newGate(provider string, dirty *Dirty, log *slog.Logger) *gate {
	return &gate{provider: provider, dirty: dirty, log: log, changed: make(chan struct{}, 1)}
}

// admit says whether a claim may use the provider now, and whether it does so to probe a paused one: then it ends in
// release.
func (g *gate) admit(probe bool) (ok, probes bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.paused == nil:
		return true, false
	case probe, !g.probing && !time.Now().Before(g.probeAt):
		g.probing = true
		return true, true
	default:
		return false, false
	}
}

// release ends a probe. One that ended without a verdict, for it only read or failed elsewhere, makes room for the
// next at once: there may be nobody else who would.
func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused != nil && g.probing {
		g.signal()
	}
	g.probing = false
}

// blocked is told that a claim has just been put down, and says whether the provider came back meanwhile. A claim that
// was refused just before it was time to probe, and put down just after, would wait for ever.
func (g *gate) blocked() (back bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused != nil && g.alone {
		g.alone = false
		g.signal()
	}
	return g.paused == nil
}

// signal lets run look again. g.mu is held.
func (g *gate) signal() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// answered records that the provider answered a read. A paused one may still refuse writes.
func (g *gate) answered() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused == nil {
		g.failures = 0
	}
}

// passed records that the provider answered: also an error about one document is an answer.
func (g *gate) passed() {
	g.mu.Lock()
	was := g.paused
	g.paused, g.failures, g.probes, g.probing = nil, 0, 0, false
	g.mu.Unlock()
	if was != nil {
		waiting := g.dirty.Unblock(g.provider, -1)
		g.log.Info("provider is back", "provider", g.provider, "paused", time.Since(was.Since).Round(time.Second), "owed", waiting)
	}
}

// failed records a transient or systemic error, and says whether the provider is paused.
func (g *gate) failed(e *failure.Error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures++
	if g.paused == nil && e.Class != failure.Systemic && g.failures < failuresToPause {
		return false
	}
	now := time.Now()
	if g.paused == nil {
		g.paused = &Pause{Provider: g.provider, Reason: e.Error(), Since: now, Systemic: e.Class == failure.Systemic}
		g.log.Error("provider is paused; changes are still read and kept as owed",
			"provider", g.provider, "err", e, "systemic", g.paused.Systemic)
	} else {
		if !g.probing {
			return true // a request from before the pause
		}
		g.probes++
		g.paused.Reason, g.paused.Systemic = e.Error(), e.Class == failure.Systemic
	}
	g.probing = false
	g.probeAt = now.Add(retryDelay(g.probes + 1))
	if e.Until.After(g.probeAt) {
		g.probeAt = e.Until
	}
	g.signal()
	return true
}

// pause returns the present pause, or nil.
func (g *gate) pause() *Pause {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.paused == nil {
		return nil
	}
	p := *g.paused
	return &p
}

// run lets one waiting claim through whenever it is time to probe.
func (g *gate) run(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-g.changed:
		}
		for {
			g.mu.Lock()
			paused, at := g.paused != nil, g.probeAt
			g.mu.Unlock()
			if !paused {
				break
			}
			timer := time.NewTimer(time.Until(at))
			select {
			case <-done:
				timer.Stop()
				return
			case <-timer.C:
			}
			g.setAlone(true) // before looking: who is put down from here on signals
			if g.dirty.Unblock(g.provider, 1) == 0 {
				break // the next claim that needs the provider probes it
			}
			g.setAlone(false)
			// The claim that was let through decides; it signals when it failed.
			select {
			case <-done:
				return
			case <-g.changed:
			case <-time.After(probeGrace):
				// It needed the provider no longer: let another one through.
			}
		}
	}
}

func (g *gate) setAlone(alone bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alone = alone
}

const probeGrace = 30 * time.Second

// retryDelay grows from about a second to about a minute, with full jitter on its upper half.
func retryDelay(tries int) time.Duration {
	d := time.Second << min(max(tries-1, 0), 6)
	d = min(d, time.Minute)
	return d/2 + rand.N(d/2+1)
}
