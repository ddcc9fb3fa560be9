package payload

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// statements are a collection's queries but for those that read its parts, written once: pgx prepares each once per
// connection. Every value is returned as text, so that it is the same bytes in every protocol mode, poolers' included.
type statements struct {
	live    string            // $1 ids: the published among them
	first   string            // $1 n: the first published ids
	after   string            // $1 n, $2 id: the published ids after it
	count   string            // how many are published
	resolve map[string]string // by table: $1 its row ids: row id, root id
}

func (c *collection) statements() statements {
	ids := fmt.Sprintf(" = any(%s)", c.ids.array("$1"))
	from := quoted(c.Schema, c.root.name) + " t"
	id := c.ids.value("t.id")
	s := statements{
		live:    "select t.id::text from " + from + " where " + id + ids + c.isLive(),
		count:   "select 1 from " + from + " where true" + c.isLive(),
		resolve: map[string]string{},
	}
	page := " order by " + id + " limit $1"
	s.first = "select t.id::text from " + from + " where true" + c.isLive() + page
	s.after = "select t.id::text from " + from + " where " + id + " > " + c.ids.scalar("$2") + c.isLive() + page
	c.resolvers(c.root, s.resolve)
	return s
}

// isLive is the condition that a root t is published, and meant by the rules.
func (c *collection) isLive() string { return c.published() + c.where }

// published is the condition that a root t is published: NULL is not.
func (c *collection) published() string {
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

// heads are the columns before the fields of every query of a part.
const (
	headRoot   = iota // the document's id
	headParent        // the id of the row above; null for the root
	headID            // null where nothing can be below
	headOrder
	headPath // of a block or a list; of the root the time of its last change
	headLocale
	headSize // of the fields, as stored
	heads
)

// selects writes the query of a part. $1 are the documents' ids; no field of a row travels when they are larger than $2
// bytes together, as stored.
func (c *collection) selects(p *part) string {
	ids := fmt.Sprintf(" = any(%s)", c.ids.array("$1"))
	from, rootID := quoted(c.Schema, p.name)+" t", "t.id"
	where := c.isLive()
	if p.above != nil {
		last := "t"
		for up, n := p, 1; up.above.above != nil; up, n = up.above, n+1 {
			next := fmt.Sprintf("p%d", n)
			from += fmt.Sprintf(" join %s %s on %s.id = %s.%s", quoted(c.Schema, up.above.name), next, next, last, quoted(up.via))
			last = next
		}
		via := p
		for via.above.above != nil {
			via = via.above
		}
		rootID, where = last+"."+quoted(via.via), ""
		if p.kind == locales && p.above.above == nil && c.StatusPerLocale {
			where = " and t._status = 'published'"
		}
	}
	where = c.ids.value(rootID) + ids + where
	head := make([]string, heads)
	for i := range head {
		head[i] = "null::text"
	}
	head[headRoot] = rootID + "::text"
	own := func(at int, columns ...string) {
		for _, name := range columns {
			if p.has(name) {
				head[at] = "t." + quoted(name) + "::text"
				return
			}
		}
	}
	if p.above == nil {
		head[headPath] = updated(p.column("updated_at"))
	} else {
		head[headParent] = "t." + quoted(p.via) + "::text"
		own(headOrder, "_order", "order")
		own(headPath, "_path", "path")
		own(headLocale, "_locale", "locale")
		if p.kind == array || p.kind == block {
			own(headID, "id")
		}
	}
	size, inner, columns := "0", "", ""
	for i, h := range head {
		if i != headSize {
			inner += fmt.Sprintf("%s as h%d, ", h, i)
		}
	}
	for i, f := range p.fields {
		col := "t." + quoted(f.name)
		size += " + coalesce(pg_column_size(" + col + "), 0)"
		inner += fmt.Sprintf("%s as c%d, ", col, i)
		at := fmt.Sprintf("s.c%d", i)
		columns += ", case when s.size <= $2::bigint" + f.onlyIf(at) + " then " + textOf(f.column, at) + " end"
	}
	// offset 0 keeps the planner from computing the size anew for every column.
	query := func(and string) string {
		return "select s.h0, s.h1, s.h2, s.h3, s.h4, s.h5, s.size::text" + columns + " from (select " + inner + "(" + size + ")::bigint as size from " + from +
			" where " + where + and + " offset 0) s where $2::bigint > 0"
	}
	if p.kind == rels {
		refers := make([]string, len(p.fields))
		for i, f := range p.fields {
			refers[i] = "t." + quoted(f.name) + " is not null"
		}
		return query(" and (" + strings.Join(refers, " or ") + ")")
	}
	if p.kind == texts || p.kind == numbers {
		// Their only index begins with the order: naming the usual ones makes it serve.
		return query(` and t."order" = any('{`+usualOrders+`}'::int[])`) + " union all " + query(` and t."order" > `+strconv.Itoa(maxUsual))
	}
	return query("")
}

// maxUsual is how many values the hasMany fields of most documents have at most.
const maxUsual = 32

var usualOrders = func() string {
	var n []string
	for i := range maxUsual + 1 {
		n = append(n, strconv.Itoa(i))
	}
	return strings.Join(n, ",")
}()

// updated is the time of a row's last change as text.
func updated(col *column) string {
	if col == nil || !strings.HasPrefix(col.typ, "timestamp") {
		return "null::text"
	}
	return textOf(col, "t."+quoted(col.name))
}

// textOf is a value as text, times as Payload prints them.
func textOf(col *column, at string) string {
	switch col.typ {
	case "timestamp with time zone":
		at += " at time zone 'UTC'"
	case "timestamp without time zone":
	default:
		return at + "::text"
	}
	return "to_char(" + at + `, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`
}

// onlyIf keeps JSON at home that cannot be rich text or blocks, unless it was asked for.
func (f *field) onlyIf(at string) string {
	if !f.json || f.whole {
		return ""
	}
	return " and (jsonb_typeof(" + at + ") = 'array' or " + at + " #>> '{root,type}' = 'root')"
}

// resolvers writes the queries that lead from the rows of tables below t's children up to the root.
func (c *collection) resolvers(t *table, out map[string]string) {
	for _, child := range t.children {
		if !child.readable {
			continue // a hint that cannot be followed owes a sweep
		}
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
