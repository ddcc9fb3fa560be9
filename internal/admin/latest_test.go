package admin

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// keep runs a latest inside the bubble until the test ends.
func keep(t *testing.T, log *slog.Logger, read func(context.Context) (Status, error)) *latest {
	t.Helper()
	l := newLatest(read, log)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { l.run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return l
}

func TestLatestReadsOncePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		l := keep(t, slog.New(slog.DiscardHandler), func(context.Context) (Status, error) {
			reads++
			time.Sleep(3 * time.Second) // a slow database
			return Status{Parked: reads}, nil
		})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if s, err := l.get(t.Context()); err != nil || s.Parked != 1 || s.At.IsZero() {
					t.Errorf("%+v, %v", s, err)
				}
			})
		}
		wg.Wait()
		time.Sleep(freshFor - time.Millisecond)
		if s, _ := l.get(t.Context()); s.Parked != 1 {
			t.Errorf("read again after less than %s", freshFor)
		}
		time.Sleep(time.Millisecond)
		if s, _ := l.get(t.Context()); s.Parked != 2 {
			t.Errorf("%d, not read again after %s", s.Parked, freshFor)
		}
	})
}

func TestLatestReadsForThoseWhoStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := keep(t, slog.New(slog.DiscardHandler), func(ctx context.Context) (Status, error) {
			select {
			case <-time.After(2 * time.Second):
				return Status{State: Streaming}, nil
			case <-ctx.Done():
				return Status{}, ctx.Err()
			}
		})
		leaving, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.get(leaving); !errors.Is(err, errUnavailable) {
			t.Errorf("%v", err)
		}
		if s, err := l.get(t.Context()); err != nil || s.State != Streaming {
			t.Errorf("who stayed got %+v, %v", s, err)
		}
	})
}

func TestLatestError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		down := true
		l := keep(t, slog.New(slog.NewTextHandler(&log, nil)), func(ctx context.Context) (Status, error) {
			if down {
				<-ctx.Done() // hangs until its timeout
				return Status{}, ctx.Err()
			}
			return Status{}, nil
		})
		for range 5 {
			if _, err := l.get(t.Context()); !errors.Is(err, errUnavailable) {
				t.Errorf("%v", err)
			}
			time.Sleep(freshFor)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines of log:\n%s", n, log.String())
		}
		down = false
		if _, err := l.get(t.Context()); err != nil {
			t.Errorf("after the error: %v", err)
		}
	})
}
