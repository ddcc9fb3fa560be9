package payload

import (
	"regexp"
	"slices"
	"strings"

	"payload-cdc/internal/document"
)

// fields writes the text of a block inside rich text: title-like fields first, then the rest as stored (jsonb's order is
// fixed). There is no schema for it, so names and values decide: see isTextName and isTextValue.
func (w *walker) fields(object int32, depth int) (err error) {
	if w.of(object, '{') < 0 {
		return nil
	}
	if depth > maxDepth {
		return errTooDeep
	}
	if code := w.of(w.get(object, "code"), '"'); code >= 0 && w.string(object, "blockType") == "Code" {
		w.line = append(w.line, w.text(code)...)
		w.flush(document.Block{Kind: document.Code, Lang: w.string(object, "language")})
		return nil
	}
	for _, titled := range []bool{true, false} {
		w.inside(object, func(k, v int32) bool {
			name := w.text(k)
			if slices.Contains(titles, name) == titled {
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

// field writes the text of one field.
func (w *walker) field(name string, v int32, depth int) (err error) {
	if depth > maxDepth {
		return errTooDeep
	}
	if name == "blockName" || name == "blockType" || strings.HasPrefix(name, "_") || !isTextName(toSnakeCase(name)) {
		return nil
	}
	switch w.kind(v) {
	case '"':
		text := w.text(v)
		if isTextValue(text) && (!choices[strings.ToLower(name)] || strings.ContainsAny(text, " \n")) {
			w.line = append(w.line, text...)
			w.flush(document.Block{Kind: document.Prose})
		}
	case '{':
		switch {
		case w.isLexical(v):
			return w.blocks(w.get(w.get(v, "root"), "children"), depth)
		case w.get(v, "relationTo") >= 0 && w.get(v, "value") >= 0:
			w.count("relationship")
		default:
			return w.fields(v, depth)
		}
	case '[':
		if w.isSlate(v) {
			return w.blocks(v, depth)
		}
		w.inside(v, func(_, e int32) bool {
			err = w.field(name, e, depth+1)
			return err == nil
		})
	}
	return err
}

// machine matches values that no reader reads: addresses, paths, anchors, ids, colours and times.
var machine = regexp.MustCompile(`^(?:[a-zA-Z][a-zA-Z0-9+.-]*://\S*|(?:mailto|tel|data):\S*|[/#?]\S*|[0-9a-fA-F]{24}|` +
	`[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:?\d\d))$`)

// isTextValue says whether a string without a schema can be text for readers.
func isTextValue(s string) bool {
	const longest = 2048 // what is longer is no address
	return len(s) > longest || !machine.MatchString(s)
}
