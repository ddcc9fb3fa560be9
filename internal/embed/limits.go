package embed

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"payload-cdc/internal/failure"
)

// RateLimits is what the provider said it would still take, less what has been sent since.
type RateLimits struct {
	RemainingRequests int
	RemainingTokens   int
	ResetRequests     time.Time // when the limit is whole again; zero when unknown
	ResetTokens       time.Time
	Known             bool // some response carried x-ratelimit headers
}

// limiter waits where the provider's own numbers say that a request would be refused. It guesses nothing: without
// headers it never waits.
type limiter struct {
	mu       sync.Mutex
	requests bucket
	tokens   bucket
	hold     time.Time // nothing before: the provider said so
}

// bucket refills evenly until reset, as OpenAI's do (its guide: "limits are quantised, and refill continuously").
type bucket struct {
	known     bool
	limit     float64 // zero when unknown
	remaining float64 // at the time at
	rate      float64 // a second
	at, reset time.Time
}

func (b *bucket) learn(h http.Header, name string, now time.Time) {
	remaining, err := strconv.ParseFloat(h.Get("X-Ratelimit-Remaining-"+name), 64)
	if err != nil || !(remaining >= 0) {
		return
	}
	text := h.Get("X-Ratelimit-Reset-" + name)
	reset, err := time.ParseDuration(text)
	if s, notSeconds := strconv.ParseFloat(text, 64); notSeconds == nil && s >= 0 { // Azure's
		reset, err = seconds(s), nil
	}
	if err != nil || reset < 0 {
		return
	}
	reset = min(reset, maxAsked)
	*b = bucket{known: true, remaining: remaining, at: now, reset: now.Add(reset)}
	if limit, err := strconv.ParseFloat(h.Get("X-Ratelimit-Limit-"+name), 64); err == nil && limit >= remaining {
		b.limit = limit
		if reset > 0 {
			b.rate = (limit - remaining) / reset.Seconds()
		}
	}
}

// left returns what may be taken at now.
func (b *bucket) left(now time.Time) float64 {
	return b.remaining + b.rate*max(now.Sub(b.at), 0).Seconds()
}

// pause returns how long to wait for need. A need over the limit waits for a whole bucket.
func (b *bucket) pause(need float64, now time.Time) time.Duration {
	if b.known && !now.Before(b.reset) {
		b.known = false // whole again; the next response says more
	}
	if !b.known {
		return 0
	}
	left := b.left(now)
	if left >= need {
		return 0
	}
	whole := b.reset.Sub(now)
	if b.rate > 0 {
		return min(whole, seconds((need-left)/b.rate)+time.Millisecond)
	}
	return whole
}

func (b *bucket) take(need float64, now time.Time) {
	if b.known {
		b.remaining, b.at = b.left(now)-need, now
	}
}

func (l *limiter) learn(h http.Header, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests.learn(h, "Requests", now)
	l.tokens.learn(h, "Tokens", now)
}

// refused notes that the provider wants nothing before until.
func (l *limiter) refused(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until.After(l.hold) {
		l.hold = until
	}
}

// wait returns when a request of that many tokens may be sent, and counts it as sent. Where that takes longer than
// longest it returns a transient error that says until when, at once.
func (l *limiter) wait(ctx context.Context, tokens int, longest time.Duration) error {
	for {
		l.mu.Lock()
		now := time.Now()
		pause := max(l.hold.Sub(now), l.requests.pause(1, now), l.tokens.pause(float64(tokens), now))
		if pause <= 0 {
			l.requests.take(1, now)
			l.tokens.take(float64(tokens), now)
		}
		l.mu.Unlock()
		if pause <= 0 {
			return nil
		}
		if pause > longest {
			return &failure.Error{Provider: provider, Until: now.Add(pause), Rejected: true, Err: fmt.Errorf("embed: the rate limit has room again in %v", pause.Round(time.Second))}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return &failure.Error{Provider: provider, Rejected: true, Err: fmt.Errorf("embed: wait for the rate limit: %w", ctx.Err())}
		case <-timer.C:
		}
	}
}

func (l *limiter) read() RateLimits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return RateLimits{
		RemainingRequests: int(l.requests.remaining),
		RemainingTokens:   int(l.tokens.remaining),
		ResetRequests:     l.requests.reset,
		ResetTokens:       l.tokens.reset,
		Known:             !l.requests.reset.IsZero() || !l.tokens.reset.IsZero(),
	}
}
