package payload

import (
	"slices"
	"strings"

	"payload-cdc/internal/document"
)

// Verdict is what a BlockFilter says of a block or of something in it.
type Verdict uint8

// What a BlockFilter can say.
const (
	ByDefault Verdict = iota // text if its name and its value look like it
	Take                     // text, whatever it looks like. Of what holds more: nothing more than that it is looked into
	Leave                    // not text, and nothing below it
)

// BlockFilter decides about the blocks of a field. It is asked about every block, with an empty path, and then about
// everything in it that was not left out: path is the names from the block down, without positions; a block inside a
// block adds its slug, as in ["columns", "content", "quote", "text"]. Nobody is asked about what is inside rich text. The
// path is the callee's only during the call.
type BlockFilter func(blockType string, path []string) Verdict

// filter is a BlockFilter and where the walker is. The zero filter leaves everything as it is by default.
type filter struct {
	ask   BlockFilter
	block string // the outermost block; empty around it
	path  []string
}

// enter asks about what is below the place at hand and goes there. leave returns; it is nil when it is left out.
func (f *filter) enter(name string) (leave func(), taken bool) {
	if f.ask == nil {
		return func() {}, false
	}
	if f.block == "" {
		f.block = name
		leave = func() { f.block = "" }
	} else {
		f.path = append(f.path, name)
		leave = func() { f.path = f.path[:len(f.path)-1] }
	}
	verdict := f.ask(f.block, f.path)
	if verdict == Leave {
		leave()
		return nil, false
	}
	return leave, verdict == Take
}

// ReadJSONBlocks reads the value of a blocks field of a project with blocksAsJSON: a list of blocks, in order, the text of
// each with its title-like fields first and the others as stored. Inside it a relation is only an id, which is no text,
// and a select looks like text but for its name and its short value; a block's name is the editor's label and no text.
// ok is false for any other JSON, an empty list included. keep nil keeps all. An error is permanent: the value is
// beyond the bounds.
func ReadJSONBlocks(src []byte, keep BlockFilter) (rich RichText, ok bool, err error) {
	if !looksRich(src) {
		return RichText{}, false, nil
	}
	if len(src) > maxRichText {
		return RichText{}, true, permanent(errTooLarge)
	}
	t, valid := newTape(src)
	if !valid || !t.isBlocks(0) {
		return RichText{}, false, nil
	}
	w := &walker{tape: t, rules: filter{ask: keep}}
	w.inside(0, func(_, block int32) bool {
		err = w.value("", block, false, 0)
		return err == nil
	})
	if err != nil {
		return RichText{}, true, permanent(err)
	}
	return RichText{Blocks: w.out, Other: w.other}, true, nil
}

// isBlocks says whether v is a list of blocks.
func (t *tape) isBlocks(v int32) bool {
	if t.of(v, '[') < 0 {
		return false
	}
	some, all := false, true
	t.inside(v, func(_, e int32) bool {
		some, all = true, t.string(e, "blockType") != ""
		return all
	})
	return some && all
}

// ReadJSONText reads every string of a JSON value as text, in stored order, one block for each, for the plain json fields
// that a user names. Names of members, what is under a secret-looking one, and values that only machines read are left
// out. Nil when src is no JSON. An error is permanent: the value is beyond the bounds.
func ReadJSONText(src []byte) ([]document.Block, error) {
	if len(src) > maxRichText {
		return nil, permanent(errTooLarge)
	}
	t, valid := newTape(src)
	if !valid {
		return nil, nil
	}
	var out []document.Block
	for v := int32(0); int(v) < len(t.list); v++ {
		switch {
		case t.kind(v) != '"':
			continue
		case t.isName(v):
			if isSecret(toSnakeCase(t.text(v))) {
				v = t.list[v+1].next - 1
			}
			continue
		}
		text := strings.TrimSpace(strings.ToValidUTF8(t.text(v), "\ufffd"))
		if text != "" && isTextValue(text) {
			out = append(out, document.Block{Kind: document.Prose, Text: text})
		}
	}
	return slices.Clip(out), nil
}

// isName says whether a string is the name of an object's member: a colon follows it.
func (t *tape) isName(v int32) bool {
	for _, c := range t.src[t.list[v].to:] {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		}
		return c == ':'
	}
	return false
}
