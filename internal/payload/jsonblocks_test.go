package payload

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
)

// layout is a blocks field as a project with blocksAsJSON stores it: relations by id, empty lists kept.
const layout = `[
	{"id":"665f1c2e8a1b2c3d4e5f6a01","blockName":"An editor's label","blockType":"hero","text":"Welcome","heading":"Hello","image":"0191f3c2-7a1b-7c3d-8e4f-5a6b7c8d9e0f","slug":"hello","tone":"info","keywords":["one","two"]},
	{"id":"665f1c2e8a1b2c3d4e5f6a02","blockType":"grid","columns":[
		{"id":"a","note":"left","content":[{"id":"c","blockType":"quote","text":"said","author":7}]},
		{"id":"b","note":"right","content":[],"link":{"label":"More","url":"/more"}}]},
	{"id":"665f1c2e8a1b2c3d4e5f6a03","blockType":"body","content":{"root":{"type":"root","children":[
		{"type":"heading","tag":"h2","children":[{"type":"text","text":"Inside"}]},
		{"type":"block","fields":{"blockType":"hero","heading":"Hero in text"}}]}}}]`

func textsOf(blocks []document.Block) []string {
	var out []string
	for _, b := range blocks {
		out = append(out, b.Text)
	}
	return out
}

func TestJSONBlocks(t *testing.T) {
	rich, ok, err := ReadJSONBlocks([]byte(layout), nil)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	want := []string{"Hello", "Welcome", "one", "two", "left", "said", "right", "More", "Inside", "Hero in text"}
	if diff := cmp.Diff(want, textsOf(rich.Blocks)); diff != "" {
		t.Error(diff)
	}
	if b := rich.Blocks[8]; b.Kind != document.Heading || b.Level != 2 {
		t.Errorf("a heading in a block is %+v", b)
	}
}

func TestBlockFilter(t *testing.T) {
	rule := func(rules map[string]Verdict, rest Verdict) BlockFilter {
		return func(slug string, path []string) Verdict {
			v, ok := rules[strings.Join(append([]string{slug}, path...), ".")]
			if !ok {
				return rest
			}
			return v
		}
	}
	for name, c := range map[string]struct {
		keep BlockFilter
		want []string
	}{
		"without a block":          {rule(map[string]Verdict{"grid": Leave, "body": Leave}, ByDefault), []string{"Hello", "Welcome", "one", "two"}},
		"without a field":          {rule(map[string]Verdict{"hero.heading": Leave, "grid": Leave, "body.content.heading": Leave, "body.content.hero": Leave}, ByDefault), []string{"Welcome", "one", "two", "Inside", "Hero in text"}},
		"without a nested block":   {rule(map[string]Verdict{"hero": Leave, "body": Leave, "grid.columns.content.quote": Leave}, ByDefault), []string{"left", "right", "More"}},
		"only one field":           {rule(map[string]Verdict{"hero": ByDefault, "hero.heading": ByDefault}, Leave), []string{"Hello"}},
		"one that is none by name": {rule(map[string]Verdict{"hero": ByDefault, "hero.slug": Take, "hero.tone": Take}, Leave), []string{"hello", "info"}},
		"one far below":            {rule(map[string]Verdict{"grid": Take, "grid.columns": Take, "grid.columns.link": Take, "grid.columns.link.url": Take}, Leave), []string{"/more"}},
	} {
		rich, ok, err := ReadJSONBlocks([]byte(layout), c.keep)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		got, want := textsOf(rich.Blocks), slices.Clone(c.want)
		slices.Sort(got) // stored order is TestJSONBlocks'
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatIsNoBlocks(t *testing.T) {
	for _, s := range []string{
		``, `[`, `[]`, `{}`, `null`, `["a"]`, `{"blockType":"hero"}`, `[{"text":"a"}]`, `[{"blockType":"hero"},{"a":1}]`,
		`[{"blockType":5}]`, `[{"children":[{"text":"a"}]}]`,
	} {
		if rich, ok, err := ReadJSONBlocks([]byte(s), nil); ok || err != nil || rich.Blocks != nil {
			t.Errorf("%s: %v %v %v", s, rich, ok, err)
		}
	}
}

func TestJSONBlocksBounds(t *testing.T) {
	deep := `[{"blockType":"a","x":` + strings.Repeat(`[`, 500) + `"t"` + strings.Repeat(`]`, 500) + `}]`
	large := `[{"blockType":"a","x":"` + strings.Repeat("x", maxRichText) + `"}]`
	for want, s := range map[error]string{errTooDeep: deep, errTooLarge: large} {
		if _, _, err := ReadJSONBlocks([]byte(s), nil); !errors.Is(err, want) || failure.Of(err).Class != failure.Permanent {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	if _, err := ReadJSONText([]byte(large)); !errors.Is(err, errTooLarge) || failure.Of(err).Class != failure.Permanent {
		t.Errorf("got %v, want %v", err, errTooLarge)
	}
}

func TestJSONText(t *testing.T) {
	for src, want := range map[string][]string{
		`{"q":"Why?","a":["Because","of that"],"deep":{"x":{"y":" spaced "}}}`: {"Why?", "Because", "of that", "spaced"},
		`"only a string"`: {"only a string"},
		`{"url":"https://x.example/a","at":"2026-01-01T00:00:00.000Z","id":"665f1c2e8a1b2c3d4e5f6a02","label":"Go"}`: {"Go"},
		`{"key" : 1, "empty":"", "blank":"  ", "n":5, "t":true, "z":null}`:                                           nil,
		`{`: nil,
		``:  nil,
		strings.Repeat("[", 5000) + `"deep"` + strings.Repeat("]", 5000): {"deep"},
	} {
		got, err := ReadJSONText([]byte(src))
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, textsOf(got)); diff != "" {
			t.Errorf("%.60s (-want +got):\n%s", src, diff)
		}
	}
}
