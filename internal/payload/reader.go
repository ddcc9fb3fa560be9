package payload

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// Reader reads documents as Postgres has them now. Each call is one round trip: one REPEATABLE READ transaction with a
// constant number of queries per collection. Documents that show others take a second one, in the same transaction. Safe
// for concurrent use.
//
// Errors: ErrSchemaChanged when the Model is out of date; systemic when the role may not read; permanent when a
// document is beyond the bounds, or a batch of several is: then the smaller parts may do.
type Reader struct {
	pool  *pgxpool.Pool
	model *Model
	cfg   Config
}

// NewReader reads through pool what model says. Only the bounds of cfg are used.
func NewReader(pool *pgxpool.Pool, model *Model, cfg Config) *Reader {
	return &Reader{pool: pool, model: model, cfg: cfg.withDefaults()}
}

// Collections lists the slugs that are indexed, in order.
func (r *Reader) Collections() []string {
	m := r.model
	out := make([]string, len(m.collections))
	for i, c := range m.collections {
		out[i] = c.Slug
	}
	return out
}

// query is one SELECT of a call. row sees the raw text of each row's columns, nil for NULL, only during the call.
type query struct {
	sql  string
	args []any
	row  func(columns [][]byte) error
}

// look runs queries in one snapshot, in one round trip.
func (r *Reader) look(ctx context.Context, m *Model, queries []query) (snapshot wal.Snapshot, err error) {
	b := begin(&snapshot, queries)
	b.Queue("commit")
	// A connection that an error leaves inside the transaction is closed by the pool.
	if err := r.pool.SendBatch(ctx, b).Close(); err != nil {
		return wal.Snapshot{}, classify(err, m.schema, r.pool.Config().ConnConfig.User)
	}
	return snapshot, nil
}

// lookTwice runs queries, and then in the same snapshot those that their answers lead to. twice false says that there are
// none: then it is one round trip.
func (r *Reader) lookTwice(ctx context.Context, m *Model, queries []query, then func() []query, twice bool) (snapshot wal.Snapshot, err error) {
	if !twice {
		if snapshot, err = r.look(ctx, m, queries); err == nil {
			then()
		}
		return snapshot, err
	}
	fail := func(err error) (wal.Snapshot, error) {
		return wal.Snapshot{}, classify(err, m.schema, r.pool.Config().ConnConfig.User)
	}
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return fail(err)
	}
	defer conn.Release() // which closes one that is still inside the transaction
	if err := conn.SendBatch(ctx, begin(&snapshot, queries)).Close(); err != nil {
		return fail(err)
	}
	b := &pgx.Batch{}
	queue(b, then())
	b.Queue("commit")
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return fail(err)
	}
	return snapshot, nil
}

// begin begins a transaction with queries; snapshot is set once they have run.
func begin(snapshot *wal.Snapshot, queries []query) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue("begin isolation level repeatable read read only")
	b.Queue("select pg_catalog.pg_current_snapshot()::text").QueryRow(func(row pgx.Row) error {
		var text string
		if err := row.Scan(&text); err != nil {
			return err
		}
		var err error
		*snapshot, err = wal.ParseSnapshot(text)
		return err
	})
	queue(b, queries)
	return b
}

func queue(b *pgx.Batch, queries []query) {
	for _, q := range queries {
		b.Queue(q.sql, q.args...).Query(func(rows pgx.Rows) error {
			defer rows.Close()
			for rows.Next() {
				if err := q.row(rows.RawValues()); err != nil {
					return err
				}
			}
			return rows.Err()
		})
	}
}

// batch is the documents of one collection among the keys of a call.
type batch struct {
	*collection
	ids []string
	at  map[string][]int // positions of each id among the keys
}

// batches sorts keys by collection. Hints, unknown collections and ids that cannot be are in none.
func (m *Model) batches(keys []document.Key) []*batch {
	var out []*batch
	by := map[*collection]*batch{}
	for i, k := range keys {
		c := m.bySlug[k.Collection]
		if c == nil || k.Hint() || !c.ids.can(k.ID) {
			continue
		}
		b := by[c]
		if b == nil {
			b = &batch{collection: c, at: map[string][]int{}}
			by[c] = b
			out = append(out, b)
		}
		if b.at[k.ID] == nil {
			b.ids = append(b.ids, k.ID)
		}
		b.at[k.ID] = append(b.at[k.ID], i)
	}
	return out
}

// Read returns the documents that keys name, in order, all from one snapshot, and that snapshot. One that is missing,
// unpublished, trashed or not of an indexed collection has no entries.
func (r *Reader) Read(ctx context.Context, keys []document.Key) ([]document.Document, wal.Snapshot, error) {
	m := r.model
	out := make([]document.Document, len(keys))
	for i, k := range keys {
		out[i].Key = k
	}
	bounds := &bounds{cfg: r.cfg, documents: len(keys)}
	var queries []query
	var readings []*reading
	for _, b := range m.batches(keys) {
		one := newReading(b, bounds)
		readings = append(readings, one)
		for _, p := range b.parts {
			queries = append(queries, query{p.sql, []any{b.ids, r.cfg.MaxDocument}, func(v [][]byte) error { return one.take(p, v) }})
		}
	}
	writers := make([]*writer, len(readings))
	snapshot, err := r.lookTwice(ctx, m, queries, func() (more []query) {
		for i, one := range readings {
			for _, doc := range one.docs {
				one.grow(doc)
			}
			writers[i] = &writer{reading: one, root: one.sel.place(one.parts[0], nil)}
			more = append(more, one.referred(writers[i].root)...)
		}
		return more
	}, slices.ContainsFunc(readings, func(one *reading) bool { return len(one.relations) > 0 }))
	if err != nil {
		return nil, wal.Snapshot{}, fmt.Errorf("read %d documents: %w", len(keys), err)
	}
	for i, one := range readings {
		w := writers[i]
		for _, id := range one.ids {
			doc := one.docs[id]
			if doc == nil {
				continue
			}
			if err := w.weighShown(doc); err != nil {
				return nil, wal.Snapshot{}, fmt.Errorf("read %d documents: %w", len(keys), err)
			}
			entries, err := w.entries(doc)
			if err != nil {
				return nil, wal.Snapshot{}, fmt.Errorf("read %s/%s: %w", w.Slug, id, err)
			}
			for _, at := range one.at[id] {
				out[at].Entries = entries
			}
		}
	}
	return out, snapshot, nil
}

