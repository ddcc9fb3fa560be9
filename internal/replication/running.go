package replication

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/wal"
)

const (
	waitingEvery = 2 * time.Second        // between two reports of who is waited for
	pollFirst    = 5 * time.Millisecond   // most transactions end at once
	pollLast     = 250 * time.Millisecond // and one that does not will not be hurried
)

// Waiting is a transaction that something here waits for.
type Waiting struct {
	PID         int    // zero for a prepared transaction
	Prepared    string // its name, if it is prepared: COMMIT PREPARED or ROLLBACK PREPARED ends it
	XID         wal.XID
	Age         time.Duration
	Database    string
	User        string
	Application string
	State       string // of the session: "active", "idle in transaction", …; empty when hidden from this role
	Wait        string // what it waits for itself, "SyncRep" when a standby holds it; empty when nothing or hidden
	Query       string // its first 200 characters, literals and all, so not for a log; empty when hidden from this role
}

// String is for logs: who, for how long, doing what.
func (w Waiting) String() string {
	if w.Prepared != "" {
		return fmt.Sprintf("prepared transaction %q in %s for %s", w.Prepared, w.Database, w.Age.Round(time.Second))
	}
	text := fmt.Sprintf("PID %d (%s, %s in %s) for %s", w.PID, w.Application, w.User, w.Database, w.Age.Round(time.Second))
	if w.State != "" {
		text += ", " + w.State
	}
	if w.Wait != "" {
		text += ", waiting for " + w.Wait
	}
	return text
}

// WaitForRunning waits until every transaction that runs now has ended and is visible, or invisible for good, to new
// snapshots. A slot, or a table in a publication, is complete for those that begin later only; what ran at its creation
// may be in neither the stream nor a snapshot taken too early. progress, if not nil, is told every two seconds who is
// waited for. It ends early only with ctx. q must not be inside a transaction, which would look at one snapshot for ever.
func WaitForRunning(ctx context.Context, q Querier, progress func(waiting []Waiting)) error {
	// Only a transaction id of our own is newer than all that run: a snapshot's xmax is that of the last one to end,
	// and those that run may lie beyond it. It costs an id and no flush.
	var mark int64
	if err := q.QueryRow(ctx, "SELECT pg_current_xact_id()::text::bigint").Scan(&mark); err != nil {
		return fmt.Errorf("wait for running transactions: %w", err)
	}
	pause, reported := pollFirst, time.Now()
	for {
		xmin, err := oldestRunning(ctx, q)
		if err != nil {
			return err
		}
		if xmin >= wal.XID(mark) {
			return nil
		}
		if progress != nil && time.Since(reported) >= waitingEvery {
			waiting, err := blockers(ctx, q, wal.XID(mark))
			if err != nil {
				return err
			}
			waiting = slices.DeleteFunc(waiting, func(w Waiting) bool { return w.XID >= wal.XID(mark) })
			if len(waiting) > 0 {
				progress(waiting)
			}
			reported = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for running transactions: %w", ctx.Err())
		case <-time.After(pause):
		}
		pause = min(pause*2, pollLast)
	}
}

// oldestRunning is an id below which every transaction has ended and is visible to new snapshots.
func oldestRunning(ctx context.Context, q Querier) (wal.XID, error) {
	var xmin int64
	if err := q.QueryRow(ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").Scan(&xmin); err != nil {
		return 0, fmt.Errorf("read the current snapshot: %w", err)
	}
	return wal.XID(xmin), nil
}

// blockers lists the transactions that have not ended, oldest first. near is an id of about now.
func blockers(ctx context.Context, q Querier, near wal.XID) ([]Waiting, error) {
	rows, err := q.Query(ctx, `
		SELECT pid, '', backend_xid::text::bigint, extract(epoch FROM coalesce(now() - xact_start, '0'))::float8,
		       coalesce(datname::text, ''), coalesce(usename::text, ''), coalesce(application_name, ''), coalesce(state, ''),
		       CASE WHEN wait_event_type IN ('Lock', 'LWLock', 'IPC') THEN coalesce(wait_event, '') ELSE '' END,
		       left(coalesce(query, ''), 200)
		FROM pg_stat_activity WHERE backend_xid IS NOT NULL
		UNION ALL
		SELECT 0, gid, transaction::text::bigint, extract(epoch FROM now() - prepared)::float8,
		       database::text, owner::text, '', '', '', '' FROM pg_prepared_xacts`)
	if err != nil {
		return nil, fmt.Errorf("look for running transactions: %w", err)
	}
	waiting, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Waiting, error) {
		var w Waiting
		var xid int64
		var age float64
		err := row.Scan(&w.PID, &w.Prepared, &xid, &age, &w.Database, &w.User, &w.Application, &w.State, &w.Wait, &w.Query)
		w.XID, w.Age = wal.Widen(uint32(xid), near), time.Duration(age*float64(time.Second))
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for running transactions: %w", err)
	}
	slices.SortFunc(waiting, func(a, b Waiting) int { return int(b.Age - a.Age) })
	return waiting, nil
}
