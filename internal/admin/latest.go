package admin

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

const (
	// freshFor is how long a Status is shown again, counted from the end of its reading: a slow one does not make the
	// next follow at once.
	freshFor = time.Second
	// statusTimeout is how long one reading may take.
	statusTimeout = 5 * time.Second
)

// errUnavailable is all that clients learn of an error: what it says may be about hosts and accounts.
var errUnavailable = errors.New("the status cannot be read at the moment; the log says why")

// latest is the last Status read. One goroutine (run) reads it for all who ask, so that neither many clients nor one who
// leaves early costs the database anything.
type latest struct {
	read func(context.Context) (Status, error)
	asks chan chan<- looked
	log  *slog.Logger
}

type looked struct {
	status Status
	err    error
}

func newLatest(read func(context.Context) (Status, error), log *slog.Logger) *latest {
	return &latest{read: read, asks: make(chan chan<- looked), log: log}
}

// get returns a Status that is at most freshFor old, or errUnavailable.
func (l *latest) get(ctx context.Context) (Status, error) {
	answer := make(chan looked, 1) // whoever asked may have left
	select {
	case l.asks <- answer:
	case <-ctx.Done():
		return Status{}, errUnavailable
	}
	select {
	case now := <-answer:
		return now.status, now.err
	case <-ctx.Done():
		return Status{}, errUnavailable
	}
}

// run answers until ctx ends.
func (l *latest) run(ctx context.Context) {
	var last looked
	var end time.Time // of the last reading; zero before the first
	for {
		select {
		case <-ctx.Done():
			return
		case answer := <-l.asks:
			if end.IsZero() || time.Since(end) >= freshFor {
				last, end = l.look(ctx, last.err != nil), time.Now()
			}
			answer <- last
		}
	}
}

// look logs an error once, not every second while it lasts.
func (l *latest) look(ctx context.Context, failing bool) looked {
	reading, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	at := time.Now()
	status, err := l.read(reading)
	if err != nil {
		if !failing && ctx.Err() == nil {
			l.log.Warn("the status cannot be read", "err", err)
		}
		return looked{err: errUnavailable}
	}
	if status.At.IsZero() {
		status.At = Time{at}
	}
	return looked{status: status}
}
