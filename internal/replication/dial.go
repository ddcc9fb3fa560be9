package replication

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// ApplicationName is what our replication connections call themselves unless told otherwise.
const ApplicationName = "payload_cdc"

const connectTimeout = 15 * time.Second

// Querier runs queries: a *pgxpool.Pool, a *pgx.Conn or a pgx.Tx.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// dial opens a replication connection and makes sure that a Postgres answers on it, not a pooler. Queries on it use
// the simple protocol, the only one a walsender understands.
func dial(ctx context.Context, uri, application string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(uri)
	if err != nil {
		return nil, Unreadable("the replication address", err)
	}
	if application == "" {
		application = ApplicationName
	}
	// Only parameters that every pooler knows go into the start-up packet; the rest is set once connected.
	config.RuntimeParams["replication"] = "database"
	config.RuntimeParams["application_name"] = application
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	dialer := &net.Dialer{
		Timeout:         config.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4},
		Control:         limitUnacknowledged,
	}
	config.DialFunc = dialer.DialContext
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explainDial(err)
	}
	if _, err := pglogrepl.IdentifySystem(ctx, conn.PgConn()); err != nil {
		conn.Close(ctx)
		return nil, explainDial(err)
	}
	for _, setting := range []string{"statement_timeout", "lock_timeout", "idle_session_timeout"} {
		if _, err := conn.Exec(ctx, "SET "+setting+" = 0"); err != nil {
			conn.Close(ctx)
			return nil, fmt.Errorf("prepare the replication connection: %w", err)
		}
	}
	// Postgres 18 says only by a warning that the publication is missing.
	if _, err := conn.Exec(ctx, "SET client_min_messages = warning"); err != nil {
		conn.Close(ctx)
		return nil, fmt.Errorf("prepare the replication connection: %w", err)
	}
	return conn, nil
}

// explainDial says what to do about an address that does not take replication connections.
func explainDial(err error) error {
	wrapped := fmt.Errorf("open a replication connection: %w", err)
	// Some poolers hang up without a word.
	if code(err) == "" && errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "dial") {
		return refused(wrapped, "if a pooler answers at this address, set CDC_REPLICATION_URI to a direct connection")
	}
	switch code(err) {
	case stateProtocol, stateNotSupported, "42601":
		return refused(wrapped, "this looks like a connection pooler, which does not pass replication on: "+
			"set CDC_REPLICATION_URI to a direct connection to the same Postgres")
	case stateNoPrivilege:
		return refused(wrapped, "the role needs the REPLICATION attribute: cdc setup --print-sql shows the statements")
	case stateConnections:
		return refused(wrapped, "raise max_wal_senders and restart Postgres, or stop an unused replication client")
	}
	if remedy := Remedy(err); remedy != "" {
		return refused(wrapped, remedy)
	}
	return wrapped
}
