package payload

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// relation is one of Rules.Related: a relation of the document or of rows below it, and a field of what it leads to.
type relation struct {
	path // of the relation alone; its text is all of the rule
	from []reference
	// Of rows of _rels, whose paths have no blocks' slugs in them:
	rels  bool
	flat  string // the path as flatten writes it
	slugs bool   // the user's path has slugs, so that only those blocks count
}

// reference is a column that refers to rows of one table, and the field that is shown of them.
type reference struct {
	part      *part
	column    *column
	localized bool // part is the locales of the one that the relation is of
	at        int  // of the column in its part
	shown     *shown
	field     int // among shown's columns, or its localized ones
	inLocales bool
}

// shown is a collection as far as documents of another show it.
type shown struct {
	root, locales *table // locales is nil when nothing is needed of it
	codes         []string
	perLocale     bool // each locale is published by itself
	fields        []*column
	localized     []*column
	sqlRoot       string // $1 ids, $2 most bytes: id, null, size, fields
	sqlLocales    string // the same of the locales: document's id, locale, size, fields
}

// errSecret is for a field that no rule can show.
var errSecret = errors.New("it looks like a secret, and those are never embedded")

// compileRelated looks up the paths of Rules.Related.
func (c *compiler) compileRelated(texts []string) error {
	for _, text := range texts {
		r, err := c.relation(text)
		if err != nil {
			return c.refuse("include %q: %v", text, err)
		}
		c.relations = append(c.relations, r)
		c.Related = append(c.Related, text)
	}
	return nil
}

func (c *compiler) relation(text string) (*relation, error) {
	names := strings.Split(text, ".")
	if len(names) < 2 || slices.ContainsFunc(names, func(n string) bool { return joined(n) == "" }) {
		return nil, errors.New("it is the path of a relation, a dot, and a field of what that leads to, like author.name")
	}
	var why error // it is no relation
	for n := 1; n < len(names); n++ {
		r, err := c.byColumn(names[:n])
		if r == nil {
			if r = c.byRows(names[:n]); r == nil {
				why = cmp.Or(why, err)
				continue
			}
		}
		r.text = text
		return r, c.show(r, names[n:])
	}
	if why != nil {
		return nil, why
	}
	// Nobody uses the relation yet, so that nothing tells its name. Then what it could lead to has to have the field.
	if c.rules.Proved || !c.tellsRelations() {
		for n := len(names) - 1; n > 0; n-- {
			if r := c.untold(names[:n]); r != nil {
				r.text = text
				if c.show(r, names[n:]) == nil {
					c.warnings = append(c.warnings, fmt.Sprintf("include %q", text))
					return r, nil
				}
			}
		}
	}
	known := c.knownRelations()
	if len(known) == 0 {
		return nil, fmt.Errorf("the collection has no relation %q, nor any other", strings.Join(names[:len(names)-1], "."))
	}
	name := strings.Join(names[:len(names)-1], ".")
	return nil, fmt.Errorf("there is no relation %q%s There are: %s", name, near(name, known), strings.Join(known, ", "))
}

// byColumn finds a relation that is a column; nil when there is none, with the reason where the path leads to something else.
func (c *compiler) byColumn(names []string) (*relation, error) {
	t, err := c.find(c.parts[0], names, "")
	if err != nil {
		return nil, nil //nolint:nilerr // it may be in rows, and all relations are listed if it is not
	}
	name := strings.Join(names, ".")
	switch {
	case t.kind == inJSON:
		return nil, fmt.Errorf("%s is inside JSON, where no foreign key tells what refers to what", name)
	case t.kind != aColumn:
		return nil, nil
	case !t.column.ref:
		return nil, fmt.Errorf("%s is no relation; a field of the document itself is what include is for", name)
	}
	r := &relation{path: newPath(name)}
	r.exact = true
	around := t.part
	if t.localized {
		around = t.part.above
	}
	// Blocks of one slug that differ have a table each.
	for _, p := range c.parts {
		if p != around && (p.kind != block || around.kind != block || p.key != around.key) {
			continue
		}
		if t.localized {
			if p = p.locales(); p == nil {
				continue
			}
		}
		if col := p.column(t.column.name); col != nil {
			if to := c.leadsTo(p.table, col); to != nil {
				r.from = append(r.from, reference{part: p, column: col, localized: t.localized, shown: to})
			}
		}
	}
	if len(r.from) == 0 {
		return nil, fmt.Errorf("%s leads to no collection", name)
	}
	return r, nil
}

// leadsTo is what a column refers to; nil when that is no collection.
func (c *compiler) leadsTo(t *table, col *column) *shown {
	for _, k := range c.foreign {
		if k.from == t && k.column == col.name {
			return c.shownOf(k.to)
		}
	}
	return nil
}

