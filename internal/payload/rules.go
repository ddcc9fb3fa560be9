package payload

// Rules are what a user decides about one collection. The zero value decides nothing: every field that looks like text
// for readers is embedded, in the order of the fields.
//
// Fields are dotted Payload paths, spelled as in the Payload project: "title", "seoMeta.metaTitle" (a group's or a named
// tab's field), "faqItems" or "faqItems.answer" (an array, whole or one of its fields), "layout" (all of a blocks field),
// "layout.hero" (one kind of block in it, by the block's slug), "layout.hero.heading". A path stands for everything below it.
type Rules struct {
	Include []string // only these are text; also what is none by default. Empty means all that is text by default
	Exclude []string // never text
	Order   []string // first, in this order; the rest follows in its own
	Title   string   // the title; the first title-like field with a value when empty
	FirstOf []string // the text is the first of these that has any, and nothing else. Empty means all fields
	Locales []string // only these; all when empty

	Metadata []string       // copied into the metadata of every vector, under the path itself
	Where    map[string]any // only documents whose fields have these values: string, bool, number, or nil for NULL
	Related  []string       // text of referenced documents: relation.field, "categories.name" or "layout.quoteBlock.mainCategory.name"
}
