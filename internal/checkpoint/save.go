package checkpoint

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// Save makes a checkpoint durable: all of delta or nothing, and nothing when fenced. Saving a delta again is harmless,
// so one whose outcome is unknown is saved again. Within a delta what is owed wins over what is paid, and the position
// never goes back.
func (p *Postgres) Save(ctx context.Context, delta owed.Delta) error {
	err := p.write(ctx, func(b *pgx.Batch, _ int64) {
		p.queueDebts(b, delta)
		p.queueSweeps(b, delta)
		p.queueParked(b, delta)
		p.queuePublished(b, delta.Published)
		b.Queue(p.sql(`
UPDATE {state}.checkpoint SET
	commit_at = CASE WHEN $1::text IS NULL OR lsn > $1::text::pg_lsn THEN commit_at ELSE coalesce($2::timestamptz, commit_at) END,
	lsn = greatest(lsn, $1::text::pg_lsn),
	saved_at = clock_timestamp()`), lsn(delta.LSN), at(delta.CommitAt))
	})
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}

// SetPosition begins a new log: another slot, system or timeline. Unlike Save it goes back when told to. Whatever the
// new log cannot tell about has to be owed, and saved, before: dying between the two then repeats a sweep, the other
// order would lose it. When it is another history of the database, the transactions that debts wait for mean nothing any
// more: they are forgotten, and every saved debt owes a prove.
func (p *Postgres) SetPosition(ctx context.Context, pos wal.Position) error {
	err := p.write(ctx, func(b *pgx.Batch, _ int64) {
		for _, forget := range []string{"owed SET xids = '{}', strength = 2", "sweeps SET xids = '{}'"} {
			b.Queue(p.sql(`
UPDATE {state}.`+forget+` FROM {state}.checkpoint c
WHERE c.system <> '' AND (c.system, c.timeline) <> ($1::text, $2::int)`), pos.System, pos.Timeline)
		}
		b.Queue(p.sql(`
UPDATE {state}.checkpoint SET lsn = $1::text::pg_lsn, slot = $2::text, system = $3::text, timeline = $4::int,
	slot_point = $5::text::pg_lsn, commit_at = NULL, saved_at = clock_timestamp()`),
			lsn(pos.LSN), pos.Slot, pos.System, pos.Timeline, lsn(pos.SlotPoint))
	})
	if err != nil {
		return fmt.Errorf("save position: %w", err)
	}
	return nil
}

// SetFingerprints saves the fingerprints of the collections named. An empty one forgets the collection; others stay.
func (p *Postgres) SetFingerprints(ctx context.Context, fingerprints map[string]string) error {
	if len(fingerprints) == 0 {
		return nil
	}
	var gone, names, values []string
	for name, value := range fingerprints {
		if value == "" {
			gone = append(gone, name)
			continue
		}
		names, values = append(names, name), append(values, value)
	}
	err := p.write(ctx, func(b *pgx.Batch, _ int64) {
		if len(gone) > 0 {
			b.Queue(p.sql(`DELETE FROM {state}.collections WHERE collection = ANY($1::text[])`), gone)
		}
		if len(names) > 0 {
			b.Queue(p.sql(`
INSERT INTO {state}.collections (collection, fingerprint) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (collection) DO UPDATE SET fingerprint = excluded.fingerprint`), names, values)
		}
	})
	if err != nil {
		return fmt.Errorf("save fingerprints: %w", err)
	}
	return nil
}

// queueDelete forgets the rows of keys in one of the tables that are keyed by them.
func (p *Postgres) queueDelete(b *pgx.Batch, table string, keys []document.Key) {
	var c columns
	for _, k := range keys {
		if named(k) {
			c.add(k)
		}
	}
	if len(c.ids) == 0 {
		return
	}
	b.Queue(p.sql(`
DELETE FROM {state}.`+table+` t USING unnest($1::text[], $2::text[], $3::text[]) AS k (collection, doc_id, via)
WHERE t.collection = k.collection AND t.doc_id = k.doc_id AND t.via = k.via`), c.collections, c.ids, c.vias)
}

