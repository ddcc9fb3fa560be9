package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

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

// TestSaysWhatPayloadSays compares every case with Payload's own converter to plain text: the same words in the same
// order, but for the cases that docs/rich-text.md lists with both outputs. Even there no letter is lost.
func TestSaysWhatPayloadSays(t *testing.T) {
	listed := differing(t)
	for _, c := range richCases(t) {
		rich, ok, err := ReadRichText(c.State)
		if err != nil || (!ok && c.Plaintext != "") {
			t.Errorf("%s: ok %v, err %v", c.Name, ok, err)
			continue
		}
		ours := plain(rich.Blocks)
		if !within([]rune(strip(c.Plaintext)), []rune(strip(ours))) {
			t.Errorf("%s: letters of %q are missing from %q", c.Name, c.Plaintext, ours)
		}
		same := slices.Equal(strings.Fields(c.Plaintext), strings.Fields(ours))
		row, is := listed[c.Name]
		delete(listed, c.Name)
		switch want := fmt.Sprintf("| %s | %s | %s |", c.Name, quotedCell(c.Plaintext), quotedCell(ours)); {
		case same && is:
			t.Errorf("%s: listed in docs/rich-text.md, and Payload says the same: %q", c.Name, ours)
		case !same && !is:
			t.Errorf("%s: not listed in docs/rich-text.md: %s", c.Name, want)
		case is && !strings.HasPrefix(row, want):
			t.Errorf("%s: docs/rich-text.md has\n%s\nwhere it is\n%s", c.Name, row, want)
		}
	}
	for name := range listed {
		t.Errorf("docs/rich-text.md lists %s, which is no case", name)
	}
}

// differing reads the rows of the table in docs/rich-text.md, by case.
func differing(t *testing.T) map[string]string {
	t.Helper()
	src, err := os.ReadFile("../../docs/rich-text.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(src), "| case | Payload | cdc | why |\n| --- | --- | --- | --- |\n")
	if !found {
		t.Fatal("docs/rich-text.md has no table of cases")
	}
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| ") {
			break
		}
		name, _, _ := strings.Cut(line[2:], " |")
		rows[name] = strings.TrimSpace(line)
	}
	return rows
}

// quotedCell is a text as a cell of the table has it.
func quotedCell(s string) string {
	return "`" + strings.ReplaceAll(strconv.Quote(s), "|", `\|`) + "`"
}

var marker = regexp.MustCompile(`^ *(- \[[ x]\] |- |\d+\. )?`)

