package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNoState says that there is no state of ours in the schema.
var ErrNoState = errors.New("there is no state yet")

// ErrNewer says that the state's tables were made by a later version of this program, which this one cannot read.
var ErrNewer = errors.New("this state was written by a newer cdc")

// product marks the schema as ours in its meta table.
const product = "payload-cdc"

// migrations bring the tables from the version that is their index to the next. One that was released never changes.
// Texts are compared byte by byte (collation "C"): pages and their cursors must not depend on a locale's version.
var migrations = []string{
	`
CREATE TABLE {state}.owner (
	one        boolean PRIMARY KEY DEFAULT true CHECK (one),
	epoch      bigint NOT NULL DEFAULT 0,
	instance   text NOT NULL DEFAULT '',
	claimed_at timestamptz
);
INSERT INTO {state}.owner DEFAULT VALUES;
COMMENT ON TABLE {state}.owner IS 'who may write here: every write compares the epoch';

CREATE TABLE {state}.checkpoint (
	one        boolean PRIMARY KEY DEFAULT true CHECK (one),
	lsn        pg_lsn,
	slot       text NOT NULL DEFAULT '',
	system     text NOT NULL DEFAULT '',
	timeline   integer NOT NULL DEFAULT 0,
	slot_point pg_lsn,
	commit_at  timestamptz,
	saved_at   timestamptz
);
INSERT INTO {state}.checkpoint DEFAULT VALUES;
COMMENT ON TABLE {state}.checkpoint IS 'how far the log was read: everything before is in the index, or owed';

CREATE TABLE {state}.owed (
	collection text COLLATE "C" NOT NULL,
	doc_id     text COLLATE "C" NOT NULL,
	via        text COLLATE "C" NOT NULL DEFAULT '',
	strength   smallint NOT NULL,
	version    bigint NOT NULL,
	xids       bigint[] NOT NULL DEFAULT '{}',
	since      timestamptz,
	due        timestamptz,
	tries      integer NOT NULL DEFAULT 0,
	PRIMARY KEY (collection, doc_id, via)
);
COMMENT ON TABLE {state}.owed IS 'documents the index may not have yet';

CREATE TABLE {state}.sweeps (
	collection text COLLATE "C" PRIMARY KEY,
	strength   smallint NOT NULL,
	generation bigint NOT NULL,
	xids       bigint[] NOT NULL DEFAULT '{}',
	since      timestamptz,
	due        timestamptz,
	reason     text NOT NULL DEFAULT '',
	force      boolean NOT NULL DEFAULT false,
	stage      smallint NOT NULL DEFAULT 0,
	cursor     bytea NOT NULL DEFAULT '',
	held       integer NOT NULL DEFAULT 0
);
COMMENT ON TABLE {state}.sweeps IS 'collections that owe as a whole, and how far each sweep has come';

CREATE TABLE {state}.requests (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	collection text NOT NULL DEFAULT '',
	force      boolean NOT NULL DEFAULT false,
	parked     boolean NOT NULL DEFAULT false,
	document   text NOT NULL DEFAULT '',
	asked_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE {state}.requests IS 'what a person asked for, until the owner of the state owes it';

CREATE TABLE {state}.parked (
	collection         text COLLATE "C" NOT NULL,
	doc_id             text COLLATE "C" NOT NULL,
	via                text COLLATE "C" NOT NULL DEFAULT '',
	reason             text NOT NULL DEFAULT '',
	attempts           integer NOT NULL DEFAULT 0,
	since              timestamptz,
	blocker_collection text NOT NULL DEFAULT '',
	blocker_id         text NOT NULL DEFAULT '',
	PRIMARY KEY (collection, doc_id, via)
);
COMMENT ON TABLE {state}.parked IS 'documents set aside because they cannot be done as they are';

CREATE TABLE {state}.collections (
	collection   text COLLATE "C" PRIMARY KEY,
	fingerprint  text NOT NULL DEFAULT '',
	published    bigint,
	published_at timestamptz
);
COMMENT ON TABLE {state}.collections IS 'what decided the chunks of each collection, and how many documents a sweep counted';

-- The primary key says that a vector id belongs to one document. Doubt is a deadline that is not null: no index on it,
-- so that announcing a write and settling it stay within a page.
CREATE TABLE {state}.ledger (
	vector_id  text COLLATE "C" PRIMARY KEY,
	collection text COLLATE "C" NOT NULL,
	doc_id     text COLLATE "C" NOT NULL,
	hash       text NOT NULL DEFAULT '',
	epoch      bigint NOT NULL,
	deadline   timestamptz,
	doubted_at timestamptz
) WITH (fillfactor = 85);
CREATE INDEX ledger_document ON {state}.ledger (collection, doc_id);
COMMENT ON TABLE {state}.ledger IS 'vectors the index may hold: never fewer than it does';
COMMENT ON COLUMN {state}.ledger.deadline IS 'a write whose outcome is unknown can arrive until then';
`,
}

const createMeta = `
CREATE TABLE {state}.meta (
	one     boolean PRIMARY KEY DEFAULT true CHECK (one),
	product text NOT NULL,
	version integer NOT NULL
);
COMMENT ON TABLE {state}.meta IS 'state of cdc, which keeps a vector index equal to a Payload CMS database; dropping it costs a sweep of everything';
`

