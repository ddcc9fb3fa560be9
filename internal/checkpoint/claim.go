package checkpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

// Claim takes the state over and returns all of it, but of the debts no more than Config.MaxOwed, the oldest. The instance that had it is fenced from then on: its writes in
// flight are waited for and part of what is returned, later ones return owed.ErrFenced.
//
// Each document with ledger lines in doubt, all of an older epoch now, owes a proof when the last of those writes can
// no longer arrive. One that owes anyway stays due when it was, and is only made stronger: its lines stay in doubt
// until settled, so the proof that has to wait is found again then.
func (p *Postgres) Claim(ctx context.Context) (owed.State, error) {
	// A state with a long backlog takes longer to read than any other call.
	ctx, cancel := context.WithTimeout(ctx, 10*p.timeout)
	defer cancel()
	var s owed.State
	var saved int // debts in the store
	doubts := map[document.Key]owed.Debt{}
	err := p.transact(ctx, func(b *pgx.Batch) {
		b.Queue(p.sql(`
UPDATE {state}.owner SET epoch = epoch + 1, instance = $1::text, claimed_at = clock_timestamp() RETURNING epoch`),
			p.instance).QueryRow(func(row pgx.Row) error { return row.Scan(&s.Epoch) })
		b.Queue(p.sql(`
SELECT lsn::text, slot, system, timeline, slot_point::text, commit_at, saved_at FROM {state}.checkpoint`)).
			QueryRow(func(row pgx.Row) error { return scanCheckpoint(row, &s) })
		b.Queue(p.sql(`
SELECT collection, doc_id, min(doubted_at), max(` + remainingSQL + `) FROM {state}.ledger
WHERE deadline IS NOT NULL GROUP BY collection, doc_id`)).
			Query(func(rows pgx.Rows) error { return scanDoubts(rows, doubts) })
		b.Queue(p.sql(`
SELECT collection, doc_id, via, strength, version, xids, since, due, tries FROM {state}.owed ORDER BY since, collection, doc_id, via LIMIT $1::bigint`), p.most).
			Query(func(rows pgx.Rows) (err error) {
				s.Debts, err = scanDebts(rows, doubts)
				return err
			})
		b.Queue(p.sql(countSQL)).QueryRow(func(row pgx.Row) error { return row.Scan(&saved) })
		b.Queue(p.sql(sweepsSQL)).
			Query(func(rows pgx.Rows) (err error) {
				s.Sweeps, err = scanSweeps(rows)
				return err
			})
		b.Queue(p.sql(parkedSQL)).
			Query(func(rows pgx.Rows) (err error) {
				s.Parked, err = scanParked(rows)
				return err
			})
		b.Queue(p.sql(`SELECT collection, fingerprint FROM {state}.collections WHERE fingerprint <> ''`)).
			Query(func(rows pgx.Rows) error {
				s.Fingerprints = map[string]string{}
				for rows.Next() {
					var collection, fingerprint string
					if err := rows.Scan(&collection, &fingerprint); err != nil {
						return err
					}
					s.Fingerprints[collection] = fingerprint
				}
				return rows.Err()
			})
	})
	if err != nil {
		// The epoch may have been taken all the same. Claiming again takes the next one: numbers are plenty.
		return owed.State{}, fmt.Errorf("claim state: %w", classify(err))
	}
	s.Paged = saved - len(s.Debts)
	for _, d := range doubts {
		d.Merge = true // it has no row yet, or one of those that are left in the store
		s.Debts = append(s.Debts, d)
	}
	s.Fresh = s.Position.LSN == 0 && s.Position.Slot == "" && s.Position.System == ""
	p.epoch.Store(s.Epoch)
	p.log.Info("state claimed", "epoch", s.Epoch, "lsn", s.Position.LSN, "owed", len(s.Debts)+s.Paged, "parked", len(s.Parked))
	return s, nil
}

const countSQL = `SELECT count(*) FROM {state}.owed`

// Owed pages through the saved debts in the byte order of their keys, after the given one. It reads at any time.
func (p *Postgres) Owed(ctx context.Context, after document.Key, n int) ([]owed.Debt, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, p.sql(`
SELECT collection, doc_id, via, strength, version, xids, since, due, tries FROM {state}.owed
WHERE (collection, doc_id, via) > ($1::text COLLATE "C", $2::text COLLATE "C", $3::text COLLATE "C")
ORDER BY collection, doc_id, via LIMIT $4::bigint`), after.Collection, after.ID, after.Via, n)
	if err == nil {
		defer rows.Close()
		var debts []owed.Debt
		if debts, err = scanDebts(rows, nil); err == nil {
			return debts, nil
		}
	}
	return nil, fmt.Errorf("read saved debts: %w", classify(err))
}

