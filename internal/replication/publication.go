package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Table names a table.
type Table struct{ Schema, Name string }

// String is for logs and people; it is not quoted for SQL.
func (t Table) String() string { return t.Schema + "." + t.Name }

func (t Table) quoted() string { return quoteName(t.Schema) + "." + quoteName(t.Name) }

// DB is a Querier that can begin a transaction: a *pgxpool.Pool or a *pgx.Conn.
type DB interface {
	Querier
	Begin(ctx context.Context) (pgx.Tx, error)
}

// PublicationChange is what EnsurePublication did.
type PublicationChange struct {
	OID     uint32 // of the publication as it is now; another one than before means that it was dropped in between
	Created bool
	// Added tables are in the stream from the commit of this change on; of what was written before, and by transactions
	// that ran meanwhile, nothing will come. All tables when Created.
	Added   []Table
	Removed []Table
	// Lacking is what this role may not do to the publication. It goes on all the same.
	Lacking Lacking
}

// Lacking is what stands between a publication and the tables it should list, because the role may not change it. The
// zero Lacking is nothing.
type Lacking struct {
	Missing []Table // not in it: of what is written there the log says nothing
	Surplus []Table // in it, and not wanted
	Rights  string  // what the role would need
	Add     string  // the SQL with which an owner adds what is missing; empty when nothing is
	Drop    string  // and with which it drops what is too much
}

// Changed says whether anything was done.
func (c PublicationChange) Changed() bool { return c.Created || len(c.Added)+len(c.Removed) > 0 }

// EnsurePublication makes the publication list exactly these tables: whole rows, every operation, no filter. It needs
// no privilege when nothing has to change. Everything is checked before anything is done, and done in one transaction.
// Where there is a publication, what the role may not do to it is left undone, and said; where there is none, it is
// created whole or not at all.
// A publication of that name that publishes something else in kind (all tables, a schema, column lists, filters) is
// refused, and so is a table on which publishing would make the application's own UPDATE and DELETE fail.
func EnsurePublication(ctx context.Context, db DB, name string, tables []Table) (PublicationChange, error) {
	change, err := ensurePublication(ctx, db, name, tables)
	if err != nil {
		return PublicationChange{}, fmt.Errorf("publication %q: %w", name, err)
	}
	return change, nil
}

func ensurePublication(ctx context.Context, db DB, name string, tables []Table) (PublicationChange, error) {
	if name == "" || len(name) > 63 {
		return PublicationChange{}, refused(errors.New("its name has to be of 1 to 63 bytes"), "change CDC_PUBLICATION")
	}
	if len(tables) == 0 {
		return PublicationChange{}, errors.New("there are no tables to publish")
	}
	tx, err := db.Begin(ctx)
	if err != nil {
		return PublicationChange{}, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	// Two instances that start together take turns; a table lock held for long is somebody's migration, not ours to
	// wait for without a word.
	if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', '30s', true), pg_advisory_xact_lock(hashtextextended('payload_cdc publication ' || $1, 0))",
		name); err != nil {
		return PublicationChange{}, err
	}
	current, err := readPublication(ctx, tx, name)
	if err != nil {
		return PublicationChange{}, err
	}
	if err := current.acceptable(); err != nil {
		return PublicationChange{}, err
	}
	wanted, err := readTables(ctx, tx, tables)
	if err != nil {
		return PublicationChange{}, err
	}
	change := PublicationChange{OID: current.oid, Created: !current.exists}
	change.Added, change.Removed, change.Lacking = current.within(tables, wanted)
	statements := publicationSQL(name, current.exists, change.Added, change.Removed)
	if len(statements) == 0 {
		return change, nil
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			if code(err) == stateNoPrivilege {
				return PublicationChange{}, refused(err,
					"the owner of the tables, or an administrator, runs: "+strings.Join(statements, "; "))
			}
			return PublicationChange{}, err
		}
	}
	if err := tx.QueryRow(ctx, "SELECT oid FROM pg_publication WHERE pubname = $1", name).Scan(&change.OID); err != nil {
		return PublicationChange{}, err
	}
	if err := tx.Commit(ctx); err != nil {
		return PublicationChange{}, err
	}
	return change, nil
}

