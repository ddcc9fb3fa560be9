package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/local"
)

// What is wrong with an index is found: a comparison that says nothing would make every seed pass.
func TestCompare(t *testing.T) {
	published := []document{
		{collection: "posts", id: "1", title: "One", description: "said m0x1z", content: `{"text": "m0x2z"}`, below: "m0x3z"},
		{collection: "blog-posts", id: "2", locale: "de", title: "Zwei"},
		{collection: "posts", id: "3"}, // says nothing, so it may be missing
	}
	vector := func(text, metadata string) local.Vector { return local.Vector{Data: &text, Metadata: []byte(metadata)} }
	right := map[string]local.Vector{
		"posts-1":         vector("said m0x1z", `{"docId": "1", "collection": "posts", "title": "One", "chunk": 0, "chunks": 2}`),
		"posts-1#1":       vector("m0x2z m0x3z", `{"docId": "1", "collection": "posts", "title": "One", "chunk": 1}`),
		"blog-posts-2@de": vector("Zwei", `{"docId": "2", "collection": "blog-posts", "locale": "de", "title": "Zwei", "chunk": 0, "chunks": 1}`),
	}
	if wrong := compare(right, published); len(wrong) > 0 {
		t.Fatalf("of an index that is right: %q", wrong)
	}
	first, second := *right["posts-1"].Data, string(right["posts-1#1"].Metadata)
	for want, change := range map[string]func(map[string]local.Vector){
		"missing":          func(v map[string]local.Vector) { delete(v, "blog-posts-2@de") },
		"lacks":            func(v map[string]local.Vector) { v["posts-1#1"] = vector("m0x3z", second) },
		"older version":    func(v map[string]local.Vector) { v["posts-1#1"] = vector("m0x2z m0x9z", second) },
		"an orphan":        func(v map[string]local.Vector) { v["posts-9"] = vector("x", strings.ReplaceAll(second, `"1"`, `"9"`)) },
		"has id posts-1#2": func(v map[string]local.Vector) { v["posts-1#2"] = v["posts-1#1"]; delete(v, "posts-1#1") },
		"want posts-1#2": func(v map[string]local.Vector) {
			v["posts-1#02"] = vector("", strings.ReplaceAll(second, `: 1}`, `: 2}`))
		},
		"has title": func(v map[string]local.Vector) {
			v["posts-1#1"] = vector("m0x2z", strings.ReplaceAll(second, "One", "Two"))
		},
		"not say that there": func(v map[string]local.Vector) {
			v["posts-1"] = vector(first, strings.ReplaceAll(string(right["posts-1"].Metadata), ": 2}", ": 3}"))
		},
		"says how many": func(v map[string]local.Vector) {
			v["posts-1#1"] = vector("m0x2z", strings.ReplaceAll(second, ": 1}", `: 1, "chunks": 2}`))
		},
		"metadata are not our": func(v map[string]local.Vector) { v["stranger"] = vector("", `{"a": 1}`) },
	} {
		v := maps.Clone(right)
		change(v)
		wrong := compare(v, published)
		if !slices.ContainsFunc(wrong, func(one string) bool { return strings.Contains(one, want) }) {
			t.Errorf("want something with %q, found %q", want, wrong)
		}
	}
}

// A seed draws one plan, and plans of many seeds do everything, never two things to one.
func TestDraw(t *testing.T) {
	done := map[string]int{}
	for seed := range uint64(200) {
		p := Draw(seed, 8*time.Second)
		if again := Draw(seed, 8*time.Second); fmt.Sprint(p) != fmt.Sprint(again) || p.Second != again.Second {
			t.Fatalf("seed %d draws two plans:\n%s\n%s", seed, p, again)
		}
		for i, s := range p.Steps {
			done[s.What]++
			for _, before := range p.Steps[:i] {
				for _, name := range s.holds() {
					if slices.Contains(before.holds(), name) && before.At+before.For > s.At {
						t.Errorf("seed %d does two things to %s: %s, %s", seed, name, before, s)
					}
				}
			}
		}
	}
	for what := range steps {
		if done[what] == 0 {
			t.Errorf("no seed has %s", what)
		}
	}
}
