package payload

import (
	"fmt"
	"strconv"
	"strings"

	"payload-cdc/internal/document"
)

// maxIndent bounds the indent of nested list items: deeper ones stay where they are.
const maxIndent = 8

// items writes a list, one block for each item, as Markdown does: "- ", "3. ", "- [x] ", four spaces for each level.
func (w *walker) items(list int32, level, depth int) (err error) {
	children := w.of(w.get(list, "children"), '[')
	if children < 0 {
		return nil
	}
	if depth > maxDepth {
		return errTooDeep
	}
	kind := w.string(list, "listType")
	if kind == "" && (w.string(list, "tag") == "ol" || w.string(list, "type") == "ol") {
		kind = "number"
	}
	number, _ := strconv.Atoi(w.number(w.get(list, "start")))
	number = max(number, 1)
	indent := strings.Repeat("    ", min(level, maxIndent))
	w.inside(children, func(_, v int32) bool {
		if n, numErr := strconv.Atoi(w.number(w.get(v, "value"))); numErr == nil {
			number = n
		}
		marker := "- "
		switch {
		case kind == "number":
			marker = fmt.Sprintf("%d. ", number)
		case kind == "check" && w.of(w.get(v, "checked"), 't') >= 0:
			marker = "- [x] "
		case kind == "check":
			marker = "- [ ] "
		}
		lead, hang := w.lead, w.hang
		w.lead, w.hang = indent+marker, indent+strings.Repeat(" ", len(marker))
		err = w.item(v, level, depth+1)
		w.lead, w.hang = lead, hang
		if !w.isWrapper(v) {
			number++
		}
		return err == nil
	})
	return err
}

// isWrapper says whether an item only holds lists: it has no number of its own.
func (w *walker) isWrapper(v int32) bool {
	if w.kindOf(v) == "list" {
		return true
	}
	list := w.of(w.get(v, "children"), '[')
	if list < 0 {
		return false
	}
	some, all := false, true
	w.inside(list, func(_, c int32) bool {
		some, all = true, w.kindOf(c) == "list"
		return all
	})
	return some && all
}

// item writes one item: its own text as one block, lists in it after that, one level deeper. An item that only holds
// a list has no marker of its own.
func (w *walker) item(v int32, level, depth int) (err error) {
	proto := document.Block{Kind: document.Item}
	switch kind := w.kindOf(v); {
	case w.isInline(v, kind, true) && kind != "":
		err = w.inline(v, kind, depth)
		w.flush(proto)
		return err
	case kind == "list":
		return w.items(v, level+1, depth)
	case kind == "block" || kind == "upload" || kind == "relationship" || kind == "table" || kind == "code":
		return w.block(v, kind, depth)
	}
	list := w.of(w.get(v, "children"), '[')
	if list < 0 {
		return nil
	}
	if depth > maxDepth {
		return errTooDeep
	}
	w.inside(list, func(_, c int32) bool {
		switch kind := w.kindOf(c); kind {
		case "list":
			w.flush(proto)
			err = w.items(c, level+1, depth+1)
		case "paragraph", "heading", "quote", "group":
			if len(w.line) > 0 {
				w.line = append(w.line, '\n')
			}
			err = w.inline(c, kind, depth+1)
		default:
			if w.isInline(c, kind, true) {
				err = w.inline(c, kind, depth+1)
				break
			}
			w.flush(proto)
			err = w.block(c, kind, depth+1)
		}
		return err == nil
	})
	w.flush(proto)
	return err
}

// table writes a table as Markdown rows; its first row is the header, as Markdown wants one.
func (w *walker) table(table int32, depth int) (err error) {
	rows := w.of(w.get(table, "children"), '[')
	if rows < 0 {
		return nil
	}
	if depth+2 > maxDepth {
		return errTooDeep
	}
	w.cells++
	defer func() { w.cells-- }()
	var b strings.Builder
	blank := true
	w.inside(rows, func(_, row int32) bool {
		first, n := b.Len() == 0, 0
		w.cellsOf(row, func(cell int32) bool {
			n++
			// The line is empty between blocks, so that flat's writes are this cell's.
			err = w.flat(depth, func() error { return w.cell(cell, depth+2) })
			text := string(w.line)
			w.line = w.line[:0]
			blank = blank && strings.TrimSpace(text) == ""
			if w.cells > 1 {
				b.WriteString(text + " ")
			} else {
				b.WriteString("| " + strings.ReplaceAll(text, "|", `\|`) + " ")
			}
			return err == nil
		})
		if n > 0 && w.cells == 1 {
			b.WriteString("|\n")
		}
		if n > 0 && first && w.cells == 1 {
			b.WriteString(strings.Repeat("| --- ", n) + "|\n")
		}
		return err == nil
	})
	if !blank {
		w.line = append(w.line, b.String()...)
	}
	w.flush(document.Block{Kind: document.Table})
	return err
}

// cellsOf calls each with every cell of a row. Text that stands there instead of a row is a cell.
func (w *walker) cellsOf(row int32, each func(cell int32) bool) {
	if w.isInline(row, w.kindOf(row), false) {
		each(row)
		return
	}
	if cells := w.of(w.get(row, "children"), '['); cells >= 0 {
		w.inside(cells, func(_, cell int32) bool { return each(cell) })
	}
}

// cell writes what is in a cell. Text that stands there instead of one is its own.
func (w *walker) cell(cell int32, depth int) error {
	if kind := w.kindOf(cell); w.isInline(cell, kind, false) {
		err := w.inline(cell, kind, depth)
		w.flush(document.Block{Kind: document.Prose})
		return err
	}
	return w.blocks(w.get(cell, "children"), depth)
}
