package pipeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"payload-cdc/internal/document"
	"payload-cdc/internal/pipeline"
)

func TestDiff(t *testing.T) {
	chunks := func(spec string) (list []document.Chunk) {
		for f := range strings.FieldsSeq(spec) {
			locale, hash, ok := strings.Cut(f, ":")
			if !ok {
				locale, hash = "", f
			}
			n := 0
			if len(list) > 0 && list[len(list)-1].Locale == locale {
				n = list[len(list)-1].Number + 1
			}
			list = append(list, document.Chunk{Locale: locale, Number: n, Hash: hash})
		}
		return list
	}
	held := func(spec string) (list []document.Held) {
		for f := range strings.FieldsSeq(spec) {
			id, hash, _ := strings.Cut(f, "=")
			list = append(list, document.Held{ID: id, Hash: hash})
		}
		return list
	}
	for _, c := range []struct{ name, want, held, write, gone string }{
		{"nothing", "", "", "", ""},
		{"enters", "A B", "", "a-1(2) a-1#1", ""},
		{"as it was", "A B", "a-1=A a-1#1=B", "", ""},
		{"leaves", "", "a-1=A a-1#1=B", "", "a-1 a-1#1"},
		{"first changes", "X B", "a-1=A a-1#1=B", "a-1(2)", ""},
		{"later changes, and the first tells the time", "A X", "a-1=A a-1#1=B", "a-1(2) a-1#1", ""},
		{"grows", "A B C", "a-1=A a-1#1=B", "a-1(3) a-1#2", ""},
		{"shrinks, and the first tells the count", "A", "a-1=A a-1#1=B a-1#2=C", "a-1(1)", "a-1#1 a-1#2"},
		{"unknown content", "A", "a-1=", "a-1(1)", ""},
		{"locales", "en:A en:B de:C", "a-1@en=A a-1@en#1=B a-1@de=C", "", ""},
		{"one locale changes", "en:A en:B de:X", "a-1@en=A a-1@en#1=B a-1@de=C", "a-1@de(1)", ""},
		{"a locale leaves", "en:A", "a-1@en=A a-1@de=C a-1@de#1=D", "", "a-1@de a-1@de#1"},
		{"becomes localized", "en:A", "a-1=A", "a-1@en(1)", "a-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := pipeline.Diff(document.Key{Collection: "a", ID: "1"}, chunks(c.want), held(c.held))
			var write []string
			for _, w := range change.Write {
				id := w.ID
				if w.Chunks > 0 {
					id = fmt.Sprintf("%s(%d)", id, w.Chunks)
				}
				write = append(write, id)
			}
			if got := strings.Join(write, " "); got != c.write {
				t.Errorf("writes %q, want %q", got, c.write)
			}
			if got := strings.Join(change.Delete, " "); got != c.gone {
				t.Errorf("deletes %q, want %q", got, c.gone)
			}
		})
	}
}

// TestDiffMakesEqual: whatever is held, applying the change leaves exactly what is wanted.
func TestDiffMakesEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := document.Key{Collection: "a", ID: rapid.StringMatching(`[a-z@#%0-9]{1,4}`).Draw(t, "id")}
		want, index := map[string]string{}, map[string]string{}
		var chunks []document.Chunk
		for _, locale := range []string{"", "en", "de"}[rapid.IntRange(0, 1).Draw(t, "localized"):] {
			for n := range rapid.IntRange(0, 4).Draw(t, "chunks") {
				c := document.Chunk{Locale: locale, Number: n, Hash: rapid.SampledFrom([]string{"A", "B"}).Draw(t, "hash")}
				chunks = append(chunks, c)
				want[pipeline.VectorID(k, c)] = c.Hash
			}
		}
		var held []document.Held
		for _, locale := range []string{"", "en", "fr"} {
			for n := range rapid.IntRange(0, 4).Draw(t, "held") {
				h := document.Held{ID: pipeline.VectorID(k, document.Chunk{Locale: locale, Number: n}), Hash: rapid.SampledFrom([]string{"A", "B", ""}).Draw(t, "hash")}
				held = append(held, h)
				index[h.ID] = h.Hash
			}
		}
		change := pipeline.Diff(k, chunks, held)
		for _, w := range change.Write {
			index[w.ID] = w.Chunk.Hash
		}
		for _, id := range change.Delete {
			delete(index, id)
		}
		if fmt.Sprint(index) != fmt.Sprint(want) {
			t.Fatalf("index holds %v, want %v", index, want)
		}
	})
}

// TestVectorIDs are the old recipe's for a first chunk, and never another document's by accident of a reserved sign.
func TestVectorIDs(t *testing.T) {
	for _, c := range []struct {
		id, locale string
		n          int
		want       string
	}{
		{"42", "", 0, "posts-42"},
		{"42", "", 3, "posts-42#3"},
		{"42", "de", 0, "posts-42@de"},
		{"42", "de", 1, "posts-42@de#1"},
		{"a#1", "", 0, "posts-a%231"},
		{"a@de", "", 0, "posts-a%40de"},
		{"a%23", "", 0, "posts-a%2523"},
		{"a\x1fb", "", 0, "posts-a%1Fb"},
	} {
		if got := pipeline.VectorID(document.Key{Collection: "posts", ID: c.id}, document.Chunk{Locale: c.locale, Number: c.n}); got != c.want {
			t.Errorf("VectorID(%q, %q, %d) = %q, want %q", c.id, c.locale, c.n, got, c.want)
		}
	}
	var seen []string
	for _, id := range []string{"1", "1#1", "1@de", "1%23", "1%2523"} {
		for _, locale := range []string{"", "de"} {
			for n := range 2 {
				seen = append(seen, pipeline.VectorID(document.Key{Collection: "p", ID: id}, document.Chunk{Locale: locale, Number: n}))
			}
		}
	}
	slices.Sort(seen)
	if n := len(slices.Compact(seen)); n != 20 {
		t.Errorf("20 chunks share %d ids", n)
	}
}
