package payload

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Querier is a pool or a connection, not inside a transaction.
type Querier interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// kind is what a table holds, told by its columns.
type kind uint8

const (
	unknown kind = iota
	root         // a collection, a global, or a table that is not Payload's
	versions
	system
	block
	array
	locales
	texts
	numbers
	rels
	selects
)

// table is a table of Payload's schema and its place in a document's tree.
type table struct {
	oid      uint32
	name     string
	rows     float64 // the planner's estimate; negative when never analysed
	readable bool    // by the role that asks
	columns  []column

	kind     kind
	parent   *table // owner, by a foreign key ON DELETE CASCADE; nil for a root
	via      string // the column that names the parent's row
	children []*table

	collection *collection // nil when it is not indexed
}

type column struct {
	name   string
	typ    string // as format_type prints it, without modifier
	enum   bool
	labels []string // of an enum of the schema, in order
	ref    bool     // part of a foreign key
}

func (t *table) column(name string) *column {
	for i := range t.columns {
		if t.columns[i].name == name {
			return &t.columns[i]
		}
	}
	return nil
}

func (t *table) has(names ...string) bool {
	for _, n := range names {
		if t.column(n) == nil {
			return false
		}
	}
	return true
}

// foreignKey is a foreign key of one column, between tables of the schema.
type foreignKey struct {
	name     string
	from, to *table
	column   string
	cascades bool
}

// catalog is the schema as pg_catalog has it. information_schema hides tables that one may not read.
type catalog struct {
	schema  string
	tables  []*table // by name
	byName  map[string]*table
	keys    []foreignKey // by name
	locales []string     // of the project, in its order; nil when it has none
	slugs   []string     // that Payload's own tables spell out
}

const tablesSQL = `select c.oid, c.relname, c.reltuples, pg_catalog.has_table_privilege(c.oid, 'SELECT')
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition order by c.relname collate "C"`

const enumsSQL = `select t.oid, t.typname, array(select e.enumlabel::text from pg_catalog.pg_enum e where e.enumtypid = t.oid order by e.enumsortorder)
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace where n.nspname = $1 and t.typtype = 'e'`

const columnsSQL = `select a.attrelid, a.attname, pg_catalog.format_type(a.atttypid, null), t.typtype = 'e', t.oid
from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace join pg_catalog.pg_type t on t.oid = a.atttypid
where n.nspname = $1 and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped order by a.attrelid, a.attnum`

const keysSQL = `select f.conname, f.conrelid, f.confrelid, f.confdeltype = 'c',
 array(select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = f.conrelid and a.attnum = any(f.conkey))
from pg_catalog.pg_constraint f join pg_catalog.pg_class c on c.oid = f.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and f.contype = 'f' order by c.relname collate "C", f.conname collate "C"`

// localesEnum is the type of Payload's locale columns.
const localesEnum = "_locales"

// readCatalog reads the schema in one snapshot: four queries, however many tables there are.
func readCatalog(ctx context.Context, q Querier, schema string) (*catalog, error) {
	c := &catalog{schema: schema, byName: map[string]*table{}}
	byOID, labels := map[uint32]*table{}, map[uint32][]string{}

	b := &pgx.Batch{}
	b.Queue("begin isolation level repeatable read read only")
	b.Queue(tablesSQL, schema).Query(func(rows pgx.Rows) error {
		var t table
		_, err := pgx.ForEachRow(rows, []any{&t.oid, &t.name, &t.rows, &t.readable}, func() error {
			one := t
			c.tables = append(c.tables, &one)
			c.byName[one.name], byOID[one.oid] = &one, &one
			return nil
		})
		return err
	})
	b.Queue(enumsSQL, schema).Query(func(rows pgx.Rows) error {
		var oid uint32
		var name string
		var of []string
		_, err := pgx.ForEachRow(rows, []any{&oid, &name, &of}, func() error {
			labels[oid] = of
			if name == localesEnum {
				c.locales = of
			}
			return nil
		})
		return err
	})
	b.Queue(columnsSQL, schema).Query(func(rows pgx.Rows) error {
		var oid, typ uint32
		var col column
		_, err := pgx.ForEachRow(rows, []any{&oid, &col.name, &col.typ, &col.enum, &typ}, func() error {
			if t := byOID[oid]; t != nil {
				col.labels = labels[typ]
				t.columns = append(t.columns, col)
			}
			return nil
		})
		return err
	})
	b.Queue(keysSQL, schema).Query(func(rows pgx.Rows) error {
		var k foreignKey
		var from, to uint32
		var columns []string
		_, err := pgx.ForEachRow(rows, []any{&k.name, &from, &to, &k.cascades, &columns}, func() error {
			k.from, k.to = byOID[from], byOID[to]
			if k.from == nil {
				return nil
			}
			for _, name := range columns {
				if col := k.from.column(name); col != nil {
					col.ref = true
				}
			}
			if k.to != nil && len(columns) == 1 {
				k.column = columns[0]
				c.keys = append(c.keys, k)
			}
			return nil
		})
		return err
	})
	b.Queue("commit")
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		return nil, fmt.Errorf("read the catalog of schema %s: %w", schema, err)
	}
	for _, t := range c.tables {
		// A type of another name is somebody else's doing, and in order all the same.
		if col := t.column("_locale"); len(c.locales) == 0 && col != nil {
			c.locales = col.labels
		}
	}
	c.slugs = c.readSlugs(ctx, q)
	return c, nil
}

