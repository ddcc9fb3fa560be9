package payload

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"payload-cdc/internal/failure"
)

// ErrSchemaChanged says that the database is no longer as the Model has it: discover again.
var ErrSchemaChanged = errors.New("the schema has changed since it was discovered")

// ErrUnknownTable says that the log has rows of a table of Payload's schema that the Model does not know: discover
// again, and if it is still unknown (dropped since), let Marks ignore it.
var ErrUnknownTable = errors.New("unknown table")

// classify tells what a Postgres error means for the pipeline. Codes: postgresql.org/docs/current/errcodes-appendix.html.
func classify(err error, schema, user string) error {
	var pg *pgconn.PgError
	if err == nil || !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "42P01", "42703", "3F000", "42704", "42883", "42804": // table, column, schema, type or operator is not there
		return fmt.Errorf("%w: %w", ErrSchemaChanged, err)
	case "42501": // insufficient privilege; the text names the table or schema
		role := "the role of DATABASE_URI"
		if user != "" {
			role = pgx.Identifier{user}.Sanitize()
		}
		s := pgx.Identifier{schema}.Sanitize()
		return &failure.Error{
			Class: failure.Systemic, Provider: "postgres", Rejected: true, Err: err,
			Remedy: fmt.Sprintf("as the owner of the tables run: GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON ALL TABLES IN SCHEMA %s TO %s; "+
				"ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT ON TABLES TO %s;", s, role, s, role, s, role),
		}
	case "28P01", "28000", "3D000": // password, role, database
		return &failure.Error{Class: failure.Systemic, Provider: "postgres", Rejected: true, Err: err, Remedy: "check DATABASE_URI"}
	}
	return err
}
