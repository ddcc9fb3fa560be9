package payload

import (
	"bytes"
	"fmt"
	"strings"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
)

// Rich text is bounded, whatever a database holds.
const (
	maxRichText = 8 << 20 // bytes of JSON
	maxDepth    = 200     // nodes inside nodes; Payload's editor makes a handful
	maxFlats    = 12      // of them that are written on one line: cells, and blocks inside text
)

var (
	errTooLarge = fmt.Errorf("rich text is larger than %d MiB", maxRichText>>20)
	errTooDeep  = fmt.Errorf("rich text is nested deeper than %d nodes", maxDepth)
)

// RichText is what a rich text says.
type RichText struct {
	Blocks []document.Block // in reading order
	// Other counts what has no text of its own here: "upload", "relationship", and the types of nodes that the walker
	// does not know, whose children it has read. Nil when there are none.
	Other map[string]int
}

// ReadRichText reads the value of a jsonb column if it is rich text, Lexical or Slate; ok is false for any other JSON.
// Only the value tells: the catalog does not. What becomes text and what does not: docs/rich-text.md. An error is
// permanent: the value is beyond the bounds.
func ReadRichText(src []byte) (rich RichText, ok bool, err error) {
	if !looksRich(src) {
		return RichText{}, false, nil
	}
	if len(src) > maxRichText {
		return RichText{}, true, permanent(errTooLarge)
	}
	t, valid := newTape(src)
	if !valid {
		return RichText{}, false, nil
	}
	w := &walker{tape: t}
	switch root := t.get(0, "root"); {
	case t.isLexical(0):
		err = w.blocks(t.get(root, "children"), 0)
	case t.isSlate(0):
		err = w.blocks(0, 0)
	default:
		return RichText{}, false, nil
	}
	if err != nil {
		return RichText{}, true, permanent(err)
	}
	return RichText{Blocks: w.out, Other: w.other}, true, nil
}

// looksRich is a cheap look before a value is read: an object, or a list of objects.
func looksRich(src []byte) bool {
	src = bytes.TrimLeft(src, " \n\t\r")
	if rest, list := bytes.CutPrefix(src, []byte("[")); list {
		src = bytes.TrimLeft(rest, " \n\t\r")
	}
	return bytes.HasPrefix(src, []byte("{"))
}

func permanent(err error) error {
	return &failure.Error{Class: failure.Permanent, Rejected: true, Err: err}
}

// isLexical says whether v is an editor state. A plain JSON field may have a root too, hence its type.
func (t *tape) isLexical(v int32) bool {
	return t.string(t.get(v, "root"), "type") == "root"
}

// isSlate says whether v is a list of Slate nodes. A list of Payload's blocks looks the same but for blockType, and one of
// an application's own objects may have texts: Slate's outermost nodes have children.
func (t *tape) isSlate(v int32) bool {
	if t.of(v, '[') < 0 {
		return false
	}
	some, all := false, true
	t.inside(v, func(_, e int32) bool {
		parent := t.of(t.get(e, "children"), '[') >= 0
		some = some || parent
		all = t.get(e, "blockType") < 0 && (parent || t.of(t.get(e, "text"), '"') >= 0)
		return all
	})
	return some && all
}

// walker writes the blocks of a tape. At most one block is being written at any time.
type walker struct {
	*tape
	out   []document.Block
	line  []byte // text of the block being written
	other map[string]int
	lead  string // of the first line of the list item being written: indent and marker
	hang  string // of its further lines
	cells int    // tables around: one inside another is only words
	flats int    // calls of flat around
	rules filter // what a user decided about the blocks around
}

// isInline says whether a node is written into the block at hand. inText is true inside a paragraph and the like: there
// a node that the walker does not know is part of the text; elsewhere only if it is a kind of text itself.
func (w *walker) isInline(v int32, kind string, inText bool) bool {
	switch kind {
	case "text", "code-highlight", "tab", "linebreak", "link", "autolink", "inlineBlock":
		return true
	case "paragraph", "group", "listitem", "heading", "quote", "code", "list", "table", "horizontalrule", "block", "upload", "relationship":
		return false
	}
	return inText || w.of(w.get(v, "text"), '"') >= 0
}

// kindOf is the node's type in Lexical's words. Slate has no type for paragraphs and leaves, and other words for some.
func (w *walker) kindOf(v int32) string {
	kind := w.string(v, "type")
	switch kind {
	case "":
		if w.of(w.get(v, "text"), '"') >= 0 {
			return "text"
		}
		if w.get(v, "children") >= 0 {
			return "paragraph"
		}
	case "h1", "h2", "h3", "h4", "h5", "h6":
		return "heading"
	case "ul", "ol":
		return "list"
	case "li":
		return "listitem"
	case "blockquote":
		return "quote"
	case "textAlign", "indent", "root":
		return "group"
	}
	return kind
}

// blocks writes the nodes of a list as blocks. Inline nodes among them make a paragraph.
func (w *walker) blocks(list int32, depth int) error {
	return w.prose(list, document.Block{Kind: document.Prose}, false, depth)
}

