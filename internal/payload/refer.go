package payload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"payload-cdc/internal/document"
)

// shownRow is a row that documents of the batch show, as far as they do.
type shownRow struct {
	published bool // its root is
	size      int  // of the fields, as stored or as they travelled, whichever is more
	texts     []string
	locales   map[string][]string
}

// refer calls each with every reference that a relation of the rules finds in a row and in all below it, in order. A row
// that is of a locale which wants refuses is passed over. own says that the reference is of its locale alone.
func (c *collection) refer(r *row, at *place, wants func(locale string) bool, each func(relation int, f *reference, id string, own bool)) {
	if r.locale != "" && !wants(r.locale) {
		return
	}
	for _, ref := range c.references(at) {
		f := &c.relations[ref.relation].from[ref.from]
		if !f.localized {
			if one := &r.cells[f.at]; one.set {
				each(ref.relation, f, one.text, r.locale != "")
			}
			continue
		}
		for _, l := range r.locales {
			if one := &l.cells[f.at]; one.set && wants(l.locale) {
				each(ref.relation, f, one.text, true)
			}
		}
	}
	for i := range r.lists {
		if l := &r.lists[i]; l.kind == rels && (l.locale == "" || wants(l.locale)) {
			c.referList(l, at, each)
		}
	}
	b := 0
	for i, rows := range r.arrays {
		for key := r.part.below[i].key; b < len(r.blocks) && r.blocks[b].key < key; b++ {
			c.referBlocks(&r.blocks[b], at, wants, each)
		}
		for _, one := range rows {
			c.refer(one, c.sel.array(at, i), wants, each)
		}
	}
	for ; b < len(r.blocks); b++ {
		c.referBlocks(&r.blocks[b], at, wants, each)
	}
}

func (c *collection) referBlocks(b *blocks, at *place, wants func(string) bool, each func(int, *reference, string, bool)) {
	for _, one := range b.rows {
		c.refer(one, c.sel.block(at, b.key, one.part), wants, each)
	}
}

func (c *collection) referList(l *list, at *place, each func(int, *reference, string, bool)) {
	for n, r := range c.relations {
		if !r.rels || r.flat != l.flat || r.slugs && r.covers(append(slices.Clip(at.path), element{name: l.key})) != same {
			continue
		}
		for i, id := range l.values {
			for j := range r.from {
				if f := &r.from[j]; f.part == l.part && f.at == l.to[i] {
					each(n, f, id, l.locale != "")
				}
			}
		}
	}
}

// referring names a reference among the relations.
type referring struct{ relation, from int }

// references are the columns of a place's rows, or of the rows of their locales, that relations of the rules are.
func (c *collection) references(at *place) []referring {
	if at.referred {
		return at.refers
	}
	at.referred = true
	for n, r := range c.relations {
		for i := range r.from {
			f := &r.from[i]
			if r.rels || f.part != at.part && (!f.localized || f.part.above != at.part) {
				continue
			}
			name := plain(f.column.name)
			if r.covers(append(slices.Clip(at.path), element{name: strings.TrimSuffix(name, "_id"), alt: name})) == same {
				at.refers = append(at.refers, referring{n, i})
			}
		}
	}
	return at.refers
}

// referred writes the queries for all that the documents of the reading show: one for each collection, one for its locales.
func (r *reading) referred(root *place) []query {
	if len(r.relations) == 0 {
		return nil
	}
	ids := make(map[*shown][]string, len(r.shown))
	all := func(string) bool { return true }
	for _, id := range r.ids {
		if doc := r.docs[id]; doc != nil {
			r.refer(doc.root, root, all, func(_ int, f *reference, id string, _ bool) {
				if r.shows[f.shown] == nil {
					r.shows[f.shown] = map[string]*shownRow{}
				}
				row := r.shows[f.shown][id]
				if row == nil {
					row = &shownRow{}
					r.shows[f.shown][id] = row
					ids[f.shown] = append(ids[f.shown], id)
				}
				if doc.shows == nil {
					doc.shows = map[*shownRow]bool{}
				}
				doc.shows[row] = true
			})
		}
	}
	var queries []query
	for _, s := range r.shown {
		if len(ids[s]) == 0 {
			continue
		}
		args := []any{ids[s], r.bounds.cfg.MaxDocument}
		queries = append(queries, query{s.sqlRoot, args, func(v [][]byte) error { return r.takeShown(s, v) }})
		if s.locales != nil {
			queries = append(queries, query{s.sqlLocales, args, func(v [][]byte) error { return r.takeShown(s, v) }})
		}
	}
	return queries
}

