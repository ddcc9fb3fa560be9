package payload

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/payload/payloadtest"
)

// noText are the fields of the lab project (test/payload/src) whose strings are no text for readers: selects, emails,
// addresses, ids, relations, files, Payload's own, and one that the project marks as internal.
var noText = set(`id slug tone audience channels contactEmail extraJSON URLPath _private size colors kind width linkURL
	url thumbnailURL filename mimeType blockName blockType relationTo language
	updatedAt createdAt deletedAt _status startsAt publishedAt
	categories primaryCategory related polyOne heroImage gallery relatedCategories mainCategory cats`)

var localeCodes = []string{"en", "de", "fr"}

// oracle reads the words of a document as Payload itself reads it back, with all locales.
type oracle struct {
	locale string
	words  []string
	own    bool // some are of the locale alone
}

func oracleOf(doc map[string]any, locale string) *oracle {
	o := &oracle{locale: locale}
	o.fields(doc)
	slices.Sort(o.words)
	return o
}

func (o *oracle) fields(of map[string]any) {
	for name, v := range of {
		if !noText[name] {
			o.value(v)
		}
	}
}

func (o *oracle) value(v any) {
	switch v := v.(type) {
	case string:
		o.words = append(o.words, strings.Fields(v)...)
	case []any:
		for _, e := range v {
			o.value(e)
		}
	case map[string]any:
		if root, ok := v["root"].(map[string]any); ok {
			o.node(root)
			return
		}
		for key := range v {
			if !slices.Contains(localeCodes, key) {
				o.fields(v)
				return
			}
		}
		before := len(o.words)
		o.value(v[o.locale])
		o.own = o.own || len(o.words) > before
	}
}

func (o *oracle) node(node map[string]any) {
	switch node["type"] {
	case "text":
		o.value(node["text"])
	case "block", "inlineBlock":
		o.fields(node["fields"].(map[string]any))
	}
	children, _ := node["children"].([]any)
	for _, c := range children {
		o.node(c.(map[string]any))
	}
}

var marker = regexp.MustCompile(`^\s*(- \[[ x]\] |- |\d+\. )`)

// wordsOfEntry returns the words of an entry, without what Markdown adds.
func wordsOfEntry(e document.Entry) []string {
	words := strings.Fields(e.Title)
	for _, b := range e.Blocks {
		text := b.Text
		if b.Kind == document.Item {
			text = marker.ReplaceAllString(text, "")
		}
		words = append(words, strings.Fields(text)...)
	}
	slices.Sort(words)
	return words
}

// compare holds a document against Payload's read-back of it: the same words, each as often, in the same locales.
// published says in which locales it is.
func compare(t *testing.T, got document.Document, doc map[string]any, published func(locale string) bool) {
	t.Helper()
	want := map[string][]string{}
	for _, locale := range localeCodes {
		if o := oracleOf(doc, locale); o.own && published(locale) {
			want[locale] = o.words
		}
	}
	if len(want) == 0 && published("") {
		want[""] = oracleOf(doc, "").words
	}
	have := map[string][]string{}
	var order []string
	for _, e := range got.Entries {
		have[e.Locale], order = wordsOfEntry(e), append(order, e.Locale)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%v (-Payload +ours):\n%s", got.Key, diff)
	}
	inOrder := slices.DeleteFunc(slices.Clone(localeCodes), func(l string) bool { return !slices.Contains(order, l) })
	if len(inOrder) > 0 && !slices.Equal(inOrder, order) {
		t.Errorf("%v: locales %q, want %q", got.Key, order, inOrder)
	}
}

// testWords compares every document and global of the lab with Payload's own read-back.
func testWords(t *testing.T, pool *pgxpool.Pool) {
	globals := payloadtest.ExpectedGlobals(t)
	r := NewReader(pool, discover(t, pool, Config{Collections: slices.Concat(named, slices.Collect(maps.Keys(globals)))}), Config{})
	var keys []document.Key
	var docs []map[string]any
	for slug, byLocale := range payloadtest.Expected(t) {
		if slug == "users" {
			continue
		}
		for _, doc := range byLocale["all"] {
			keys, docs = append(keys, document.Key{Collection: slug, ID: fmt.Sprint(doc["id"])}), append(docs, doc)
		}
	}
	for slug, doc := range globals {
		delete(doc, "globalType")
		keys, docs = append(keys, document.Key{Collection: slug, ID: "1"}), append(docs, doc)
	}
	got, _, err := r.Read(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, doc := range docs {
		compare(t, got[i], doc, func(string) bool { return live(doc) })
	}
}
