package e2e_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"payload-cdc/internal/local"
	"payload-cdc/test/e2e"
	"payload-cdc/test/payloadtest"
)

// The comparison that all other tests rest on finds each way of being wrong.
func TestCompare(t *testing.T) {
	t.Parallel()
	published := []payloadtest.Entry{
		{Collection: "posts", ID: "1", Title: "One", Content: "first part\nsecond part", Words: "One\nfirst part\nsecond part\nslug-of-one", UpdatedAt: "2026-01-01T00:00:00Z"},
		{Collection: "blog-posts", ID: "7", Locale: "de", Title: "Sieben", Content: "sieben Worte", Words: "sieben Worte", UpdatedAt: "2026-01-01T00:00:00Z"},
	}
	vector := func(id, data string, meta map[string]any) local.Vector {
		raw, err := json.Marshal(meta)
		if err != nil {
			t.Fatal(err)
		}
		return local.Vector{ID: id, Metadata: raw, Data: &data}
	}
	first := func() map[string]any {
		return map[string]any{"docId": "1", "collection": "posts", "chunk": 0, "title": "One", "hash": "h", "model": "m", "chunks": 2, "updatedAt": "2026-01-01T00:00:00Z"}
	}
	second := func() map[string]any {
		return map[string]any{"docId": "1", "collection": "posts", "chunk": 1, "title": "One", "hash": "h", "model": "m"}
	}
	localized := map[string]any{"docId": "7", "collection": "blog-posts", "locale": "de", "chunk": 0, "title": "Sieben", "hash": "h", "model": "m", "chunks": 1, "updatedAt": "2026-01-01T00:00:00Z"}
	right := map[string]local.Vector{
		"posts-1":         vector("posts-1", "# First part", first()),
		"posts-1#1":       vector("posts-1#1", "1. **second** part", second()),
		"blog-posts-7@de": vector("blog-posts-7@de", "Sieben Worte", localized),
	}
	if problems := e2e.Compare(right, published); len(problems) > 0 {
		t.Fatalf("problems of an index that is right: %q", problems)
	}
	with := func(meta map[string]any, key string, value any) map[string]any {
		meta[key] = value
		return meta
	}
	for name, c := range map[string]struct {
		spoil func(map[string]local.Vector)
		want  string
	}{
		"missing document": {func(m map[string]local.Vector) { delete(m, "blog-posts-7@de") }, "missing blog-posts-7@de"},
		"missing first":    {func(m map[string]local.Vector) { delete(m, "posts-1") }, "chunk 0 has id posts-1#1"},
		"missing tail":     {func(m map[string]local.Vector) { delete(m, "posts-1#1") }, "has 2 chunks and has 1"},
		"orphan document": {func(m map[string]local.Vector) {
			m["posts-9"] = vector("posts-9", "text", with(first(), "docId", "9"))
		}, "extra posts-9"},
		"orphan tail": {func(m map[string]local.Vector) {
			m["posts-1#2"] = vector("posts-1#2", "part", with(second(), "chunk", 2))
		}, "has 2 chunks and has 3"},
		"orphan locale": {func(m map[string]local.Vector) {
			m["posts-1@fr"] = vector("posts-1@fr", "part", with(first(), "locale", "fr"))
		}, "extra posts-1@fr"},
		"stranger": {func(m map[string]local.Vector) {
			m["x"] = local.Vector{ID: "x", Metadata: json.RawMessage(`{"a":1}`)}
		}, "extra x"},
		"lost text": {func(m map[string]local.Vector) {
			m["posts-1#1"] = vector("posts-1#1", "part", second())
		}, `lacks ["second"]`},
		"text twice": {func(m map[string]local.Vector) {
			m["blog-posts-7@de"] = vector("blog-posts-7@de", "Sieben Worte. Worte", localized)
		}, `has ["worte"]`},
		"text once": {func(m map[string]local.Vector) {
			m["posts-1#1"] = vector("posts-1#1", "second", second())
		}, `lacks ["part"]`},
		"stale text": {func(m map[string]local.Vector) {
			m["posts-1#1"] = vector("posts-1#1", "second part from yesterday", second())
		}, `has ["from" "yesterday"]`},
		"stale title": {func(m map[string]local.Vector) {
			m["posts-1"] = vector("posts-1", "first part", with(first(), "title", "Zero"))
		}, `title "Zero"`},
		"other id": {func(m map[string]local.Vector) {
			m["posts_1"] = m["posts-1"]
			delete(m, "posts-1")
		}, "chunk 0 has id posts_1"},
		"no time": {func(m map[string]local.Vector) {
			m["posts-1"] = vector("posts-1", "first part", with(first(), "updatedAt", ""))
		}, `has updatedAt ""`},
		"no hash": {func(m map[string]local.Vector) {
			m["posts-1"] = vector("posts-1", "first part", with(first(), "hash", ""))
		}, `hash ""`},
	} {
		t.Run(name, func(t *testing.T) {
			broken := maps.Clone(right)
			c.spoil(broken)
			problems := strings.Join(e2e.Compare(broken, published), "\n")
			if !strings.Contains(problems, c.want) {
				t.Errorf("problems are %q, want one with %q", problems, c.want)
			}
		})
	}
}