// plain writes blocks without our Markdown, as Payload's converter would: no markers, no rule under a table's header.
func plain(blocks []document.Block) string {
	var out []string
	for _, b := range blocks {
		switch b.Kind {
		case document.Item:
			out = append(out, marker.ReplaceAllString(b.Text, ""))
		case document.Table:
			for i, row := range strings.Split(b.Text, "\n") {
				if i != 1 {
					out = append(out, strings.TrimSuffix(strings.TrimPrefix(row, "| "), " |"))
				}
			}
		default:
			out = append(out, b.Text)
		}
	}
	return strings.Join(out, "\n")
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

// blocksOf reads rich text that has to be some.
func blocksOf(t *testing.T, src string) []document.Block {
	t.Helper()
	rich, ok, err := ReadRichText([]byte(src))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return rich.Blocks
}

func lexical(children string) string {
	return `{"root":{"type":"root","children":[` + children + `]}}`
}

func TestReferences(t *testing.T) {
	const media = `"id":1,"alt":"A red fox","caption":"Seen in May","title":"Fox","filename":"fox.jpg","mimeType":"image/jpeg","url":"/media/fox.jpg","createdAt":"2026-01-01T00:00:00.000Z"`
	for name, c := range map[string]struct {
		src  string
		want []string
	}{
		"the node's own fields":        {`{"type":"upload","relationTo":"media","value":1,"fields":{"alt":"Own alt","caption":"Own caption"}}`, []string{"Own alt", "Own caption"}},
		"a caption that is rich text":  {`{"type":"upload","relationTo":"media","value":1,"fields":{"caption":` + lexical(`{"type":"paragraph","children":[{"type":"text","text":"Rich"}]}`) + `}}`, []string{"Rich"}},
		"a stored file":                {`{"type":"upload","relationTo":"media","value":{` + media + `}}`, []string{"A red fox", "Seen in May", "Fox"}},
		"the same text twice":          {`{"type":"upload","relationTo":"media","value":{"id":1,"alt":"Fox","caption":"Fox","filename":"fox.jpg"},"fields":{"alt":"Fox"}}`, []string{"Fox"}},
		"a stored document":            {`{"type":"relationship","relationTo":"posts","value":{"id":5,"slug":"five","title":"Post five","excerpt":"not shown","createdAt":"2026-01-01T00:00:00.000Z"}}`, []string{"Post five"}},
		"the best of its titles":       {`{"type":"relationship","relationTo":"people","value":{"id":5,"label":"staff","name":"Ann"}}`, []string{"Ann"}},
		"an id":                        {`{"type":"relationship","relationTo":"posts","value":"665f1c2e8a1b2c3d4e5f6a02"}`, nil},
		"an id in an object":           {`{"type":"upload","relationTo":"media","value":{"id":"1"},"fields":null}`, nil},
		"inside a sentence":            {`{"type":"paragraph","children":[{"type":"text","text":"a"},{"type":"upload","value":{"id":1,"alt":"B"}},{"type":"text","text":"c"}]}`, []string{"a", "B", "c"}},
		"a stored file in a block":     {`{"type":"block","fields":{"blockType":"hero","image":{` + media + `,"credit":"not shown"}}}`, []string{"A red fox", "Seen in May", "Fox"}},
		"a stored document in a block": {`{"type":"block","fields":{"blockType":"teaser","post":{"relationTo":"posts","value":{"id":5,"title":"Post five","excerpt":"not shown"}}}}`, []string{"Post five"}},
		"an internal link":             {`{"type":"paragraph","children":[{"type":"link","fields":{"linkType":"internal","doc":{"relationTo":"posts","value":{"id":1,"title":"not shown"}}},"children":[{"type":"text","text":"there"}]}]}`, []string{"there"}},
	} {
		var got []string
		for _, b := range blocksOf(t, lexical(c.src)) {
			got = append(got, b.Text)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFieldsOfBlocks(t *testing.T) {
	prose := func(s string) document.Block { return document.Block{Text: s} }
	for name, c := range map[string]struct {
		fields string
		want   []document.Block
	}{
		"title first": {`"text":"body","heading":"Head"`, []document.Block{prose("Head"), prose("body")}},
		"code and what is around it": {
			`"blockType":"code","code":"a := 1","caption":"An assignment","language":"go"`,
			[]document.Block{{Kind: document.Code, Lang: "go", Text: "a := 1"}, prose("An assignment")},
		},
		"a code that is no program":    {`"blockType":"discount","code":"SAVE10"`, []document.Block{prose("SAVE10")}},
		"blocks in blocks":             {`"content":[{"blockType":"quote","text":"said","blockName":"label"}]`, []document.Block{prose("said")}},
		"several texts":                {`"tags":["a","b"]`, []document.Block{prose("a"), prose("b")}},
		"groups and arrays":            {`"seo":{"intro":"i"},"rows":[{"id":"x","cell":"1"},{"id":"y","cell":"2"}]`, []document.Block{prose("i"), prose("1"), prose("2")}},
		"Slate in a block":             {`"body":[{"type":"h3","children":[{"text":"S"}]}]`, []document.Block{{Kind: document.Heading, Level: 3, Text: "S"}}},
		"what only machines read":      {`"url":"https://x","link":"/about","tone":"info","size":"xl","n":5,"on":true,"at":"2026-01-01T00:00:00.000Z","blockName":"b","_key":"k","apiToken":"t","ref":"665f1c2e8a1b2c3d4e5f6a02"`, nil},
		"a choice that reads like one": {`"type":"Two words"`, []document.Block{prose("Two words")}},
	} {
		if diff := cmp.Diff(c.want, blocksOf(t, lexical(`{"type":"block","fields":{"id":"1",`+c.fields+`}}`))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestBlocksInAList(t *testing.T) {
	const block = `{"type":"block","fields":{"blockType":"note","text":"a note"}}`
	got := blocksOf(t, lexical(`{"type":"list","listType":"bullet","children":[`+block+`,{"type":"listitem","children":[{"type":"text","text":"one"},`+block+`]}]}`))
	if diff := cmp.Diff([]document.Block{{Text: "a note"}, {Kind: document.Item, Text: "- one"}, {Text: "a note"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCodeNode(t *testing.T) {
	got := blocksOf(t, lexical(`{"type":"code","language":"js","children":[{"type":"code-highlight","text":"if (a) {"},{"type":"linebreak"},{"type":"tab"},{"type":"code-highlight","text":"b()"}]}`))
	if diff := cmp.Diff([]document.Block{{Kind: document.Code, Lang: "js", Text: "if (a) {\n\tb()"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSlate(t *testing.T) {
	item := func(s string) document.Block { return document.Block{Kind: document.Item, Text: s} }
	prose := func(s string) document.Block { return document.Block{Text: s} }
	for name, c := range map[string]struct {
		src  string
		want []document.Block
	}{
		"headings": {
			`{"type":"h1","children":[{"text":"1"}]},{"type":"h6","textAlign":"center","children":[{"text":"6"}]}`,
			[]document.Block{{Kind: document.Heading, Level: 1, Text: "1"}, {Kind: document.Heading, Level: 6, Text: "6"}},
		},
		"leaves and links": {
			`{"children":[{"text":"a "},{"text":"b","bold":true},{"text":"c","code":true,"italic":true},{"type":"link","linkType":"custom","url":"https://x","newTab":true,"fields":{"rel":"not text"},"children":[{"text":" d"}]},{"text":""}]}`,
			[]document.Block{prose("a bc d")},
		},
		"a soft break": {`{"children":[{"text":"a\nb"}]}`, []document.Block{prose("a\nb")}},
		"lists": {
			`{"type":"ol","children":[{"type":"li","children":[{"text":"one"}]},{"type":"li","children":[{"children":[{"text":"two"}]},{"type":"ul","children":[{"type":"li","children":[{"text":"deep"}]}]}]},{"type":"li","children":[{"text":"three"}]}]}`,
			[]document.Block{item("1. one"), item("2. two"), item("    - deep"), item("3. three")},
		},
		"lists wrapped in an item": {
			`{"type":"ol","children":[{"type":"li","children":[{"text":"one"}]},{"type":"li","children":[{"type":"ol","children":[{"type":"li","children":[{"text":"a"}]}]}]},{"type":"li","children":[{"text":"two"}]}]}`,
			[]document.Block{item("1. one"), item("    1. a"), item("2. two")},
		},
		"a list in a list": {
			`{"type":"ul","children":[{"type":"li","children":[{"text":"one"}]},{"type":"ul","children":[{"type":"li","children":[{"text":"a"}]}]}]}`,
			[]document.Block{item("- one"), item("    - a")},
		},
		"an item that was a heading": {`{"type":"ul","children":[{"type":"li","children":[{"type":"h2","children":[{"text":"Was a heading"}]}]}]}`, []document.Block{item("- Was a heading")}},
		"quotes":                     {`{"type":"blockquote","children":[{"text":"q"}]}`, []document.Block{{Kind: document.Quote, Text: "q"}}},
		"a quote of paragraphs":      {`{"type":"blockquote","children":[{"children":[{"text":"q"}]},{"children":[{"text":"r"}]}]}`, []document.Block{{Kind: document.Quote, Text: "q"}, {Kind: document.Quote, Text: "r"}}},
		"indent":                     {`{"type":"indent","children":[{"type":"indent","children":[{"children":[{"text":"in"}]},{"type":"h2","children":[{"text":"H"}]}]}]}`, []document.Block{prose("in"), {Kind: document.Heading, Level: 2, Text: "H"}}},
		"alignment":                  {`{"type":"textAlign","textAlign":"right","children":[{"children":[{"text":"right"}]}]},{"textAlign":"center","children":[{"text":"centre"}]}`, []document.Block{prose("right"), prose("centre")}},
		"uploads":                    {`{"type":"upload","relationTo":"media","value":{"id":"1"},"fields":{"alt":"An alt","caption":[{"children":[{"text":"A caption"}]}]},"children":[{"text":" "}]}`, []document.Block{prose("An alt"), prose("A caption")}},
		"relationships":              {`{"type":"relationship","relationTo":"posts","value":{"id":"1"},"children":[{"text":" "}]},{"type":"relationship","relationTo":"posts","value":{"id":"1","title":"T"},"children":[{"text":""}]}`, []document.Block{prose("T")}},
		"an element of a project":    {`{"type":"large-body","children":[{"text":"large "},{"type":"label","children":[{"text":"label"}]}]}`, []document.Block{prose("large label")}},
		"nothing":                    {`{"children":[{"text":""}]}`, nil},
	} {
		if diff := cmp.Diff(c.want, blocksOf(t, "["+c.src+"]")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPlainJSONIsNotText(t *testing.T) {
	for _, s := range []string{
		`{}`, `[]`, `null`, `1`, `"text"`, `{"root":{"x":"not lexical"}}`, `{"a":1,"text":"json text"}`, `["a","b"]`,
		`[{"blockType":"hero","text":"x","children":[]}]`, `[{"children":[{"text":"x"}]},{"a":1}]`, `[{"text":"a"},{"text":"b"}]`,
		`{"root":null}`, ``, `{`,
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
