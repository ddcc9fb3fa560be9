package checkpoint

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/owed"
)

// Ask leaves a request for whoever owns the state, now or at its next start. It takes nothing over and is not fenced.
// ErrNoState when there is no state to ask in.
func Ask(ctx context.Context, pool *pgxpool.Pool, schema string, r owed.Request) error {
	if schema == "" {
		schema = DefaultSchema
	}
	p := &Postgres{pool: pool, schema: schema, quoted: quote(schema)}
	err := pgx.BeginTxFunc(ctx, pool, writing, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings, "30s"); err != nil {
			return err
		}
		if _, err := version(ctx, tx, schema); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, p.sql("INSERT INTO {state}.requests (collection, force, parked, document) VALUES ($1, $2, $3, $4)"),
			r.Collection, r.Force, r.Parked, r.Document)
		return err
	})
	if err != nil {
		return fmt.Errorf("leave a request in the state: %w", classify(err))
	}
	return nil
}

// Requests returns what was asked for and not yet answered, oldest first.
func (p *Postgres) Requests(ctx context.Context) ([]owed.Request, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	rows, err := p.pool.Query(ctx, p.sql("SELECT id, collection, force, parked, document FROM {state}.requests ORDER BY id"))
	if err != nil {
		return nil, fmt.Errorf("read requests: %w", classify(err))
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[owed.Request])
	if err != nil {
		return nil, fmt.Errorf("read requests: %w", classify(err))
	}
	return list, nil
}

// Answered takes requests out once what they ask for is owed, and saved.
func (p *Postgres) Answered(ctx context.Context, requests []owed.Request) error {
	ids := make([]int64, len(requests))
	for i, r := range requests {
		ids[i] = r.ID
	}
	err := p.write(ctx, func(b *pgx.Batch, _ int64) {
		b.Queue(p.sql("DELETE FROM {state}.requests WHERE id = ANY($1::bigint[])"), ids)
	})
	if err != nil {
		return fmt.Errorf("answer requests: %w", err)
	}
	return nil
}

// Parked lists the documents set aside, the oldest first, without claiming the state. ErrNoState when there is none.
func Parked(ctx context.Context, pool *pgxpool.Pool, schema string) ([]owed.Parked, error) {
	if schema == "" {
		schema = DefaultSchema
	}
	if _, err := version(ctx, pool, schema); err != nil {
		return nil, fmt.Errorf("list parked documents: %w", classify(err))
	}
	rows, err := pool.Query(ctx, inSchema(parkedSQL, quote(schema)))
	if err != nil {
		return nil, fmt.Errorf("list parked documents: %w", classify(err))
	}
	defer rows.Close()
	list, err := scanParked(rows)
	if err != nil {
		return nil, fmt.Errorf("list parked documents: %w", classify(err))
	}
	return list, nil
}
