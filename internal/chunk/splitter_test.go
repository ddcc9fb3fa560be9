package chunk_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/chunk"
	"payload-cdc/internal/document"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func open(t testing.TB, cfg chunk.Config) *chunk.Splitter {
	t.Helper()
	s, err := chunk.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func split(t testing.TB, s *chunk.Splitter, e document.Entry) []document.Chunk {
	t.Helper()
	chunks, err := s.Split(e)
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}

// fataler is what check needs of testing.T and rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// check asserts what must be true of the chunks of any entry.
func check(t fataler, s *chunk.Splitter, limit int, e document.Entry, chunks []document.Chunk) {
	t.Helper()
	var all strings.Builder
	for i, c := range chunks {
		n, err := s.Count(c.Text)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.Number != i:
			t.Fatalf("chunk %d has number %d", i, c.Number)
		case c.Tokens != n:
			t.Fatalf("chunk %d says %d tokens, has %d", i, c.Tokens, n)
		case n > limit:
			t.Fatalf("chunk %d has %d tokens, over %d: %.200q", i, n, limit, c.Text)
		case !utf8.ValidString(c.Text) || !utf8.ValidString(c.Data) || !utf8.ValidString(c.Title):
			t.Fatalf("chunk %d is not valid UTF-8: %.200q", i, c.Text)
		case strings.TrimSpace(c.Data) == "":
			t.Fatalf("chunk %d is empty", i)
		case !strings.HasSuffix(c.Text, c.Data):
			t.Fatalf("chunk %d embeds something else than its data", i)
		case strings.ContainsRune(c.Text, 0):
			t.Fatalf("chunk %d holds NUL", i)
		case len(c.Hash) != 32:
			t.Fatalf("chunk %d has hash %q", i, c.Hash)
		case len(c.Title) > 1024:
			t.Fatalf("chunk %d has a title of %d bytes", i, len(c.Title))
		}
		all.WriteString(c.Data)
	}
	// Headers and fences are repeated, so what went in is a subsequence of what came out.
	out := []rune(squash(all.String()))
	at := 0
	for _, b := range e.Blocks {
		if chunk.Blank(b.Text) {
			continue
		}
		for _, r := range squash(chunk.Clean(b.Text)) {
			for at < len(out) && out[at] != r {
				at++
			}
			if at == len(out) {
				t.Fatalf("text was lost: %.80q, from %.80q", string(r), b.Text)
			}
			at++
		}
	}
}

