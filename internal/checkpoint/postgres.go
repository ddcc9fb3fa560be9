// Package checkpoint keeps what must survive a crash: how far the log was read, every debt still owed at that moment,
// the documents set aside, the fingerprints of the collections, and the ledger of the vectors the index may hold.
//
// The invariant: a checkpoint is one transaction. Whatever instant the power goes, the state read back is one that was
// saved whole, and each write was made by the instance that owned the state at that time. Ownership is an epoch in one
// row: every write shares a lock on that row and compares, a takeover updates it. So a takeover waits for the writes in
// flight, and a write of an instance that was taken over changes nothing and returns owed.ErrFenced.
//
// Each write is one round trip, from begin to commit: an instance that freezes cannot leave a transaction open that
// the next owner would wait for. Everything a write needs is set inside its transaction, never for the session, because
// the connection may come from a pooler that lends it to the application next.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/owed"
)

// DefaultSchema holds the state when nothing else is said. It is never Payload's own schema: Payload's dev push offers
// to drop every table there that it does not know, and drops empty ones without asking.
const DefaultSchema = "payload_cdc"

// Config says where the state is.
type Config struct {
	Pool     *pgxpool.Pool // used as it is and left open; nil connects to URI
	URI      string        // of a database, the source's or another; ignored when Pool is set
	Schema   string        // DefaultSchema when empty
	Instance string        // names the owner for people; host and process id when empty
	Timeout  time.Duration // of one call but Claim, and of one statement; 30 s when zero
	MaxOwed  int           // debts that Claim returns; 100,000 when zero
	Logger   *slog.Logger  // nil discards
}

// Postgres is the state in a schema of a Postgres database. Safe for concurrent use. Reads work at once, writes after
// Claim.
type Postgres struct {
	pool     *pgxpool.Pool
	own      bool // the pool is ours to close
	schema   string
	quoted   string // schema, as SQL writes it
	instance string
	timeout  time.Duration
	most     int
	log      *slog.Logger

	epoch atomic.Int64 // zero until claimed; every write carries it
}

// ErrUnclaimed is returned by a write before Claim.
var ErrUnclaimed = errors.New("the state was not claimed")

// Open connects to the state and creates or migrates its tables when needed. It takes nothing over: Claim does.
func Open(ctx context.Context, cfg Config) (*Postgres, error) {
	p := &Postgres{
		pool:     cfg.Pool,
		schema:   cfg.Schema,
		instance: storable(cfg.Instance),
		timeout:  cfg.Timeout,
		most:     cfg.MaxOwed,
		log:      cfg.Logger,
	}
	if p.schema == "" {
		p.schema = DefaultSchema
	}
	if err := checkName(p.schema); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	p.quoted = quote(p.schema)
	if p.instance == "" {
		host, _ := os.Hostname()
		p.instance = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	if p.timeout <= 0 {
		p.timeout = 30 * time.Second
	}
	if p.most <= 0 {
		p.most = 100_000
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.pool == nil {
		pool, err := connect(ctx, cfg.URI)
		if err != nil {
			return nil, fmt.Errorf("open state: %w", err)
		}
		p.pool, p.own = pool, true
	}
	if err := p.migrate(ctx); err != nil {
		p.Close()
		return nil, fmt.Errorf("open state in schema %s: %w", p.quoted, classify(err))
	}
	return p, nil
}

func connect(ctx context.Context, uri string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(uri)
	if err != nil {
		return nil, err
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "payload_cdc_state"
	}
	// Named prepared statements, pgx's default, break behind poolers that lend a connection per transaction.
	if cfg.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	return pgxpool.NewWithConfig(ctx, cfg)
}

// Close lets the connections go. What was claimed stays claimed until another instance claims it, as after a crash.
func (p *Postgres) Close() {
	if p.own {
		p.pool.Close()
	}
}

// sql writes the schema into a query.
func (p *Postgres) sql(query string) string { return inSchema(query, p.quoted) }

func inSchema(query, quoted string) string { return strings.ReplaceAll(query, "{state}", quoted) }

// begin starts every transaction that writes. Read committed whatever the server's default: a takeover reads the state
// after it has waited for the old owner's last write, and must see it.
const begin = "begin isolation level read committed read write"

// settings apply to the transaction they run in. With synchronous_commit above local, an unreachable synchronous
// standby would stop us; our own disk is enough.
const settings = `SELECT set_config('synchronous_commit', 'local', true), set_config('statement_timeout', $1::text, true)`

// fence fails with division by zero when another epoch owns the state, which undoes the transaction without a second
// round trip. The lock conflicts with the update of a takeover, and waits for one that has not committed yet.
const fence = `SELECT 1 / (epoch = $1::bigint)::int FROM {state}.owner FOR SHARE`

// errCollided is a write that met a concurrent one and was undone; repeating it sees the other's outcome.
var errCollided = errors.New("met a concurrent write")

// write runs what queue adds to the batch as one fenced transaction in one round trip. queue is called again when the
// transaction certainly was undone and may be repeated.
func (p *Postgres) write(ctx context.Context, queue func(b *pgx.Batch, epoch int64)) error {
	epoch := p.epoch.Load()
	if epoch == 0 {
		return ErrUnclaimed
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	var err error
	for range 5 {
		err = p.transact(ctx, func(b *pgx.Batch) {
			b.Queue(p.sql(fence), epoch).QueryRow(func(row pgx.Row) error {
				var one int
				err := row.Scan(&one)
				if code(err) == divisionByZero {
					return owed.ErrFenced
				}
				return err
			})
			queue(b, epoch)
		})
		if !errors.Is(err, errCollided) && code(err) != serializationFailure && code(err) != deadlockDetected {
			break
		}
	}
	return classify(err)
}

// transact runs a batch as one transaction. When it returns an error that is not Postgres', the outcome is unknown.
func (p *Postgres) transact(ctx context.Context, queue func(b *pgx.Batch)) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // destroys the connection when a failed transaction is still open on it
	b := &pgx.Batch{}
	b.Queue(begin)
	b.Queue(settings, milliseconds(p.timeout))
	queue(b)
	b.Queue("commit")
	return conn.SendBatch(ctx, b).Close()
}
