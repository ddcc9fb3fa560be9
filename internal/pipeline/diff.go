package pipeline

import (
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
		for i, chunk := range entry {
			id := VectorID(key, chunk.Locale, i)
			hash, ok := there[id]
			delete(there, id)
			if ok && hash == chunk.Hash {
				continue
			}
			changed = true
			c.Write = append(c.Write, Write{ID: id, Chunk: chunk})
		}
		if changed {
			id := VectorID(key, entry[0].Locale, 0)
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
	_, ok := there[VectorID(key, entry[0].Locale, len(entry))]
	return ok
}

// VectorID is the id of a chunk: "<collection>-<id>", "@<locale>" for a localized document, "#<n>" for all but the
// first chunk. Reserved signs in a custom id are percent-encoded. It is never parsed back.
func VectorID(key document.Key, locale string, n int) string {
	var b strings.Builder
	b.WriteString(key.Collection)
	b.WriteByte('-')
	b.WriteString(escapeID.Replace(key.ID))
	if locale != "" {
		b.WriteByte('@')
		b.WriteString(escapeID.Replace(locale))
	}
	if n > 0 {
		b.WriteByte('#')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

var escapeID = strings.NewReplacer("%", "%25", "#", "%23", "@", "%40")

// metadata is what a vector carries for its readers.
func metadata(key document.Key, w Write, model string) document.Metadata {
	m := document.Metadata{
		DocID: key.ID, Collection: key.Collection, Locale: w.Chunk.Locale, Chunk: w.Chunk.Number, Title: w.Chunk.Title,
		Hash: w.Chunk.Hash, Model: model,
	}
	if w.Chunks > 0 {
		m.Chunks = w.Chunks
		if !w.Chunk.UpdatedAt.IsZero() {
			m.UpdatedAt = w.Chunk.UpdatedAt.UTC().Format(time.RFC3339Nano)
		}
	}
	return m
}
