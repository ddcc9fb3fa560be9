package payload

import (
	"cmp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"payload-cdc/internal/document"
)

// raw is a document as its rows have it, before they are hung on each other.
type raw struct {
	id      string
	updated string // RFC 3339, or empty
	root    *row
	blocks  []*row
	values  []listed
	locales []string // of the locales that rows of it have, each once
	size    int
	dead    int // rows at paths that lead nowhere
	shows   map[*shownRow]bool
}

// row is a row of the root, an array, a block or a locales table.
type row struct {
	part   *part
	id     string
	locale string // empty for a row that is of every locale
	path   string // of a block
	order  int
	cells  []cell

	arrays  [][]*row // by the array's place among the part's arrays, in order
	locales []*row
	blocks  []blocks // by key
	lists   []list   // by key
}

// cell is a value, and what it says once somebody has asked.
type cell struct {
	text string
	json []byte // instead of text, of a jsonb column
	set  bool   // not NULL
	said bool
	says []document.Block
}

// blocks is a blocks field of a row: blocks of all types share one numbering.
type blocks struct {
	name, key string
	rows      []*row // in order of their locale, then in order
}

// list is a hasMany field of a row in one locale.
type list struct {
	key    string
	locale string
	kind   kind
	values []string
	// Of references only:
	part *part
	flat string // the path, see flatten
	to   []int  // the column of each value, by its place in the part
}

// listed is one value of a hasMany field, as its row has it.
type listed struct {
	part                       *part
	parent, path, locale, text string
	order                      int
	to                         int // of a reference: the place of its column
}

// forest hangs the rows of one batch of a collection on each other.
type forest struct {
	byID   []map[string]*row // by part, for those that have others below them
	routes map[string]*route // by path; nil for one that names no field
}

func (c *collection) newForest() *forest {
	f := &forest{byID: make([]map[string]*row, len(c.parts)), routes: map[string]*route{}}
	for _, p := range c.parts {
		if len(p.below) > 0 && p.above != nil {
			f.byID[p.n] = map[string]*row{}
		}
	}
	return f
}

// hang puts a row below its parent, which is hung already or is a block's root. A row whose parent is not there is
// not a row of this snapshot's document.
func (f *forest) hang(doc *raw, r *row, parent string) {
	if ids := f.byID[r.part.n]; ids != nil {
		ids[r.id] = r
	}
	if r.part.kind == block {
		doc.blocks = append(doc.blocks, r)
		return
	}
	up := f.parent(doc, r.part, parent)
	switch {
	case up == nil:
	case r.part.kind == locales:
		up.locales = append(up.locales, r)
	default:
		arrays := up.part.arrays()
		if up.arrays == nil {
			up.arrays = make([][]*row, len(arrays))
		}
		i := slices.Index(arrays, r.part)
		up.arrays[i] = append(up.arrays[i], r)
	}
}

func (f *forest) parent(doc *raw, p *part, id string) *row {
	if p.above.above == nil {
		return doc.root
	}
	return f.byID[p.above.n][id]
}

// grow makes a tree of a document's rows: what is at a path that leads to no row is dead, and left out.
func (f *forest) grow(doc *raw) {
	f.sort(doc.root)
	at := map[string]*row{}
	if len(doc.blocks) > 0 {
		f.growBlocks(doc, at)
	}
	if len(doc.values) > 0 {
		f.growLists(doc, at)
	}
}

// sort puts the rows of arrays in order, all the way down.
func (f *forest) sort(r *row) {
	for _, rows := range r.arrays {
		slices.SortFunc(rows, byOrder)
		for _, one := range rows {
			f.sort(one)
		}
	}
}

func byOrder(a, b *row) int {
	return cmp.Or(strings.Compare(a.locale, b.locale), a.order-b.order, a.part.n-b.part.n, strings.Compare(a.id, b.id))
}

func (f *forest) growBlocks(doc *raw, at map[string]*row) {
	depth := func(r *row) int {
		if to := f.route(r.path); to != nil {
			return to.depth
		}
		return -1
	}
	for _, r := range doc.blocks {
		f.sort(r)
	}
	// Outer ones first, for the inner ones are found through them.
	slices.SortFunc(doc.blocks, func(a, b *row) int {
		return cmp.Or(depth(a)-depth(b), strings.Compare(a.path, b.path), byOrder(a, b))
	})
	for i := 0; i < len(doc.blocks); {
		first := doc.blocks[i]
		n := i + 1
		for n < len(doc.blocks) && doc.blocks[n].path == first.path && doc.blocks[n].locale == first.locale {
			n++
		}
		run := doc.blocks[i:n]
		i = n
		to := f.route(first.path)
		var up *row
		if to != nil {
			up = f.find(doc, at, to.up, first.locale)
		}
		if up == nil {
			doc.dead += len(run)
			continue
		}
		j := slices.IndexFunc(up.blocks, func(b blocks) bool { return b.name == to.name })
		if j < 0 {
			j, _ = slices.BinarySearchFunc(up.blocks, to, func(b blocks, to *route) int {
				return cmp.Or(strings.Compare(b.key, to.key), strings.Compare(b.name, to.name))
			})
			up.blocks = slices.Insert(up.blocks, j, blocks{name: to.name, key: to.key})
		}
		up.blocks[j].rows = append(up.blocks[j].rows, run...)
	}
}

