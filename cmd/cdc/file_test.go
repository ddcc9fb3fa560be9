package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/chunk"
	"payload-cdc/internal/daemon"
	"payload-cdc/internal/payload"
)

func parseFile(text string) ([]fileCollection, error) {
	return (&configFile{path: "cdc.yaml"}).parse([]byte(text))
}

// Every key arrives where it belongs.
func TestConfigFile(t *testing.T) {
	list, err := parseFile("\ufeff# a comment\r\n" + `
collections:
  posts:
    fields: {include: [title, layout.hero], exclude: [layout.hero.note], order: [title]}
    title: headline
    text: {first_of: [content, description]}
    locales: [en, de, no]
    metadata: [category, publishedAt, seo.keywords]
    where: {channel: web, "featured": true, rank: 3, price: 1.5, deletedBy: null, code: "007", big: -9007199254740993}
    include: [author.name, categories.title]
    chunk: {target: 300, max: 400, min: 0, prefix: 40}
    namespace: posts
  pages:
  blog-posts: {}
  news:
    fields:
      - title
      - body
    title: >-
      head
    chunk:
      max: 256
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []daemon.Collection{
		{
			Rules: payload.Rules{
				Include: []string{"title", "layout.hero"}, Exclude: []string{"layout.hero.note"}, Order: []string{"title"},
				Title: "headline", FirstOf: []string{"content", "description"}, Locales: []string{"en", "de", "no"},
				Metadata: []string{"category", "publishedAt", "seo.keywords"},
				Where: map[string]any{
					"channel": "web", "featured": true, "rank": int64(3), "price": 1.5, "deletedBy": nil, "code": "007", "big": int64(-9007199254740993),
				},
				Related: []string{"author.name", "categories.title"},
			},
			Chunks:    chunk.Sizes{Target: 300, Max: 400, Min: -1, PrefixMax: 40},
			Namespace: "posts",
		},
		{},
		{},
		{Rules: payload.Rules{Include: []string{"title", "body"}, Title: "head"}, Chunks: chunk.Sizes{Max: 256}},
	}
	var slugs []string
	var got []daemon.Collection
	for _, one := range list {
		slugs, got = append(slugs, one.slug), append(got, one.Collection)
	}
	if diff := cmp.Diff([]string{"posts", "pages", "blog-posts", "news"}, slugs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// mistakes are files that are refused, each with its name.
var mistakes = map[string]string{
	"empty":                       "",
	"only comments":               "# nothing\n\n# at all\n",
	"no collections":              "collections:\n",
	"empty collections":           "collections: {}\n",
	"a list of collections":       "collections:\n  - posts\n  - pages\n",
	"another key":                 "collectoins:\n  posts:\n",
	"a variable":                  "collections:\n  posts:\nOPENAI_API_KEY: sk-1\n",
	"unknown key":                 "collections:\n  posts:\n    tilte: headline\n",
	"related":                     "collections:\n  posts:\n    related: [author.name]\n",
	"upper case":                  "collections:\n  posts:\n    Namespace: x\n",
	"overlap":                     "collections:\n  posts:\n    chunk: {target: 300, overlap: 20}\n",
	"nothing like it":             "collections:\n  posts:\n    zzzzzzzzzz: 1\n",
	"key of fields":               "collections:\n  posts:\n    fields: {exclud: [a]}\n",
	"duplicate key":               "collections:\n  posts:\n    title: a\n    title: b\n",
	"duplicate collection":        "collections:\n  posts:\n  posts:\n",
	"two documents":               "collections:\n  posts:\n---\ncollections:\n  pages:\n",
	"syntax":                      "collections:\n  posts:\n    fields: [a, b\n",
	"tab":                         "collections:\n\tposts:\n",
	"quotes":                      "collections:\n  posts:\n    title: \"head\n",
	"not a mapping":               "just text\n",
	"a number for a text":         "collections:\n  posts:\n    title: 5\n",
	"a text for a list":           "collections:\n  posts:\n    locales: en\n",
	"a list for a text":           "collections:\n  posts:\n    namespace: [a]\n",
	"a number in a list":          "collections:\n  posts:\n    fields: [title, 404]\n",
	"no value":                    "collections:\n  posts:\n    title:\n    locales: [en]\n",
	"an empty list":               "collections:\n  posts:\n    metadata: []\n",
	"an empty text":               "collections:\n  posts:\n    namespace: ''\n",
	"twice in a list":             "collections:\n  posts:\n    locales: [en, de, en]\n",
	"not a path":                  "collections:\n  posts:\n    fields: [seo..title]\n",
	"path with blanks":            "collections:\n  posts:\n    title: head line\n",
	"included and excluded":       "collections:\n  posts:\n    fields:\n      include: [a, b]\n      exclude: [b]\n",
	"text without first_of":       "collections:\n  posts:\n    text: {}\n",
	"text as a list":              "collections:\n  posts:\n    text: [content]\n",
	"metadata of ours":            "collections:\n  posts:\n    metadata: [category, title]\n",
	"where a list":                "collections:\n  posts:\n    where: {channel: [web, app]}\n",
	"where a text":                "collections:\n  posts:\n    where: channel = web\n",
	"where empty":                 "collections:\n  posts:\n    where: {}\n",
	"where too large":             "collections:\n  posts:\n    where: {id: 18446744073709551615}\n",
	"include without field":       "collections:\n  posts:\n    include: [author]\n",
	"chunk not a number":          "collections:\n  posts:\n    chunk: {max: large}\n",
	"chunk negative":              "collections:\n  posts:\n    chunk: {max: -3}\n",
	"chunk zero":                  "collections:\n  posts:\n    chunk: {target: 0}\n",
	"chunk too large":             "collections:\n  posts:\n    chunk:\n      max: 100000\n",
	"chunk out of order":          "collections:\n  posts:\n    chunk: {target: 600, max: 512}\n",
	"namespace":                   "collections:\n  posts:\n    namespace: a/b\n",
	"namespace of the owner":      "collections:\n  posts:\n    namespace: payload_cdc_owner\n",
	"slug a number":               "collections:\n  404:\n    title: a\n",
	"slug with a comma":           "collections:\n  'posts,pages':\n",
	"alias":                       "collections:\n  posts: &p\n    title: a\n  pages: *p\n",
	"alias of itself":             "collections: &a\n  posts: *a\n",
	"alias of itself in a list":   "collections:\n  posts:\n    locales: &a [*a]\n",
	"merge":                       "collections:\n  posts:\n    <<: {title: a}\n",
	"tag":                         "collections:\n  posts: !!map {}\n",
	"control character":           "collections:\n  posts:\n    title: a\x00b\n",
	"not UTF-8":                   "collections:\n  p\xffsts:\n",
	"deep brackets":               "collections: " + strings.Repeat("[", 40) + strings.Repeat("]", 40),
	"deep dashes":                 "collections:\n  " + strings.Repeat("- ", 100) + "x\n",
	"wide letters before":         "collections:\n  日本: {titel: a}\n",
	"carriage returns":            "collections:\r\n  posts:\r\n    titel: a\r\n",
	"a long line is not repeated": "collections: {posts: {title: " + strings.Repeat("x", 200) + ", titel: a}}\n",
}

// Each mistake is refused with its place, its cause and what to do.
func TestConfigFileMistakes(t *testing.T) {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(mistakes)) {
		_, err := parseFile(mistakes[name])
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		fmt.Fprintf(&b, "=== %s\n%v\n", name, err)
	}
	golden(t, "config-file-mistakes", b.String())
}

// golden compares a text with the one that was found good.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s; if this is right, run with -update (-want +got):\n%s", file, diff)
	}
}

// What would take the parser very long, or is no file of settings at all, is refused at once.
func TestConfigFileBounds(t *testing.T) {
	for name, text := range map[string]string{
		"bytes":    "# " + strings.Repeat("x", maxFileBytes),
		"words":    "collections:\n" + strings.Repeat("  p: {}\n", 10_000),
		"brackets": strings.Repeat("[", 500_000),
		"braces":   strings.Repeat("{a: ", 200_000),
		"dashes":   strings.Repeat("- ", 500_000),
		"keys":     strings.Repeat("? ", 500_000),
	} {
		if _, err := parseFile(text); err == nil || len(err.Error()) > 500 {
			t.Errorf("%s: %.600v", name, err)
		}
	}
	dir := t.TempDir()
	for name, file := range map[string]string{"directory": dir, "nothing": filepath.Join(dir, "none"), "endless": "/dev/zero"} {
		if _, _, err := readConfigFile(file); err == nil || !strings.HasPrefix(err.Error(), "CDC_CONFIG: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The environment decides which collections there are; the file what of them. Mistakes exit with 2.
func TestConfigFileAndEnvironment(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "cdc.yaml")
	if err := os.WriteFile(file, []byte("collections:\n  posts:\n    title: headline\n  blog-posts:\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{nowhere, "CDC_CONFIG=" + file}
	cdc(t, environ, "config").want(t, exitDone, "posts,blog-posts\n")
	cdc(t, append(environ, "CDC_COLLECTIONS=pages,blog-posts,posts"), "config").want(t, exitDone, "pages,blog-posts,posts\n")
	cdc(t, append(environ, "CDC_COLLECTIONS=post"), "config").want(t, exitUsage, "cdc.yaml:2:3: CDC_COLLECTIONS does not name posts (did you mean post?)", "   2 |   posts:")
	cdc(t, append(environ, "CDC_CONFIG="+file+"x"), "run").want(t, exitUsage, "CDC_CONFIG: open ", "unset it")
	if err := os.WriteFile(file, []byte(mistakes["unknown key"]), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "status", "setup", "teardown", "config"} {
		cdc(t, environ, command).want(t, exitUsage, "cdc.yaml:3:5: tilte is not a key of posts (did you mean title?)")
	}
}

// FuzzConfigFile looks for panics, for errors that do not say where, and for settings that nothing could work with.
func FuzzConfigFile(f *testing.F) {
	for _, text := range mistakes {
		f.Add(text)
	}
	f.Add("collections:\n  posts:\n    fields: {include: [a, b.c], exclude: [d], order: [b.c]}\n    text: {first_of: [a]}\n" +
		"    where: {a: 1, b: 2.5, c: x, d: true, e: null}\n    chunk: {target: 100, max: 200, min: 0, prefix: 10}\n    include: [a.b]\n    metadata: [m]\n    namespace: n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			t.Skip("the bounds are tested elsewhere")
		}
		list, err := parseFile(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "cdc.yaml") {
				t.Fatalf("the error does not say where: %v", err)
			}
			return
		}
		if len(list) == 0 {
			t.Fatal("no collections and no error")
		}
		for _, one := range list {
			if one.slug == "" || daemon.CheckSizes(one.Chunks) != nil || daemon.CheckNamespace(one.Namespace) != nil {
				t.Fatalf("accepted %+v", one)
			}
			for _, list := range [][]string{one.Rules.Include, one.Rules.Exclude, one.Rules.Order, one.Rules.FirstOf, one.Rules.Locales, one.Rules.Metadata, one.Rules.Related} {
				if slices.Contains(list, "") {
					t.Fatalf("accepted %+v", one)
				}
			}
		}
	})
}
