package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"payload-cdc/internal/local"
	"payload-cdc/test/payloadtest"
)

// entryKey names one text in the index.
type entryKey struct{ collection, docID, locale string }

func (k entryKey) String() string { return k.firstID() }

// firstID is the promise to readers of the recipe that cdc replaces: a document can be fetched by its collection and id.
func (k entryKey) firstID() string {
	id := k.collection + "-" + k.docID
	if k.locale != "" {
		id += "@" + k.locale
	}
	return id
}

// metadata is what readers of the index rely on.
type metadata struct {
	DocID      string `json:"docId"`
	Collection string `json:"collection"`
	Locale     string `json:"locale"`
	Chunk      *int   `json:"chunk"`
	Title      string `json:"title"`
	Hash       string `json:"hash"`
	Model      string `json:"model"`
	Chunks     int    `json:"chunks"`
	UpdatedAt  string `json:"updatedAt"`
}

type held struct {
	id   string
	meta metadata
	data string
}

// Compare returns what is wrong with an index, when published is what Payload has published: texts that are missing,
// vectors of nothing that is published, ids and metadata that are not as promised, and text that is not, or no longer,
// the document's.
func Compare(vectors map[string]local.Vector, published []payloadtest.Entry) []string {
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }

	entries := map[entryKey][]held{}
	for _, id := range slices.Sorted(maps.Keys(vectors)) {
		v := vectors[id]
		h := held{id: id}
		if err := json.Unmarshal(v.Metadata, &h.meta); err != nil || h.meta.Chunk == nil {
			complain("extra %s: metadata %s are not ours", id, v.Metadata)
			continue
		}
		if v.Data != nil {
			h.data = *v.Data
		}
		key := entryKey{h.meta.Collection, h.meta.DocID, h.meta.Locale}
		entries[key] = append(entries[key], h)
	}
	for _, e := range published {
		key := entryKey{e.Collection, e.ID, e.Locale}
		chunks := entries[key]
		delete(entries, key)
		if len(chunks) == 0 {
			complain("missing %s: %q", key, e.Title)
			continue
		}
		wrong = append(wrong, compareEntry(key, chunks, e)...)
	}
	for key, chunks := range entries {
		for _, h := range chunks {
			complain("extra %s: %s is not published", h.id, key)
		}
	}
	slices.Sort(wrong)
	return wrong
}

func compareEntry(key entryKey, chunks []held, e payloadtest.Entry) []string {
	var wrong []string
	complain := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("wrong %s: ", key)+fmt.Sprintf(format, args...))
	}
	slices.SortFunc(chunks, func(a, b held) int { return *a.meta.Chunk - *b.meta.Chunk })
	var text strings.Builder
	for i, h := range chunks {
		id := key.firstID()
		if i > 0 {
			id = fmt.Sprintf("%s#%d", id, i)
		}
		switch {
		case h.id != id || *h.meta.Chunk != i:
			complain("chunk %d has id %s and number %d, want %s", i, h.id, *h.meta.Chunk, id)
		case h.meta.Hash == "" || h.meta.Model == "":
			complain("chunk %d has hash %q and model %q", i, h.meta.Hash, h.meta.Model)
		case h.meta.Title != e.Title:
			complain("chunk %d has title %q, want %q", i, h.meta.Title, e.Title)
		case i == 0 && h.meta.Chunks != len(chunks):
			complain("says it has %d chunks and has %d", h.meta.Chunks, len(chunks))
		case i == 0 && (h.meta.UpdatedAt == "") != (e.UpdatedAt == ""):
			complain("has updatedAt %q, the document has %q", h.meta.UpdatedAt, e.UpdatedAt)
		}
		text.WriteString(h.data)
		text.WriteByte('\n')
	}
	got := words(text.String())
	if lost := minus(words(e.Content), got); len(lost) > 0 {
		complain("its text lacks %q", lost)
	}
	all := words(e.Words)
	if len(chunks) > 1 {
		// A table's header, a code block's language and the like are repeated where they are cut.
		for word := range got {
			got[word] = min(got[word], max(all[word], 1))
		}
	}
	if stale := minus(got, all); len(stale) > 0 {
		complain("its text has %q, which the document has not", stale)
	}
	return wrong
}

// words counts the words of a text in lower case. Numbers alone and single letters are none: Markdown adds its own.
func words(text string) map[string]int {
	counts := map[string]int{}
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) }) {
		if len(word) > 1 && strings.IndexFunc(word, unicode.IsLetter) >= 0 {
			counts[word]++
		}
	}
	return counts
}

// minus returns a few of the words that a has more often than b, sorted.
func minus(a, b map[string]int) []string {
	var left []string
	for _, word := range slices.Sorted(maps.Keys(a)) {
		if a[word] > b[word] && len(left) < 10 {
			left = append(left, word)
		}
	}
	return left
}

func lines(all []string) string { return "  " + strings.Join(all, "\n  ") }
