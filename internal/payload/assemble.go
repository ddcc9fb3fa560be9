package payload

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"payload-cdc/internal/document"
)

// writer assembles the documents of one batch of a collection. In every row the title-like fields come first, then the
// other columns in table order, hasMany fields by name, and arrays and blocks by name and position, each row in the same
// way. Rules.Order and Rules.FirstOf make passes over the same order.
type writer struct {
	*reading
	root *place

	// Of the entry being written:
	locale     string
	pass       int
	title      *spot // which is not written again
	titleText  string
	translated bool // something of the locale has been written
	out        []document.Block
	err        error
}

// entries makes the entries of a published document: one, or one for each locale that says something of its own. What
// is of every locale is in all of them. A document that says nothing in any locale has an entry for each locale that it
// has a row of, or one without a locale; unless every locale is published by itself.
func (w *writer) entries(doc *raw) ([]document.Entry, error) {
	var at time.Time
	if doc.updated != "" {
		at, _ = time.Parse(time.RFC3339Nano, doc.updated) // infinity is no time
	}
	published := make([]string, len(doc.root.locales)) // of the locales that have a row right below the document
	for i, l := range doc.root.locales {
		published[i] = l.locale
	}
	w.sortLocales(published)
	all := doc.locales
	if w.StatusPerLocale {
		all = published
	}
	w.sortLocales(all)

	var out []document.Entry
	any := false
	for _, l := range all {
		e, err := w.entry(doc, l)
		if err != nil {
			return nil, err
		}
		any = any || w.translated
		if w.translated && w.wants(l) {
			out = append(out, e)
		}
	}
	if !any {
		if len(published) == 0 && !w.StatusPerLocale {
			published = append(published, "")
		}
		for _, l := range published {
			if !w.wants(l) {
				continue
			}
			e, err := w.entry(doc, l)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
	}
	for i := range out {
		out[i].UpdatedAt = at
	}
	return out, nil
}

// wants says whether the rules let a locale in. What is of no locale is of every one.
func (c *collection) wants(locale string) bool {
	return locale == "" || len(c.rules.Locales) == 0 || slices.Contains(c.rules.Locales, locale)
}

// sortLocales puts locales in the project's order.
func (c *collection) sortLocales(locales []string) {
	if len(locales) < 2 {
		return
	}
	at := func(l string) int {
		if i := slices.Index(c.codes, l); i >= 0 {
			return i
		}
		return len(c.codes)
	}
	slices.SortFunc(locales, func(a, b string) int { return cmp.Or(at(a)-at(b), strings.Compare(a, b)) })
}

// entry assembles one locale of a document; empty for one that has none.
func (w *writer) entry(doc *raw, locale string) (document.Entry, error) {
	w.locale, w.title, w.titleText, w.translated, w.err = locale, nil, "", false, nil
	w.out = make([]document.Block, 0, 16)
	w.chooseTitle(doc.root)
	for w.pass = range w.sel.count() {
		before := len(w.out)
		w.row(doc.root, w.root)
		if w.err != nil {
			return document.Entry{}, w.err
		}
		if w.sel != nil && w.sel.first && len(w.out) > before {
			break
		}
	}
	w.related(doc)
	e := document.Entry{Locale: locale, Title: w.titleText, Blocks: w.out}
	if len(e.Blocks) == 0 {
		e.Blocks = nil
	}
	e.Extra = w.extra(doc.root)
	return e, nil
}

// chooseTitle finds the first title-like field that says something.
func (w *writer) chooseTitle(root *row) {
	for _, t := range w.titles {
		if c := w.cell(root, t); c != nil {
			if s := strings.TrimSpace(c.text); s != "" {
				w.title, w.titleText = t, s
				w.translated = w.translated || t.localized
				return
			}
		}
	}
}

// cell returns a row's value of a field in the locale being written; nil when it has none.
func (w *writer) cell(r *row, s *spot) *cell {
	if !s.localized {
		return &r.cells[s.at]
	}
	for _, l := range r.locales {
		if l.locale == w.locale {
			return &l.cells[s.at]
		}
	}
	return nil
}

// row writes what a row says in this pass, and all below it.
func (w *writer) row(r *row, at *place) {
	if w.err != nil || r.locale != "" && r.locale != w.locale {
		return
	}
	before := len(w.out)
	for i := range at.spots {
		choice, s := at.spots[i], &r.part.spots[i]
		if choice.rank != w.pass && !choice.deep || s == w.title {
			continue
		}
		c := w.cell(r, s)
		if c == nil || c.text == "" && len(c.json) == 0 || choice.rank != w.pass && !looksJSONBlocks(c.json) {
			continue
		}
		n := len(w.out)
		w.field(c, s, at, choice)
		w.translated = w.translated || s.localized && len(w.out) > n
	}
	for i := range r.lists {
		l := &r.lists[i]
		if l.kind == rels { // of ids
			continue
		}
		if choice := w.sel.list(at, l); choice.rank == w.pass && (l.locale == "" || l.locale == w.locale) {
			n := len(w.out)
			w.list(l, choice)
			w.translated = w.translated || l.locale != "" && len(w.out) > n
		}
	}
	w.below(r, at)
	w.translated = w.translated || r.locale != "" && len(w.out) > before
}

// below writes a row's arrays and blocks: two lists by name, merged.
func (w *writer) below(r *row, at *place) {
	b := 0
	for i, rows := range r.arrays {
		for key := r.part.below[i].key; b < len(r.blocks) && r.blocks[b].key < key; b++ {
			w.blocks(&r.blocks[b], at)
		}
		if len(rows) == 0 {
			continue
		}
		place := w.sel.array(at, i)
		for _, one := range rows {
			w.row(one, place)
		}
	}
	for ; b < len(r.blocks); b++ {
		w.blocks(&r.blocks[b], at)
	}
}

func (w *writer) blocks(b *blocks, at *place) {
	for _, one := range b.rows {
		w.row(one, w.sel.block(at, b.key, one.part))
	}
}

// field writes one value.
func (w *writer) field(c *cell, s *spot, at *place, choice choice) {
	if looksJSONBlocks(c.json) {
		w.jsonBlocks(c.json, s, at)
		return
	}
	if !c.said {
		c.said = true
		c.says, w.err = says(c, s, choice)
		if w.err != nil {
			w.err = fmt.Errorf("%s.%s: %w", at.part.name, s.name, w.err)
			return
		}
	}
	// A title that a second field repeats is one.
	if at.part.kind == root && s.rank >= 0 && len(c.says) == 1 && c.says[0].Text == w.titleText {
		w.translated = w.translated || s.localized
		return
	}
	w.out = append(w.out, c.says...)
}

// says reads a value: rich text, or plain text if it is for readers.
func says(c *cell, s *spot, choice choice) ([]document.Block, error) {
	if s.json {
		rich, ok, err := ReadRichText(c.json)
		if !ok && err == nil && choice.named {
			return ReadJSONText(c.json)
		}
		return rich.Blocks, err
	}
	if text := strings.TrimSpace(c.text); s.rank < 0 && !choice.named && !strings.ContainsAny(text, " \n") && !isTextValue(text) {
		return nil, nil
	}
	return paragraphs(c.text), nil
}

// list writes the values of a hasMany field as one paragraph, a line each.
func (w *writer) list(l *list, choice choice) {
	var b strings.Builder
	for _, v := range l.values {
		if v = strings.TrimSpace(v); v == "" || !choice.named && !isTextValue(v) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(blankLine.ReplaceAllString(v, "\n"))
	}
	if b.Len() > 0 {
		w.out = append(w.out, document.Block{Kind: document.Prose, Text: b.String()})
	}
}

var blankLine = regexp.MustCompile(`\n[ \t\r]*\n\s*`)

// paragraphs cuts plain text at its blank lines.
func paragraphs(s string) []document.Block {
	s = strings.TrimSpace(s)
	switch {
	case s == "":
		return nil
	case !strings.Contains(s, "\n"):
		return []document.Block{{Kind: document.Prose, Text: s}}
	}
	var out []document.Block
	for _, p := range blankLine.Split(s, -1) {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, document.Block{Kind: document.Prose, Text: p})
		}
	}
	return out
}
