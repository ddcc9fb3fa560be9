package chunk_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"payload-cdc/internal/chunk"
	"payload-cdc/internal/document"
)

// FuzzSplit cuts any text, as any kind of block, and asserts what must always be true.
func FuzzSplit(f *testing.F) {
	for name, text := range hostile(400) {
		f.Add(name, text, uint64(0x123450))
	}
	s := open(f, chunk.Config{Sizes: chunk.Sizes{Max: 64, Target: 50}})
	f.Fuzz(func(t *testing.T, title, text string, kinds uint64) {
		if len(title)+len(text) > 1<<15 {
			t.Skip("long inputs are tested elsewhere")
		}
		if once := chunk.Clean(text); chunk.Clean(once) != once {
			t.Fatalf("cleaning twice: %q became %q", once, chunk.Clean(once))
		}
		e := document.Entry{Title: title}
		for part := range strings.SplitSeq(text, "\n\n") { // a block each
			k := kinds % 8
			kinds = kinds>>3 | kinds<<61
			e.Blocks = append(e.Blocks, document.Block{Kind: document.Kind(k), Level: int(k), Lang: head(title, 20), Text: part})
		}
		check(t, s, 64, e, split(t, s, e))
	})
}

// TestSplitProperties draws documents and asserts the invariants, and that cutting is a function of the entry alone.
func TestSplitProperties(t *testing.T) {
	sizes := []chunk.Sizes{{}, {Max: 64}, {Max: 128, Target: 128, Min: -1}, {Max: 2000, Target: 1000, PrefixMax: 200}}
	limits := []int{512, 64, 128, 2000}
	splitters := make([]*chunk.Splitter, len(sizes))
	for i, cfg := range sizes {
		splitters[i] = open(t, chunk.Config{Sizes: cfg})
	}
	text := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`([A-Z][a-z ]{5,30}[.!?] ?){1,20}`),
		rapid.StringMatching(`([a-z|]{1,10}\n{1,3}){1,20}`),
		rapid.StringOfN(rapid.RuneFrom([]rune("汉字。👩‍🦰🇩\u0301ไ `|-#>\t\n")), 0, 600, -1),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 4000, -1),
	)
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, len(sizes)-1).Draw(t, "size")
		e := document.Entry{Title: rapid.OneOf(rapid.Just("A title"), text).Draw(t, "title")}
		for range rapid.IntRange(0, 12).Draw(t, "blocks") {
			e.Blocks = append(e.Blocks, document.Block{
				Kind:  document.Kind(rapid.IntRange(0, 5).Draw(t, "kind")),
				Level: rapid.IntRange(0, 7).Draw(t, "level"),
				Lang:  rapid.SampledFrom([]string{"", "go", "a b`c\nd"}).Draw(t, "lang"),
				Text:  text.Draw(t, "text"),
			})
		}
		chunks, err := splitters[i].Split(e)
		if err != nil {
			t.Fatal(err)
		}
		check(t, splitters[i], limits[i], e, chunks)
		if again, _ := splitters[i].Split(e); !cmp.Equal(chunks, again) {
			t.Fatal("another result the second time")
		}
	})
}
