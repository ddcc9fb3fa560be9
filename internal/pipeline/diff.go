package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"payload-cdc/internal/document"
)

// Change is what makes the index hold a document's chunks and nothing else of it.
type Change struct {
	Write  []Write
	Delete []string // ids
}

// Write is one chunk to be written under its id.
type Write struct {
	ID     string
	Chunk  document.Chunk
	Chunks int // of the entry, when this is its first chunk
}

// Diff compares the chunks a document should have with what the index holds for it. The first chunk of an entry
// carries the entry's count and time, so it is written with any other chunk of its entry.
func Diff(key document.Key, want []document.Chunk, held []document.Held) Change {
	var c Change
	there := make(map[string]string, len(held))
	for _, h := range held {
		there[h.ID] = h.Hash
	}
	for start := 0; start < len(want); {
		end := start
		for end < len(want) && want[end].Locale == want[start].Locale {
			end++
		}
		entry := want[start:end]
		changed := holdsBeyond(key, entry, there)
		first := len(c.Write)
		for _, chunk := range entry {
			id := VectorID(key, chunk)
			hash, ok := there[id]
			delete(there, id)
			if ok && same(hash, chunk) {
				continue
			}
			changed = true
			c.Write = append(c.Write, Write{ID: id, Chunk: chunk})
		}
		if changed {
			id := VectorID(key, entry[0])
			if first == len(c.Write) || c.Write[first].ID != id {
				c.Write = append(c.Write, Write{})
				copy(c.Write[first+1:], c.Write[first:])
				c.Write[first] = Write{ID: id, Chunk: entry[0]}
			}
			c.Write[first].Chunks = len(entry)
		}
		start = end
	}
	for _, h := range held {
		if _, left := there[h.ID]; left {
			delete(there, h.ID)
			c.Delete = append(c.Delete, h.ID)
		}
	}
	return c
}

// holdsBeyond says whether the index holds the chunk that would come after the entry's last: it shrank.
func holdsBeyond(key document.Key, entry []document.Chunk, there map[string]string) bool {
	beyond := entry[0]
	beyond.Number = len(entry)
	_, ok := there[VectorID(key, beyond)]
	return ok
}

// hashOf is what the ledger keeps of a chunk: the hash of its text and, after a dot, that of what its metadata say
// beside it. So a change of either is seen, and of the metadata alone needs no new vector.
func hashOf(c document.Chunk) string {
	if c.Meta == "" {
		return c.Hash
	}
	return c.Hash + "." + c.Meta
}

// hashHeld is the same of what an index holds; empty when it does not say.
func hashHeld(m document.Metadata) string {
	if m.Hash == "" {
		return ""
	}
	if m.Meta == "" {
		m.Meta, _ = metaHash(m.Title, nil)
	}
	return m.Hash + "." + m.Meta
}

// textHash is the part of a kept hash that names the text.
func textHash(held string) string {
	text, _, _ := strings.Cut(held, ".")
	return text
}

// same says whether what is held is the chunk. Lines of an older version tell only the text: they count as the same as
// long as there was nothing else that could differ.
func same(held string, c document.Chunk) bool {
	text, meta, whole := strings.Cut(held, ".")
	return text == c.Hash && (meta == c.Meta || !whole && len(c.Extra) == 0)
}

// metaHash is of what the metadata of all chunks of an entry say beside their hash.
func metaHash(title string, extra map[string]any) (string, error) {
	h := sha256.New()
	h.Write([]byte(title))
	if len(extra) > 0 {
		fields, err := document.JSON(extra) // with its keys sorted
		if err != nil {
			return "", fmt.Errorf("extra metadata: %w", err)
		}
		h.Write([]byte{0})
		h.Write(fields)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// VectorID is the id of a chunk: "<collection>-<id>", "@<locale>" for a localized document, "#<n>" for all but the
// first chunk, joined with its namespace. Reserved signs in a custom id are percent-encoded. It is never parsed back.
func VectorID(key document.Key, c document.Chunk) string {
	var b strings.Builder
	b.WriteString(key.Collection)
	b.WriteByte('-')
	b.WriteString(escapeID.Replace(key.ID))
	if c.Locale != "" {
		b.WriteByte('@')
		b.WriteString(escapeID.Replace(c.Locale))
	}
	if c.Number > 0 {
		b.WriteByte('#')
		b.WriteString(strconv.Itoa(c.Number))
	}
	return document.Join(c.Namespace, b.String())
}

var escapeID = strings.NewReplacer("%", "%25", "#", "%23", "@", "%40", "\x1f", "%1F")

// metadata is what a vector carries for its readers.
func metadata(key document.Key, w Write, model string) document.Metadata {
	m := document.Metadata{
		DocID: key.ID, Collection: key.Collection, Locale: w.Chunk.Locale, Chunk: w.Chunk.Number, Title: w.Chunk.Title,
		Hash: w.Chunk.Hash, Model: model, Extra: w.Chunk.Extra,
	}
	if len(m.Extra) > 0 {
		m.Meta = w.Chunk.Meta
	}
	if w.Chunks > 0 {
		m.Chunks = w.Chunks
		if !w.Chunk.UpdatedAt.IsZero() {
			m.UpdatedAt = w.Chunk.UpdatedAt.UTC().Format(time.RFC3339Nano)
		}
	}
	return m
}
