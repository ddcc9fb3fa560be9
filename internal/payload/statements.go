package payload

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// statements are a collection's queries, written once: pgx prepares each once per connection. Every value is
// returned as text, so that it is the same bytes in every protocol mode, poolers' included.
type statements struct {
	roots   string            // $1 ids, $2 bytes: published roots: id, updated_at, size, text columns
	locales string            // $1 ids, $2 bytes: their locales: id, locale, size, text columns; empty when there are none
	live    string            // $1 ids: the published among them
	first   string            // $1 n: the first published ids
	after   string            // $1 n, $2 id: the published ids after it
	count   string            // how many are published
	resolve map[string]string // by table: $1 its row ids: row id, root id
}

func (c *collection) statements() statements {
	ids := fmt.Sprintf(" = any(%s)", c.ids.array("$1"))
	from := quoted(c.Schema, c.root.name) + " t"
	updated := "null::text"
	if col := c.root.column("updated_at"); col != nil && strings.HasPrefix(col.typ, "timestamp") {
		updated = `to_char(t.updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
		if col.typ == "timestamp without time zone" {
			updated = `to_char(t.updated_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
		}
	}
	id := c.ids.value("t.id")
	s := statements{
		roots:   c.selectText("t.id::text, "+updated, c.root.name, false, id+ids+c.isLive()),
		live:    "select t.id::text from " + from + " where " + id + ids + c.isLive(),
		count:   "select 1 from " + from + " where true" + c.isLive(),
		resolve: map[string]string{},
	}
	page := " order by " + id + " limit $1"
	s.first = "select t.id::text from " + from + " where true" + c.isLive() + page
	s.after = "select t.id::text from " + from + " where " + id + " > " + c.ids.scalar("$2") + c.isLive() + page
	if c.locales != nil {
		status := ""
		if c.StatusPerLocale {
			status = " and t._status = 'published'"
		}
		s.locales = c.selectText("t._parent_id::text, t._locale::text", c.locales.name, true,
			c.ids.value("t._parent_id")+ids+status) + " order by t._parent_id, t._locale"
	}
	c.resolvers(c.root, s.resolve)
	return s
}

// isLive is the condition that a root t is published: NULL is not.
func (c *collection) isLive() string {
	live := ""
	switch {
	case c.StatusPerLocale:
		live = " and exists (select 1 from " + quoted(c.Schema, c.locales.name) + " l where l._parent_id = t.id and l._status = 'published')"
	case c.Drafts:
		live = " and t._status = 'published'"
	}
	if c.Trash {
		live += " and t.deleted_at is null"
	}
	return live
}

// selectText selects the text columns of a table, none of them when a row's are larger than $2 bytes as stored; jsonb
// only where it may be rich text.
func (c *collection) selectText(first, name string, localized bool, where string) string {
	size, columns := "0", ""
	for _, f := range c.columns(localized) {
		col := "t." + quoted(f.name)
		size += " + coalesce(pg_column_size(" + col + "), 0)"
		isText := ""
		if f.json {
			isText = " and (jsonb_typeof(" + col + ") = 'array' or " + col + " #>> '{root,type}' = 'root')"
		}
		columns += ", case when s.size <= $2::bigint" + isText + " then " + col + "::text end"
	}
	// offset 0 keeps the planner from computing the size anew for every column.
	return "select " + first + ", s.size::text" + columns + " from " + quoted(c.Schema, name) + " t, lateral (select (" + size +
		")::bigint as size offset 0) s where $2::bigint > 0 and " + where
}

// resolvers writes the queries that lead from the rows of tables below t's children up to the root.
func (c *collection) resolvers(t *table, out map[string]string) {
	for _, child := range t.children {
		id := child.column("id")
		if len(child.children) > 0 && id != nil {
			ids := idTypeOf(id.typ)
			query := "select t0.id::text, %s::text from " + quoted(c.Schema, child.name) + " t0"
			last, up := 0, child
			for ; up.parent != c.root; up = up.parent {
				query += fmt.Sprintf(" join %s t%d on t%d.id = t%d.%s", quoted(c.Schema, up.parent.name), last+1, last+1, last, quoted(up.via))
				last++
			}
			query = strings.Replace(query, "%s", fmt.Sprintf("t%d.%s", last, quoted(up.via)), 1)
			out[child.name] = query + " where " + ids.value("t0.id") + " = any(" + ids.array("$1") + ")"
		}
		c.resolvers(child, out)
	}
}

func quoted(names ...string) string { return pgx.Identifier(names).Sanitize() }

// idType is how ids of one type are compared: in the column's own type, so that its index serves.
type idType struct {
	cast string // the type to cast to; empty compares as text
	text bool   // the column is compared as text, for want of a better way
}

func idTypeOf(typ string) idType {
	switch typ {
	case "integer", "bigint", "smallint", "uuid", "numeric":
		return idType{cast: typ}
	case "character varying", "text":
		return idType{}
	}
	return idType{text: true}
}

func (t idType) value(column string) string {
	if t.text {
		return column + "::text"
	}
	return column
}

func (t idType) array(param string) string {
	if t.cast == "" {
		return param + "::text[]"
	}
	return param + "::text[]::" + t.cast + "[]"
}

func (t idType) scalar(param string) string {
	if t.cast == "" {
		return param + "::text"
	}
	return param + "::text::" + t.cast
}

var (
	uuidText    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	numericText = regexp.MustCompile(`^-?\d{1,500}(\.\d{1,500})?$`)
)

// can says whether a value of the type can print as id. One that cannot be is nobody's id, and would be an error.
func (t idType) can(id string) bool {
	bits := map[string]int{"smallint": 16, "integer": 32, "bigint": 64}[t.cast]
	switch {
	case bits > 0:
		n, err := strconv.ParseInt(id, 10, bits)
		return err == nil && strconv.FormatInt(n, 10) == id
	case t.cast == "uuid":
		return uuidText.MatchString(id)
	case t.cast == "numeric":
		return numericText.MatchString(id) || id == "NaN"
	}
	return utf8.ValidString(id) && !strings.ContainsRune(id, 0)
}
