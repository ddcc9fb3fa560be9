package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
)

// Held returns the vectors the index may hold for each of keys; documents without any are absent.
func (p *Postgres) Held(ctx context.Context, keys []document.Key) (map[document.Key][]document.Held, error) {
	var c columns
	for _, k := range keys {
		if named(k) && !k.Hint() {
			c.add(k)
		}
	}
	held := map[document.Key][]document.Held{}
	if len(c.ids) == 0 {
		return held, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, p.sql(`
SELECT l.collection, l.doc_id, l.vector_id, l.hash, `+remainingSQL+`
FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS k (collection, doc_id)) k
JOIN {state}.ledger l ON l.collection = k.collection AND l.doc_id = k.doc_id ORDER BY l.vector_id`), c.collections, c.ids)
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", classify(err))
	}
	defer rows.Close()
	for rows.Next() {
		var k document.Key
		var h document.Held
		var left *int64
		if err := rows.Scan(&k.Collection, &k.ID, &h.ID, &h.Hash, &left); err != nil {
			return nil, fmt.Errorf("read ledger: %w", err)
		}
		h.Doubt = local(left)
		held[k] = append(held[k], h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read ledger: %w", classify(err))
	}
	return held, nil
}

// Intend durably announces that the ids may be written or deleted in the index. A line that was there keeps its hash,
// and the later of two deadlines. An id that another document holds is a conflict, and nothing is announced for the
// document that asked for it.
//
// The horizon is counted by the database from some moment within the call. A write that is to be over by its deadline
// takes its own deadline from a clock read before the call.
func (p *Postgres) Intend(ctx context.Context, intents []owed.Intent, horizon time.Duration) ([]owed.Conflict, error) {
	var conflicts []owed.Conflict
	for len(intents) > 0 {
		var now lines
		now, intents = disjoint(intents)
		if len(now.vectors) == 0 {
			continue
		}
		found, err := p.intend(ctx, now, horizon)
		if err != nil {
			return nil, fmt.Errorf("announce writes: %w", err)
		}
		conflicts = append(conflicts, found...)
	}
	return conflicts, nil
}

// lines are ledger lines as the parallel arrays that unnest takes.
type lines struct {
	columns
	vectors []string
}

func (l *lines) add(k document.Key, vector string) {
	l.columns.add(k)
	l.vectors = append(l.vectors, vector)
}

// disjoint takes the intents that ask for no id that an earlier document of the same call asks for. The others follow:
// by then the ledger knows whether the earlier one got it.
func disjoint(intents []owed.Intent) (now lines, later []owed.Intent) {
	askers := map[string]document.Key{}
	for _, one := range intents {
		clash := false
		for _, id := range one.IDs {
			asker, asked := askers[id]
			clash = clash || asked && asker != one.Key
		}
		if clash {
			later = append(later, one)
			continue
		}
		for _, id := range one.IDs {
			if _, asked := askers[id]; !asked {
				askers[id] = one.Key
				now.add(one.Key, id)
			}
		}
	}
	return now, later
}

// The insert skips ids that another document took since the statement's snapshot. The count in the first row then
// divides by zero, which undoes the transaction; repeated, it sees the other's line and reports it.
const intendSQL = `
WITH asked AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS a (vector_id, collection, doc_id)
), taken AS (
	SELECT a.vector_id, a.collection, a.doc_id, l.collection AS owner_collection, l.doc_id AS owner_id
	FROM asked a JOIN {state}.ledger l ON l.vector_id = a.vector_id
	WHERE (l.collection, l.doc_id) <> (a.collection, a.doc_id)
), clear AS (
	SELECT * FROM asked a WHERE NOT EXISTS (SELECT FROM taken t WHERE t.collection = a.collection AND t.doc_id = a.doc_id)
), put AS (
	INSERT INTO {state}.ledger AS l (vector_id, collection, doc_id, epoch, deadline, doubted_at)
	SELECT vector_id, collection, doc_id, $4::bigint, clock_timestamp() + $5::bigint * interval '1 microsecond', clock_timestamp()
	FROM clear ORDER BY vector_id
	ON CONFLICT (vector_id) DO UPDATE SET epoch = excluded.epoch, deadline = greatest(l.deadline, excluded.deadline),
		doubted_at = coalesce(l.doubted_at, excluded.doubted_at)
	WHERE l.collection = excluded.collection AND l.doc_id = excluded.doc_id
	RETURNING 1
)
SELECT '' AS vector_id, '', '', '', '', 1 / ((SELECT count(*) FROM put) = (SELECT count(*) FROM clear))::int
UNION ALL SELECT vector_id, collection, doc_id, owner_collection, owner_id, 1 FROM taken ORDER BY vector_id`

