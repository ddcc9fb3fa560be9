package embed

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"payload-cdc/internal/failure"
)

func headers(requests, requestsReset, tokens, tokensLimit, tokensReset string) http.Header {
	h := http.Header{}
	h.Set("x-ratelimit-remaining-requests", requests)
	h.Set("x-ratelimit-reset-requests", requestsReset)
	h.Set("x-ratelimit-remaining-tokens", tokens)
	h.Set("x-ratelimit-limit-tokens", tokensLimit)
	h.Set("x-ratelimit-reset-tokens", tokensReset)
	return h
}

func TestLimiterWaits(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		tokens int
		want   time.Duration
	}{
		{"nothing known", http.Header{}, 1 << 20, 0},
		{"room", headers("10", "1s", "5000", "10000", "5s"), 5000, 0},
		{"tokens refill", headers("10", "1s", "1000", "10000", "9s"), 4000, 3 * time.Second},
		{"more than the limit", headers("10", "1s", "1000", "10000", "9s"), 40000, 9 * time.Second},
		{"no limit said", headers("10", "1s", "1000", "", "9s"), 4000, 9 * time.Second},
		{"no requests left", headers("0", "6m0s", "1000", "1000", "0s"), 10, 6 * time.Minute},
		{"seconds", headers("0", "10", "1000", "1000", "0"), 10, 10 * time.Second},
		{"nonsense", headers("-1", "1s", "x", "y", "z"), 10, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var l limiter
				began := time.Now()
				l.learn(c.header, began)
				if err := l.wait(t.Context(), c.tokens, time.Hour); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(began).Round(10 * time.Millisecond); got != c.want {
					t.Errorf("waited %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestLimiterCountsWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		began := time.Now()
		l.learn(headers("100", "1s", "2000", "10000", "8s"), began) // 1000 a second
		for i, want := range []time.Duration{0, 0, time.Second, 2 * time.Second} {
			if err := l.wait(t.Context(), 1000, time.Hour); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began).Round(10 * time.Millisecond); got != want {
				t.Errorf("request %d was sent at %v, want %v", i, got, want)
			}
		}
		// The requests were whole again after a second, and nothing has been said since.
		if r := l.read(); !r.Known || r.RemainingRequests != 98 || r.RemainingTokens != 0 || r.ResetTokens != began.Add(8*time.Second) {
			t.Errorf("limits %+v", r)
		}
	})
}

func TestLimiterGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l limiter
		l.learn(headers("0", "20m", "1000", "1000", "0s"), time.Now())
		err := l.wait(t.Context(), 1, time.Minute)
		if f := failure.Of(err); err == nil || f.Class != failure.Transient || !f.Rejected || f.Until != time.Now().Add(20*time.Minute) {
			t.Errorf("%+v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.wait(ctx, 1, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