// link hangs every table under its owner and tells what each holds.
func (c *catalog) link() {
	for _, k := range c.keys {
		if k.cascades && (k.column == "_parent_id" || k.column == "parent_id") && k.from.parent == nil && !k.from.owns(k.to) {
			k.from.parent, k.from.via = k.to, k.column
			k.to.children = append(k.to.children, k.from)
		}
	}
	locked := c.locked()
	for _, t := range c.tables {
		t.kind = t.classify()
		if t.kind == root && strings.HasPrefix(t.name, "payload_") && (systemTables[t.name] || locked[t] == "") {
			t.kind = system
		}
	}
}

// systemTables are Payload's own. Other tables with its prefix are told by not being lockable.
var systemTables = set("payload_kv payload_jobs payload_jobs_log payload_jobs_stats payload_locked_documents payload_preferences payload_migrations payload_query_presets")

// owns says whether other is t or above t, so that keys in a ring make no endless tree.
func (t *table) owns(other *table) bool {
	for ; other != nil; other = other.parent {
		if other == t {
			return true
		}
	}
	return false
}

func (t *table) classify() kind {
	if t.parent == nil {
		if t.isVersions() {
			return versions
		}
		return root
	}
	switch {
	case t.has("_order", "_path"):
		return block
	case t.has("_order"):
		return array
	case t.has("_locale", "_parent_id"):
		return locales
	case t.has("path", "text"):
		return texts
	case t.has("path", "number"):
		return numbers
	case t.has("path"):
		return rels
	case t.has("order", "value"):
		return selects
	}
	return unknown
}

// isVersions says whether t keeps versions of another table: all its own columns are those of a document, prefixed.
func (t *table) isVersions() bool {
	own := t.has("latest") && t.has("parent_id")
	for _, c := range t.columns {
		switch c.name {
		case "id", "parent_id", "created_at", "updated_at", "latest", "autosave", "snapshot", "published_locale":
			continue
		}
		if !strings.HasPrefix(c.name, "version_") {
			return false
		}
		own = true
	}
	return own
}

// locked is the best list of collections there is: Payload can lock the documents of each, so the join table of
// payload_locked_documents refers to it, by a constraint whose name holds the snake-case slug even when dbName renames
// the table. It returns that slug by table; one that may be cut short ends in "…".
func (c *catalog) locked() map[*table]string {
	const cut = 60 // bytes; Payload shortens longer names of keys
	out := map[*table]string{}
	lock := c.byName["payload_locked_documents"]
	for _, k := range c.keys {
		if lock == nil || k.from.parent != lock || k.column == k.from.via {
			continue
		}
		slug, ours := strings.CutPrefix(k.name, k.from.name+"_")
		slug, whole := strings.CutSuffix(slug, "_fk")
		if !ours || !whole { // renamed by hand
			slug = k.to.name
		}
		if len(k.name) >= cut {
			slug += "…"
		}
		out[k.to] = slug
	}
	return out
}
