package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the README's table of variables")

const root = "../../"

// pages are what users read.
var pages = []string{"README.md", "ARCHITECTURE.md", "docs/guarantees.md", "docs/rich-text.md", "docs/configuration.md", "docs/errors.md", "docs/operations.md"}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The README's table is what cdc env says.
func TestTableOfVariables(t *testing.T) {
	var table strings.Builder
	table.WriteString("| variable | default | |\n|---|---|---|\n")
	for _, f := range fields() {
		byDefault := ""
		if f.byDefault != "" {
			byDefault = "`" + f.byDefault + "`"
		}
		name := "`" + f.name + "`"
		if f.secret != "" {
			name += " *"
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", name, byDefault, f.help)
	}
	table.WriteString("\n\\* a secret, or may hold one\n")
	text := page(t, "README.md")
	start := strings.Index(text, "-update -->\n")
	end := strings.Index(text, "<!-- end -->")
	if start < 0 || end < start {
		t.Fatal("the README has no place for the table")
	}
	start += len("-update -->\n")
	if *update {
		if err := os.WriteFile(root+"README.md", []byte(text[:start]+table.String()+text[end:]), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), text[start:end]); diff != "" {
		t.Errorf("the README's table is not what cdc env says; write it with -update (-want +got):\n%s", diff)
	}
}

var (
	codeRun  = regexp.MustCompile("(?s)```.*?```|`[^`]+`")
	variable = regexp.MustCompile(`\b(?:CDC|UPSTASH|OPENAI|DATABASE|POSTGRES)_[A-Z_]+\b`)
	metric   = regexp.MustCompile(`\bcdc_[a-z_]+\b`)
	command  = regexp.MustCompile(`\bcdc ([a-z][a-z-]*)((?: (?:--[a-z-]+|caught-up|cdc\b))*)`)
	link     = regexp.MustCompile(`\]\(([^)#:]+)\)`)
)

// What the pages name exists: variables, metrics, commands, flags and files. And no command is left out.
func TestPagesNameWhatExists(t *testing.T) {
	known := map[string]bool{}
	for _, f := range fields() {
		known[f.name] = true
		for _, alias := range aliases[f.name] {
			known[alias] = true
		}
	}
	var metrics []byte
	for _, name := range []string{"metrics.go", "gauges.go"} {
		source, err := os.ReadFile(root + "internal/admin/" + name)
		if err != nil {
			t.Fatal(err)
		}
		metrics = append(metrics, source...)
	}
	named := map[string]bool{}
	for _, name := range pages {
		text := page(t, name)
		for _, code := range codeRun.FindAllString(text, -1) {
			for _, v := range variable.FindAllString(code, -1) {
				if !known[v] {
					t.Errorf("%s names the variable %s, which does not exist", name, v)
				}
			}
			for _, m := range metric.FindAllString(code, -1) {
				if !bytes.Contains(metrics, []byte(`"`+strings.TrimPrefix(m, "cdc_")+`"`)) {
					t.Errorf("%s names the metric %s, which does not exist", name, m)
				}
			}
			for _, call := range command.FindAllStringSubmatch(code, -1) {
				c, _, err := newRoot().Find([]string{call[1]})
				if err != nil || c.Name() != call[1] {
					t.Errorf("%s names the command %q, which does not exist", name, call[0])
					continue
				}
				named[call[1]] = true
				for word := range strings.FieldsSeq(call[2]) {
					if long, ok := strings.CutPrefix(word, "--"); ok && c.Flags().Lookup(long) == nil {
						t.Errorf("%s names %q, but cdc %s has no flag --%s", name, call[0], call[1], long)
					}
				}
			}
		}
		for _, l := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), l[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, l[1], err)
			}
		}
	}
	readme := page(t, "README.md")
	flags := map[string]bool{}
	for _, c := range newRoot().Commands() {
		if !named[c.Name()] && !slices.Contains([]string{"help", "completion"}, c.Name()) {
			t.Errorf("no page names cdc %s", c.Name())
		}
		for _, flag := range flagsOf(c) {
			flags[flag] = true
			if !strings.Contains(readme, "--"+flag) {
				t.Errorf("the README leaves out --%s of cdc %s", flag, c.Name())
			}
		}
	}
	for _, code := range regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(readme, -1) {
		if !flags[code[1]] {
			t.Errorf("the README names --%s, which no command has", code[1])
		}
	}
}

