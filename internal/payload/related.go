package payload

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// Showing pages through the published documents of a collection that refer to a row now, in the order of the id column:
// hint is a row of the table "*table". A page may hold fewer than n, as those that are not published are left out. An
// empty cursor begins, an empty next ends; a cursor of another id type begins again. Only relations of Rules.Related
// count. A row of _rels that Payload left behind does too, which costs one look at its document.
func (r *Reader) Showing(ctx context.Context, hint document.Key, cursor string, n int) (keys []document.Key, next string, snapshot wal.Snapshot, err error) {
	m := r.model
	var queries []query
	if c, shown := m.bySlug[hint.Collection], m.byName[strings.TrimPrefix(hint.Via, "*")]; c != nil && shown != nil && n > 0 {
		args := []any{hint.ID, n}
		after, ok := strings.CutPrefix(cursor, "after ")
		if ok = ok && c.ids.can(after); ok {
			args = append(args, after)
		}
		sql := c.showing(shown, ok)
		if id := shown.column("id"); sql != "" && id != nil && idTypeOf(id.typ).can(hint.ID) {
			found := 0
			queries = append(queries, query{sql, args, func(v [][]byte) error {
				id := string(v[0])
				if string(v[1]) == "true" {
					keys = append(keys, document.Key{Collection: hint.Collection, ID: id})
				}
				if found++; found == n {
					next = "after " + id
				}
				return nil
			}})
		}
	}
	snapshot, err = r.look(ctx, m, queries)
	if err != nil {
		return nil, "", wal.Snapshot{}, fmt.Errorf("page through what shows %s: %w", hint, err)
	}
	return keys, next, snapshot, nil
}

// showing is the query for the documents that refer to a row of another table, and whether they are published: $1 its id,
// $2 how many, and with after $3, the id after which they begin. Empty when the collection has no reference to that table.
// Each part is cut to a page before it is joined, or every page would cost as much as all that are left.
func (c *collection) showing(shown *table, after bool) string {
	var parts []string
	for _, r := range c.relations {
		for i := range r.from {
			f := &r.from[i]
			if f.shown.root != shown {
				continue
			}
			only := ""
			if r.rels {
				only = " and " + flatPath("t0.path") + " = " + literal(r.flat)
			}
			if part := "(" + c.referring(f.part.table, f.column, only, after) + ")"; !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "select t.id::text, (true" + c.isLive() + ")::text from (select id from (" + strings.Join(parts, " union ") +
		") r order by id limit $2) p join " + quoted(c.Schema, c.root.name) + " t on " + c.ids.value("t.id") + " = p.id order by p.id"
}

// referring selects the roots above the rows of t whose column refers to $1, and that meet one more condition.
func (c *collection) referring(t *table, col *column, only string, after bool) string {
	join, last, root := "", 0, "t0.id"
	for up := t; up.parent != nil; up = up.parent {
		root = fmt.Sprintf("t%d.%s", last, quoted(up.via))
		if up.parent != c.root {
			last++
			join += fmt.Sprintf(" join %s t%d on t%d.id = %s", quoted(c.Schema, up.parent.name), last, last, root)
		}
	}
	ids := idTypeOf(col.typ)
	where := " where " + ids.value("t0."+quoted(col.name)) + " = " + ids.scalar("$1") + only
	if after {
		where += " and " + c.ids.value(root) + " > " + c.ids.scalar("$3")
	}
	order := c.ids.value(root)
	return "select distinct " + order + " as id from " + quoted(c.Schema, t.name) + " t0" + join + where + " order by 1 limit $2"
}