func (p *Postgres) intend(ctx context.Context, asked lines, horizon time.Duration) ([]owed.Conflict, error) {
	var conflicts []owed.Conflict
	err := p.write(ctx, func(b *pgx.Batch, epoch int64) {
		b.Queue(p.sql(intendSQL), asked.vectors, asked.collections, asked.ids, epoch, horizon.Microseconds()).
			Query(func(rows pgx.Rows) error {
				conflicts = nil
				for rows.Next() {
					var c owed.Conflict
					var one int
					err := rows.Scan(&c.VectorID, &c.Key.Collection, &c.Key.ID, &c.Owner.Collection, &c.Owner.ID, &one)
					if err != nil {
						return err
					}
					if c.Owner != (document.Key{}) { // the first row only counts
						conflicts = append(conflicts, c)
					}
				}
				if code(rows.Err()) == divisionByZero {
					return errCollided
				}
				return rows.Err()
			})
	})
	return conflicts, err
}

// Settle writes down what the index is now known to hold for each document, doubts included, and strikes out what is
// gone, where the line is that document's. Every other line stays as it is: it may have been adopted meanwhile. Of a
// line named twice the last word counts, and held over gone within one holding: the ledger may be too large, never too
// small. An id may pass from one document to another within a call.
func (p *Postgres) Settle(ctx context.Context, documents []owed.Holding) error {
	held, gone := settlement(documents)
	if len(held.vectors) == 0 && len(gone.vectors) == 0 {
		return nil
	}
	err := p.write(ctx, func(b *pgx.Batch, epoch int64) {
		if len(gone.vectors) > 0 {
			b.Queue(p.sql(`
DELETE FROM {state}.ledger l USING unnest($1::text[], $2::text[], $3::text[]) AS g (vector_id, collection, doc_id)
WHERE l.vector_id = g.vector_id AND l.collection = g.collection AND l.doc_id = g.doc_id`),
				gone.vectors, gone.collections, gone.ids)
		}
		if len(held.vectors) == 0 {
			return
		}
		b.Queue(p.sql(settleSQL), held.vectors, held.collections, held.ids, held.hashes, held.left, epoch).
			QueryRow(func(row pgx.Row) error {
				var one int
				err := row.Scan(&one)
				if code(err) == divisionByZero {
					return errors.New("a vector id that was never announced belongs to another document")
				}
				return err
			})
	})
	if err != nil {
		return fmt.Errorf("settle %d documents: %w", len(documents), err)
	}
	return nil
}

// heldLines are the lines to write down, each with its hash and what is left of its doubt.
type heldLines struct {
	lines
	hashes []string
	left   []*int64
}

// settlement is what is said last of each line.
func settlement(documents []owed.Holding) (held heldLines, gone lines) {
	type word struct {
		key  document.Key
		held document.Held
		gone bool
	}
	type name struct {
		key document.Key
		id  string
	}
	var words []word
	for _, d := range documents {
		for _, id := range d.Gone {
			words = append(words, word{key: d.Key, held: document.Held{ID: id}, gone: true})
		}
		for _, h := range d.Held {
			words = append(words, word{key: d.Key, held: h})
		}
	}
	for _, w := range lastOf(words, func(w *word) name { return name{w.key, w.held.ID} }) {
		if w.gone {
			gone.add(w.key, w.held.ID)
			continue
		}
		held.add(w.key, w.held.ID)
		held.hashes, held.left = append(held.hashes, w.held.Hash), append(held.left, remaining(w.held.Doubt))
	}
	return held, gone
}