func (c *compiler) shownOf(t *table) *shown {
	for _, s := range c.shown {
		if s.root == t {
			return s
		}
	}
	if i := slices.IndexFunc(c.all, func(o candidate) bool { return o.root == t }); i < 0 {
		return nil
	}
	s := &shown{root: t, codes: c.codes}
	c.shown = append(c.shown, s)
	return s
}

// byRows finds a relation whose references are rows of _rels, by the paths that rows have.
func (c *compiler) byRows(names []string) *relation {
	for _, less := range [][]string{names, c.withoutSlugs(names)} {
		p := newPath(strings.Join(less, "."))
		p.exact = true
		for _, known := range c.names.rels {
			if p.covers(known.place) == same {
				r := c.ofRows(names, less, known.columns)
				c.around = c.around || len(known.place) > 1
				return r
			}
		}
	}
	return nil
}

// untold is a relation of rows whose name no row tells.
func (c *compiler) untold(names []string) *relation {
	r := c.ofRows(names, c.withoutSlugs(names), nil)
	if len(r.from) == 0 {
		return nil
	}
	c.around = true
	return r
}

// ofRows is a relation of rows. Which collections it can lead to is not in the catalog: any of those that rows of all
// relations can, but accounts only where rows say so.
func (c *compiler) ofRows(names, less []string, columns map[string]bool) *relation {
	r := &relation{path: newPath(strings.Join(names, ".")), rels: true, flat: flatten(strings.Join(less, ".")), slugs: len(less) < len(names)}
	r.exact = true
	for _, p := range c.parts {
		if p.kind != rels {
			continue
		}
		for i := range p.columns {
			col := &p.columns[i]
			if !col.ref || col.name == p.via {
				continue
			}
			if to := c.leadsTo(p.table, col); to != nil && (columns[col.name] || !c.candidate(to.root).auth) {
				r.from = append(r.from, reference{part: p, column: col, shown: to})
			}
		}
	}
	if len(columns) > 0 { // what rows lead to is named first where something is wrong
		slices.SortStableFunc(r.from, func(a, b reference) int { return yes(columns[b.column.name]) - yes(columns[a.column.name]) })
	}
	return r
}

