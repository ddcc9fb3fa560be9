package checkpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

// Claim takes the state over and returns all of it. The instance that had it is fenced from then on: its writes in
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
SELECT collection, doc_id, via, strength, version, xids, since, due, tries FROM {state}.owed ORDER BY since, collection, doc_id, via`)).
			Query(func(rows pgx.Rows) (err error) {
				s.Debts, err = scanDebts(rows, doubts)
				return err
			})
		b.Queue(p.sql(sweepsSQL)).
			Query(func(rows pgx.Rows) (err error) {
				s.Sweeps, err = scanSweeps(rows)
				return err
			})
		b.Queue(p.sql(`
SELECT collection, doc_id, via, reason, attempts, since, blocker_collection, blocker_id FROM {state}.parked
ORDER BY since, collection, doc_id, via`)).
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
	for _, d := range doubts {
		s.Debts = append(s.Debts, d)
	}
	s.Fresh = s.Position.LSN == 0 && s.Position.Slot == "" && s.Position.System == ""
	p.epoch.Store(s.Epoch)
	p.log.Info("state claimed", "epoch", s.Epoch, "lsn", s.Position.LSN, "owed", len(s.Debts), "parked", len(s.Parked))
	return s, nil
}

// Release gives the state up in good order, so that it is seen to have no owner. Writes afterwards return ErrUnclaimed.
func (p *Postgres) Release(ctx context.Context) error {
	err := p.write(ctx, func(b *pgx.Batch, _ int64) {
		b.Queue(p.sql(`UPDATE {state}.owner SET instance = ''`))
	})
	if err != nil {
		return fmt.Errorf("release state: %w", err)
	}
	p.epoch.Store(0)
	return nil
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