// FindOwed returns the saved debts of keys. It reads at any time.
func (p *Postgres) FindOwed(ctx context.Context, keys []document.Key) (map[document.Key]owed.Debt, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var c columns
	for _, k := range keys {
		if named(k) {
			c.add(k)
		}
	}
	found := map[document.Key]owed.Debt{}
	rows, err := p.pool.Query(ctx, p.sql(`
SELECT o.collection, o.doc_id, o.via, strength, version, xids, since, due, tries FROM {state}.owed o
JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (collection, doc_id, via)
	ON o.collection = k.collection AND o.doc_id = k.doc_id AND o.via = k.via`), c.collections, c.ids, c.vias)
	if err == nil {
		defer rows.Close()
		var debts []owed.Debt
		if debts, err = scanDebts(rows, nil); err == nil {
			for _, d := range debts {
				found[d.Key] = d
			}
			return found, nil
		}
	}
	return nil, fmt.Errorf("find saved debts: %w", classify(err))
}

// CountOwed returns how many debts are saved. It reads at any time.
func (p *Postgres) CountOwed(ctx context.Context) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	if err := p.pool.QueryRow(ctx, p.sql(countSQL)).Scan(&n); err != nil {
		return 0, fmt.Errorf("count saved debts: %w", classify(err))
	}
	return n, nil
}

func scanCheckpoint(row pgx.Row, s *owed.State) error {
	var at, point *string
	var commitAt, savedAt *time.Time
	err := row.Scan(&at, &s.Position.Slot, &s.Position.System, &s.Position.Timeline, &point, &commitAt, &savedAt)
	if err != nil {
		return err
	}
	if s.Position.LSN, err = parseLSN(at); err != nil {
		return err
	}
	if s.Position.SlotPoint, err = parseLSN(point); err != nil {
		return err
	}
	s.CommitAt, s.SavedAt = moment(commitAt), moment(savedAt)
	return nil
}

// scanDoubts reads the documents with lines in doubt as the debts they are.
func scanDoubts(rows pgx.Rows, doubts map[document.Key]owed.Debt) error {
	for rows.Next() {
		d := owed.Debt{Strength: owed.Prove}
		var since *time.Time
		var left *int64
		if err := rows.Scan(&d.Key.Collection, &d.Key.ID, &since, &left); err != nil {
			return err
		}
		d.Since, d.Due = moment(since), local(left)
		doubts[d.Key] = d
	}
	return rows.Err()
}

// scanDebts reads the documents that owe, each merged with its doubt, which it takes out of doubts.
func scanDebts(rows pgx.Rows, doubts map[document.Key]owed.Debt) ([]owed.Debt, error) {
	var out []owed.Debt
	for rows.Next() {
		var d owed.Debt
		var seen []int64
		var since, due *time.Time
		err := rows.Scan(&d.Key.Collection, &d.Key.ID, &d.Key.Via, &d.Strength, &d.Version, &seen, &since, &due, &d.Tries)
		if err != nil {
			return nil, err
		}
		d.XIDs, d.Since, d.Due = fromXIDs(seen), moment(since), moment(due)
		if doubt, ok := doubts[d.Key]; ok {
			delete(doubts, d.Key)
			d.Strength = owed.Prove
			if d.Since.IsZero() || doubt.Since.Before(d.Since) && !doubt.Since.IsZero() {
				d.Since = doubt.Since
			}
			if doubt.Due.Before(d.Due) { // never when Due is zero, which is now
				d.Due = doubt.Due
			}
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

const sweepsSQL = `
SELECT collection, strength, generation, xids, since, due, reason, force, stage, cursor, held FROM {state}.sweeps ORDER BY collection`

func scanSweeps(rows pgx.Rows) ([]owed.Sweep, error) {
	var out []owed.Sweep
	for rows.Next() {
		var w owed.Sweep
		var seen []int64
		var since, due *time.Time
		var cursor []byte
		err := rows.Scan(&w.Collection, &w.Strength, &w.Generation, &seen, &since, &due, &w.Reason, &w.Force, &w.Stage, &cursor, &w.Held)
		if err != nil {
			return nil, err
		}
		w.XIDs, w.Since, w.Due, w.Cursor = fromXIDs(seen), moment(since), moment(due), string(cursor)
		out = append(out, w)
	}
	return out, rows.Err()
}

const parkedSQL = `
SELECT collection, doc_id, via, reason, attempts, since, blocker_collection, blocker_id FROM {state}.parked
ORDER BY since, collection, doc_id, via`

func scanParked(rows pgx.Rows) ([]owed.Parked, error) {
	var out []owed.Parked
	for rows.Next() {
		var k owed.Parked
		var since *time.Time
		err := rows.Scan(&k.Key.Collection, &k.Key.ID, &k.Key.Via, &k.Reason, &k.Attempts, &since, &k.Blocker.Collection, &k.Blocker.ID)
		if err != nil {
			return nil, err
		}
		k.Since = moment(since)
		out = append(out, k)
	}
	return out, rows.Err()
}