func yes(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (c *compiler) candidate(t *table) candidate {
	return c.all[slices.IndexFunc(c.all, func(o candidate) bool { return o.root == t })]
}

// withoutSlugs leaves out the names of blocks.
func (c *compiler) withoutSlugs(names []string) []string {
	var less []string
	for i, n := range names {
		if i == 0 || i == len(names)-1 || c.block(n) == nil {
			less = append(less, n)
		}
	}
	return less
}

// show finds the field in everything that the relation can lead to, and has it read. What has no such field is left out.
func (c *compiler) show(r *relation, names []string) error {
	var why error
	var with []reference
	for _, f := range r.from {
		s := c.candidate(f.shown.root)
		col, inLocales, err := s.field(names)
		if err != nil {
			why = cmp.Or(why, err)
			continue
		}
		list := &f.shown.fields
		if f.inLocales = inLocales; inLocales {
			list = &f.shown.localized
		}
		if f.field = slices.Index(*list, col); f.field < 0 {
			f.field = len(*list)
			*list = append(*list, col)
		}
		with = append(with, f)
	}
	if len(with) == 0 {
		return why
	}
	r.from = with
	for _, f := range with {
		c.need(f.part, f.column.name)
		if !f.part.static {
			c.dynamic = true
		}
	}
	return nil
}

// field finds a field of text of a collection that others show.
func (o candidate) field(names []string) (col *column, inLocales bool, err error) {
	key := joined(names...)
	var known []string
	for _, t := range []*table{o.root, o.localesTable()} {
		if t == nil {
			continue
		}
		for i := range t.columns {
			col := &t.columns[i]
			if hidden[col.name] || t != o.root && col.name == "id" {
				continue
			}
			name := plain(col.name)
			isText := (col.typ == "character varying" || col.typ == "text") && !col.ref && !col.enum
			switch {
			case name == key || col.ref && name == key+"_id":
				switch {
				case o.secret(col.name):
					return nil, false, errSecret
				case col.ref:
					return nil, false, fmt.Errorf("%s of %s is a relation itself, and has no text", strings.Join(names, "."), o.Slug)
				case !isText:
					return nil, false, fmt.Errorf("%s of %s is no text", strings.Join(names, "."), o.Slug)
				}
				return col, t != o.root, nil
			case len(names) > 1 && col.ref && name == joined(names[0])+"_id":
				return nil, false, fmt.Errorf("%s of %s is a relation too, and only one can be followed", names[0], o.Slug)
			case isText && !o.secret(col.name) && !slices.Contains(known, name):
				known = append(known, name)
			}
		}
	}
	slices.Sort(known)
	return nil, false, fmt.Errorf("%s has no text field %q%s There are: %s", o.Slug, strings.Join(names, "."), near(key, known), strings.Join(known, ", "))
}

// secret says whether a column is none that others could show. Of accounts even a part of a word is enough.
func (o candidate) secret(column string) bool {
	if isSecret(column) || strings.HasPrefix(column, "_") {
		return true
	}
	return o.auth && slices.ContainsFunc([]string{"password", "hash", "salt", "token", "secret", "key", "otp"}, func(word string) bool {
		return strings.Contains(strings.ReplaceAll(column, "_", ""), word)
	})
}

func (o candidate) localesTable() *table {
	for _, child := range o.root.children {
		if child.kind == locales {
			return child
		}
	}
	return nil
}

// tellsRelations says whether rows tell of every relation that is in rows: then a name that is not among them is wrong.
func (c *compiler) tellsRelations() bool {
	for _, p := range c.parts {
		if p.kind == rels && (c.names.partly[p.name] || c.names.empty[p.name]) {
			return false
		}
		if p.kind == block && c.names.partly[p.name] {
			return false
		}
	}
	return true
}

// knownRelations lists the relations of a collection for people.
func (c *compiler) knownRelations() (known []string) {
	add := func(name string) {
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	for _, k := range c.foreign {
		for _, p := range c.parts {
			if p.kind == rels || p.table != k.from || k.column == p.via || c.leadsTo(p.table, p.column(k.column)) == nil {
				continue
			}
			var names []string
			for _, e := range p.steps() {
				names = append(names, c.names.spell(e.name))
			}
			key := strings.TrimSuffix(plain(k.column), "_id")
			if p.kind == block || p.kind == locales && p.above.kind == block {
				names = append([]string{c.names.blocksOf(p)}, names...)
			}
			add(strings.Join(append(names, c.names.spell(key)), "."))
		}
	}
	for _, r := range c.names.rels {
		add(r.text)
	}
	slices.Sort(known)
	return known
}

// placeRelations finds where the queries return the references, and writes those for what they lead to.
func (c *collection) placeRelations(all []candidate) {
	c.shown = slices.DeleteFunc(c.shown, func(s *shown) bool { return len(s.fields)+len(s.localized) == 0 })
	for _, r := range c.relations {
		for i := range r.from {
			f := &r.from[i]
			f.at = slices.IndexFunc(f.part.fields, func(field field) bool { return field.name == f.column.name })
		}
	}
	for _, s := range c.shown {
		o := all[slices.IndexFunc(all, func(o candidate) bool { return o.root == s.root })]
		s.perLocale = o.StatusPerLocale
		if t := o.localesTable(); len(s.localized) > 0 || s.perLocale {
			s.locales = t
		}
		s.statements(o)
	}
}

// statements writes the queries for rows that are shown. Those that are not published say nothing.
func (s *shown) statements(o candidate) {
	ids := idTypeOf(o.IDType)
	query := func(t *table, id, locale, and string, columns []*column) string {
		size, inner, outer := "0", "", ""
		for i, col := range columns {
			at := "t." + quoted(col.name)
			size += " + coalesce(pg_column_size(" + at + "), 0)"
			inner += fmt.Sprintf("%s as c%d, ", at, i)
			outer += fmt.Sprintf(", case when s.size <= $2::bigint then s.c%d::text end", i)
		}
		// offset 0 keeps the planner from computing the size anew for every column.
		return "select s.id, s.locale, s.size::text" + outer + " from (select " + id + "::text as id, " + locale + " as locale, " + inner +
			"(" + size + ")::bigint as size from " + quoted(o.Schema, t.name) + " t where " + ids.value(id) + " = any(" + ids.array("$1") + ")" + and + " offset 0) s where $2::bigint > 0"
	}
	s.sqlRoot = query(s.root, "t.id", "null::text", o.published(), s.fields)
	if s.locales != nil {
		and := ""
		if s.perLocale {
			and = " and t._status = 'published'"
		}
		s.sqlLocales = query(s.locales, "t._parent_id", "t._locale::text", and, s.localized)
	}
}

// flatten is a path without the positions of rows, and in a spelling that Postgres can compare: see flatPath.
func flatten(path string) string {
	var b strings.Builder
	for name := range strings.SplitSeq(path, ".") {
		if isPosition(name) {
			continue
		}
		for _, r := range name {
			switch {
			case 'A' <= r && r <= 'Z':
				b.WriteRune(r + 'a' - 'A')
			case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// flatPath is what flatten makes of a column.
func flatPath(column string) string {
	return `lower(regexp_replace(regexp_replace(` + column + `, '(^|\.)\d+(?=\.|$)', '', 'g'), '[^a-zA-Z0-9]', '', 'g') collate "C")`
}