// InspectPublication says how far the publication is from listing these tables: what this role would change, and what it
// may not. It changes nothing. exists is false when there is no such publication; then nothing else is said.
func InspectPublication(ctx context.Context, q Querier, name string, tables []Table) (may PublicationChange, exists bool, err error) {
	current, err := readPublication(ctx, q, name)
	if err != nil || !current.exists {
		return PublicationChange{}, false, err
	}
	wanted, err := readTables(ctx, q, tables)
	if err != nil {
		return PublicationChange{}, false, err
	}
	may.OID = current.oid
	may.Added, may.Removed, may.Lacking = current.within(tables, wanted)
	return may, true, nil
}

// publicationSQL is what brings the publication about; empty when there is nothing to do.
func publicationSQL(name string, exists bool, add, remove []Table) []string {
	list := func(tables []Table) string {
		quoted := make([]string, len(tables))
		for i, t := range tables {
			quoted[i] = t.quoted()
		}
		return strings.Join(quoted, ", ")
	}
	if !exists {
		return []string{"CREATE PUBLICATION " + quoteName(name) + " FOR TABLE " + list(add) +
			" WITH (publish = 'insert, update, delete, truncate')"}
	}
	var statements []string
	if len(add) > 0 {
		statements = append(statements, "ALTER PUBLICATION "+quoteName(name)+" ADD TABLE "+list(add))
	}
	if len(remove) > 0 {
		statements = append(statements, "ALTER PUBLICATION "+quoteName(name)+" DROP TABLE "+list(remove))
	}
	return statements
}

// publication is one as it is in the catalog.
type publication struct {
	name       string
	oid        uint32
	exists     bool
	owned      bool
	everything bool // FOR ALL TABLES
	complete   bool // publishes every operation
	schemas    bool // FOR TABLES IN SCHEMA
	narrowed   []string
	tables     []Table
}