// Resolve returns the document that each hint's row belongs to, in order; the zero Key where there is no such row, or no
// such table any more. All levels are climbed in one query for each table.
func (r *Reader) Resolve(ctx context.Context, hints []document.Key) ([]document.Key, wal.Snapshot, error) {
	m := r.model
	out := make([]document.Key, len(hints))
	type place struct{ collection, via string }
	rows, at := map[place][]string{}, map[document.Key][]int{}
	var places []place
	for i, h := range hints {
		c, t := m.bySlug[h.Collection], m.byName[h.Via]
		if c == nil || t == nil || t.collection != c || c.sql.resolve[t.name] == "" || !idTypeOf(t.column("id").typ).can(h.ID) {
			continue
		}
		p := place{h.Collection, h.Via}
		if rows[p] == nil {
			places = append(places, p)
		}
		if at[h] == nil {
			rows[p] = append(rows[p], h.ID)
		}
		at[h] = append(at[h], i)
	}
	var queries []query
	for _, p := range places {
		queries = append(queries, query{m.bySlug[p.collection].sql.resolve[p.via], []any{rows[p]}, func(v [][]byte) error {
			for _, i := range at[document.Key{Collection: p.collection, ID: string(v[0]), Via: p.via}] {
				out[i] = document.Key{Collection: p.collection, ID: string(v[1])}
			}
			return nil
		}})
	}
	snapshot, err := r.look(ctx, m, queries)
	if err != nil {
		return nil, wal.Snapshot{}, fmt.Errorf("resolve %d rows: %w", len(hints), err)
	}
	return out, snapshot, nil
}

// Published pages through the published documents of a collection, in the order of the id column. An empty cursor
// begins, an empty next ends; a cursor of another id type begins again.
func (r *Reader) Published(ctx context.Context, slug, cursor string, n int) (keys []document.Key, next string, snapshot wal.Snapshot, err error) {
	m := r.model
	c := m.bySlug[slug]
	if c == nil || n <= 0 {
		return nil, "", wal.Snapshot{}, fmt.Errorf("page through %s: %w", slug, ErrUnknownCollection)
	}
	// An id may be empty, so the cursor says that it is one.
	sql, args := c.sql.first, []any{n}
	if id, ok := strings.CutPrefix(cursor, "after "); ok && c.ids.can(id) {
		sql, args = c.sql.after, []any{n, id}
	}
	snapshot, err = r.look(ctx, m, []query{{sql, args, func(v [][]byte) error {
		keys = append(keys, document.Key{Collection: slug, ID: string(v[0])})
		return nil
	}}})
	if err != nil {
		return nil, "", wal.Snapshot{}, fmt.Errorf("page through %s: %w", slug, err)
	}
	if len(keys) == n {
		next = "after " + keys[n-1].ID
	}
	return keys, next, snapshot, nil
}

// Live says of each key whether its document is published, in order.
func (r *Reader) Live(ctx context.Context, keys []document.Key) ([]bool, error) {
	m := r.model
	out := make([]bool, len(keys))
	var queries []query
	for _, b := range m.batches(keys) {
		queries = append(queries, query{b.sql.live, []any{b.ids}, func(v [][]byte) error {
			for _, i := range b.at[string(v[0])] {
				out[i] = true
			}
			return nil
		}})
	}
	if len(queries) == 0 {
		return out, nil
	}
	if _, err := r.look(ctx, m, queries); err != nil {
		return nil, fmt.Errorf("look which of %d documents are published: %w", len(keys), err)
	}
	return out, nil
}

// Estimate returns how many documents of a collection are published: exactly, or as the planner believes when the
// table has more than a million rows.
func (r *Reader) Estimate(ctx context.Context, slug string) (n int, err error) {
	m := r.model
	c := m.bySlug[slug]
	if c == nil {
		return 0, fmt.Errorf("estimate %s: %w", slug, ErrUnknownCollection)
	}
	const exact = 1_000_000
	sql := "select count(*)::text from (" + c.sql.count + ") p"
	if c.root.rows > exact {
		sql = "explain (format json) " + c.sql.count
	}
	_, err = r.look(ctx, m, []query{{sql, nil, func(v [][]byte) error {
		if c.root.rows <= exact {
			return json.Unmarshal(v[0], &n)
		}
		var plans []struct {
			Plan struct {
				Rows float64 `json:"Plan Rows"`
			}
		}
		if err := json.Unmarshal(v[0], &plans); err != nil || len(plans) == 0 {
			return fmt.Errorf("read the plan: %w", err)
		}
		n = int(plans[0].Plan.Rows)
		return nil
	}}})
	if err != nil {
		return 0, fmt.Errorf("estimate %s: %w", slug, err)
	}
	return n, nil
}
