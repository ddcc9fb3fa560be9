package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"payload-cdc/internal/local"
)

// held is a vector as readers of the index see it.
type held struct {
	id, data   string
	DocID      string `json:"docId"`
	Collection string `json:"collection"`
	Locale     string `json:"locale"`
	Title      string `json:"title"`
	Chunk      *int   `json:"chunk"`
	Chunks     *int   `json:"chunks"`
}

// first is the id of a document's first chunk.
func (d document) first() string {
	if d.locale != "" {
		return d.collection + "-" + d.id + "@" + d.locale
	}
	return d.collection + "-" + d.id
}

// compare returns what is wrong with an index: documents that are missing, vectors of nothing that is published, ids,
// metadata and texts that are not, or no longer, the document's.
func compare(vectors map[string]local.Vector, published []document) []string {
	var wrong []string
	texts := map[string][]held{} // by the first id that their metadata lead to
	for _, id := range slices.Sorted(maps.Keys(vectors)) {
		v := vectors[id]
		h := held{id: id}
		if err := json.Unmarshal(v.Metadata, &h); err != nil || h.Chunk == nil {
			wrong = append(wrong, fmt.Sprintf("%s: its metadata are not ours: %s", id, v.Metadata))
			continue
		}
		if v.Data != nil {
			h.data = *v.Data
		}
		key := document{collection: h.Collection, id: h.DocID, locale: h.Locale}.first()
		texts[key] = append(texts[key], h)
	}
	for _, d := range published {
		chunks := texts[d.first()]
		delete(texts, d.first())
		for _, problem := range d.compare(chunks) {
			wrong = append(wrong, d.first()+": "+problem)
		}
	}
	for key, chunks := range texts {
		for _, h := range chunks {
			wrong = append(wrong, fmt.Sprintf("%s: an orphan, %s is not published", h.id, key))
		}
	}
	slices.Sort(wrong)
	return wrong
}

func (d document) compare(chunks []held) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	// Of rich text only our own words are asked for: how the rest reads is another test's question. The title is in the
	// metadata, and in the text only where there is no other.
	required := union(words(d.description), marks(d.content))
	if len(chunks) == 0 {
		if d.title != "" || len(required) > 0 {
			complain("missing, %q", d.title)
		}
		return wrong
	}
	slices.SortFunc(chunks, func(a, b held) int { return *a.Chunk - *b.Chunk })
	var text strings.Builder
	for i, h := range chunks {
		id := d.first()
		if i > 0 {
			id = fmt.Sprintf("%s#%d", id, i)
		}
		if h.id != id || *h.Chunk != i {
			complain("chunk %d has id %s and number %d, want %s", i, h.id, *h.Chunk, id)
		}
		if h.Title != d.title {
			complain("chunk %d has title %q, want %q", i, h.Title, d.title)
		}
		if i == 0 && (h.Chunks == nil || *h.Chunks != len(chunks)) {
			complain("its first chunk does not say that there are %d", len(chunks))
		}
		if i > 0 && h.Chunks != nil {
			complain("chunk %d says how many there are", i)
		}
		text.WriteString(h.data + "\n")
	}
	got := words(text.String())
	if lost := minus(required, got); len(lost) > 0 {
		complain("its text lacks %q", lost)
	}
	if stale := minus(marks(text.String()), union(required, marks(d.title), marks(d.below))); len(stale) > 0 {
		complain("its text has %q of an older version", stale)
	}
	return wrong
}

var (
	word = regexp.MustCompile(`[\p{L}\p{N}]+`)
	mark = regexp.MustCompile(`\bm\d+x\d+z\b`)
)

func words(text string) map[string]bool { return all(word, strings.ToLower(text)) }

// marks are the words of a text that no other version of any text has.
func marks(text string) map[string]bool { return all(mark, text) }

func all(pattern *regexp.Regexp, text string) map[string]bool {
	set := map[string]bool{}
	for _, found := range pattern.FindAllString(text, -1) {
		set[found] = true
	}
	return set
}

func union(sets ...map[string]bool) map[string]bool {
	sum := map[string]bool{}
	for _, s := range sets {
		maps.Copy(sum, s)
	}
	return sum
}

// minus returns a few of the words of a that b has not.
func minus(a, b map[string]bool) []string {
	var left []string
	for _, one := range slices.Sorted(maps.Keys(a)) {
		if !b[one] && len(left) < 10 {
			left = append(left, one)
		}
	}
	return left
}
