package payload

import (
	"strings"
	"testing"
	"unicode/utf8"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
)

// bounded fails unless blocks are clean text, at most 64 times as long as what they were read from.
func bounded(t *testing.T, src []byte, blocks []document.Block, err error) {
	t.Helper()
	if err != nil && failure.Of(err).Class != failure.Permanent {
		t.Fatal(err)
	}
	n := 0
	for _, b := range blocks {
		n += len(b.Text)
		if !utf8.ValidString(b.Text) || strings.ContainsRune(b.Text, 0) || strings.TrimSpace(b.Text) == "" {
			t.Fatalf("block %q", b.Text)
		}
		if b.Kind == document.Heading && (b.Level < 1 || b.Level > 6 || strings.Contains(b.Text, "\n")) {
			t.Fatalf("heading %d %q", b.Level, b.Text)
		}
	}
	if n > 64*len(src) {
		t.Fatalf("%d bytes of text from %d bytes", n, len(src))
	}
}

func FuzzLexical(f *testing.F) {
	for _, c := range richCases(f) {
		f.Add([]byte(c.State))
	}
	f.Add([]byte(`[{"type":"h2","children":[{"text":"\u0000\ud800"}]}]`))
	f.Add([]byte(`[{"type":"ol","children":[{"type":"li","children":[{"text":"a\nb"},{"type":"ul","children":[]}]}]},{"type":"blockquote","children":[{"children":[]}]}]`))
	f.Add([]byte(`{"root":{"type":"root","children":[{"type":"upload","value":{"id":1,"alt":"a","filename":"f"},"fields":{"caption":"c"}}]}}`))
	f.Fuzz(func(t *testing.T, src []byte) {
		rich, ok, err := ReadRichText(src)
		bounded(t, src, rich.Blocks, err)
		if !ok && (rich.Blocks != nil || err != nil) {
			t.Fatalf("not rich text, and %v %v", rich, err)
		}
	})
}

func FuzzJSONBlocks(f *testing.F) {
	for _, c := range richCases(f) {
		f.Add([]byte(`[{"blockType":"body","heading":"h","content":` + string(c.State) + `}]`))
	}
	f.Add([]byte(`[{"blockType":"grid","columns":[{"content":[{"blockType":"quote","text":"t","blockName":"n"}],"tags":["a","b"]}],"image":5}]`))
	f.Fuzz(func(t *testing.T, src []byte) {
		all, ok, err := ReadJSONBlocks(src, nil)
		bounded(t, src, all.Blocks, err)
		texts, textErr := ReadJSONText(src)
		bounded(t, src, texts, textErr)
		if !ok || err != nil {
			return
		}
		// A filter that decides nothing changes nothing, and one that leaves out everything is obeyed.
		same, _, err := ReadJSONBlocks(src, func(slug string, path []string) Verdict {
			if slug == "" {
				t.Fatal("asked about no block")
			}
			return ByDefault
		})
		if err != nil || len(same.Blocks) != len(all.Blocks) {
			t.Fatalf("%d blocks, and %d without a filter; %v", len(same.Blocks), len(all.Blocks), err)
		}
		none, _, err := ReadJSONBlocks(src, func(string, []string) Verdict { return Leave })
		if err != nil || len(none.Blocks) > 0 {
			t.Fatalf("left out: %v %v", none.Blocks, err)
		}
	})
}
