// Package document is the vocabulary of what is indexed: the key that names a document, the document as it can be
// read now, the chunks it should have, and the vectors that an index holds for it. Only values, no behaviour that
// could fail.
package document

import (
	"strings"
	"time"
)

// Key names a document, or, as a hint, a row below one, or a row elsewhere that documents show.
type Key struct {
	Collection string // slug
	ID         string // the document's id as text; for a hint the id of a row
	// Via is, for a hint, the table that ID is a row of: the child table, or after an asterisk ("*categories") the table
	// of a row that documents of Collection may show. Empty for a document.
	Via string
}

// Hint says whether the key names only a row whose document, or whose documents, have to be looked up.
func (k Key) Hint() bool { return k.Via != "" }

// Shown says whether the key names a row that has changed and that any number of documents of Collection may show.
func (k Key) Shown() bool { return strings.HasPrefix(k.Via, "*") }

// String is for logs and people: "posts/42", or for a hint "posts_blocks_hero:65f… in posts", "categories:5 shown in posts".
func (k Key) String() string {
	switch {
	case k.Shown():
		return k.Via[1:] + ":" + k.ID + " shown in " + k.Collection
	case k.Hint():
		return k.Via + ":" + k.ID + " in " + k.Collection
	}
	return k.Collection + "/" + k.ID
}

// Document is a document as its source has it now. An unpublished or deleted one simply has no entries.
type Document struct {
	Key     Key
	Entries []Entry
}

// Entry is one published text of a document: the only one, or one per locale.
type Entry struct {
	Locale    string // empty for a document that is not localized
	Title     string
	UpdatedAt time.Time // zero when the table keeps none
	Blocks    []Block
	// Extra are the fields that the user wants in every vector's metadata, by the name they have there. Values are what
	// JSON has: string, float64, bool, nil, []any, map[string]any. Nil when there are none.
	Extra map[string]any
}

// Kind says how a Block may be cut and joined.
type Kind uint8

// The kinds of block. Tables, code and list items are cut between lines, prose between sentences.
const (
	Prose   Kind = iota
	Heading      // Level 1 to 6; starts a section
	Item         // one list item, its marker and indent included in the text
	Code         // Text is the code alone; Lang its language
	Table        // Text is Markdown rows, header and rule first
	Quote
)

// Block is a run of text that belongs together, in reading order.
type Block struct {
	Kind  Kind
	Level int    // of a Heading
	Lang  string // of Code
	Text  string // valid UTF-8, Markdown-like
}

// Chunk is a piece of an entry, as it is embedded.
type Chunk struct {
	Locale    string
	Number    int    // position in its entry, from 0
	Title     string // of the entry
	UpdatedAt time.Time
	Text      string         // what is embedded: "title > headings" and the piece
	Data      string         // the piece alone, what a reader is shown
	Hash      string         // of Text and of all that decides the vector (model, dimensions, chunker)
	Tokens    int            // of Text, in the model's own tokens
	Namespace string         // of the index, where its collection's vectors are; empty is the index's default
	Extra     map[string]any // of the entry
	Meta      string         // hash of what the vector's metadata say beside Hash: Title and Extra. Empty when not known yet
}

// Vector is one entry of the index as it is written.
type Vector struct {
	ID       string // with its namespace, see Join
	Values   []float32
	Metadata Metadata
	Data     string
}

// Stored is what an index says it holds under an id, without its values. The old recipe's vectors have no Hash.
type Stored struct {
	ID       string
	Metadata Metadata
}

// Kept is a vector's values as an index gives them back, and what they were made of.
type Kept struct {
	Values []float32
	Hash   string // of the text
	Model  string
}

// Held is a line of the ledger: a vector the index may hold for a document.
type Held struct {
	ID    string    // with its namespace, see Join
	Hash  string    // of the text and metadata last known to be written there; empty when unknown
	Doubt time.Time // a write whose outcome is unknown can still arrive until then; zero when there is none
}
