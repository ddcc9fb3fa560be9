package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// writer changes documents of its own as Payload does: an operation is a transaction that writes the document's row,
// deletes and inserts its children, and keeps its versions.
type writer struct {
	pool   *pgxpool.Pool
	random *rand.Rand
	number int
	words  int              // made so far: each text has one that no other has
	ids    map[string][]int // by table; some may be gone
	done   map[string]int   // what it did, by name
	lost   int              // transactions that a crash or another writer ended
}

func newWriter(pool *pgxpool.Pool, seed uint64, number int) *writer {
	return &writer{
		pool: pool, random: rand.New(rand.NewPCG(seed, uint64(100+number))), number: number, ids: map[string][]int{}, done: map[string]int{},
	}
}

// run writes until ctx ends. A transaction that was begun is finished: whether one that is cancelled has happened is a
// fine question for cdc, but Postgres' crashes ask it often enough.
func (w *writer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := w.transaction(context.WithoutCancel(ctx))
		if err != nil && !passing(err) {
			return fmt.Errorf("writer %d: %w", w.number, err)
		}
		pause := time.Duration(w.random.Int64N(int64(80 * time.Millisecond)))
		if err != nil {
			w.lost++
			pause = 100 * time.Millisecond
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// passing errors are those of a server that crashes, and of writers that are in each other's way.
func passing(err error) bool {
	said, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || slices.Contains([]string{"57P01", "57P02", "57P03", "40P01", "40001", "23503", "55P03"}, said.Code)
}

var errRollback = errors.New("rolled back on purpose")

// querier is a transaction, or a pool, whose every statement is a transaction of its own: Payload with
// disableTransaction, whose documents can be seen half written.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// transaction does one operation, or several that a hook joins, sometimes below a savepoint, and sometimes in vain.
func (w *writer) transaction(ctx context.Context) error {
	if w.random.IntN(12) == 0 {
		return w.operation(ctx, w.pool)
	}
	before := map[string][]int{}
	for table, ids := range w.ids {
		before[table] = slices.Clone(ids)
	}
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		for range 1 + w.random.IntN(3) {
			if w.random.IntN(5) > 0 {
				if err := w.operation(ctx, tx); err != nil {
					return err
				}
				continue
			}
			vain := w.random.IntN(2) == 0
			err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
				if err := w.operation(ctx, tx); err != nil || !vain {
					return err
				}
				return errRollback
			})
			if err != nil && !errors.Is(err, errRollback) {
				return err
			}
		}
		if w.random.IntN(10) == 0 {
			return errRollback
		}
		return nil
	})
	if err != nil { // it may have happened all the same
		for table, ids := range before {
			w.ids[table] = slices.Compact(slices.Sorted(slices.Values(append(ids, w.ids[table]...))))
		}
	}
	if errors.Is(err, errRollback) {
		return nil
	}
	return err
}

// operation does one thing that an editor, a hook, a plugin or a script does.
func (w *writer) operation(ctx context.Context, q querier) error {
	table := []string{"posts", "posts", "events", "doc_pages", "blog_posts"}[w.random.IntN(5)]
	ids := w.ids[table]
	did := func(what string, err error) error {
		if err == nil {
			w.done[what]++
		}
		return err
	}
	if len(ids) < 4 || len(ids) < 25 && w.random.IntN(6) == 0 {
		return did("create", w.create(ctx, q, table))
	}
	id := ids[w.random.IntN(len(ids))]
	switch n := w.random.IntN(100); {
	case n < 35:
		return did("save", w.save(ctx, q, table, id, w.status()))
	case n < 45:
		return did("draft", w.version(ctx, q, table, id, "draft"))
	case n < 53:
		return did("unpublish", w.exec(ctx, q, "UPDATE "+table+" SET _status = 'draft', updated_at = now() WHERE id = $1", id))
	case n < 60:
		return did("delete", w.delete(ctx, q, table, id))
	case n < 66 && table == "events":
		return did("trash", w.exec(ctx, q, "UPDATE events SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END, updated_at = now() WHERE id = $1", id))
	case n < 72:
		return did("child", w.child(ctx, q, table, id))
	case n < 78:
		return did("sql", w.raw(ctx, q, table, id))
	case n < 82:
		return did("bulk", w.bulk(ctx, q, table, ids))
	case n < 90:
		return did("category", w.category(ctx, q))
	case n < 92 && table == "doc_pages":
		return did("rename", w.rename(ctx, q, id))
	case n < 93 && w.number == 0 && table == "events":
		w.ids["events"] = nil
		return did("truncate", w.exec(ctx, q, "TRUNCATE events CASCADE"))
	}
	return did("nothing", w.exec(ctx, q, "UPDATE "+table+" SET updated_at = now() WHERE id = $1", id))
}

func (w *writer) exec(ctx context.Context, q querier, sql string, args ...any) error {
	_, err := q.Exec(ctx, sql, args...)
	return err
}

func (w *writer) status() string {
	if w.random.IntN(5) == 0 {
		return "draft"
	}
	return "published"
}

// mark is a word that no other text has: what is left of an older text gives itself away.
func (w *writer) mark() string {
	w.words++
	return fmt.Sprintf("m%dx%dz", w.number, w.words)
}
