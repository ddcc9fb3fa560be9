package payload

import (
	"bytes"
	"fmt"
	"slices"

	"payload-cdc/internal/document"
)

// With blocksAsJSON a blocks field is one jsonb value: a list of objects that say of which type they are. Localized
// fields inside are objects of values by locale, if the blocks field is not localized itself.

// looksJSONBlocks is a cheap look before a value is read.
func looksJSONBlocks(src []byte) bool {
	return len(src) > 0 && src[0] == '[' && bytes.Contains(src, []byte(`"blockType"`))
}

// localesIn returns those of codes that may be keys in a value.
func localesIn(src []byte, codes []string) (found []string) {
	for _, code := range codes {
		if bytes.Contains(src, []byte(`"`+code+`":`)) {
			found = append(found, code)
		}
	}
	return found
}

// jsonBlocks writes the blocks of a value, as far as this pass and locale go.
func (w *writer) jsonBlocks(src []byte, s *spot, at *place) {
	fail := func(err error) { w.err = fmt.Errorf("%s.%s: %w", at.part.name, s.name, err) }
	field := append(slices.Clip(at.path), element{name: plain(s.name)})
	if !w.sel.reaches(field) && len(localesIn(src, w.codes)) == 0 {
		rich, ok, err := ReadJSONBlocks(src, nil)
		if err != nil {
			fail(err)
		} else if ok {
			w.out = append(w.out, rich.Blocks...)
		}
		return
	}
	n := narrower{w: w, locale: w.locale, place: field}
	says, err := n.read(src)
	if err != nil {
		fail(err)
		return
	}
	w.out = append(w.out, says...)
	if n.keyed && w.locale != "" && !w.translated {
		// What is said without any locale is not the locale's own.
		without, err := (&narrower{w: w, place: field}).read(src)
		if err != nil {
			fail(err)
			return
		}
		w.translated = !slices.Equal(says, without)
	}
}

// narrower writes a value of blocks anew with what is of one locale and one pass only.
type narrower struct {
	*tape
	w      *writer
	locale string
	place  []element
	to     bytes.Buffer
	named  []document.Block // of fields that are text only because a rule names them
	keyed  bool             // it has values by locale
}

func (n *narrower) read(src []byte) ([]document.Block, error) {
	if len(src) > maxRichText {
		return nil, permanent(errTooLarge)
	}
	t, valid := newTape(src)
	if !valid || !t.isBlocks(0) {
		return nil, nil
	}
	n.tape = t
	if err := n.value(0, "", 0); err != nil {
		return nil, permanent(err)
	}
	rich, _, err := ReadJSONBlocks(n.to.Bytes(), nil)
	return append(rich.Blocks, n.named...), err
}

// value writes v, whose field has that name.
func (n *narrower) value(v int32, name string, depth int) error {
	switch {
	case depth > maxDepth:
		return errTooDeep
	case n.isRows(v):
		return n.rows(v, name, depth)
	case n.kind(v) == '{' && !n.isLexical(v):
		return n.members(v, depth)
	}
	rank, named := n.w.sel.rank(n.place, true)
	if rank != n.w.pass {
		n.to.WriteString("null")
		return nil
	}
	if snake := toSnakeCase(name); named && !isTextName(snake) && !isSecret(snake) {
		for _, s := range n.strings(v, nil) {
			n.named = append(n.named, paragraphs(s)...)
		}
	}
	n.copy(v)
	return nil
}

func (n *narrower) copy(v int32) { n.to.Write(n.src[n.tape.list[v].from:n.tape.list[v].to]) }

// isRows says whether v is a list of blocks or of an array's rows, and not one of values or a rich text.
func (n *narrower) isRows(v int32) bool {
	if n.kind(v) != '[' {
		return false
	}
	some, all := false, true
	n.inside(v, func(_, e int32) bool {
		some, all = true, n.kind(e) == '{'
		return all
	})
	return some && all && !n.isSlate(v)
}

func (n *narrower) rows(v int32, name string, depth int) (err error) {
	separator := byte('[')
	n.inside(v, func(_, e int32) bool {
		n.to.WriteByte(separator)
		separator = ','
		if kind := n.string(e, "blockType"); kind != "" {
			n.place = append(n.place, element{name: joined(kind)})
			err = n.members(e, depth+1)
			n.place = n.place[:len(n.place)-1]
		} else {
			err = n.value(e, name, depth+1)
		}
		return err == nil
	})
	n.to.WriteByte(']')
	return err
}

func (n *narrower) members(v int32, depth int) (err error) {
	if depth > maxDepth {
		return errTooDeep
	}
	n.to.WriteByte('{')
	first := true
	n.inside(v, func(k, m int32) bool {
		if n.byLocale(m) {
			n.keyed = true
			if m = n.get(m, n.locale); m < 0 {
				return true
			}
		}
		if !first {
			n.to.WriteByte(',')
		}
		first = false
		n.copy(k)
		n.to.WriteByte(':')
		name := n.text(k)
		if name == "blockType" || name == "id" {
			n.copy(m)
			return true
		}
		n.place = append(n.place, element{name: joined(name)})
		err = n.value(m, name, depth+1)
		n.place = n.place[:len(n.place)-1]
		return err == nil
	})
	n.to.WriteByte('}')
	return err
}

// byLocale says whether v is a localized field's values: all its keys are locales.
func (n *narrower) byLocale(v int32) bool {
	if len(n.w.codes) == 0 || n.kind(v) != '{' {
		return false
	}
	some, all := false, true
	n.inside(v, func(k, _ int32) bool {
		some, all = true, slices.Contains(n.w.codes, n.text(k))
		return all
	})
	return some && all
}

// everyString returns the strings of any JSON as paragraphs, in order: a rule has named it. Those under secret-looking
// keys stay out all the same.
func everyString(src []byte) (out []document.Block) {
	t, valid := newTape(src)
	if !valid {
		return nil
	}
	for _, s := range t.strings(0, nil) {
		out = append(out, paragraphs(s)...)
	}
	return out
}

func (t *tape) strings(v int32, out []string) []string {
	switch kind := t.kind(v); kind {
	case '"':
		return append(out, t.text(v))
	case '{', '[':
		t.inside(v, func(k, e int32) bool {
			if kind == '[' || !isSecret(toSnakeCase(t.text(k))) {
				out = t.strings(e, out)
			}
			return true
		})
	}
	return out
}
