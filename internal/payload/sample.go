package payload

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// names is what rows tell of fields that the catalog does not: a blocks field's name is nowhere but in its rows' paths,
// a hasMany field's too, and those paths have the spelling of the Payload project. It is a sample, to help people: nothing
// that is read depends on it.
type names struct {
	// By the place of the row around, keys of the fields on the way with a slash after each: "layout/columns/".
	blocks map[string][]blocksName
	lists  map[string][]listName
	rels   []relationName
	seen   map[string]bool   // block tables that have rows
	spelt  map[string]string // keys as the project spells them
	partly map[string]bool   // tables whose sample was not all
	empty  map[string]bool   // tables without a row, or that may not be read
}

type blocksName struct {
	key    string
	tables map[string]bool
}

type listName struct {
	key  string
	kind kind
}

// relationName is a relation whose references are rows.
type relationName struct {
	text    string          // its path as the project spells it, without positions
	place   []element       // the same
	columns map[string]bool // that hold references of it
}

func noNames() *names {
	return &names{
		blocks: map[string][]blocksName{}, lists: map[string][]listName{}, seen: map[string]bool{}, spelt: map[string]string{},
		partly: map[string]bool{}, empty: map[string]bool{},
	}
}

// spell returns a key as the project spells it, as far as rows tell.
func (n *names) spell(key string) string {
	if s, ok := n.spelt[key]; ok {
		return s
	}
	return key
}

// mostPaths bounds how many paths of a table are looked at, mostValues how many rows of a table that has no index on them.
const (
	mostPaths  = 500
	mostValues = 20000
)

// sampleNames looks at the paths of each table below the root that has some. A table that may not be read tells nothing.
func sampleNames(ctx context.Context, q Querier, c *collection) *names {
	n := noNames()
	b := &pgx.Batch{}
	for _, t := range c.root.children {
		sql := `select p, count(*) from (select left(regexp_replace(path, '\.\d+\.', '.0.', 'g'), 500) p from %s limit ` + strconv.Itoa(mostValues) +
			`) t where p is not null group by p order by p collate "C" limit ` + strconv.Itoa(mostPaths)
		most := mostValues
		switch t.kind {
		case block:
			// From one path to the next by the index, however many rows have each.
			sql = `with recursive s(p) as ((select _path from %[1]s order by _path limit 1) union all
				select (select _path from %[1]s where _path > s.p order by _path limit 1) from s where s.p is not null)
				select p, 1 from s where p is not null limit ` + strconv.Itoa(mostPaths)
			most = mostPaths
		case rels:
			// Which column of a row refers tells where the relation leads.
			tells := []string{"''"}
			for i := range t.columns {
				if col := &t.columns[i]; col.ref && col.name != t.via {
					tells = append(tells, "case when "+quoted(col.name)+" is not null then "+literal(col.name)+" end")
				}
			}
			sql = strings.Replace(sql, "500) p from", "500) || chr(1) || concat_ws(chr(1), "+strings.Join(tells, ", ")+") p from", 1)
		case texts, numbers:
		default:
			continue
		}
		if !t.readable {
			n.empty[t.name] = true
			continue
		}
		b.Queue(fmt.Sprintf(sql, quoted(c.Schema, t.name))).Query(func(rows pgx.Rows) error {
			var path string
			var count, paths, all int
			_, err := pgx.ForEachRow(rows, []any{&path, &count}, func() error {
				paths, all = paths+1, all+count
				n.learn(t, path)
				return nil
			})
			n.partly[t.name], n.empty[t.name] = all >= most || paths >= mostPaths, all == 0
			return err
		})
	}
	if b.Len() == 0 {
		return n
	}
	if err := q.SendBatch(ctx, b).Close(); err != nil {
		n = noNames()
		for _, t := range c.root.children {
			n.empty[t.name] = true
		}
		return n
	}
	for _, list := range n.blocks {
		slices.SortFunc(list, func(a, b blocksName) int { return strings.Compare(a.key, b.key) })
	}
	for _, list := range n.lists {
		slices.SortFunc(list, func(a, b listName) int { return cmp.Or(strings.Compare(a.key, b.key), int(a.kind)-int(b.kind)) })
	}
	return n
}

// blocksOf is the path of a blocks field that rows of a block, or of the locales of one, are in; an asterisk when none tells.
func (n *names) blocksOf(p *part) string {
	if p.kind == locales {
		p = p.above
	}
	for _, up := range slices.Sorted(maps.Keys(n.blocks)) {
		for _, b := range n.blocks[up] {
			if b.tables[p.name] {
				names := strings.Split(up+b.key, "/")
				for i := range names {
					names[i] = n.spell(names[i])
				}
				return strings.Join(names, ".")
			}
		}
	}
	return "*"
}

// learn takes in one path.
func (n *names) learn(t *table, path string) {
	path, columns, _ := strings.Cut(path, "\x01")
	to, ok := newRoute(path)
	if !ok {
		return
	}
	n.spelt[to.key] = to.name
	up, text, place := "", to.name, []element{{name: to.key}}
	for in, ok := newRoute(to.within); ok; in, ok = newRoute(in.within) {
		n.spelt[in.key] = in.name
		up, text = in.key+"/"+up, in.name+"."+text
		place = append([]element{{name: in.key}}, place...)
	}
	switch t.kind {
	case block:
		n.seen[t.name] = true
		i := slices.IndexFunc(n.blocks[up], func(b blocksName) bool { return b.key == to.key })
		if i < 0 {
			i = len(n.blocks[up])
			n.blocks[up] = append(n.blocks[up], blocksName{to.key, map[string]bool{}})
		}
		n.blocks[up][i].tables[t.name] = true
	case rels:
		i := slices.IndexFunc(n.rels, func(r relationName) bool { return r.text == text })
		if i < 0 {
			i = len(n.rels)
			n.rels = append(n.rels, relationName{text: text, place: place, columns: map[string]bool{}})
		}
		for col := range strings.SplitSeq(columns, "\x01") {
			if col != "" {
				n.rels[i].columns[col] = true
			}
		}
	case texts, numbers:
		if one := (listName{to.key, t.kind}); !slices.Contains(n.lists[up], one) {
			n.lists[up] = append(n.lists[up], one)
		}
	}
}
