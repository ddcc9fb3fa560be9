package checkpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Overview is the state as people ask for it.
type Overview struct {
	Version     int // of the tables
	Epoch       int64
	Instance    string    // that owns the state; empty when released or never claimed
	ClaimedAt   time.Time // zero when never
	Position    wal.Position
	CommitAt    time.Time // of the last transaction read; zero when unknown
	SavedAt     time.Time // zero when never
	Owed        int
	OldestOwed  time.Time // zero when nothing owes
	Parked      int
	InDoubt     int // ledger lines with a write whose outcome is unknown
	Collections []CollectionOverview
	Sweeps      []owed.Sweep
}

// CollectionOverview is one collection's part. Documents and Chunks count the vectors that the index was seen to hold
// with a hash, by a settle or a listing; announced ones count once they are settled.
type CollectionOverview struct {
	Collection  string
	Fingerprint string
	Documents   int
	Chunks      int
	Owed        int
	Parked      int
	Published   int       // as the last sweep counted
	PublishedAt time.Time // zero when none did
}

// Peek reads the state without claiming it, all of it from one snapshot. ErrNoState when the schema holds none.
func Peek(ctx context.Context, pool *pgxpool.Pool, schema string) (Overview, error) {
	if schema == "" {
		schema = DefaultSchema
	}
	var o Overview
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		var err error
		if o.Version, err = version(ctx, tx, schema); err != nil {
			return err
		}
		return peek(ctx, tx, quote(schema), &o)
	})
	if err != nil {
		return Overview{}, fmt.Errorf("read the state in schema %s: %w", quote(schema), classify(err))
	}
	return o, nil
}

// Remembered is where the state says that the log is read to, and the fingerprint of each collection that is indexed.
// It claims nothing, and costs no more than two rows and one for each collection. ErrNoState when the schema holds none.
func Remembered(ctx context.Context, pool *pgxpool.Pool, schema string) (position wal.Position, fingerprints map[string]string, err error) {
	if schema == "" {
		schema = DefaultSchema
	}
	fingerprints = map[string]string{}
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := version(ctx, tx, schema); err != nil {
			return err
		}
		var s owed.State
		row := tx.QueryRow(ctx, inSchema(`
SELECT lsn::text, slot, system, timeline, slot_point::text, commit_at, saved_at FROM {state}.checkpoint`, quote(schema)))
		if err := scanCheckpoint(row, &s); err != nil {
			return err
		}
		position = s.Position
		rows, err := tx.Query(ctx, inSchema(`SELECT collection, fingerprint FROM {state}.collections WHERE fingerprint <> ''`, quote(schema)))
		if err != nil {
			return err
		}
		var slug, print string
		_, err = pgx.ForEachRow(rows, []any{&slug, &print}, func() error {
			fingerprints[slug] = print
			return nil
		})
		return err
	})
	if err != nil {
		return wal.Position{}, nil, fmt.Errorf("read the state in schema %s: %w", quote(schema), classify(err))
	}
	return position, fingerprints, nil
}

func peek(ctx context.Context, tx pgx.Tx, quoted string, o *Overview) error {
	var s owed.State
	row := tx.QueryRow(ctx, inSchema(`
SELECT lsn::text, slot, system, timeline, slot_point::text, commit_at, saved_at FROM {state}.checkpoint`, quoted))
	if err := scanCheckpoint(row, &s); err != nil {
		return err
	}
	o.Position, o.CommitAt, o.SavedAt = s.Position, s.CommitAt, s.SavedAt
	var claimedAt, oldest *time.Time
	err := tx.QueryRow(ctx, inSchema(`
SELECT epoch, instance, claimed_at, (SELECT count(*) FROM {state}.owed), (SELECT min(since) FROM {state}.owed),
	(SELECT count(*) FROM {state}.parked), (SELECT count(*) FROM {state}.ledger WHERE deadline IS NOT NULL)
FROM {state}.owner`, quoted)).Scan(&o.Epoch, &o.Instance, &claimedAt, &o.Owed, &oldest, &o.Parked, &o.InDoubt)
	if err != nil {
		return err
	}
	o.ClaimedAt, o.OldestOwed = moment(claimedAt), moment(oldest)
	rows, err := tx.Query(ctx, inSchema(`
WITH ledger AS (
	SELECT collection, count(DISTINCT doc_id) AS documents, count(*) AS chunks FROM {state}.ledger WHERE hash <> '' GROUP BY 1
), owed AS (
	SELECT collection, count(*) AS n FROM {state}.owed GROUP BY 1
), parked AS (
	SELECT collection, count(*) AS n FROM {state}.parked GROUP BY 1
), names AS (
	SELECT collection FROM {state}.collections UNION SELECT collection FROM ledger
	UNION SELECT collection FROM owed UNION SELECT collection FROM parked UNION SELECT collection FROM {state}.sweeps
)
SELECT collection, coalesce(c.fingerprint, ''), coalesce(l.documents, 0), coalesce(l.chunks, 0), coalesce(o.n, 0),
	coalesce(p.n, 0), coalesce(c.published, 0), c.published_at
FROM names LEFT JOIN {state}.collections c USING (collection) LEFT JOIN ledger l USING (collection)
	LEFT JOIN owed o USING (collection) LEFT JOIN parked p USING (collection) ORDER BY collection`, quoted))
	if err != nil {
		return err
	}
	o.Collections, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (CollectionOverview, error) {
		var c CollectionOverview
		var publishedAt *time.Time
		err := row.Scan(&c.Collection, &c.Fingerprint, &c.Documents, &c.Chunks, &c.Owed, &c.Parked, &c.Published, &publishedAt)
		c.PublishedAt = moment(publishedAt)
		return c, err
	})
	if err != nil {
		return err
	}
	rows, err = tx.Query(ctx, inSchema(sweepsSQL, quoted))
	if err != nil {
		return err
	}
	defer rows.Close()
	o.Sweeps, err = scanSweeps(rows)
	return err
}
