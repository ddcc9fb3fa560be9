package payload

import (
	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// shownRows are the rows of one root that documents of some collections show, as far as the transaction has changed them.
type shownRows struct {
	via     string // "*" and the root's name
	scopes  []*scope
	ids     map[string]bool // hints since the last Take
	named   bool            // some row, or one of its locales
	deleted bool            // a row of the locales that names nothing
	gone    bool            // a row of the root, or all
	listed  bool            // in changed
}

// showers returns what is remembered of the rows that a table's are, or are locales of; nil when nobody shows them.
func (m *Marks) showers(t *table) *shownRows {
	list := m.model.shown[t]
	if len(list) == 0 {
		return nil
	}
	root := list[0].shown.root
	r := m.shown[root]
	if r == nil {
		r = &shownRows{via: "*" + root.name, ids: map[string]bool{}}
		for _, one := range m.model.shown[root] {
			r.scopes = append(r.scopes, m.scope(one.collection))
		}
		m.shown[root] = r
	}
	return r
}

// show learns from a row that documents may show. It leads to them as long as they refer to it. When it is deleted that
// is over: whoever referred to it may be named by nothing, as rows of _rels go with it, so that their collections owe a
// sweep, whatever else the transaction names.
func (m *Marks) show(r *role, row *wal.Row) {
	s := r.shown
	if !s.listed {
		s.listed = true
		m.changed = append(m.changed, s)
	}
	if row.Op == wal.Delete && r.shownRoot {
		s.gone = true
		return
	}
	named := m.hintShown(s, row.New, r.shownID)
	named = m.hintShown(s, row.Old, r.shownID) || named
	s.named = s.named || named
	s.deleted = s.deleted || !named
}

// hintShown marks everything that shows the row whose id is column i of the tuple, once.
func (m *Marks) hintShown(s *shownRows, t wal.Tuple, i int) bool {
	kind, id, _ := t.Column(i)
	if kind != wal.Text || len(id) == 0 {
		return false
	}
	if !s.ids[string(id)] {
		row := string(id)
		s.ids[row] = true
		for _, one := range s.scopes {
			m.keys = append(m.keys, document.Key{Collection: one.slug, ID: row, Via: s.via})
		}
	}
	return true
}

// endShown ends the transaction for rows that are shown: their collections are told that owe a sweep.
func (m *Marks) endShown(sweep func(slug string)) {
	for _, s := range m.changed {
		if s.gone || s.deleted && !s.named {
			for _, one := range s.scopes {
				sweep(one.slug)
			}
		}
		s.named, s.deleted, s.gone, s.listed = false, false, false, false
	}
	m.changed = m.changed[:0]
}
