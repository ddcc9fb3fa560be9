package payload

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"payload-cdc/internal/wal"
)

// walkerVersion changes when the same rows would give other text.
const walkerVersion = 1

// Collection is a collection that is indexed, or a global: that is a collection of one document.
type Collection struct {
	Slug            string
	SlugGuessed     bool // the database does not tell; name the collection to be exact
	Schema          string
	Table           string
	IDType          string // as Postgres prints it: integer, uuid, character varying, numeric
	Global          bool
	Drafts          bool // otherwise every document is published
	StatusPerLocale bool // each locale is published by itself
	Trash           bool
	Localized       bool
	// Fields are the columns that are embedded, in order. A jsonb column counts only where its value is rich text.
	Fields []string
}

// Table names a table.
type Table struct{ Schema, Name string }

// Model is what there is to index, as the catalog was when Discover read it. It never changes.
type Model struct {
	schema      string
	collections []*collection // by slug
	bySlug      map[string]*collection
	byOID       map[uint32]*table
	byName      map[string]*table
	keys        []foreignKey // between the schema's tables, by name
}

// collection is a Collection and how it is read.
type collection struct {
	Collection
	root    *table
	locales *table // nil when it has none that matters
	titles  []field
	text    []field // after the titles, in order
	ids     idType
	sql     statements
}

// field is a column that can be text.
type field struct {
	name      string
	localized bool // it is in the locales table
	json      bool
	at        int // position in its table's query
}

// Collections lists what is indexed, by slug.
func (m *Model) Collections() []Collection {
	out := make([]Collection, len(m.collections))
	for i, c := range m.collections {
		out[i] = c.Collection
		out[i].Fields = slices.Clone(c.Fields)
	}
	return out
}

// Tables lists the tables whose changes name documents: the roots of the indexed collections and everything below
// them, never versions.
func (m *Model) Tables() []Table {
	var out []Table
	for _, c := range m.collections {
		out = append(out, m.TablesOf(c.Slug)...)
	}
	slices.SortFunc(out, func(a, b Table) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// TablesOf lists the tables of one collection, its root first. Nil for an unknown slug.
func (m *Model) TablesOf(slug string) []Table {
	c := m.bySlug[slug]
	if c == nil {
		return nil
	}
	var out []Table
	var add func(t *table)
	add = func(t *table) {
		out = append(out, Table{m.schema, t.name})
		for _, child := range t.children {
			add(child)
		}
	}
	add(c.root)
	return out
}

// Fingerprint names all that decides which documents of a collection are published and what their text is: when it
// changes, the collection owes a sweep. Empty for an unknown slug.
func (m *Model) Fingerprint(slug string) string {
	c := m.bySlug[slug]
	if c == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "walker %d, %v %v %v %v\n", walkerVersion, c.Drafts, c.StatusPerLocale, c.Trash, c.Localized)
	for _, list := range [][]field{c.titles, c.text} {
		for _, f := range list {
			fmt.Fprintf(&b, "%q %v %v\n", f.name, f.localized, f.json)
		}
		b.WriteByte('\n')
	}
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:16])
}

// Agrees says whether a relation of the log is as the Model has its table: the same one, of the same name, with the same
// columns. Tables that are not indexed always agree. The log may be older than the Model, so disagreeing is only a
// reason to look.
func (m *Model) Agrees(r *wal.Relation) bool {
	if r.Schema != m.schema {
		return true
	}
	t := m.table(r.OID, r.Table)
	if t == nil || t.collection == nil {
		return true // Marks tells of unknown tables
	}
	if t.oid != r.OID || t.name != r.Table || len(t.columns) != len(r.Columns) {
		return false
	}
	for i := range r.Columns {
		if t.columns[i].name != r.Columns[i].Name {
			return false
		}
	}
	return true
}

// table finds a table by its OID, which survives renaming, or else by its name: after a restore the OID is another.
func (m *Model) table(oid uint32, name string) *table {
	if t := m.byOID[oid]; t != nil {
		return t
	}
	return m.byName[name]
}

// chooseFields decides what is text: title-like columns first, then localized ones, then the rest, in table order.
func (c *collection) chooseFields() {
	upload := c.root.has("filename", "mime_type", "filesize")
	add := func(t *table, localized bool) {
		at := 0
		for _, col := range t.columns {
			json := col.typ == "jsonb"
			if !json && col.typ != "character varying" && col.typ != "text" || col.ref || !isTextName(col.name) {
				continue
			}
			if upload && (strings.HasPrefix(col.name, "sizes_") || col.name == "prefix") {
				continue
			}
			c.text = append(c.text, field{name: col.name, localized: localized, json: json, at: at})
			at++
		}
	}
	if c.locales != nil {
		add(c.locales, true)
		if len(c.text) == 0 && !c.StatusPerLocale {
			c.locales = nil
		}
	}
	c.Localized = c.locales != nil
	add(c.root, false)

	rest := c.text[:0:0]
	for _, f := range c.text {
		if !f.json && titleRank(f.name) >= 0 {
			c.titles = append(c.titles, f)
		} else {
			rest = append(rest, f)
		}
	}
	c.text = rest
	slices.SortStableFunc(c.titles, func(a, b field) int { return titleRank(a.name) - titleRank(b.name) })
	for _, list := range [][]field{c.titles, c.text} {
		for _, f := range list {
			c.Fields = append(c.Fields, f.name)
		}
	}
}

// columns returns the columns that the query of the root or of the locales returns, in its order.
func (c *collection) columns(localized bool) []field {
	var out []field
	for _, list := range [][]field{c.titles, c.text} {
		for _, f := range list {
			if f.localized == localized {
				out = append(out, f)
			}
		}
	}
	slices.SortFunc(out, func(a, b field) int { return a.at - b.at })
	return out
}