func (f *forest) growLists(doc *raw, at map[string]*row) {
	slices.SortFunc(doc.values, func(a, b listed) int {
		return cmp.Or(a.part.n-b.part.n, strings.Compare(a.parent, b.parent), strings.Compare(a.path, b.path), strings.Compare(a.locale, b.locale),
			a.order-b.order, strings.Compare(a.text, b.text))
	})
	for i := 0; i < len(doc.values); {
		first := doc.values[i]
		n := i + 1
		for n < len(doc.values) && doc.values[n].part == first.part && doc.values[n].parent == first.parent &&
			doc.values[n].path == first.path && doc.values[n].locale == first.locale {
			n++
		}
		run := doc.values[i:n]
		i = n
		l := list{kind: first.part.kind, locale: first.locale, values: make([]string, 0, len(run))}
		var up *row
		if first.part.kind == selects {
			up, l.key = f.parent(doc, first.part, first.parent), first.part.key
		} else if to := f.route(first.path); to != nil {
			up, l.key = f.find(doc, at, to.up, first.locale), to.key
		}
		if up == nil {
			doc.dead += len(run)
			continue
		}
		for _, v := range run {
			l.values = append(l.values, v.text)
		}
		if l.kind == rels {
			l.part, l.flat = first.part, flatten(first.path)
			for _, v := range run {
				l.to = append(l.to, v.to)
			}
		}
		j, _ := slices.BinarySearchFunc(up.lists, l, func(a, b list) int {
			return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.locale, b.locale))
		})
		up.lists = slices.Insert(up.lists, j, l)
	}
}

func (f *forest) route(path string) *route {
	r, known := f.routes[path]
	if !known {
		if one, ok := newRoute(path); ok {
			r = &one
		}
		f.routes[path] = r
	}
	return r
}

// find returns the live row that a path leads to, "layout.2.columns.0"; the root for the empty path; nil when there is
// none, or it is of another locale.
func (f *forest) find(doc *raw, at map[string]*row, up, locale string) *row {
	if up == "" {
		return doc.root
	}
	key := locale + " " + up
	r, known := at[key]
	if known {
		return r
	}
	// What the row is in, and which one it is.
	if to := f.route(up + ".x"); to != nil {
		if in := f.route(to.within); in != nil {
			if parent := f.find(doc, at, in.up, locale); parent != nil {
				r = f.child(doc, parent, in, to.position, locale)
			}
		}
	}
	at[key] = r
	return r
}

// child returns the row at a position of a field of parent.
func (f *forest) child(doc *raw, parent *row, in *route, position int, locale string) *row {
	for _, b := range parent.blocks {
		if b.name == in.name {
			return nth(b.rows, parent, position, locale)
		}
	}
	arrays := parent.part.arrays()
	i := slices.IndexFunc(arrays, func(p *part) bool { return p.key == in.key })
	if i < 0 {
		i = f.renamed(doc, arrays)
	}
	if i < 0 || i >= len(parent.arrays) {
		return nil
	}
	return nth(parent.arrays[i], parent, position, locale)
}

// renamed returns the array that a path can mean whose name is none of theirs: the only one whose own name no path of the
// document has, because dbName has given it another. -1 when there is none, or more than one.
func (f *forest) renamed(doc *raw, arrays []*part) int {
	named := map[string]bool{}
	learn := func(path string) {
		for to := f.route(path); to != nil; to = f.route(to.within) {
			named[to.key] = true
		}
	}
	for _, b := range doc.blocks {
		learn(b.path)
	}
	for _, v := range doc.values {
		learn(v.path)
	}
	for _, derived := range []bool{false, true} { // a name that is not even the parent's and more is surely another
		found, n := -1, 0
		for i, p := range arrays {
			if p.derived == derived && !named[p.key] {
				found, n = i, n+1
			}
		}
		if n > 0 {
			if n > 1 {
				return -1
			}
			return found
		}
	}
	return -1
}

// nth returns the row at a position of one field, as Payload counts: by place, but in a localized field by the number
// that the row has. rows are in order of their locale, then in order.
func nth(rows []*row, parent *row, position int, locale string) *row {
	from := 0
	if locale != "" && len(rows) > 0 && rows[len(rows)-1].locale != "" {
		from = sort.Search(len(rows), func(i int) bool { return rows[i].locale >= locale })
	}
	at := from + position
	if from < len(rows) && rows[from].locale != "" && parent.locale == "" {
		at = from + sort.Search(len(rows)-from, func(i int) bool {
			return rows[from+i].locale > rows[from].locale || rows[from+i].order > position
		})
	}
	if at >= len(rows) || rows[at].locale != "" && rows[at].locale != locale {
		return nil
	}
	if rows[at].locale != "" && parent.locale == "" && rows[at].order != position+1 {
		return nil
	}
	return rows[at]
}

// number reads a position of a row; 0 when there is none.
func number(text []byte) int {
	n, _ := strconv.Atoi(string(text))
	return n
}
