package payload

import (
	"fmt"
	"slices"

	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// Marks collects which documents one transaction after another may have changed. It reads nothing but the rows' keys.
// Not for concurrent use; slices it returns are valid until the next call.
//
// A row of a root names its document. A row right below names it through its parent column. A deeper row names its
// parent row: that leads to the document if the transaction has written that row too (Payload deletes and inserts all
// of a document's children again), else it is a hint. A deleted row below a root tells only its own id: if the
// transaction names no document of its collection, the collection owes a sweep. A row that documents show is a hint for
// each collection that shows such rows, and names none of its documents.
type Marks struct {
	model   *Model
	scopes  map[*collection]*scope
	touched []*scope // by this transaction
	rows    map[*table]*rows
	written []*rows               // that remember something
	shown   map[*table]*shownRows // by their root
	changed []*shownRows          // by this transaction
	roles   map[uint32]*role
	last    *role // of the row before: rows of one table come in runs
	ignored map[string]bool

	keys   []document.Key // not yet taken, each once since the last Take
	hints  []hint
	sweeps []string
}

// scope is what a transaction did to one collection.
type scope struct {
	slug    string
	ids     map[string]string // documents named since the last Take; the value is the key, so that it is made only once
	named   bool
	deleted bool // a row below a root that names nothing
	emptied bool // by TRUNCATE
	listed  bool // in touched
}

// role is what rows of a relation say, as long as the relation stays the same.
type role struct {
	relation *wal.Relation
	scope    *scope // nil when the table is not indexed
	isRoot   bool
	direct   bool  // the parent is a root
	id       int   // column of the row's own id
	parent   int   // column of the parent's id
	rows     *rows // of this table; nil when there is nothing below it
	above    *rows // of the parent table, when that is not a root

	shown     *shownRows // nil when no document shows rows of the table
	shownRoot bool       // not their locales
	shownID   int        // column of the shown row's id
}

// rows are the rows of a table that the transaction has written, and their documents.
type rows struct {
	table  string
	ids    map[string]string // by row id; the value is the document's
	hinted map[string]bool   // rows that are hints already
	listed bool              // in written
}

// hint is a row whose parent had not been seen when it was.
type hint struct {
	scope *scope
	above *rows
	row   string
}

// Marks returns a new collector.
func (m *Model) Marks() *Marks {
	return &Marks{model: m, scopes: map[*collection]*scope{}, rows: map[*table]*rows{}, shown: map[*table]*shownRows{}, roles: map[uint32]*role{}, ignored: map[string]bool{}}
}

// Ignore makes rows of a table name nothing: the log still has rows of it, but the catalog does not any more.
func (m *Marks) Ignore(r *wal.Relation) {
	m.ignored[r.Table] = true
	delete(m.roles, r.OID)
	m.last = nil
}

// Row learns from one row. The error is ErrUnknownTable: what was learnt before stands, so End these Marks and go on
// with this row in the Marks of a newer Model. What they then do not know of each other costs a hint or a sweep.
func (m *Marks) Row(row *wal.Row) error {
	r := m.last
	if r == nil || r.relation != row.Relation {
		var err error
		if r, err = m.role(row.Relation); err != nil {
			return err
		}
		m.last = r
	}
	if r.shown != nil {
		m.show(r, row)
	}
	s := r.scope
	if s == nil {
		return nil
	}
	if !s.listed {
		m.touch(s)
	}
	switch {
	case r.isRoot:
		named := m.name(s, row.New, r.id) != ""
		named = m.name(s, row.Old, r.id) != "" || named
		s.deleted = s.deleted || !named
	case r.direct:
		document := m.name(s, row.New, r.parent)
		named := document != ""
		named = m.name(s, row.Old, r.parent) != "" || named // FULL identity, or a key with the parent in it
		s.deleted = s.deleted || !named
		if r.rows != nil && document != "" {
			m.keep(r.rows, row.New, r.id, document)
		}
	default:
		document, named := m.climb(s, r, row.New)
		if _, old := m.climb(s, r, row.Old); !named && !old {
			s.deleted = true
		}
		if r.rows != nil && document != "" {
			m.keep(r.rows, row.New, r.id, document)
		}
	}
	return nil
}

// Truncate learns that tables were emptied.
func (m *Marks) Truncate(relations []*wal.Relation) error {
	for _, relation := range relations {
		r, err := m.role(relation)
		if err != nil {
			return err
		}
		if r.scope != nil {
			m.touch(r.scope)
			r.scope.emptied = true
		}
		if s := r.shown; s != nil {
			if !s.listed {
				s.listed = true
				m.changed = append(m.changed, s)
			}
			s.gone = true
		}
	}
	return nil
}

// Len is how many keys wait to be taken: call Take when they become many.
func (m *Marks) Len() int { return len(m.keys) + len(m.hints) }

// Take returns the keys and hints of the transaction so far and forgets them, so that a huge transaction stays
// small. Rows still to come may repeat them, and more of those are hints.
func (m *Marks) Take() []document.Key {
	for _, h := range m.hints {
		if id, ok := h.above.ids[h.row]; ok {
			m.add(h.scope, id)
			continue
		}
		m.keys = append(m.keys, document.Key{Collection: h.scope.slug, ID: h.row, Via: h.above.table})
	}
	for _, s := range m.touched {
		forget(&s.ids)
	}
	for _, r := range m.written {
		forget(&r.ids)
		forget(&r.hinted)
		r.listed = false
	}
	m.written = m.written[:0]
	for _, s := range m.changed {
		forget(&s.ids)
	}
	taken := m.keys
	m.keys, m.hints = m.keys[:0], m.hints[:0]
	return taken
}

// End ends the transaction. It returns the rest of its keys and hints, the collections that owe a sweep because a deleted
// row told too little, and those of which a table was emptied.
func (m *Marks) End() (keys []document.Key, sweeps, truncated []string) {
	keys = m.Take()
	sweeps = m.sweeps[:0]
	m.endShown(func(slug string) {
		if !slices.Contains(sweeps, slug) {
			sweeps = append(sweeps, slug)
		}
	})
	for _, s := range m.touched {
		if s.emptied {
			truncated = append(truncated, s.slug)
		}
		if s.deleted && !s.named && !slices.Contains(sweeps, s.slug) {
			sweeps = append(sweeps, s.slug)
		}
		s.named, s.deleted, s.emptied, s.listed = false, false, false, false
	}
	m.touched, m.sweeps = m.touched[:0], sweeps
	return keys, sweeps, truncated
}

// Reset forgets the transaction at hand: the stream was lost in the middle of it.
func (m *Marks) Reset() { m.End() }

func (m *Marks) touch(s *scope) {
	if !s.listed {
		s.listed = true
		m.touched = append(m.touched, s)
	}
}

// name marks the document whose id is column i of the tuple, and returns its id; empty when the tuple does not tell.
func (m *Marks) name(s *scope, t wal.Tuple, i int) string {
	kind, id, _ := t.Column(i)
	if kind != wal.Text || len(id) == 0 {
		return ""
	}
	if known, ok := s.ids[string(id)]; ok {
		return known
	}
	return m.add(s, string(id))
}

func (m *Marks) add(s *scope, id string) string {
	s.named = true
	if known, ok := s.ids[id]; ok {
		return known
	}
	s.ids[id] = id
	m.keys = append(m.keys, document.Key{Collection: s.slug, ID: id})
	return id
}

// climb marks the document that the row's parent row belongs to, or keeps a hint. named says that it did either.
func (m *Marks) climb(s *scope, r *role, t wal.Tuple) (id string, named bool) {
	kind, parent, _ := t.Column(r.parent)
	if kind != wal.Text || len(parent) == 0 {
		return "", false
	}
	if known, ok := r.above.ids[string(parent)]; ok {
		m.add(s, known)
		return known, true
	}
	if !r.above.hinted[string(parent)] {
		m.remember(r.above)
		row := string(parent)
		r.above.hinted[row] = true
		m.hints = append(m.hints, hint{s, r.above, row})
	}
	return "", true
}

// keep remembers the document of the row whose id is column i of the tuple.
func (m *Marks) keep(r *rows, t wal.Tuple, i int, document string) {
	kind, id, _ := t.Column(i)
	if kind != wal.Text {
		return
	}
	if known, ok := r.ids[string(id)]; !ok || known != document {
		m.remember(r)
		r.ids[string(id)] = document
	}
}

func (m *Marks) remember(r *rows) {
	if !r.listed {
		r.listed = true
		m.written = append(m.written, r)
	}
}

// forget empties a map, and drops it when a huge transaction has made it huge.
func forget[V any](ids *map[string]V) {
	if len(*ids) > 1<<14 {
		*ids = map[string]V{}
		return
	}
	clear(*ids)
}

// role finds out what rows of a relation say.
func (m *Marks) role(relation *wal.Relation) (*role, error) {
	if r := m.roles[relation.OID]; r != nil && r.relation == relation {
		return r, nil
	}
	r := &role{relation: relation, id: relation.Index("id"), parent: -1}
	if relation.Schema == m.model.schema && !m.ignored[relation.Table] {
		t := m.model.table(relation.OID, relation.Table)
		if t == nil {
			return nil, fmt.Errorf("%w %s.%s", ErrUnknownTable, relation.Schema, relation.Table)
		}
		m.place(r, t)
	}
	m.roles[relation.OID] = r
	return r, nil
}

// place tells a role where its table stands in the tree of its collection.
func (m *Marks) place(r *role, t *table) {
	if r.shown = m.showers(t); r.shown != nil {
		r.shownID = r.id
		if r.shownRoot = t.parent == nil; !r.shownRoot {
			r.shownID = r.relation.Index(t.via)
		}
	}
	if t.collection == nil {
		return
	}
	r.scope = m.scope(t.collection)
	if t.parent == nil {
		r.isRoot = true
		return
	}
	r.parent = r.relation.Index(t.via)
	if r.direct = t.parent.parent == nil; !r.direct {
		r.above = m.below(t.parent)
	}
	if len(t.children) > 0 {
		r.rows = m.below(t)
	}
}

func (m *Marks) scope(c *collection) *scope {
	s := m.scopes[c]
	if s == nil {
		s = &scope{slug: c.Slug, ids: map[string]string{}}
		m.scopes[c] = s
	}
	return s
}

// below returns what is remembered of the rows of a table that has others below it.
func (m *Marks) below(t *table) *rows {
	r := m.rows[t]
	if r == nil {
		r = &rows{table: t.name, ids: map[string]string{}, hinted: map[string]bool{}}
		m.rows[t] = r
	}
	return r
}