// writing is begin for the transactions that need more than one round trip.
var writing = pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}

// migrate brings the schema to the newest version. Two instances that start together do it one after the other.
func (p *Postgres) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	// Ours and current is the common case, and needs neither a lock nor the right to create anything.
	if v, err := version(ctx, p.pool, p.schema); err == nil && v == len(migrations) {
		return nil
	} else if err != nil && !errors.Is(err, ErrNoState) {
		return err
	}
	tx, err := p.pool.BeginTx(ctx, writing)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if _, err := tx.Exec(ctx, settings, milliseconds(p.timeout)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, lockSchema, p.schema); err != nil {
		return err
	}
	from, err := version(ctx, tx, p.schema)
	if errors.Is(err, ErrNoState) {
		from, err = 0, p.create(ctx, tx)
	}
	if err != nil {
		return err
	}
	for v := from; v < len(migrations); v++ {
		if err := p.script(ctx, tx, migrations[v]); err != nil {
			return fmt.Errorf("migrate to version %d: %w", v+1, err)
		}
	}
	if _, err := tx.Exec(ctx, p.sql(`UPDATE {state}.meta SET version = $1::int`), len(migrations)); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// lockSchema lets one transaction at a time make, change or drop the schema.
const lockSchema = `SELECT pg_advisory_xact_lock(hashtextextended('payload-cdc state ' || $1::text, 0))`

// create makes the schema, when an administrator has not, and the table that says it is ours.
func (p *Postgres) create(ctx context.Context, tx pgx.Tx) error {
	var exists, used bool
	err := tx.QueryRow(ctx, `
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text),
       EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text)`,
		p.schema).Scan(&exists, &used)
	if err != nil {
		return err
	}
	if used {
		return errors.New("the schema holds tables that are not cdc's; choose another CDC_STATE_SCHEMA")
	}
	if !exists {
		// Not IF NOT EXISTS: that asks for the right to create even when there is nothing to create.
		if err := p.script(ctx, tx, "CREATE SCHEMA {state}"); err != nil {
			return err
		}
	}
	// Ids, reasons and counts of unpublished documents are nobody else's business.
	if err := p.script(ctx, tx, "REVOKE ALL ON SCHEMA {state} FROM PUBLIC;"+createMeta); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, p.sql(`INSERT INTO {state}.meta (product, version) VALUES ($1::text, 0)`), product)
	return err
}

// script runs several statements at once.
func (p *Postgres) script(ctx context.Context, tx pgx.Tx, text string) error {
	_, err := tx.Conn().PgConn().Exec(ctx, p.sql(text)).ReadAll()
	return err
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// version reads the version of the state in a schema: ErrNoState without one, ErrNewer beyond what is known here.
func version(ctx context.Context, db querier, schema string) (int, error) {
	// The catalog first, which everyone may read: asking for the table itself would need rights on the schema.
	var exists bool
	err := db.QueryRow(ctx, `
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1::text AND c.relname = 'meta')`, schema).Scan(&exists)
	if err != nil {
		return 0, err
	}
	if !exists {
		return 0, ErrNoState
	}
	var v int
	var whose string
	err = db.QueryRow(ctx, inSchema(`SELECT version, product FROM {state}.meta`, quote(schema))).Scan(&v, &whose)
	if errors.Is(err, pgx.ErrNoRows) || code(err) == undefinedColumn || err == nil && whose != product {
		return 0, fmt.Errorf("schema %s holds a table meta that is not cdc's; choose another CDC_STATE_SCHEMA", quote(schema))
	}
	if err != nil {
		return 0, err
	}
	if v > len(migrations) {
		return v, fmt.Errorf("%w: it has version %d, this one knows up to %d; install the newer one", ErrNewer, v, len(migrations))
	}
	return v, nil
}

// SetupSQL is what an administrator runs once so that role may keep its state in schema without being allowed to
// create schemas itself. An empty role is the one that runs it.
func SetupSQL(schema, role string) string {
	if schema == "" {
		schema = DefaultSchema
	}
	s := quote(schema)
	if role == "" {
		return "CREATE SCHEMA IF NOT EXISTS " + s + ";\nREVOKE ALL ON SCHEMA " + s + " FROM PUBLIC;\n"
	}
	r := quote(role)
	return "CREATE SCHEMA IF NOT EXISTS " + s + " AUTHORIZATION " + r + ";\n" +
		"ALTER SCHEMA " + s + " OWNER TO " + r + ";\n" +
		"REVOKE ALL ON SCHEMA " + s + " FROM PUBLIC;\n"
}

// Drop removes the state and its schema, whoever owns the epoch. It refuses a schema that is not ours; ErrNoState when
// there is none.
func Drop(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	if schema == "" {
		schema = DefaultSchema
	}
	p := &Postgres{pool: pool, schema: schema, quoted: quote(schema)}
	err := pgx.BeginTxFunc(ctx, pool, writing, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, settings, "30s"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, lockSchema, schema); err != nil {
			return err
		}
		// A newer version's state is still ours to drop.
		if _, err := version(ctx, tx, schema); err != nil && !errors.Is(err, ErrNewer) {
			return err
		}
		return p.script(ctx, tx, "DROP SCHEMA {state} CASCADE")
	})
	if err != nil {
		return fmt.Errorf("drop the state in schema %s: %w", p.quoted, classify(err))
	}
	return nil
}
