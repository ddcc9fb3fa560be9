package payload

import (
	"regexp"
	"slices"
	"strings"
)

// part is a table of a document's tree as it is read: its columns, and its place in Payload's own terms.
type part struct {
	*table
	n     int     // its place among the collection's parts
	above *part   // nil for the root
	below []*part // arrays first, by name; then locales and selects

	// key is the field's name in snake case, the block's for a block. Empty for locales, texts and numbers, whose rows
	// belong to their parent.
	key     string
	derived bool // the key is the rest of the table's; dbName makes another, which is not the field's
	// localized says that rows have a locale of their own.
	localized bool
	// place is the path of names from the root; nil where only rows tell it, because a block is around.
	place  []element
	static bool

	fields []field // what its query returns
	spots  []spot  // of its fields and its locales' that can be text, in the order of reading
	sql    string
}

// field is a column that is read.
type field struct {
	*column
	text  bool // by default, as far as its name and type tell
	json  bool
	whole bool // JSON that is text whatever it holds, because a rule names it
}

// spot is a field of a row, or of the row of its locale.
type spot struct {
	*field
	at        int // of the field in its part
	localized bool
	rank      int // of a title-like field, best first; -1 for others
}

// arrays are the parts below p that are arrays, by name.
func (p *part) arrays() []*part {
	n := 0
	for n < len(p.below) && p.below[n].kind == array {
		n++
	}
	return p.below[:n]
}

// locales is the part that holds p's localized columns; nil when there is none.
func (p *part) locales() *part {
	for _, b := range p.below {
		if b.kind == locales {
			return b
		}
	}
	return nil
}

var numbered = regexp.MustCompile(`_\d+$`)

// newParts lays out the parts of a collection: all tables that can hold text or lead to such. Blocks hang below the
// root, wherever rows of them stand.
func newParts(root *table) []*part {
	var parts []*part
	var add func(t *table, above *part) *part
	add = func(t *table, above *part) *part {
		p := &part{table: t, above: above, localized: t.has("_locale") || t.kind >= texts && t.has("locale")}
		switch {
		case above == nil:
			p.static = true
		case t.kind == block:
			p.key, p.derived = strings.CutPrefix(t.name, root.name+"_blocks_")
		case t.kind == array || t.kind == selects:
			p.key, p.derived = strings.CutPrefix(t.name, above.name+"_")
			p.static = above.static
		default:
			p.static = above.static
		}
		p.key = plain(p.key)
		if p.static {
			p.place = above.placeOf(p)
		}
		parts = append(parts, p)
		for _, child := range t.children {
			switch child.kind {
			case array, selects, locales, block, texts, numbers, rels:
				p.below = append(p.below, add(child, p))
			}
		}
		slices.SortStableFunc(p.below, func(a, b *part) int {
			if d := order(a.kind) - order(b.kind); d != 0 {
				return d
			}
			return strings.Compare(a.key, b.key)
		})
		return p
	}
	add(root, nil)
	// Blocks of one slug that differ have tables hero, hero_2, hero_3.
	for _, p := range parts {
		if base := numbered.ReplaceAllString(p.key, ""); p.kind == block && p.derived && base != p.key &&
			slices.ContainsFunc(parts, func(o *part) bool { return o.kind == block && o.derived && o.key == base }) {
			p.key = base
		}
	}
	return parts
}

func order(k kind) int {
	switch k {
	case array:
		return 0
	case locales:
		return 1
	}
	return 2
}

// placeOf is the place of a part right below p.
func (p *part) placeOf(below *part) []element {
	if p == nil {
		return nil
	}
	if below.kind == array || below.kind == selects {
		return append(slices.Clip(p.place), element{name: below.key})
	}
	return p.place
}

// chooseFields decides which columns are text by default: by type and name.
func (p *part) chooseFields(upload bool) {
	for i := range p.columns {
		col := &p.columns[i]
		f := field{column: col, json: col.typ == "jsonb"}
		f.text = whyNot(p, col, upload) == ""
		if f.text || p.kind == texts && col.name == "text" || p.kind == numbers && col.name == "number" || p.kind == selects && col.name == "value" {
			p.fields = append(p.fields, f)
		}
	}
}

// whyNot says why a column is not text by default; empty when it is.
func whyNot(p *part, col *column, upload bool) string {
	isText := col.typ == "character varying" || col.typ == "text"
	switch {
	case col.ref, structural[col.name] && (col.typ != "jsonb"), p.kind == texts || p.kind == numbers || p.kind == selects:
		return "structure"
	case isSecret(col.name):
		return "looks like a secret"
	case col.enum:
		return "a choice"
	case !isText && col.typ != "jsonb":
		return "no text"
	case !isTextName(col.name):
		return "an identifier, an address or internal, by its name"
	case upload && (strings.HasPrefix(col.name, "sizes_") || col.name == "prefix"):
		return "of the file"
	case p.kind != root && p.static && p.secretPlace():
		return "below a field that looks like a secret"
	}
	return ""
}

// secretPlace says whether an array that p is, or is in, has a secret-looking name.
func (p *part) secretPlace() bool {
	for ; p != nil; p = p.above {
		if p.kind == array && isSecret(p.key) {
			return true
		}
	}
	return false
}

// structural are columns that Payload makes for itself.
var structural = set("id _uuid _order _parent_id parent_id _path path _locale locale order block_name created_at updated_at deleted_at _status")

// lay orders the fields of a row that can be text: title-like ones first, then the rest in table order. The root's
// localized columns come before its own.
func (p *part) lay() {
	p.spots = nil
	add := func(from *part, localized bool) {
		for i := range from.fields {
			f := &from.fields[i]
			s := spot{field: f, at: i, localized: localized, rank: -1}
			if f.text && !f.json {
				s.rank = titleRank(f.name)
			}
			p.spots = append(p.spots, s)
		}
	}
	l := p.locales()
	if l != nil && p.kind == root {
		add(l, true)
	}
	add(p, false)
	if l != nil && p.kind != root {
		add(l, true)
	}
	slices.SortStableFunc(p.spots, func(a, b spot) int {
		switch {
		case a.rank >= 0 && b.rank >= 0:
			return a.rank - b.rank
		case a.rank >= 0:
			return -1
		case b.rank >= 0:
			return 1
		}
		return 0
	})
}
