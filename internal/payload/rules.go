package payload

// Rules are what a user decides about one collection. The zero value decides nothing: every field that looks like text
// for readers is embedded, in the order of the fields.
//
// Fields are dotted Payload paths, spelled as in the Payload project: "title", "seoMeta.metaTitle" (a group's or a named
// tab's field), "faqItems" or "faqItems.answer" (an array, whole or one of its fields), "layout" (all of a blocks field),
// "layout.hero" (one kind of block in it, by the block's slug, or by its table's name where dbName hides the slug),
// "layout.hero.heading". A path stands for everything below it that is text by default; one that names a field exactly
// makes it text whatever it is, but never what looks like a secret.
type Rules struct {
	// Include: only these are text. Empty means all that is text by default. The title is the title all the same, unless
	// Exclude names it.
	Include []string
	Exclude []string // never text, nor the title
	Order   []string // first, in this order; the rest follows in its own
	Title   string   // the title, where it says something; else the first title-like field with a value
	FirstOf []string // the text is the first of these that has any, and nothing else but the title. Not with Include
	Locales []string // only these; all when empty. What is of no locale stays

	Metadata []string       // copied into the metadata of every vector, under the path itself; fields without a value are left out
	Where    map[string]any // only documents whose fields have these values: string, bool, number, or nil for NULL
	Related  []string       // text of referenced documents: relation.field, "categories.name" or "layout.quoteBlock.mainCategory.name"

	// Proved says that these rules have been in force, with every name in them found. Some names only rows tell: that the
	// last of those has gone since must not keep anybody from starting.
	Proved bool `json:"-"`
}
