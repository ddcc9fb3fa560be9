package payload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"payload-cdc/internal/wal"
)

// walkerVersion changes when the same rows would give other text.
const walkerVersion = 3

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
	// Fields are what is embedded, in order, as Payload's paths as far as the database has their spelling: columns by their
	// names, "faq_items.answer", "layout.hero.heading". A jsonb column counts only where its value is rich text or blocks.
	Fields []string
	// Skipped are fields that are not embedded and why, "slug: an identifier, …".
	Skipped []string
	// Related are the rules for text of other documents, "author.name": the last of Fields too.
	Related []string
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
	shown       map[*table][]shower
}

// shower is a collection that shows rows of a table, or the rows that the table's are locales of.
type shower struct {
	collection *collection
	shown      *shown
}

// collection is a Collection and how it is read.
type collection struct {
	Collection
	root    *table
	locales *table // right below the root; nil when it has none that matters
	rules   Rules
	sel     *selection // of the rules; nil when they choose nothing
	where   string     // of the rules, as SQL
	codes   []string   // the project's locales, in its order
	parts   []*part    // the root's first, a parent's before its children's
	titles  []*spot    // of the root, best first
	metas   []meta
	ids     idType
	sql     statements

	relations []*relation // of the rules, in their order
	shown     []*shown    // what they lead to
}

// Collections lists what is indexed, by slug.
func (m *Model) Collections() []Collection {
	out := make([]Collection, len(m.collections))
	for i, c := range m.collections {
		out[i] = c.Collection
		out[i].Fields, out[i].Skipped = slices.Clone(c.Fields), slices.Clone(c.Skipped)
		out[i].Related = slices.Clone(c.Related)
	}
	return out
}

// Tables lists the tables whose changes name documents: the roots of the indexed collections and everything below
// them, never versions; and those of the rows that documents show.
func (m *Model) Tables() []Table {
	var out []Table
	for _, c := range m.collections {
		out = append(out, m.TablesOf(c.Slug)...)
	}
	slices.SortFunc(out, func(a, b Table) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(out)
}

// TablesOf lists the tables of one collection, its root first, and those of the rows that its documents show. Nil for an
// unknown slug.
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
	for _, t := range m.ShownBy(slug) {
		if !slices.Contains(out, t) { // a collection can show itself
			out = append(out, t)
		}
	}
	return out
}

// ShownBy lists the tables of the rows that documents of a collection show by Rules.Related.
func (m *Model) ShownBy(slug string) []Table {
	c := m.bySlug[slug]
	if c == nil {
		return nil
	}
	var out []Table
	for _, s := range c.shown {
		for _, t := range s.tables() {
			out = append(out, Table{m.schema, t.name})
		}
	}
	return out
}

// tables are those that what is shown is read of.
func (s *shown) tables() []*table {
	if s.locales == nil {
		return []*table{s.root}
	}
	return []*table{s.root, s.locales}
}

// Fingerprint names all that decides which documents of a collection are published and what their text is: when it
// changes, the collection owes a sweep. Empty for an unknown slug.
func (m *Model) Fingerprint(slug string) string {
	c := m.bySlug[slug]
	if c == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "walker %d, %v %v %v %v %s\n", walkerVersion, c.Drafts, c.StatusPerLocale, c.Trash, c.Localized, c.where)
	for _, p := range c.parts {
		fmt.Fprintf(&b, "%q %d %q %v\n", p.name, p.kind, p.key, p.localized)
		for _, f := range p.fields {
			fmt.Fprintf(&b, "%q %s %v %v\n", f.name, f.typ, f.text, f.whole)
		}
	}
	for _, s := range c.shown {
		fmt.Fprintf(&b, "shows %s %s\n", s.sqlRoot, s.sqlLocales)
	}
	rules, _ := json.Marshal(c.rules) // strings, numbers and maps of them
	b.Write(rules)
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
	if t == nil || t.collection == nil && m.shown[t] == nil {
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
