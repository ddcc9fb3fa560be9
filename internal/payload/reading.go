package payload

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rowWeight is what a row takes in memory beside its values, so that many small rows are bounded too.
const rowWeight = 64

// bounds are those of one call, over everything that it reads.
type bounds struct {
	cfg       Config
	documents int
	total     int
}

// add takes in bytes of one more row.
func (b *bounds) add(n int) error {
	if b.total += n; b.total > b.cfg.MaxBatch && b.documents > 1 {
		return permanent(fmt.Errorf("%d documents have more than %d bytes of text together", b.documents, b.cfg.MaxBatch))
	}
	return nil
}

// reading takes in the rows of one batch of a collection.
type reading struct {
	*batch
	*forest
	bounds *bounds
	docs   map[string]*raw
	shows  map[*shown]map[string]*shownRow // what the documents show, by id
	read   int                             // bytes of it
	cells  []cell                          // to be given away
	rows   []row
}

func newReading(b *batch, bounds *bounds) *reading {
	return &reading{batch: b, forest: b.newForest(), bounds: bounds, docs: make(map[string]*raw, len(b.ids)), shows: map[*shown]map[string]*shownRow{}}
}

// take takes in one row of a part. Those of parts above it have come before; one of a document whose root has not come is of
// an unpublished document.
func (r *reading) take(p *part, v [][]byte) error {
	var doc *raw
	if p.above == nil {
		doc = &raw{id: string(v[headRoot]), updated: string(v[headPath])}
		r.docs[doc.id] = doc
	} else if doc = r.docs[string(v[headRoot])]; doc == nil {
		return nil
	}
	if err := r.weigh(doc, v); err != nil {
		return err
	}
	locale := r.locale(doc, string(v[headLocale]))
	switch p.kind {
	case rels:
		for i, id := range v[heads:] {
			if id != nil {
				doc.values = append(doc.values, listed{
					part: p, parent: string(v[headParent]), path: r.path(v[headPath]), locale: locale, text: string(id), order: number(v[headOrder]), to: i,
				})
			}
		}
		return nil
	case texts, numbers, selects:
		if text := v[heads]; text != nil {
			doc.values = append(doc.values, listed{
				part: p, parent: string(v[headParent]), path: r.path(v[headPath]), locale: locale, text: string(text), order: number(v[headOrder]),
			})
		}
		return nil
	}
	one := r.newRow()
	*one = row{part: p, id: string(v[headID]), locale: locale, order: number(v[headOrder]), cells: r.newCells(p.fields, v[heads:])}
	for i := range one.cells {
		if json := one.cells[i].json; len(r.codes) > 0 && looksJSONBlocks(json) {
			for _, code := range localesIn(json, r.codes) {
				r.locale(doc, code)
			}
		}
	}
	if p.above == nil {
		doc.root = one
		return nil
	}
	if p.kind == block {
		one.path = r.path(v[headPath])
	}
	r.hang(doc, one, string(v[headParent]))
	return nil
}

// weigh bounds a document, and all of them together.
func (r *reading) weigh(doc *raw, v [][]byte) error {
	travelled, text := rowWeight, 0
	for i, value := range v {
		travelled += len(value)
		if i >= heads {
			text += len(value)
		}
	}
	stored, _ := strconv.Atoi(string(v[headSize]))
	doc.size += max(travelled, stored)
	if most := r.bounds.cfg.MaxDocument; doc.size > most {
		return permanent(fmt.Errorf("%s/%s has more than %d bytes of text", r.Slug, doc.id, most))
	}
	return r.bounds.add(travelled)
}

// locale notes that a document has something of a locale, and returns the one copy of its name.
func (r *reading) locale(doc *raw, locale string) string {
	if locale == "" {
		return ""
	}
	if i := slices.Index(r.codes, locale); i >= 0 {
		locale = r.codes[i]
	}
	if !slices.Contains(doc.locales, locale) {
		doc.locales = append(doc.locales, locale)
	}
	return locale
}

// path returns the one copy of a path that many rows have.
func (r *reading) path(path []byte) string {
	if to, known := r.routes[string(path)]; known && to != nil {
		return to.text
	}
	s := string(path)
	if to := r.route(s); to != nil {
		return to.text
	}
	return s
}

func (r *reading) newRow() *row {
	if len(r.rows) == 0 {
		r.rows = make([]row, 64)
	}
	one := &r.rows[0]
	r.rows = r.rows[1:]
	return one
}

// newCells copies values; NULL is empty. The texts share one string.
func (r *reading) newCells(fields []field, values [][]byte) []cell {
	if len(r.cells) < len(values) {
		r.cells = make([]cell, max(len(values), 512))
	}
	out := r.cells[:len(values):len(values)]
	r.cells = r.cells[len(values):]
	n := 0
	for i, v := range values {
		out[i].set = v != nil
		if fields[i].json {
			out[i].json = bytes.Clone(v)
		} else {
			n += len(v)
		}
	}
	if n == 0 {
		return out
	}
	var b strings.Builder
	b.Grow(n)
	for i, v := range values {
		if !fields[i].json {
			b.Write(v)
		}
	}
	all := b.String()
	for i, v := range values {
		if !fields[i].json {
			out[i].text, all = all[:len(v)], all[len(v):]
		}
	}
	return out
}