// prose writes a node's children as one block like proto, interrupted where a child is a block itself.
func (w *walker) prose(list int32, proto document.Block, inText bool, depth int) (err error) {
	if w.of(list, '[') < 0 {
		return nil
	}
	if depth > maxDepth {
		return errTooDeep
	}
	w.inside(list, func(_, v int32) bool {
		if kind := w.kindOf(v); w.isInline(v, kind, inText) {
			err = w.inline(v, kind, depth+1)
		} else {
			w.flush(proto)
			if proto.Kind == document.Quote && kind == "paragraph" {
				err = w.prose(w.get(v, "children"), proto, true, depth+1)
			} else {
				err = w.block(v, kind, depth+1)
			}
		}
		return err == nil
	})
	w.flush(proto)
	return err
}

// block writes one node that stands on its own.
func (w *walker) block(v int32, kind string, depth int) error {
	children := w.get(v, "children")
	switch kind {
	case "group", "listitem":
		return w.blocks(children, depth)
	case "paragraph":
		return w.prose(children, document.Block{Kind: document.Prose}, true, depth)
	case "heading":
		return w.prose(children, document.Block{Kind: document.Heading, Level: w.level(v)}, true, depth)
	case "quote":
		return w.prose(children, document.Block{Kind: document.Quote}, true, depth)
	case "code":
		return w.prose(children, document.Block{Kind: document.Code, Lang: w.string(v, "language")}, true, depth)
	case "list":
		return w.items(v, 0, depth)
	case "table":
		return w.table(v, depth)
	case "horizontalrule":
	case "block":
		if err := w.fields(w.get(v, "fields"), depth); err != nil {
			return err
		}
	case "upload", "relationship":
		if err := w.reference(v, kind, depth); err != nil {
			return err
		}
	default:
		if w.of(v, '{') < 0 {
			return nil
		}
		w.count(kind)
		return w.prose(children, document.Block{Kind: document.Prose}, w.isText(children), depth)
	}
	return w.blocks(children, depth)
}

// isText says whether text stands among the children of a node that the walker does not know: it is a kind of paragraph.
func (w *walker) isText(list int32) (is bool) {
	if w.of(list, '[') < 0 {
		return false
	}
	w.inside(list, func(_, v int32) bool {
		is = w.isInline(v, w.kindOf(v), false)
		return !is
	})
	return is
}

// inline writes a node into the block at hand.
func (w *walker) inline(v int32, kind string, depth int) (err error) {
	if depth > maxDepth {
		return errTooDeep
	}
	switch kind {
	case "text", "code-highlight":
		w.line = append(w.line, w.string(v, "text")...)
	case "tab":
		w.line = append(w.line, '\t')
	case "linebreak":
		w.line = append(w.line, '\n')
	case "inlineBlock":
		err = w.flat(depth, func() error { return w.fields(w.get(v, "fields"), depth) })
	case "link", "autolink", "paragraph", "heading", "quote", "group", "listitem":
	default:
		w.count(kind)
		w.line = append(w.line, w.string(v, "text")...)
	}
	list := w.of(w.get(v, "children"), '[')
	if list < 0 || err != nil {
		return err
	}
	w.inside(list, func(_, c int32) bool {
		kind := w.kindOf(c)
		if w.isInline(c, kind, true) {
			err = w.inline(c, kind, depth+1)
		} else {
			err = w.flat(depth, func() error { return w.block(c, kind, depth+1) })
		}
		return err == nil
	})
	return err
}

// flat writes the blocks that write makes into the block at hand, on one line.
func (w *walker) flat(depth int, write func() error) error {
	// Each level copies the text of those inside it, and no editor makes many.
	if depth > maxDepth || w.flats >= maxFlats {
		return errTooDeep
	}
	w.flats++
	defer func() { w.flats-- }()
	line, out := w.line, w.out
	w.line, w.out = nil, nil
	err := write()
	for i, b := range w.out {
		if i > 0 {
			line = append(line, ' ')
		}
		line = append(line, strings.Join(strings.Fields(b.Text), " ")...)
	}
	w.line, w.out = line, out
	return err
}

// flush ends the block being written.
func (w *walker) flush(proto document.Block) {
	text := strings.ToValidUTF8(string(w.line), "\ufffd")
	w.line = w.line[:0]
	if proto.Kind == document.Heading {
		text = strings.Join(strings.Fields(text), " ")
	}
	if proto.Kind == document.Code {
		text = strings.Trim(text, "\n")
	} else {
		text = strings.TrimSpace(text)
	}
	if strings.TrimSpace(text) == "" {
		return
	}
	if proto.Kind == document.Item {
		text = w.lead + strings.ReplaceAll(text, "\n", "\n"+w.hang)
		w.lead = w.hang
	}
	proto.Text = text
	w.out = append(w.out, proto)
}

func (w *walker) level(v int32) int {
	tag := w.string(v, "tag")
	if tag == "" {
		tag = w.string(v, "type")
	}
	if len(tag) == 2 && '1' <= tag[1] && tag[1] <= '6' {
		return int(tag[1] - '0')
	}
	return 2
}

func (w *walker) count(kind string) {
	if w.other == nil {
		w.other = make(map[string]int)
	}
	if len(w.other) < 100 || w.other[kind] > 0 {
		w.other[kind]++
	}
}