// takeShown takes in a row that documents show: id, locale, size, fields. Its root has come before its locales.
func (r *reading) takeShown(s *shown, v [][]byte) error {
	one := r.shows[s][string(v[0])]
	if one == nil || v[1] != nil && !one.published {
		return nil
	}
	texts, travelled := make([]string, len(v)-3), rowWeight
	for i, text := range v[3:] {
		texts[i] = blankLine.ReplaceAllString(strings.TrimSpace(string(text)), "\n")
		travelled += len(text)
	}
	stored, _ := strconv.Atoi(string(v[2]))
	one.size += max(travelled, stored)
	if v[1] == nil {
		one.published, one.texts = true, texts
	} else {
		if one.locales == nil {
			one.locales = map[string][]string{}
		}
		one.locales[string(v[1])] = texts
	}
	if r.read += travelled; r.read > r.bounds.cfg.MaxDocument && r.bounds.documents == 1 {
		return r.showsTooMuch(r.ids[0])
	}
	return r.bounds.add(travelled)
}

// says returns what a reference shows in a locale. Without a locale that is what it says in each, in the project's order.
func (row *shownRow) says(f *reference, locale string) (out []string) {
	s := f.shown
	switch {
	case !f.inLocales && s.perLocale && locale != "" && row.locales[locale] == nil:
	case !f.inLocales:
		out = append(out, row.texts[f.field])
	case locale != "":
		if texts := row.locales[locale]; texts != nil {
			out = append(out, texts[f.field])
		}
	default:
		for _, code := range s.codes {
			if texts := row.locales[code]; texts != nil && !slices.Contains(out, texts[f.field]) {
				out = append(out, texts[f.field])
			}
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return s == "" })
}

// related writes the text of other documents that the document shows, after its own: one paragraph for each path of the
// rules. What is published nowhere says nothing.
func (w *writer) related(doc *raw) {
	if len(w.relations) == 0 {
		return
	}
	type one struct {
		shown *shown
		id    string
	}
	told := make([]map[one]bool, len(w.relations)) // the same document twice says nothing new
	texts := make([]strings.Builder, len(w.relations))
	wants := func(locale string) bool { return locale == w.locale }
	w.refer(doc.root, w.root, wants, func(n int, f *reference, id string, own bool) {
		row := w.shows[f.shown][id]
		if row == nil || !row.published || told[n][one{f.shown, id}] {
			return
		}
		if told[n] == nil {
			told[n] = map[one]bool{}
		}
		told[n][one{f.shown, id}] = true
		for _, text := range row.says(f, w.locale) {
			if texts[n].Len() > 0 {
				texts[n].WriteString(", ")
			}
			texts[n].WriteString(text)
			w.translated = w.translated || own
		}
	})
	for i := range texts {
		if texts[i].Len() > 0 {
			w.out = append(w.out, document.Block{Kind: document.Prose, Text: texts[i].String()})
		}
	}
}

// weighShown bounds what a document shows of others: each that shows it has a copy.
func (r *reading) weighShown(doc *raw) error {
	for row := range doc.shows {
		if doc.size += row.size; doc.size > r.bounds.cfg.MaxDocument {
			return r.showsTooMuch(doc.id)
		}
		if err := r.bounds.add(row.size); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) showsTooMuch(id string) error {
	return permanent(fmt.Errorf("%s/%s has more than %d bytes of text with that of the documents it shows", r.Slug, id, r.bounds.cfg.MaxDocument))
}
