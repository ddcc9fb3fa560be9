package payload

import (
	"slices"
	"strconv"
	"strings"
)

// taken are the names in a vector's metadata that are ours.
var taken = []string{"docId", "collection", "locale", "chunk", "title", "hash", "model", "chunks", "updatedAt"}

// meta is a field whose value goes into the metadata, under the path as the user has written it.
type meta struct {
	target
	at  int    // of the column in its part, or -1
	key string // of a list
}

func (c *compiler) compileMetadata(paths []string) error {
	for _, text := range paths {
		if slices.Contains(taken, text) {
			return c.refuse("metadata %q: every vector has that name already, for something else", text)
		}
		t, err := c.target("metadata", text)
		if err != nil {
			return err
		}
		inDocument := t.part.above == nil || t.part.above.above == nil && (t.localized || t.kind == aList)
		switch {
		case t.kind != aColumn && t.kind != aList && t.kind != untold:
			return c.refuse("metadata %q: it is no field with one value, or with a list of texts, numbers or choices", text)
		case !inDocument:
			return c.refuse("metadata %q: it is no field of the document itself", text)
		case t.kind == aColumn && !scalar(t.column):
			return c.refuse("metadata %q: values of type %s are not for metadata", text, t.column.typ)
		case t.kind == aColumn && isSecret(t.column.name), t.kind != aColumn && isSecret(joined(t.names...)):
			return c.refuse("metadata %q: it looks like a secret, and those never leave the database", text)
		}
		if t.kind == aColumn {
			c.need(t.part, t.column.name)
		} else {
			if t.kind == untold {
				c.texts, c.numbers = true, true
			} else {
				c.needList(t)
			}
		}
		c.metas = append(c.metas, meta{target: t, at: -1, key: joined(strings.Split(text, ".")...)})
	}
	return nil
}

// scalar says whether a column's values are text, numbers, true or false, times or ids.
func scalar(col *column) bool {
	switch col.typ {
	case "character varying", "text", "boolean", "uuid", "integer", "bigint", "smallint", "numeric", "real", "double precision":
		return true
	}
	return col.enum || strings.HasPrefix(col.typ, "timestamp") || col.typ == "date"
}

// placeMetas finds where the queries return what the metadata needs.
func (c *collection) placeMetas() {
	for i := range c.metas {
		if m := &c.metas[i]; m.kind == aColumn {
			m.at = slices.IndexFunc(m.part.fields, func(f field) bool { return f.name == m.column.name })
		}
	}
}

// extra returns the metadata of the entry being written. A field without a value is left out.
func (w *writer) extra(root *row) map[string]any {
	if len(w.metas) == 0 {
		return nil
	}
	out := map[string]any{}
	for i := range w.metas {
		m := &w.metas[i]
		if m.kind != aColumn {
			for j := range root.lists {
				if l := &root.lists[j]; l.kind != rels && l.key == m.key && (l.locale == "" || l.locale == w.locale) {
					out[m.text] = l.extra()
				}
			}
			continue
		}
		c := w.cell(root, &spot{at: m.at, localized: m.localized})
		if c != nil && c.set {
			out[m.text] = jsonOf(m.column.typ, c.text)
		}
	}
	return out
}

func (l *list) extra() []any {
	out := make([]any, len(l.values))
	for i, v := range l.values {
		out[i] = v
		if l.kind == numbers {
			out[i] = jsonOf("numeric", v)
		}
	}
	return out
}

// jsonOf is a value as JSON has it.
func jsonOf(typ, text string) any {
	switch typ {
	case "boolean":
		return text == "true" || text == "t"
	case "integer", "bigint", "smallint", "numeric", "real", "double precision":
		if f, err := strconv.ParseFloat(text, 64); err == nil && text != "NaN" && !strings.Contains(text, "nfinity") {
			return f
		}
	}
	return text
}