// squash removes blanks.
func squash(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

func TestWholeEntryIsOneChunk(t *testing.T) {
	s := open(t, chunk.Config{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got := split(t, s, document.Entry{Locale: "de", Title: " Tea\nand cake ", UpdatedAt: at, Blocks: []document.Block{
		{Text: "First\x00 paragraph.  \r\n\r\n\r\n\r\nMore."},
		{Kind: document.Heading, Level: 2, Text: "Cake"},
		{Kind: document.Item, Text: "- flour"},
		{Kind: document.Item, Text: "  - wheat"},
		{Kind: document.Quote, Text: "Eat me.\nDrink me."},
		{Kind: document.Code, Lang: "go", Text: "x := 1\n"},
		{Kind: document.Prose, Text: " \u200b\n"},
	}})
	data := "First paragraph.\n\nMore.\n\n## Cake\n\n- flour\n  - wheat\n\n> Eat me.\n> Drink me.\n\n```go\nx := 1\n```"
	want := []document.Chunk{{Locale: "de", Title: "Tea and cake", UpdatedAt: at, Text: "Tea and cake\n\n" + data, Data: data, Tokens: 39}}
	if len(got) == 1 {
		want[0].Hash, want[0].Tokens = got[0].Hash, got[0].Tokens
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatal(d)
	}
}

func TestEmptyAndTitleOnly(t *testing.T) {
	s := open(t, chunk.Config{})
	if got := split(t, s, document.Entry{Title: " \u200b\x00\n", Blocks: []document.Block{{Text: " \n"}, {Kind: document.Code}}}); len(got) != 0 {
		t.Errorf("nothing became %v", got)
	}
	got := split(t, s, document.Entry{Title: "Only a title", Blocks: []document.Block{{Text: "\t"}}})
	if len(got) != 1 || got[0].Text != "Only a title" || got[0].Data != "Only a title" {
		t.Errorf("a title became %v", got)
	}
	if got := split(t, s, document.Entry{Blocks: []document.Block{{Text: "No title."}}}); len(got) != 1 || got[0].Text != "No title." {
		t.Errorf("a text without title became %v", got)
	}
}

func TestHashIsOfTextAndModel(t *testing.T) {
	hash := func(cfg chunk.Config, e document.Entry) string { return split(t, open(t, cfg), e)[0].Hash }
	e := func(title, text string) document.Entry {
		return document.Entry{Title: title, Blocks: []document.Block{{Text: text}}}
	}
	base := hash(chunk.Config{}, e("T", "caf\u00e9 au lait"))
	for name, same := range map[string]string{
		"NFD":         hash(chunk.Config{}, e("T", "cafe\u0301 au lait")),
		"blanks":      hash(chunk.Config{}, e("T ", "\n\ncaf\u00e9 au lait  \r\n")),
		"other sizes": hash(chunk.Config{Sizes: chunk.Sizes{Target: 300}}, e("T", "caf\u00e9 au lait")),
	} {
		if same != base {
			t.Errorf("%s changed the hash", name)
		}
	}
	for name, other := range map[string]string{
		"text":       hash(chunk.Config{}, e("T", "cafe au lait")),
		"title":      hash(chunk.Config{}, e("U", "caf\u00e9 au lait")),
		"model":      hash(chunk.Config{Model: "m"}, e("T", "caf\u00e9 au lait")),
		"dimensions": hash(chunk.Config{Dimensions: 512}, e("T", "caf\u00e9 au lait")),
	} {
		if other == base {
			t.Errorf("%s did not change the hash", name)
		}
	}
}

// article has n sections of paragraphs, a list, a table and code each.
func article(n int) document.Entry {
	e := document.Entry{Title: "A handbook of tea"}
	add := func(k document.Kind, level int, lang, text string) {
		e.Blocks = append(e.Blocks, document.Block{Kind: k, Level: level, Lang: lang, Text: text})
	}
	add(document.Prose, 0, "", "An introduction that says what this is about.")
	for i := range n {
		add(document.Heading, 1, "", fmt.Sprintf("Part %d", i))
		add(document.Heading, 2, "", "Leaves")
		for p := range 4 {
			add(document.Prose, 0, "", strings.Repeat(fmt.Sprintf("Paragraph %d of part %d talks about leaves at length. ", p, i), 9))
		}
		add(document.Heading, 2, "", "Water")
		var table, code strings.Builder
		table.WriteString("| Kind | Minutes |\n| --- | --- |\n")
		for r := range 90 {
			fmt.Fprintf(&table, "| kind %d | %d |\n", r, r%7)
			fmt.Fprintf(&code, "func brew%d() int {\n\treturn %d\n}\n\n", r, r)
		}
		add(document.Table, 0, "", table.String())
		add(document.Item, 0, "", "- boil")
		add(document.Item, 0, "", "- pour")
		add(document.Code, 0, "go", code.String())
	}
	add(document.Heading, 1, "", "The end")
	return e
}

func TestGolden(t *testing.T) {
	s := open(t, chunk.Config{})
	e := article(1)
	chunks := split(t, s, e)
	check(t, s, 512, e, chunks)
	var b strings.Builder
	for _, c := range chunks {
		fmt.Fprintf(&b, "=== %d: %d tokens, %s\n%s\n", c.Number, c.Tokens, c.Hash, c.Text)
	}
	golden(t, "article.golden", b.String())
	for _, c := range chunks {
		if strings.Count(c.Data, "```")%2 != 0 {
			t.Errorf("chunk %d has an odd fence", c.Number)
		}
		if strings.Contains(c.Data, "| kind") && !strings.Contains(c.Data, "| Kind | Minutes |\n| --- | --- |\n| kind") {
			t.Errorf("chunk %d has rows without their header", c.Number)
		}
		if c.Tokens < 32 && c.Number != 0 && c.Number != len(chunks)-1 {
			t.Errorf("chunk %d has only %d tokens", c.Number, c.Tokens)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Fatal(d)
	}
}

func TestAnEditChangesItsSectionOnly(t *testing.T) {
	s := open(t, chunk.Config{})
	hashes := func(e document.Entry) map[string]bool {
		m := map[string]bool{}
		for _, c := range split(t, s, e) {
			m[c.Hash] = true
		}
		return m
	}
	before := hashes(article(3))
	for i, b := range article(3).Blocks {
		if b.Kind == document.Heading {
			continue
		}
		e := article(3)
		e.Blocks[i].Text = "Something new in front. " + b.Text
		section := i // the blocks from its heading to the next are all that may change
		for section > 0 && e.Blocks[section].Kind != document.Heading {
			section--
		}
		end := i
		for end < len(e.Blocks) && e.Blocks[end].Kind != document.Heading {
			end++
		}
		var alone int
		for _, c := range split(t, s, document.Entry{Title: e.Title, Blocks: e.Blocks[section:end]}) {
			_ = c
			alone++
		}
		changed := 0
		for h := range hashes(e) {
			if !before[h] {
				changed++
			}
		}
		if changed == 0 || changed > alone {
			t.Errorf("an edit of block %d changed %d chunks, its section has %d", i, changed, alone)
		}
	}
}

func hostile(n int) map[string]string {
	fill := func(s string) string { return strings.Repeat(s, n/len(s)+1) }
	return map[string]string{
		"chinese":        fill("汉字没有标点符号的长文本"),
		"chinese stops":  fill("汉字没有标点。符号的长文本！"),
		"emoji":          fill("👨‍👩‍👧‍👦"),
		"flags":          fill("🇩🇪"),
		"x":              fill("x"),
		"base64":         fill("aGVsbG8gd29ybGQhIQ9kZmFzZGZhc2RmYXNkZg"),
		"special":        fill("<|endoftext|>"),
		"special spaced": fill("<|endoftext|> "),
		"paragraph":      fill("This is one sentence of many in a paragraph without end. "),
		"one sentence":   fill("and so it goes on and on "),
		"arabic":         fill("هذا نص طويل باللغة العربية. "),
		"hebrew":         fill("\u200fטקסט ארוך\u200e abc "),
		"marks":          "e" + fill("\u0301"),
		"zalgo":          fill("z\u0335\u0321\u031bx"),
		"thai":           fill("ภาษาไทยไม่มีช่องว่าง"),
		"blanks":         "a." + fill(" ") + "b",
		"blank lines":    "a." + fill(" \n") + "b",
		"wide blanks":    "a." + fill("\u3000") + "b",
		"zero width":     "a." + fill("\u200d") + "b",
		"close":          "a." + fill(")") + " b",
		"quotes":         fill("'"),
		"backticks":      fill("`"),
		"numbers":        fill("1,"),
		"lines":          fill("line\n"),
		"short lines":    fill("a\n"),
		"table":          "| a | b |\n| - | - |\n" + fill("| 1 | 2 |\n"),
		"wide table":     fill("| a ") + "\n" + fill("|---") + "\n" + fill("| 1 "),
		"invalid":        fill("\xff\xf0\x9f\x98"),
		"nul":            fill("a\x00"),
		"private":        fill("\U0010FFFD"),
		"json":           fill(`{"a":[1,2,{"b":"c\n"}]},`),
		"soft hyphen":    fill("a\u00ad"),
	}
}

func TestHostileTexts(t *testing.T) {
	s := open(t, chunk.Config{})
	kinds := []document.Kind{document.Prose, document.Heading, document.Item, document.Code, document.Table, document.Quote}
	for name, text := range hostile(3_000) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, k := range kinds {
				e := document.Entry{Title: "Hostile", Blocks: []document.Block{
					{Kind: document.Heading, Level: 2, Text: "Above"}, {Kind: k, Level: 3, Lang: text[:40], Text: text}, {Text: "Below."},
				}}
				check(t, s, 512, e, split(t, s, e))
			}
			e := document.Entry{Title: text, Blocks: []document.Block{{Text: "Short."}}}
			chunks := split(t, s, e)
			check(t, s, 512, e, chunks)
			if title := strings.Join(strings.Fields(chunk.Clean(text)), " "); len(title) > 1000 { // not whole in the prefix
				check(t, s, 512, document.Entry{Blocks: []document.Block{{Text: title}}}, chunks)
			}
			e = document.Entry{Title: text}
			check(t, s, 512, e, split(t, s, e))
			small := open(t, chunk.Config{Sizes: chunk.Sizes{Max: 64, Target: 64}})
			e = document.Entry{Title: text[:min(len(text), 300)], Blocks: []document.Block{
				{Kind: document.Heading, Level: 1, Text: text[:min(len(text), 500)]}, {Kind: document.Code, Lang: text, Text: text[:min(len(text), 3000)]},
			}}
			check(t, small, 64, e, split(t, small, e))
		})
	}
}

func TestHostileSizes(t *testing.T) {
	s := open(t, chunk.Config{})
	for name, size := range map[string]int{"paragraph": 1 << 20, "x": 100_000, "base64": 100_000, "emoji": 100_000, "chinese": 100_000, "blanks": 1 << 20, "marks": 100_000} {
		text := hostile(size)[name]
		e := document.Entry{Title: "Large", Blocks: []document.Block{{Text: text}}}
		began := time.Now()
		chunks := split(t, s, e)
		check(t, s, 512, e, chunks)
		most := 0
		for _, c := range chunks {
			most = max(most, c.Tokens)
		}
		t.Logf("%s: %d bytes, %d chunks of at most %d tokens in %v", name, len(text), len(chunks), most, time.Since(began).Round(time.Millisecond))
	}
}

func TestManyHeadings(t *testing.T) {
	s := open(t, chunk.Config{})
	var e document.Entry
	e.Title = strings.Repeat("huge title ", 20_000)
	for i := range 500 {
		e.Blocks = append(e.Blocks, document.Block{Kind: document.Heading, Level: i%9 - 1, Text: fmt.Sprint("Heading ", i)})
		if i%3 == 0 {
			e.Blocks = append(e.Blocks, document.Block{Text: fmt.Sprint("Text ", i)})
		}
	}
	check(t, s, 512, e, split(t, s, e))
}

func TestHeadingStaysWithItsText(t *testing.T) {
	s := open(t, chunk.Config{})
	e := document.Entry{Title: "T", Blocks: []document.Block{
		{Kind: document.Heading, Level: 1, Text: "One"},
		{Text: strings.Repeat("word ", 395)},
		{Kind: document.Heading, Level: 2, Text: "Two"},
		{Text: strings.Repeat("word ", 505)},
		{Kind: document.Heading, Level: 3, Text: "Empty"},
		{Kind: document.Heading, Level: 2, Text: "Three"},
		{Text: "Text."},
	}}
	chunks := split(t, s, e)
	check(t, s, 512, e, chunks)
	want := []string{"T\n\n# One\n\nword ", "T > One\n\n## Two\n\nword ", "T > One > Two\n\nword ", "T > One > Two\n\n### Empty\n\n## Three\n\nText."}
	if len(chunks) != len(want) {
		t.Fatalf("%d chunks, want %d", len(chunks), len(want))
	}
	for i, c := range chunks {
		if !strings.HasPrefix(c.Text, want[i]) {
			t.Errorf("chunk %d begins with %.40q, want %q", i, c.Text, want[i])
		}
	}
}

func head(s string, n int) string { return s[:min(n, len(s))] }

func TestWindowsAreCutBetweenCharacters(t *testing.T) {
	s := open(t, chunk.Config{})
	for _, family := range []string{"👨‍👩‍👧‍👦", "🇩🇪", "e\u0301\u0323", "क्षि"} {
		e := document.Entry{Blocks: []document.Block{{Text: strings.Repeat(family, 1000)}}}
		for _, c := range split(t, s, e) {
			if strings.ReplaceAll(c.Data, chunk.Clean(family), "") != "" {
				t.Errorf("%s was cut within", family)
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s := open(t, chunk.Config{})
	want := split(t, s, article(2))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := s.Split(article(2))
			if err != nil || !cmp.Equal(want, got) {
				t.Errorf("another result: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestConfigIsChecked(t *testing.T) {
	whole := open(t, chunk.Config{})
	for _, sizes := range []chunk.Sizes{{Max: 10}, {Max: 9000}, {Target: 600}, {Target: 20}, {PrefixMax: 300}, {PrefixMax: 2}, {Min: 401}, {Min: -2}} {
		if _, err := chunk.New(chunk.Config{Sizes: sizes}); err == nil {
			t.Errorf("%+v was accepted", sizes)
		}
		if _, err := whole.With(sizes); err == nil {
			t.Errorf("%+v was accepted instead of others", sizes)
		}
	}
	if _, err := chunk.New(chunk.Config{Dimensions: -1}); err == nil {
		t.Error("negative dimensions were accepted")
	}
	a, b := open(t, chunk.Config{}), open(t, chunk.Config{Sizes: chunk.Sizes{Min: -1}})
	if a.Fingerprint() == b.Fingerprint() || a.Model() != "text-embedding-3-small" {
		t.Errorf("fingerprints %q, %q", a.Fingerprint(), b.Fingerprint())
	}
}

// Other sizes cut otherwise, and give the same text the same hash: what was embedded is not embedded again.
func TestWith(t *testing.T) {
	large := open(t, chunk.Config{Model: "m"})
	small, err := large.With(chunk.Sizes{Max: 64})
	if err != nil {
		t.Fatal(err)
	}
	long := document.Entry{Title: "T", Blocks: []document.Block{{Text: strings.Repeat("A sentence of some words. ", 40)}}}
	if a, b := split(t, large, long), split(t, small, long); len(a) != 1 || len(b) < 3 {
		t.Errorf("%d and %d chunks", len(a), len(b))
	}
	short := document.Entry{Title: "T", Blocks: []document.Block{{Text: "A sentence."}}, Extra: map[string]any{"n": 1.0}}
	a, b := split(t, large, short), split(t, small, short)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
	if a[0].Extra["n"] != 1.0 {
		t.Errorf("the entry's extra fields are %v on its chunk", a[0].Extra)
	}
	if large.Fingerprint() == small.Fingerprint() {
		t.Errorf("both are %q", small.Fingerprint())
	}
	same, err := small.With(chunk.Sizes{})
	if err != nil || same.Fingerprint() != large.Fingerprint() {
		t.Errorf("with the defaults again: %q, %v", same.Fingerprint(), err)
	}
}
