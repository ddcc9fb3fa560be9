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
	field := append(slices.Clip(at.path), element{name: plain(s.name)})
	says, keyed, err := w.readBlocks(src, w.locale, field)
	if err == nil {
		w.out = append(w.out, says...)
	}
	if keyed && err == nil && w.locale != "" && !w.translated {
		// What is said without any locale is not the locale's own.
		var without []document.Block
		without, _, err = w.readBlocks(src, "", field)
		w.translated = !slices.Equal(says, without)
	}
	if err != nil {
		w.err = fmt.Errorf("%s.%s: %w", at.part.name, s.name, err)
	}
}

// readBlocks reads a value of blocks at a place as one locale has it. keyed says that it has values by locale.
func (w *writer) readBlocks(src []byte, locale string, field []element) (says []document.Block, keyed bool, err error) {
	if len(localesIn(src, w.codes)) > 0 {
		n := narrower{codes: w.codes, locale: locale}
		if src, err = n.narrow(src); err != nil {
			return nil, false, err
		}
		keyed = n.keyed
	}
	rich, _, err := ReadJSONBlocks(src, w.filter(field))
	return rich.Blocks, keyed, err
}

// filter is what the rules say, in this pass, of the blocks in a field; nil when they say nothing of what is in it.
func (w *writer) filter(field []element) BlockFilter {
	if !w.sel.reaches(field) {
		return nil
	}
	return func(slug string, path []string) Verdict {
		place := append(slices.Clip(field), element{name: joined(slug)})
		for _, name := range path {
			place = append(place, element{name: joined(name)})
		}
		rank, named := w.sel.rank(place, true)
		switch {
		case rank == w.pass && named && len(path) > 0 && !isSecret(toSnakeCase(path[len(path)-1])):
			return Take
		case rank == w.pass, w.sel.reaches(place):
			return ByDefault
		}
		return Leave
	}
}

// narrower writes a value of blocks anew with what is of one locale only.
type narrower struct {
	*tape
	codes  []string
	locale string
	to     bytes.Buffer
	keyed  bool // it has values by locale
}

// narrow returns what is no list of blocks as it is.
func (n *narrower) narrow(src []byte) ([]byte, error) {
	if len(src) > maxRichText {
		return nil, permanent(errTooLarge)
	}
	t, valid := newTape(src)
	if !valid || !t.isBlocks(0) {
		return src, nil
	}
	n.tape = t
	if err := n.value(0, 0); err != nil {
		return nil, permanent(err)
	}
	return n.to.Bytes(), nil
}

func (n *narrower) value(v int32, depth int) error {
	switch {
	case depth > maxDepth:
		return errTooDeep
	case n.isRows(v):
		return n.rows(v, depth)
	case n.kind(v) == '{' && !n.isLexical(v):
		return n.members(v, depth)
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

func (n *narrower) rows(v int32, depth int) (err error) {
	separator := byte('[')
	n.inside(v, func(_, e int32) bool {
		n.to.WriteByte(separator)
		separator = ','
		err = n.value(e, depth+1)
		return err == nil
	})
	n.to.WriteByte(']')
	return err
}

func (n *narrower) members(v int32, depth int) (err error) {
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
		err = n.value(m, depth+1)
		return err == nil
	})
	n.to.WriteByte('}')
	return err
}

// byLocale says whether v is a localized field's values: all its keys are locales.
func (n *narrower) byLocale(v int32) bool {
	if len(n.codes) == 0 || n.kind(v) != '{' {
		return false
	}
	some, all := false, true
	n.inside(v, func(k, _ int32) bool {
		some, all = true, slices.Contains(n.codes, n.text(k))
		return all
	})
	return some && all
}
