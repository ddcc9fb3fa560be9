package chunk

import (
	"fmt"
	"strings"

	"payload-cdc/internal/document"
)

// section is a run of headings and the blocks below them. Headings without a text of their own go with the next.
type section struct {
	above  []string // the headings that the first of its own stands under
	trail  []string // those that its text stands under
	blocks []document.Block
	units  []unit // each block whole
}

// sections cuts blocks at headings. The headings it returns are shortened, once: many sections may stand under a huge one.
func (s *Splitter) sections(blocks []document.Block, units []unit) ([]section, error) {
	var out []section
	var levels []int
	var trail []string
	begin, body := 0, true // of the current section; whether it has more than headings
	flush := func(end int) {
		if end > begin {
			out[len(out)-1].blocks, out[len(out)-1].units = blocks[begin:end], units[begin:end]
		}
		begin = end
	}
	for i, b := range blocks {
		if b.Kind != document.Heading {
			if i == 0 {
				out = append(out, section{})
			}
			body = true
			continue
		}
		for len(levels) > 0 && levels[len(levels)-1] >= b.Level {
			levels, trail = levels[:len(levels)-1], trail[:len(trail)-1]
		}
		if body {
			flush(i)
			out = append(out, section{above: append([]string(nil), trail...)})
			body = false
		}
		short, _, err := s.shorten(b.Text, s.cfg.PrefixMax)
		if err != nil {
			return nil, err
		}
		levels, trail = append(levels, b.Level), append(trail, short)
		out[len(out)-1].trail = append([]string(nil), trail...)
	}
	flush(len(blocks))
	return out, nil
}

// writer collects the chunks of one entry.
type writer struct {
	*Splitter
	proto  document.Chunk
	chunks []document.Chunk
}

// section writes the chunks of sec, under the entry's title.
func (w *writer) section(title string, sec section) error {
	// Its first chunk begins with its own headings, so only what is above them stands before it.
	first, n1, err := w.prefix(title, sec.above)
	if err != nil {
		return err
	}
	later, n2, err := w.prefix(title, sec.trail)
	if err != nil {
		return err
	}
	p := max(n1, n2)
	full, target := w.cfg.Max-p, w.cfg.Target-p
	if target < full/2 {
		target = full / 2
	}
	var units []unit
	headings := 0
	for i, b := range sec.blocks {
		u := sec.units[i]
		fit := full
		if u.heading {
			headings += u.tokens
		} else {
			if f := full - headings; f >= target {
				fit = f // a heading does not stand alone if its first block can be cut instead
			}
			headings = 0
		}
		if u.cost(nil) <= fit {
			units = append(units, u)
			continue
		}
		parts, err := w.cut(b, u, target)
		if err != nil {
			return err
		}
		units = append(units, parts...)
	}
	prefix := first
	for _, group := range pack(units, target, full, w.cfg.Min) {
		if err := w.force(prefix, later, group); err != nil {
			return err
		}
		prefix = later
	}
	return nil
}

// prefix returns "title > headings", shortened, and its tokens with the blank line after it.
func (w *writer) prefix(title string, headings []string) (string, int, error) {
	parts := make([]string, 0, 1+len(headings))
	if title != "" {
		parts = append(parts, title)
	}
	for _, h := range headings {
		if len(parts) == 0 || parts[len(parts)-1] != h { // a page's heading often is its title
			parts = append(parts, h)
		}
	}
	if len(parts) == 0 {
		return "", 0, nil
	}
	prefix, _, err := w.shorten(strings.Join(parts, " > "), w.cfg.PrefixMax)
	if err != nil {
		return "", 0, err
	}
	n, err := w.Count(prefix + "\n\n")
	return prefix, n, err
}

// pack groups units into chunks: as many as fit into target, and up to full tokens where that keeps a heading with its
// text, or a rest of less than least tokens with what is before it.
func pack(units []unit, target, full, least int) [][]unit {
	var groups [][]unit
	var sizes []int
	begin, size, headings := 0, 0, true
	var last *wrap
	for i, u := range units {
		limit := target
		if headings {
			limit = full
		}
		cost := u.cost(last)
		if i > begin && size+cost > limit {
			groups, sizes = append(groups, units[begin:i]), append(sizes, size)
			begin, size, headings = i, 0, true
			cost = u.cost(nil)
		}
		size += cost
		headings = headings && u.heading
		last = u.wrap
	}
	if begin < len(units) {
		groups, sizes = append(groups, units[begin:]), append(sizes, size)
	}
	if n := len(groups); n > 1 && sizes[n-1] < least && sizes[n-2]+sizes[n-1] <= full {
		groups[n-2] = units[len(units)-len(groups[n-1])-len(groups[n-2]):]
		groups = groups[:n-1]
	}
	return groups
}

// force writes units as a chunk, or as several where they are too large after all: tokens of a whole are not always
// fewer than those of its parts together.
func (w *writer) force(prefix, later string, units []unit) error {
	done, err := w.write(prefix, units)
	if done || err != nil {
		return err
	}
	if len(units) == 1 {
		u := units[0]
		n, err := w.Count(u.text)
		if err != nil {
			return err
		}
		parts, err := w.windows(u.text, n/2)
		if err != nil {
			return err
		}
		if len(parts) < 2 {
			return fmt.Errorf("cut %d bytes: one character over %d tokens", len(u.text), w.cfg.Max)
		}
		for i := range parts {
			parts[i].wrap, parts[i].heading = u.wrap, u.heading
		}
		parts[0].sep = u.sep
		units = parts
	}
	half := len(units) / 2
	if err := w.force(prefix, later, units[:half]); err != nil {
		return err
	}
	return w.force(later, later, units[half:])
}

// write adds units as one chunk and returns true, unless they are too large. Units of nothing but blanks are none.
func (w *writer) write(prefix string, units []unit) (bool, error) {
	if !visible(units) {
		return true, nil
	}
	data := render(units)
	text := data
	if prefix != "" {
		text = prefix + "\n\n" + data
	}
	n, err := w.Count(text)
	if err != nil || n > w.cfg.Max {
		return false, err
	}
	c := w.proto
	c.Number, c.Text, c.Data, c.Hash, c.Tokens = len(w.chunks), text, data, w.hash(text), n
	w.chunks = append(w.chunks, c)
	return true, nil
}

func visible(units []unit) bool {
	for _, u := range units {
		if strings.TrimSpace(u.text) != "" {
			return true
		}
	}
	return false
}
