package payload

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
)

type richCase struct {
	Name      string          `json:"name"`
	State     json.RawMessage `json:"state"`
	Plaintext string          `json:"plaintext"`
}

func richCases(t testing.TB) []richCase {
	t.Helper()
	src, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []richCase
	if err := json.Unmarshal(src, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// differs lists where we join words otherwise than convertLexicalToPlaintext, knowingly.
var differs = map[string]string{
	"quote":      "Payload puts nothing before a quote: \"beforeQuoted text\"",
	"two-quotes": "Payload puts nothing between quotes: \"AB\"",
	"long-mixed": "Payload puts nothing between a list and a quote: \"yq\"",
}

// TestKeepsWhatPayloadKeeps: every word that Payload's own converter to plain text keeps, in its order.
func TestKeepsWhatPayloadKeeps(t *testing.T) {
	for _, c := range richCases(t) {
		rich, ok, err := ReadRichText(c.State)
		if err != nil || (!ok && c.Plaintext != "") {
			t.Errorf("%s: ok %v, err %v", c.Name, ok, err)
			continue
		}
		var ours strings.Builder
		for _, b := range rich.Blocks {
			ours.WriteString(b.Text + "\n")
		}
		if _, quirk := differs[c.Name]; quirk {
			if !within([]rune(strip(c.Plaintext)), []rune(strip(ours.String()))) {
				t.Errorf("%s: letters of %q are missing from %q", c.Name, c.Plaintext, ours.String())
			}
			continue
		}
		if !within(strings.Fields(c.Plaintext), strings.Fields(ours.String())) {
			t.Errorf("%s: words of %q are missing from %q", c.Name, c.Plaintext, ours.String())
		}
	}
}

func strip(s string) string { return strings.Join(strings.Fields(s), "") }

// within says whether want is a subsequence of got.
func within[T comparable](want, got []T) bool {
	for _, w := range want {
		i := slices.Index(got, w)
		if i < 0 {
			return false
		}
		got = got[i+1:]
	}
	return true
}

func TestRichTextBlocks(t *testing.T) {
	byName := map[string]json.RawMessage{}
	for _, c := range richCases(t) {
		byName[c.Name] = c.State
	}
	prose := func(s string) document.Block { return document.Block{Text: s} }
	item := func(s string) document.Block { return document.Block{Kind: document.Item, Text: s} }
	for name, want := range map[string][]document.Block{
		"heading-h3":                   {{Kind: document.Heading, Level: 3, Text: "Heading 3"}, prose("after")},
		"heading-linebreak":            {{Kind: document.Heading, Level: 2, Text: "A B"}},
		"list-nested":                  {item("- one"), item("    - one.a"), item("    - one.b"), item("- two")},
		"list-nested-number-in-bullet": {item("- one"), item("    1. n1"), item("        - [x] deep")},
		"list-number-start5":           {item("5. five"), item("6. six")},
		"list-check":                   {item("- [ ] todo"), item("- [x] done")},
		"list-item-linebreak":          {item("- a\n  b")},
		"quote":                        {prose("before"), {Kind: document.Quote, Text: "Quoted text"}, prose("after")},
		"code-block":                   {prose("a"), {Kind: document.Code, Lang: "ts", Text: "const x = 1\nconsole.log(x)"}, prose("b")},
		"block-callout":                {prose("a"), prose("Callout head"), prose("callout body"), prose("p1"), prose("b")},
		"block-only":                   {prose("Only")},
		"inline-block":                 {prose("hi ann bye")},
		"table":                        {prose("a"), {Kind: document.Table, Text: "| H1 | H2 |\n| --- | --- |\n| a1 | a2 |"}, prose("b")},
		"table-multi-paragraph-cell":   {{Kind: document.Table, Text: "| a b | c |\n| --- | --- |"}},
		"format-adjacent":              {prose("abc")},
		"unknown-node":                 {prose("a"), prose("b")},
		"whitespace-only":              nil,
		"hr-only":                      nil,
		"upload-only":                  nil,
	} {
		rich, ok, err := ReadRichText(byName[name])
		if err != nil || !ok {
			t.Errorf("%s: ok %v, err %v", name, ok, err)
		}
		if diff := cmp.Diff(want, rich.Blocks); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRichTextCountsWhatItDoesNotSay(t *testing.T) {
	rich, _, err := ReadRichText([]byte(`{"root":{"type":"root","children":[
		{"type":"upload","relationTo":"media","value":1,"fields":{"caption":"A caption"}},
		{"type":"relationship","relationTo":"posts","value":1},
		{"type":"made-up","children":[{"type":"text","text":"inside"}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"upload": 1, "relationship": 1, "made-up": 1}, rich.Other); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]document.Block{{Text: "A caption"}, {Text: "inside"}}, rich.Blocks); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownNodesInText(t *testing.T) {
	rich, _, err := ReadRichText([]byte(`{"root":{"type":"root","children":[{"type":"paragraph","children":[
		{"type":"text","text":"see "},{"type":"hashtag","text":"#go"},{"type":"text","text":" and "},{"type":"mark","children":[{"type":"text","text":"this"}]},
		{"type":"text","text":"."}]},{"type":"hashtag","text":"#alone"},{"type":"columns","children":[{"type":"column","children":[{"type":"paragraph","children":[{"type":"text","text":"left"}]}]}]}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]document.Block{{Text: "see #go and this."}, {Text: "#alone"}, {Text: "left"}}, rich.Blocks); diff != "" {
		t.Error(diff)
	}
}

func TestSlate(t *testing.T) {
	rich, ok, err := ReadRichText([]byte(`[{"type":"h2","children":[{"text":"Head"}]},{"children":[{"text":"a "},{"text":"b","bold":true},
		{"type":"link","url":"https://x","children":[{"text":" c"}]}]},{"type":"ol","children":[{"type":"li","children":[{"text":"one"}]},
		{"type":"li","children":[{"children":[{"text":"two"}]},{"type":"ul","children":[{"type":"li","children":[{"text":"deep"}]}]}]}]},
		{"type":"blockquote","children":[{"text":"q"}]},{"type":"indent","children":[{"children":[{"text":"in"}]}]},
		{"type":"upload","relationTo":"media","value":{"id":"1"},"fields":{},"children":[{"text":""}]}]`))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	want := []document.Block{
		{Kind: document.Heading, Level: 2, Text: "Head"},
		{Text: "a b c"},
		{Kind: document.Item, Text: "1. one"},
		{Kind: document.Item, Text: "2. two"},
		{Kind: document.Item, Text: "    - deep"},
		{Kind: document.Quote, Text: "q"},
		{Text: "in"},
	}
	if diff := cmp.Diff(want, rich.Blocks); diff != "" {
		t.Error(diff)
	}
}

func TestPlainJSONIsNotText(t *testing.T) {
	for _, s := range []string{
		`{}`, `[]`, `null`, `1`, `"text"`, `{"root":{"x":"not lexical"}}`, `{"a":1,"text":"json text"}`, `["a","b"]`,
		`[{"blockType":"hero","text":"x","children":[]}]`, `[{"children":[{"text":"x"}]},{"a":1}]`, `{"root":null}`, ``, `{`,
	} {
		if rich, ok, err := ReadRichText([]byte(s)); ok || err != nil {
			t.Errorf("%s: %v %v %v", s, rich, ok, err)
		}
	}
}

func TestRichTextBounds(t *testing.T) {
	deep := `{"root":{"type":"root","children":` + strings.Repeat(`[{"type":"x","children":`, 1000) + `[]` + strings.Repeat(`}]`, 1000) + `}}`
	large := `{"root":{"type":"root","children":[{"type":"text","text":"` + strings.Repeat("x", maxRichText) + `"}]}}`
	for want, s := range map[error]string{errTooDeep: deep, errTooLarge: large} {
		_, _, err := ReadRichText([]byte(s))
		if !errors.Is(err, want) || failure.Of(err).Class != failure.Permanent {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func FuzzLexical(f *testing.F) {
	for _, c := range richCases(f) {
		f.Add([]byte(c.State))
	}
	f.Add([]byte(`[{"type":"h2","children":[{"text":"\u0000\ud800"}]}]`))
	f.Fuzz(func(t *testing.T, src []byte) {
		rich, _, err := ReadRichText(src)
		if err != nil && failure.Of(err).Class != failure.Permanent {
			t.Fatal(err)
		}
		n := 0
		for _, b := range rich.Blocks {
			n += len(b.Text)
			if !utf8.ValidString(b.Text) || strings.ContainsRune(b.Text, 0) || strings.TrimSpace(b.Text) == "" {
				t.Fatalf("block %q", b.Text)
			}
		}
		if n > 64*len(src)+64 {
			t.Fatalf("%d bytes of text from %d bytes", n, len(src))
		}
	})
}