var longFlag = regexp.MustCompile(`--([a-z-]+)`)

func flagsOf(c *cobra.Command) []string {
	var out []string
	for _, m := range longFlag.FindAllStringSubmatch(c.LocalFlags().FlagUsages(), -1) {
		out = append(out, m[1])
	}
	return out
}

var yamlBlock = regexp.MustCompile("(?s)```ya?ml\n(.*?)```")

// Every YAML in the pages is a file that is understood, and together they show every key.
func TestYAMLOfThePages(t *testing.T) {
	shown := map[string]bool{}
	found := 0
	for _, name := range pages {
		for _, block := range yamlBlock.FindAllStringSubmatch(page(t, name), -1) {
			found++
			if _, err := parseFile(block[1]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, key := range regexp.MustCompile(`([a-z_]+):`).FindAllStringSubmatch(block[1], -1) {
				shown[key[1]] = true
			}
		}
	}
	if found == 0 {
		t.Error("no page has an example of the file")
	}
	for _, keys := range [][]string{collectionKeys, fieldKeys, chunkKeys, {"first_of"}} {
		for _, key := range keys {
			if !shown[key] {
				t.Errorf("no example shows %s", key)
			}
		}
	}
}

var testName = regexp.MustCompile("`([a-z0-9/]+)` (Test[A-Za-z0-9]+|Fuzz[A-Za-z0-9]+)((?:, (?:Test|Fuzz)[A-Za-z0-9]+)*)")

var anyTest = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w+`)

// Every test that stands for a promise exists.
func TestGuaranteesNameTests(t *testing.T) {
	text, found := page(t, "docs/guarantees.md"), 0
	for _, m := range testName.FindAllStringSubmatch(text, -1) {
		files, err := filepath.Glob(root + m[1] + "/*_test.go")
		if err != nil || len(files) == 0 {
			t.Errorf("there are no tests in %s: %v", m[1], err)
			continue
		}
		var sources []byte
		for _, f := range files {
			source, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, source...)
		}
		for name := range strings.SplitSeq(m[2]+m[3], ", ") {
			found++
			if !bytes.Contains(sources, []byte("\nfunc "+name+"(")) {
				t.Errorf("there is no %s in %s", name, m[1])
			}
		}
	}
	if all := len(anyTest.FindAllString(text, -1)); found != all || found == 0 {
		t.Errorf("%d of the %d tests that are named could be looked for: write them as `folder` TestOne, TestTwo", found, all)
	}
}

// The README's example of a search, run as it is printed, with the official clients, against an index that cdc filled.
func TestSearchFromNext(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Node")
	}
	t.Parallel()
	modules, err := filepath.Abs(root + "test/clients/node_modules")
	if err == nil {
		_, err = os.Stat(modules + "/.package-lock.json")
	}
	if err == nil {
		_, err = exec.LookPath("node")
	}
	if err != nil && os.Getenv("CI") != "true" {
		t.Skipf("needs Node and the official clients: run `npm ci` in test/clients: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(page(t, "README.md"), "```js\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README has no example in JavaScript")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("route.mjs", example)
	write("main.mjs", "import { GET } from './route.mjs'\n"+
		"const answer = await GET(new Request('http://localhost/api/search?q=' + encodeURIComponent(process.argv[2])))\n"+
		"console.log(JSON.stringify(await answer.json()))\n")
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}

	p := newProject(t)
	cdc(t, p.asAdministrator(), "run", "--until", "caught-up").want(t, exitDone)
	var title string
	err = p.Pool(t).QueryRow(t.Context(), "SELECT title FROM posts WHERE _status = 'published' AND length(title) > 3 ORDER BY id LIMIT 1").Scan(&title)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "main.mjs"), title)
	node.Env = append(p.environ, "PATH="+os.Getenv("PATH"), "HOME="+dir)
	var errs bytes.Buffer
	node.Stderr = &errs
	out, err := node.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var hits []struct {
		Score           float64
		ID, Title, Text string
	}
	if err := json.Unmarshal(out, &hits); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(hits) < 2 || hits[0].Title != title {
		t.Errorf("a search for %q finds %s", title, out)
	}
	seen := map[string]bool{}
	for _, h := range hits {
		if h.ID == "" || h.Text == "" || h.Score <= 0 || seen[h.ID] {
			t.Errorf("a hit is not whole, or its document is there twice: %+v", h)
		}
		seen[h.ID] = true
	}
}
