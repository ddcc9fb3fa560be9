package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRandomTreesAgainstPayload has Payload itself convert random trees, sensible and not: every word that it keeps is
// kept, in its order, and none is written twice.
func TestRandomTreesAgainstPayload(t *testing.T) {
	const module = "../../test/payload/node_modules/@payloadcms/richtext-lexical/dist/exports/plaintext/index.js"
	node, err := osexec.LookPath("node")
	if _, statErr := os.Stat(module); err != nil || statErr != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("Payload's converter needs node and `npm ci` in test/payload")
		}
		t.Skip("Payload's converter needs node and `npm ci` in test/payload")
	}
	r := rand.New(rand.NewPCG(3, 90))
	states := make([]map[string]any, 3000)
	for i := range states {
		g := &grower{r: r, wild: i%2 == 1}
		states[i] = map[string]any{"root": map[string]any{"type": "root", "children": g.nodes("root", 0)}}
	}
	input, err := json.Marshal(states)
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.CommandContext(t.Context(), node, "--input-type=module", "-e", `
		import { convertLexicalToPlaintext } from '`+module+`'
		let input = ''
		for await (const part of process.stdin) input += part
		console.log(JSON.stringify(JSON.parse(input).map((data) => convertLexicalToPlaintext({ data }))))`)
	cmd.Stdin = bytes.NewReader(input)
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var theirs []string
	if err := json.Unmarshal(output, &theirs); err != nil {
		t.Fatal(err)
	}
	words := 0
	for i, state := range states {
		src, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		rich, ok, err := ReadRichText(src)
		if !ok || err != nil {
			t.Fatalf("%s: ok %v, err %v", src, ok, err)
		}
		var text strings.Builder
		for _, b := range rich.Blocks {
			text.WriteString(b.Text + "\n")
		}
		want, got := grown.FindAllString(theirs[i], -1), grown.FindAllString(text.String(), -1)
		words += len(want)
		if !within(want, got) {
			t.Fatalf("%s\nPayload: %q\ncdc:     %q", src, theirs[i], text.String())
		}
		slices.Sort(got)
		if n := len(got); len(slices.Compact(got)) != n {
			t.Fatalf("%s\nsays a word twice: %q", src, text.String())
		}
	}
	if words < 10*len(states) {
		t.Errorf("only %d words in %d trees", words, len(states))
	}
}

// grown matches the words of a grower.
var grown = regexp.MustCompile(`w\d+w`)

// grower makes random trees. A wild one puts any node anywhere.
type grower struct {
	r    *rand.Rand
	wild bool
	word int
}

var growsIn = map[string][]string{
	"root":      {"paragraph", "paragraph", "heading", "list", "quote", "table", "horizontalrule", "block", "upload", "relationship", "code", "made-up"},
	"paragraph": {"text", "text", "text", "linebreak", "tab", "link", "autolink", "inlineBlock", "mark", "hashtag"},
	"link":      {"text", "text", "linebreak"},
	"code":      {"code-highlight", "linebreak", "tab"},
	"list":      {"listitem"},
	"listitem":  {"text", "text", "link", "linebreak", "list"},
	"table":     {"tablerow"},
	"tablerow":  {"tablecell"},
	"tablecell": {"paragraph", "list", "heading", "table"},
	"made-up":   {"paragraph", "text", "list"},
}

func (g *grower) nodes(in string, depth int) []any {
	var out []any
	if depth > 6 {
		return out
	}
	for range 1 + g.r.IntN(4) {
		kinds := growsIn[in]
		if g.wild && g.r.IntN(4) == 0 {
			kinds = growsIn[[]string{"root", "paragraph", "list", "table", "tablerow"}[g.r.IntN(5)]]
		}
		out = append(out, g.node(kinds[g.r.IntN(len(kinds))], depth))
	}
	return out
}

func (g *grower) node(kind string, depth int) any {
	n := map[string]any{"type": kind}
	switch kind {
	case "text", "code-highlight", "hashtag":
		g.word++
		n["text"] = fmt.Sprintf("w%dw", g.word)
		if g.r.IntN(2) == 0 {
			n["text"] = " " + n["text"].(string) + " "
		}
	case "tab":
		n["text"] = "\t"
	case "linebreak", "horizontalrule":
	case "heading":
		n["tag"] = fmt.Sprintf("h%d", 1+g.r.IntN(6))
		n["children"] = g.nodes("paragraph", depth+1)
	case "list":
		n["listType"] = []string{"bullet", "number", "check"}[g.r.IntN(3)]
		n["children"] = g.nodes(kind, depth+1)
	case "quote", "autolink", "mark":
		n["children"] = g.nodes("link", depth+1)
	case "block", "inlineBlock":
		n["fields"] = map[string]any{"blockType": "callout", "heading": "a block"}
	case "upload", "relationship":
		n["relationTo"], n["value"] = "media", 1
		if g.wild {
			n["children"] = g.nodes("paragraph", depth+1)
		}
	default:
		n["children"] = g.nodes(kind, depth+1)
	}
	return n
}
