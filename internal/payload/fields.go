package payload

import (
	"regexp"
	"slices"
	"strings"

	"payload-cdc/internal/document"
)

// fields writes the text of a block's fields: title-like fields first, then the rest as stored (jsonb's order is
// fixed). There is no schema for it, so names and values decide: see isTextName and isTextValue.
func (w *walker) fields(object int32, depth int) (err error) {
	if w.of(object, '{') < 0 {
		return nil
	}
	if depth > maxDepth {
		return errTooDeep
	}
	code := w.isCode(object)
	for _, titled := range []bool{true, false} {
		w.inside(object, func(k, v int32) bool {
			switch name := w.text(k); {
			case slices.Contains(titles, name) != titled:
			case code && name == "code":
				err = w.code(v, w.string(object, "language"))
			default:
				err = w.field(name, v, depth+1)
			}
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// isCode says whether a block holds a program: Payload's own code block, or one made like it.
func (w *walker) isCode(object int32) bool {
	if w.of(w.get(object, "code"), '"') < 0 {
		return false
	}
	return strings.EqualFold(w.string(object, "blockType"), "code") || w.of(w.get(object, "language"), '"') >= 0
}

// code writes the program of a code block.
func (w *walker) code(v int32, lang string) error {
	if leave, _ := w.rules.enter("code"); leave != nil {
		defer leave()
		w.line = append(w.line, w.text(v)...)
		w.flush(document.Block{Kind: document.Code, Lang: lang})
	}
	return nil
}

// field writes the text of one field.
func (w *walker) field(name string, v int32, depth int) error {
	if name == "blockName" || name == "blockType" {
		return nil
	}
	leave, taken := w.rules.enter(name)
	if leave == nil {
		return nil
	}
	defer leave()
	if !taken && (strings.HasPrefix(name, "_") || !isTextName(toSnakeCase(name))) {
		return nil
	}
	return w.value(name, v, taken, depth)
}

// value writes what a field holds, or one value of several. Taken is a field that a user named, whatever it looks like.
func (w *walker) value(name string, v int32, taken bool, depth int) (err error) {
	if depth > maxDepth {
		return errTooDeep
	}
	switch w.kind(v) {
	case '"':
		text := w.text(v)
		if taken || isTextValue(text) && (!choices[strings.ToLower(name)] || strings.ContainsAny(text, " \n")) {
			w.line = append(w.line, text...)
			w.flush(document.Block{Kind: document.Prose})
		}
	case '{':
		slug := w.string(v, "blockType")
		switch {
		case slug != "":
			leave, _ := w.rules.enter(slug)
			if leave == nil {
				return nil
			}
			defer leave()
		case w.isLexical(v):
			return w.rich(w.get(w.get(v, "root"), "children"), depth)
		case w.get(v, "relationTo") >= 0 && w.get(v, "value") >= 0:
			return w.reference(v, "relationship", depth)
		case w.isPopulated(v):
			w.count("relationship")
			return w.shown(v, depth)
		}
		return w.fields(v, depth)
	case '[':
		if w.isSlate(v) {
			return w.rich(v, depth)
		}
		w.inside(v, func(_, e int32) bool {
			err = w.value(name, e, taken, depth+1)
			return err == nil
		})
	}
	return err
}

// rich writes the rich text of a field. No path leads into it, so nobody is asked about the blocks in it.
func (w *walker) rich(list int32, depth int) error {
	rules := w.rules
	w.rules = filter{}
	err := w.blocks(list, depth)
	w.rules = rules
	return err
}

// reference writes what a node, or the value of a relation that can lead to several collections, says of a document:
// its own fields, and what is stored of the document itself. As a rule that is only an id.
func (w *walker) reference(v int32, kind string, depth int) error {
	w.count(kind)
	if err := w.fields(w.get(v, "fields"), depth); err != nil {
		return err
	}
	return w.shown(w.get(v, "value"), depth)
}

// isPopulated says whether an object is a whole document that was stored in place of its id. Rows of arrays have an id
// too, and no dates.
func (w *walker) isPopulated(v int32) bool {
	return w.get(v, "id") >= 0 && (w.get(v, "createdAt") >= 0 || w.get(v, "updatedAt") >= 0)
}

// shown writes what a page shows of another document: of a file its alternative text, caption and title, of any other
// the first of its title-like fields that says something.
func (w *walker) shown(v int32, depth int) error {
	if w.of(v, '{') < 0 {
		return nil
	}
	names := titles
	file := w.get(v, "filename") >= 0 || w.get(v, "mimeType") >= 0 || w.get(v, "alt") >= 0
	if file {
		names = []string{"alt", "caption", "title"}
	}
	for _, name := range names {
		member, before := w.get(v, name), len(w.out)
		if member < 0 || w.of(member, '"') >= 0 && w.said(w.text(member)) {
			continue
		}
		if err := w.value(name, member, false, depth+1); err != nil {
			return err
		}
		if !file && len(w.out) > before {
			break
		}
	}
	return nil
}

// said says whether the last block written is that text: the caption that a node gives a file is often the file's own.
func (w *walker) said(text string) bool {
	return len(w.out) > 0 && w.out[len(w.out)-1].Text == strings.TrimSpace(text)
}

// machine matches values that no reader reads: addresses, paths, anchors, ids, colours and times.
var machine = regexp.MustCompile(`^(?:[a-zA-Z][a-zA-Z0-9+.-]*://\S*|(?:mailto|tel|data):\S*|[/#?]\S*|[0-9a-fA-F]{24}|` +
	`[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))$`)

// isTextValue says whether a string without a schema can be text for readers.
func isTextValue(s string) bool {
	const longest = 2048 // what is longer is no address
	return len(s) > longest || !machine.MatchString(s)
}