func (p *Postgres) queueDebts(b *pgx.Batch, delta owed.Delta) {
	p.queueDelete(b, "owed", delta.Paid)
	var c columns
	var strengths, tries []int32
	var versions []int64
	var seen []string
	var since, due []*time.Time
	var merge []bool
	for _, d := range lastOf(delta.Owe, func(d *owed.Debt) document.Key { return d.Key }) {
		if !named(d.Key) {
			// No row of a database can have this key: a foreign vector in the index made it up. Refusing the whole
			// checkpoint for it would stop everything.
			p.log.Warn("a debt that names no possible document was left out", "key", storable(d.Key.String()))
			continue
		}
		c.add(d.Key)
		strengths, tries = append(strengths, int32(d.Strength)), append(tries, int32(d.Tries))
		versions, seen = append(versions, d.Version), append(seen, xids(d.XIDs))
		since, due, merge = append(since, at(d.Since)), append(due, at(d.Due)), append(merge, d.Merge)
	}
	if len(c.ids) == 0 {
		return
	}
	b.Queue(p.sql(`
INSERT INTO {state}.owed (collection, doc_id, via, strength, version, xids, since, due, tries)
SELECT d.collection, d.doc_id, d.via, greatest(d.strength, o.strength), d.version,
	CASE WHEN o.xids IS NULL THEN d.xids::bigint[] ELSE array(SELECT unnest(o.xids) UNION SELECT unnest(d.xids::bigint[])) END,
	least(d.since, o.since), d.due, d.tries
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::bigint[], $6::text[], $7::timestamptz[], $8::timestamptz[], $9::int[], $10::boolean[])
	AS d (collection, doc_id, via, strength, version, xids, since, due, tries, merge)
	LEFT JOIN {state}.owed o ON d.merge AND o.collection = d.collection AND o.doc_id = d.doc_id AND o.via = d.via
ON CONFLICT (collection, doc_id, via) DO UPDATE SET strength = excluded.strength, version = excluded.version,
	xids = excluded.xids, since = excluded.since, due = excluded.due, tries = excluded.tries`),
		c.collections, c.ids, c.vias, strengths, versions, seen, since, due, tries, merge)
}

func (p *Postgres) queueSweeps(b *pgx.Batch, delta owed.Delta) {
	if len(delta.Swept) > 0 {
		b.Queue(p.sql(`DELETE FROM {state}.sweeps WHERE collection = ANY($1::text[])`), delta.Swept)
	}
	// As many as there are collections: one statement each, still in the same round trip.
	for _, w := range lastOf(delta.Sweeps, func(w *owed.Sweep) string { return w.Collection }) {
		b.Queue(p.sql(`
INSERT INTO {state}.sweeps (collection, strength, generation, xids, since, due, reason, force, stage, cursor, held)
VALUES ($1::text, $2::int, $3::bigint, $4::text::bigint[], $5::timestamptz, $6::timestamptz, $7::text, $8::boolean, $9::int, $10::bytea, $11::int)
ON CONFLICT (collection) DO UPDATE SET strength = excluded.strength, generation = excluded.generation,
	xids = excluded.xids, since = excluded.since, due = excluded.due, reason = excluded.reason, force = excluded.force,
	stage = excluded.stage, cursor = excluded.cursor, held = excluded.held`),
			w.Collection, int32(w.Strength), w.Generation, xids(w.XIDs), at(w.Since), at(w.Due), storable(w.Reason), w.Force,
			int32(w.Stage), []byte(w.Cursor), w.Held)
	}
}

func (p *Postgres) queueParked(b *pgx.Batch, delta owed.Delta) {
	p.queueDelete(b, "parked", delta.Unpark)
	var c, blockers columns
	var reasons []string
	var attempts []int32
	var since []*time.Time
	for _, k := range lastOf(delta.Park, func(k *owed.Parked) document.Key { return k.Key }) {
		if !named(k.Key) || !named(k.Blocker) {
			p.log.Warn("a parked document that cannot exist was left out", "key", storable(k.Key.String()))
			continue
		}
		c.add(k.Key)
		blockers.add(k.Blocker)
		reasons, attempts = append(reasons, storable(k.Reason)), append(attempts, int32(k.Attempts))
		since = append(since, at(k.Since))
	}
	if len(c.ids) == 0 {
		return
	}
	b.Queue(p.sql(`
INSERT INTO {state}.parked (collection, doc_id, via, reason, attempts, since, blocker_collection, blocker_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[], $7::text[], $8::text[])
ON CONFLICT (collection, doc_id, via) DO UPDATE SET reason = excluded.reason, attempts = excluded.attempts,
	since = excluded.since, blocker_collection = excluded.blocker_collection, blocker_id = excluded.blocker_id`),
		c.collections, c.ids, c.vias, reasons, attempts, since, blockers.collections, blockers.ids)
}

func (p *Postgres) queuePublished(b *pgx.Batch, published map[string]int) {
	if len(published) == 0 {
		return
	}
	var names []string
	var counts []int64
	for name, n := range published {
		names, counts = append(names, name), append(counts, int64(n))
	}
	b.Queue(p.sql(`
INSERT INTO {state}.collections (collection, published, published_at)
SELECT name, n, clock_timestamp() FROM unnest($1::text[], $2::bigint[]) AS c (name, n)
ON CONFLICT (collection) DO UPDATE SET published = excluded.published, published_at = excluded.published_at`), names, counts)
}
