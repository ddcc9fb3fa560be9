package chunk

import (
	"strings"

	"payload-cdc/internal/document"
)

// unit is a run of text that is not cut any more: a block that fits, or a line, sentence or window of one that does not.
type unit struct {
	text    string
	sep     string // stands before it, unless it begins a chunk
	tokens  int    // of sep and text
	wrap    *wrap  // nil for most
	heading bool
}

// wrap is what stands around the units of one block in every chunk that has some: a code fence, or a table's header rows.
// Units of one block share the pointer.
type wrap struct {
	head, foot string
	tokens     int
}

// cost is what u adds to a chunk whose last unit stands in w.
func (u unit) cost(w *wrap) int {
	if u.wrap == nil || u.wrap == w {
		return u.tokens
	}
	return u.tokens + u.wrap.tokens
}

// render joins units to the text of a chunk.
func render(units []unit) string {
	var b strings.Builder
	var in *wrap
	for i, u := range units {
		if in != nil && u.wrap != in {
			b.WriteString(in.foot)
		}
		if i > 0 {
			b.WriteString(u.sep)
		}
		if u.wrap != nil && u.wrap != in {
			b.WriteString(u.wrap.head)
		}
		b.WriteString(u.text)
		in = u.wrap
	}
	if in != nil {
		b.WriteString(in.foot)
	}
	return strings.TrimSpace(b.String())
}

// separator is what stands before block i: list items stay together.
func separator(blocks []document.Block, i int) string {
	if i > 0 && blocks[i].Kind == document.Item && blocks[i-1].Kind == document.Item {
		return "\n"
	}
	return "\n\n"
}

// unit returns a block as one unit, however large.
func (s *Splitter) unit(b document.Block, sep string) (unit, error) {
	u := unit{text: b.Text, sep: sep}
	switch b.Kind {
	case document.Heading:
		u.text, u.heading = strings.Repeat("#", b.Level)+" "+b.Text, true
	case document.Quote:
		if !strings.HasPrefix(b.Text, ">") {
			u.text = "> " + strings.ReplaceAll(b.Text, "\n", "\n> ")
		}
	case document.Code:
		u.wrap = fence(b)
	}
	var err error
	if u.tokens, err = s.Count(u.sep + u.text); err == nil && u.wrap != nil {
		u.wrap.tokens, err = s.Count(u.wrap.head + u.wrap.foot)
	}
	return u, err
}

// fence returns the fence around a code block: longer than any in it, or none when that would be silly.
func fence(b document.Block) *wrap {
	longest, run := 0, 0
	for i := range len(b.Text) {
		if b.Text[i] != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	if longest > 8 {
		return nil
	}
	lang := head(strings.Join(strings.FieldsFunc(line(b.Lang), func(r rune) bool { return r == '`' || r == ' ' }), "-"), 16)
	ticks := strings.Repeat("`", max(3, longest+1))
	return &wrap{head: ticks + lang + "\n", foot: "\n" + ticks}
}

// cut returns block b, which u holds whole, as units of at most limit tokens each, their wrap included.
func (s *Splitter) cut(b document.Block, u unit, limit int) ([]unit, error) {
	switch b.Kind {
	case document.Code:
		if u.wrap != nil {
			limit -= u.wrap.tokens
		}
		return s.cutLines(u.text, u.sep, u.wrap, limit, false)
	case document.Table:
		first, rest, ok := strings.Cut(u.text, "\n")
		rule, rows, ok2 := strings.Cut(rest, "\n")
		if ok && ok2 && isRule(rule) {
			w := &wrap{head: first + "\n" + rule + "\n"}
			n, err := s.Count(w.head)
			if err != nil {
				return nil, err
			}
			// A header that would fill most of each piece is a row like any other.
			if w.tokens = n; n <= limit/4 {
				return s.cutLines(rows, u.sep, w, limit-n, false)
			}
		}
		return s.cutLines(u.text, u.sep, nil, limit, false)
	case document.Item:
		return s.cutLines(u.text, u.sep, nil, limit, true)
	case document.Heading:
		units, err := s.windows(u.text, limit)
		for i := range units {
			units[i].heading = true
		}
		return lead(units, u.sep), err
	default:
		units, err := s.cutSentences(u.text, limit)
		return lead(units, u.sep), err
	}
}

// isRule says whether l is the line between a Markdown table's header and its rows.
func isRule(l string) bool {
	return strings.Contains(l, "-") && strings.Trim(l, "|:- \t") == ""
}

// lead puts sep before the first of units.
func lead(units []unit, sep string) []unit {
	if len(units) > 0 {
		units[0].sep = sep
		units[0].tokens += len(sep) // at most one token a character
	}
	return units
}

// cutLines returns the lines of text as units in w; those over limit in sentences or windows.
func (s *Splitter) cutLines(text, sep string, w *wrap, limit int, prose bool) ([]unit, error) {
	var out []unit
	for l := range strings.SplitSeq(text, "\n") {
		if l == "" {
			sep = "\n\n"
			continue
		}
		n, err := s.Count(sep + l)
		if err != nil {
			return nil, err
		}
		parts := []unit{{text: l, sep: sep, tokens: n}}
		if n > limit {
			if prose {
				parts, err = s.cutSentences(l, limit)
			} else {
				parts, err = s.windows(l, limit)
			}
			if err != nil {
				return nil, err
			}
			parts = lead(parts, sep)
		}
		for i := range parts {
			parts[i].wrap = w
		}
		out = append(out, parts...)
		sep = "\n"
	}
	return out, nil
}
