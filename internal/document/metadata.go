package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Metadata is what every vector carries, under these names: the old recipe's readers know docId and collection.
type Metadata struct {
	DocID      string `json:"docId"`
	Collection string `json:"collection"`
	Locale     string `json:"locale,omitempty"`
	Chunk      int    `json:"chunk"`
	Title      string `json:"title"`
	Hash       string `json:"hash"`
	Model      string `json:"model"`
	Meta       string `json:"meta,omitempty"`      // hash of Title and Extra, only with Extra
	Chunks     int    `json:"chunks,omitempty"`    // of the entry, on its first chunk only
	UpdatedAt  string `json:"updatedAt,omitempty"` // RFC 3339, on the first chunk only

	// Extra are the fields that the user wants here, beside ours. Read back they are left out: Meta stands for them.
	Extra map[string]any `json:"-"`
}

// ours are the names that no extra field can have, whether they are in use or not.
var ours = []string{"docId", "collection", "locale", "chunk", "title", "hash", "model", "meta", "chunks", "updatedAt"}

// Reserved says whether a name in the metadata is one of ours.
func Reserved(name string) bool { return slices.Contains(ours, name) }

// MarshalJSON writes the extra fields beside ours, which win. <, > and & stay as they are: the metadata of a vector are
// bounded in bytes.
func (m Metadata) MarshalJSON() ([]byte, error) {
	type plain Metadata
	own, err := JSON(plain(m))
	if err != nil || len(m.Extra) == 0 {
		return own, err
	}
	b := own[:len(own)-1]
	for _, name := range slices.Sorted(maps.Keys(m.Extra)) {
		if Reserved(name) {
			continue
		}
		field, err := JSON(map[string]any{name: m.Extra[name]})
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", name, err)
		}
		b = append(append(b, ','), field[1:len(field)-1]...)
	}
	return append(b, '}'), nil
}

// JSON writes a value as Metadata is written.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
