package admin

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable writes a status for people: a sentence, the facts, and a table of the collections. Ages are as of
// Status.At, or of now where that is not known.
func WriteTable(w io.Writer, s Status) error {
	f := s.facts()
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", f.Sentence)
	for _, line := range f.Lines {
		fmt.Fprintf(&b, "%s\t%s\n", line.Name, line.Text)
	}
	for _, text := range f.Paused {
		fmt.Fprintf(&b, "paused\t%s\n", text)
	}
	for _, one := range f.Findings {
		fmt.Fprintf(&b, "finding\t%s\nremedy\t%s\n", one.Name, one.Text)
	}
	f.Sweeps.write(&b)
	f.Collections.write(&b)
	for i, note := range f.Notes {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, note)
	}
	// An empty line ends a block of columns, so one writer aligns each block by itself.
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := io.WriteString(columns, b.String())
	if err == nil {
		err = columns.Flush()
	}
	if err != nil {
		return fmt.Errorf("write the status: %w", err)
	}
	return nil
}

func (g *grid) write(b *strings.Builder) {
	if g == nil || len(g.Rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", strings.ToUpper(strings.Join(g.Head, "\t")))
	for _, row := range g.Rows {
		fmt.Fprintln(b, strings.Join(row, "\t"))
	}
}