func readPublication(ctx context.Context, q Querier, name string) (publication, error) {
	p := publication{name: name}
	var version int
	err := q.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, coalesce(oid, 0), oid IS NOT NULL, coalesce(pg_has_role(pubowner, 'USAGE'), false),
		       coalesce(puballtables, false), coalesce(pubinsert AND pubupdate AND pubdelete AND pubtruncate, false)
		FROM (SELECT 1) one LEFT JOIN pg_publication ON pubname = $1`, name).
		Scan(&version, &p.oid, &p.exists, &p.owned, &p.everything, &p.complete)
	if err != nil {
		return publication{}, fmt.Errorf("read publication %q: %w", name, err)
	}
	if !p.exists {
		return p, nil
	}
	// Column lists, filters and schemas came with Postgres 15.
	narrowed := "false"
	if version >= 150000 {
		narrowed = "pr.prattrs IS NOT NULL OR pr.prqual IS NOT NULL"
		err := q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_publication_namespace WHERE pnpubid = $1)", p.oid).Scan(&p.schemas)
		if err != nil {
			return publication{}, fmt.Errorf("read publication %q: %w", name, err)
		}
	}
	rows, err := q.Query(ctx, `
		SELECT n.nspname::text, c.relname::text, `+narrowed+`
		FROM pg_publication_rel pr JOIN pg_class c ON c.oid = pr.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE pr.prpubid = $1 ORDER BY 1, 2`, p.oid)
	if err != nil {
		return publication{}, fmt.Errorf("read publication %q: %w", name, err)
	}
	var t Table
	var narrow bool
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &narrow}, func() error {
		p.tables = append(p.tables, t)
		if narrow {
			p.narrowed = append(p.narrowed, t.String())
		}
		return nil
	})
	if err != nil {
		return publication{}, fmt.Errorf("read publication %q: %w", name, err)
	}
	return p, nil
}

// acceptable says why this publication is not one of ours.
func (p publication) acceptable() error {
	var reason string
	switch {
	case !p.exists:
		return nil
	case p.everything:
		reason = "it is FOR ALL TABLES, which makes UPDATE and DELETE fail on every table without a primary key"
	case p.schemas:
		reason = "it publishes whole schemas, and with them tables that are none of our business"
	case len(p.narrowed) > 0:
		reason = "it has a column list or row filter on " + strings.Join(p.narrowed, ", ") +
			", which can make the application's own UPDATE and DELETE fail"
	case !p.complete:
		reason = "it does not publish every operation"
	default:
		return nil
	}
	return refused(errors.New(reason), "DROP PUBLICATION "+quoteName(p.name)+" and let cdc create it, or set CDC_PUBLICATION to another name")
}

// difference is what is missing from p and what is too much, sorted.
func (p publication) difference(tables []Table) (add, remove []Table) {
	for _, t := range tables {
		if !slices.Contains(p.tables, t) && !slices.Contains(add, t) {
			add = append(add, t)
		}
	}
	for _, t := range p.tables {
		if !slices.Contains(tables, t) {
			remove = append(remove, t)
		}
	}
	order := func(a, b Table) int {
		return strings.Compare(a.Schema+"\x00"+a.Name, b.Schema+"\x00"+b.Name)
	}
	slices.SortFunc(add, order)
	slices.SortFunc(remove, order)
	return add, remove
}

// within is difference, parted into what the role may do and what it lacks. Adding takes the ownership of the
// publication and of the table, removing that of the publication.
func (p publication) within(tables []Table, wanted map[Table]relation) (add, remove []Table, lacking Lacking) {
	missing, surplus := p.difference(tables)
	switch {
	case !p.exists:
		return missing, surplus, Lacking{}
	case p.owned:
		var rights []string
		for _, t := range missing {
			if wanted[t].owned {
				add = append(add, t)
				continue
			}
			lacking.Missing = append(lacking.Missing, t)
			rights = append(rights, t.String())
		}
		remove = surplus
		if len(rights) > 0 {
			lacking.Rights = "ownership of " + strings.Join(rights, ", ")
		}
	case len(missing)+len(surplus) > 0:
		lacking.Missing, lacking.Surplus, lacking.Rights = missing, surplus, "ownership of publication "+p.name
	}
	if sql := publicationSQL(p.name, true, lacking.Missing, nil); len(sql) > 0 {
		lacking.Add = sql[0]
	}
	if sql := publicationSQL(p.name, true, nil, lacking.Surplus); len(sql) > 0 {
		lacking.Drop = sql[0]
	}
	return add, remove, lacking
}

// relation is a wanted table as it is in the catalog.
type relation struct{ owned bool }

// readTables finds the tables and refuses those that cannot be published without harm.
func readTables(ctx context.Context, q Querier, tables []Table) (map[Table]relation, error) {
	schemas, names := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		schemas[i], names[i] = t.Schema, t.Name
	}
	// The identity is that of RelationGetIndexList: a deferrable or invalid primary key does not count.
	rows, err := q.Query(ctx, `
		SELECT w.s, w.t, c.oid IS NOT NULL, coalesce(c.relkind::text, ''), coalesce(c.relpersistence::text, ''), coalesce(pg_has_role(c.relowner, 'USAGE'), false),
		       coalesce(c.relreplident = 'f' OR EXISTS (
		         SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
		         AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)), false),
		       coalesce(c.relreplident::text, '')
		FROM unnest($1::text[], $2::text[]) AS w(s, t)
		LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace) ON n.nspname = w.s AND c.relname = w.t`, schemas, names)
	if err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	found := make(map[Table]relation, len(tables))
	var refusals []error
	var t Table
	var exists, owned, identified bool
	var kind, persistence, identity string
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &exists, &kind, &persistence, &owned, &identified, &identity}, func() error {
		switch {
		case !exists:
			refusals = append(refusals, refused(fmt.Errorf("table %s does not exist", t), "check CDC_COLLECTIONS and CDC_PAYLOAD_SCHEMA"))
		case kind != "r" && kind != "p":
			refusals = append(refusals, refused(fmt.Errorf("%s is not a table", t), "leave it out: only tables can be published"))
		case persistence != "p":
			refusals = append(refusals, refused(fmt.Errorf("table %s is not in the log", t), "ALTER TABLE "+t.quoted()+" SET LOGGED, or leave it out"))
		case !identified:
			cause := "it has no primary key"
			switch identity {
			case "n":
				cause = "its REPLICA IDENTITY is NOTHING"
			case "i":
				cause = "the index of its REPLICA IDENTITY is gone"
			}
			refusals = append(refusals, refused(
				fmt.Errorf("table %s: %s, so publishing it would make the application's own UPDATE and DELETE fail", t, cause),
				"give it a primary key and ALTER TABLE "+t.quoted()+" REPLICA IDENTITY DEFAULT"))
		}
		found[t] = relation{owned: owned}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	return found, errors.Join(refusals...)
}
