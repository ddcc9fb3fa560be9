package payload

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"payload-cdc/internal/document"
)

// raw is a published document as its rows have it.
type raw struct {
	id      string
	updated string   // RFC 3339, or empty
	root    []string // text columns in the query's order
	locales []localized
	size    int
}

type localized struct {
	locale string
	cells  []string
}

// cells copies text columns; NULL is empty.
func cells(columns [][]byte) []string {
	out := make([]string, len(columns))
	for i, v := range columns {
		out[i] = string(v)
	}
	return out
}

// entries makes the entries of a published document: one, or one for each locale that has a row. A row that
// translates nothing is left out while another does. A document that has no row at all in any locale is still
// published, by its other text, unless every locale is published by itself.
func (c *collection) entries(one *raw) ([]document.Entry, error) {
	var updated time.Time
	if one.updated != "" {
		updated, _ = time.Parse(time.RFC3339Nano, one.updated) // infinity is no time
	}
	if c.locales == nil || len(one.locales) == 0 && !c.StatusPerLocale {
		e, err := c.entry(one, localized{})
		e.UpdatedAt = updated
		return []document.Entry{e}, err
	}
	translated := false
	for _, l := range one.locales {
		translated = translated || !l.empty()
	}
	var out []document.Entry
	for _, l := range one.locales {
		if translated && l.empty() {
			continue
		}
		e, err := c.entry(one, l)
		if err != nil {
			return nil, err
		}
		e.UpdatedAt = updated
		out = append(out, e)
	}
	return out, nil
}

func (l localized) empty() bool {
	for _, s := range l.cells {
		if strings.TrimSpace(s) != "" {
			return false
		}
	}
	return true
}

// entry assembles the text of one locale. The first title-like column that says something is the title.
func (c *collection) entry(one *raw, l localized) (document.Entry, error) {
	e := document.Entry{Locale: l.locale}
	value := func(f field) string {
		from := one.root
		if f.localized {
			from = l.cells
		}
		if f.at >= len(from) {
			return ""
		}
		return from[f.at]
	}
	for _, f := range c.titles {
		switch s := strings.TrimSpace(value(f)); {
		case s == "":
		case e.Title == "":
			e.Title = s
		case s != e.Title:
			e.Blocks = append(e.Blocks, paragraphs(s)...)
		}
	}
	for _, f := range c.text {
		s := value(f)
		switch {
		case strings.TrimSpace(s) == "":
		case f.json:
			rich, _, err := ReadRichText([]byte(s))
			if err != nil {
				return e, fmt.Errorf("%s: %w", f.name, err)
			}
			e.Blocks = append(e.Blocks, rich.Blocks...)
		case isTextValue(strings.TrimSpace(s)):
			e.Blocks = append(e.Blocks, paragraphs(s)...)
		}
	}
	return e, nil
}

var blankLine = regexp.MustCompile(`\n[ \t\r]*\n\s*`)

// paragraphs cuts plain text at its blank lines.
func paragraphs(s string) []document.Block {
	var out []document.Block
	for _, p := range blankLine.Split(s, -1) {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, document.Block{Kind: document.Prose, Text: p})
		}
	}
	return out
}