// Lines that are as they should be are not written: most chunks of an edited document are.
const settleSQL = `
WITH held AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS h (vector_id, collection, doc_id, hash, remaining)
), changed AS (
	SELECT * FROM held h WHERE NOT EXISTS (
		SELECT FROM {state}.ledger l WHERE l.vector_id = h.vector_id AND l.collection = h.collection AND l.doc_id = h.doc_id
			AND l.hash = h.hash AND l.deadline IS NULL AND h.remaining IS NULL)
), put AS (
	INSERT INTO {state}.ledger AS l (vector_id, collection, doc_id, hash, epoch, deadline, doubted_at)
	SELECT vector_id, collection, doc_id, hash, $6::bigint, clock_timestamp() + remaining * interval '1 microsecond',
		CASE WHEN remaining IS NOT NULL THEN clock_timestamp() END
	FROM changed ORDER BY vector_id
	ON CONFLICT (vector_id) DO UPDATE SET hash = excluded.hash, epoch = excluded.epoch, deadline = excluded.deadline,
		doubted_at = CASE WHEN excluded.deadline IS NOT NULL THEN coalesce(l.doubted_at, excluded.doubted_at) END
	WHERE l.collection = excluded.collection AND l.doc_id = excluded.doc_id
	RETURNING 1
)
SELECT 1 / ((SELECT count(*) FROM put) = (SELECT count(*) FROM changed))::int`

// Adopt adds vectors found in the index to the documents they name, where the ledger does not have their ids. They are
// in doubt, due at once, until settled. What no database can have as a key or id was never ours and is left out.
func (p *Postgres) Adopt(ctx context.Context, found []owed.Holding) error {
	var l lines
	var hashes []string
	for _, d := range found {
		for _, h := range d.Held {
			if !named(d.Key) || d.Key.Hint() || !holdable(h.ID) {
				p.log.Warn("a vector in the index that names no possible document was left alone", "key", storable(d.Key.String()))
				continue
			}
			l.add(d.Key, h.ID)
			hashes = append(hashes, storable(h.Hash))
		}
	}
	if len(l.vectors) == 0 {
		return nil
	}
	err := p.write(ctx, func(b *pgx.Batch, epoch int64) {
		b.Queue(p.sql(`
INSERT INTO {state}.ledger (vector_id, collection, doc_id, hash, epoch, deadline, doubted_at)
SELECT vector_id, collection, doc_id, hash, $5::bigint, clock_timestamp(), clock_timestamp()
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS f (vector_id, collection, doc_id, hash)
ORDER BY vector_id ON CONFLICT (vector_id) DO NOTHING`), l.vectors, l.collections, l.ids, hashes, epoch)
	})
	if err != nil {
		return fmt.Errorf("adopt %d vectors: %w", len(l.vectors), err)
	}
	return nil
}

// Certain counts the vectors that the index was seen to hold, and that no write or deletion is on its way for.
func (p *Postgres) Certain(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*p.timeout) // a large ledger takes its time
	defer cancel()
	var n int
	err := p.pool.QueryRow(ctx, p.sql(`SELECT count(*) FROM {state}.ledger WHERE hash <> '' AND deadline IS NULL`)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the ledger: %w", classify(err))
	}
	return n, nil
}

// Documents pages through the ledger's documents of a collection, in the byte order of their ids. An empty cursor
// begins, an empty next ends.
func (p *Postgres) Documents(ctx context.Context, collection, cursor string, n int) (keys []document.Key, next string, err error) {
	if n <= 0 {
		n = 1000
	}
	// A cursor is "+" and the last id of the page before: an id may be empty, a cursor in use may not.
	after, beyond := strings.CutPrefix(cursor, "+")
	from := ">="
	if beyond {
		from = ">"
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, p.sql(`
SELECT DISTINCT doc_id FROM {state}.ledger WHERE collection = $1::text AND doc_id `+from+` $2::text
ORDER BY doc_id LIMIT $3::int`), collection, after, n+1)
	if err != nil {
		return nil, "", fmt.Errorf("read the ledger's documents: %w", classify(err))
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, "", fmt.Errorf("read the ledger's documents: %w", classify(err))
	}
	if len(ids) > n {
		ids = ids[:n]
		next = "+" + ids[n-1]
	}
	for _, id := range ids {
		keys = append(keys, document.Key{Collection: collection, ID: id})
	}
	return keys, next, nil
}
