package chunk

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"payload-cdc/internal/document"
)

const (
	maxTitle = 1024 // bytes of a title that a chunk carries as metadata
	maxSpace = 64   // characters in a run of blanks
)

// clean writes the same text in one way, so that edits nobody can see change no hash: valid UTF-8, NFC, one kind of line
// end, no control characters, no blanks at line ends, no two blank lines in a row. Runs of blanks are bounded, because
// tokenizers and sentence rules take quadratic time on them. Indentation stays.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\t':
			return r
		case '\r', '\v', '\f', '\u0085', '\u2028', '\u2029':
			return '\n'
		case '\uFEFF':
			return -1
		}
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	s = norm.NFC.String(s)

	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimRightFunc(l, unicode.IsSpace); l == "" {
			gap = true
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
			if gap {
				b.WriteByte('\n')
			}
		}
		gap = false
		writeSpaced(&b, l)
	}
	return b.String()
}

// writeSpaced writes l with its runs of blanks bounded.
func writeSpaced(b *strings.Builder, l string) {
	run, from := 0, 0
	for i, r := range l {
		if !unicode.IsSpace(r) {
			run = 0
			continue
		}
		if run++; run > maxSpace {
			b.WriteString(l[from:i])
			from = i + utf8.RuneLen(r)
		}
	}
	b.WriteString(l[from:])
}

// line is clean on one line, for titles and headings.
func line(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// blank says whether there is nothing to see in s.
func blank(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }) < 0
}

// cleanBlocks returns the blocks that have text, cleaned.
func cleanBlocks(blocks []document.Block) []document.Block {
	out := make([]document.Block, 0, len(blocks))
	for _, b := range blocks {
		if b.Kind == document.Heading {
			b.Text, b.Level = line(b.Text), min(max(b.Level, 1), 6)
		} else {
			b.Text = clean(b.Text)
		}
		if !blank(b.Text) {
			out = append(out, b)
		}
	}
	return out
}

// head returns the longest beginning of s of at most n bytes that ends between characters.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// tail returns the longest end of s of at most n bytes that begins between characters.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	i := len(s) - n
	for i < len(s) && !utf8.RuneStart(s[i]) {
		i++
	}
	return s[i:]
}
