// Package indextest is the conformance suite of vector indexes: one body of tests for every adapter. It says what an
// index promises, so behaviour is changed here first.
package indextest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/document"
	"payload-cdc/internal/index"
	"payload-cdc/internal/pipeline"
)

// An Index is what the heart asks for.
var _ pipeline.Index = index.Index(nil)

// Instance is an empty index namespace to be exercised.
type Instance struct {
	Index      index.Index
	Dimensions int
	// Second is a namespace that the index is told of beside its own, and that is empty too.
	Second string
	// Again opens the same namespace once more, as another process would.
	Again func(t *testing.T) index.Index
	// Other opens another namespace of the same index.
	Other func(t *testing.T) index.Index
	// Plant writes a vector as another program would: the metadata is JSON, or empty for none.
	Plant func(t *testing.T, id, metadata string)
	// Held reads everything back, of both namespaces, values, text and extra metadata included, around the adapter.
	Held func(t *testing.T) map[string]document.Vector
}

// Exercise runs the suite. Each call of open returns an empty namespace.
func Exercise(t *testing.T, open func(t *testing.T) Instance) {
	for name, test := range map[string]func(t *testing.T, in Instance){
		"what was upserted is held, every field":   testRoundTrip,
		"an upsert replaces the whole vector":      testReplace,
		"repeating changes nothing":                testIdempotence,
		"deleting removes exactly what it names":   testDelete,
		"unknown ids are no error":                 testUnknown,
		"no ids and no vectors are no error":       testNothing,
		"big batches arrive whole":                 testBig,
		"listing pages through everything":         testList,
		"awkward texts and ids come back":          testAwkward,
		"what others wrote can be read and listed": testForeign,
		"namespaces do not mix":                    testNamespaces,
		"an id is one in each namespace":           testSecond,
		"extra metadata stand beside ours":         testExtra,
		"values come back as they were written":    testValues,
		"another process sees it at once":          testAgain,
		"concurrent writers lose nothing":          testConcurrent,
		"the owner is kept apart":                  testOwner,
		"what is held can be counted":              testCount,
		"the index fits":                           testCheck,
		"a cancelled call returns":                 testCancelled,
	} {
		t.Run(name, func(t *testing.T) {
			in := open(t)
			t.Cleanup(in.Index.Close)
			test(t, in)
		})
	}
}

// vector makes a unit vector that depends on its id and seed alone.
func (in Instance) vector(id string, seed uint64) document.Vector {
	h := seed
	for _, c := range []byte(id) {
		h = h*131 + uint64(c)
	}
	r := rand.New(rand.NewPCG(h, 1))
	values := make([]float32, in.Dimensions)
	values[r.IntN(len(values))] = 0.6
	values[r.IntN(len(values))] = 0.8
	values[r.IntN(len(values))] += 1e-7 // printed with an exponent
	return document.Vector{
		ID: id, Values: values, Data: fmt.Sprintf("text of %s, %d", id, seed),
		Metadata: document.Metadata{
			DocID: id, Collection: "posts", Locale: "de", Chunk: 3, Title: "Title of " + id, Hash: fmt.Sprintf("hash-%d", h),
			Model: "text-embedding-3-small", Chunks: 7, UpdatedAt: "2026-01-02T03:04:05Z",
		},
	}
}

func (in Instance) vectors(n int, seed uint64) []document.Vector {
	all := make([]document.Vector, n)
	for i := range all {
		all[i] = in.vector(fmt.Sprintf("posts-%d", i), seed)
	}
	return all
}

func byID(all []document.Vector) map[string]document.Vector {
	m := map[string]document.Vector{}
	for _, v := range all {
		m[v.ID] = v
	}
	return m
}

func ids(all []document.Vector) []string {
	var list []string
	for _, v := range all {
		list = append(list, v.ID)
	}
	return list
}

// expect compares all that is held with what should be, through every way of reading.
func (in Instance) expect(t *testing.T, want map[string]document.Vector) {
	t.Helper()
	if diff := cmp.Diff(want, in.Held(t)); diff != "" {
		t.Fatalf("held (-want +got):\n%s", diff)
	}
	wantStored := map[string]document.Stored{}
	for id, v := range want {
		v.Metadata.Extra = nil // told of by its hash alone
		wantStored[id] = document.Stored{ID: id, Metadata: v.Metadata}
	}
	if diff := cmp.Diff(wantStored, listAll(t, in.Index, 7)); diff != "" {
		t.Fatalf("listed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantStored, fetch(t, in.Index, slices.Collect(maps.Keys(want)))); diff != "" {
		t.Fatalf("fetched (-want +got):\n%s", diff)
	}
}

func fetch(t *testing.T, x index.Index, ids []string) map[string]document.Stored {
	t.Helper()
	all, err := x.Fetch(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]document.Stored{}
	for _, s := range all {
		if _, twice := m[s.ID]; twice {
			t.Fatalf("%s was fetched twice", s.ID)
		}
		m[s.ID] = s
	}
	return m
}

func listAll(t *testing.T, x index.Index, n int) map[string]document.Stored {
	t.Helper()
	m := map[string]document.Stored{}
	for cursor := ""; ; {
		page, next, err := x.List(t.Context(), cursor, n)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > n {
			t.Fatalf("a page of %d where %d were asked for", len(page), n)
		}
		for _, s := range page {
			if _, twice := m[s.ID]; twice {
				t.Fatalf("%s was listed twice, and nothing changed meanwhile", s.ID)
			}
			m[s.ID] = s
		}
		if next == "" {
			return m
		}
		cursor = next
	}
}

func upsert(t *testing.T, x index.Index, all []document.Vector) {
	t.Helper()
	if err := x.Upsert(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, x index.Index, ids ...string) {
	t.Helper()
	if err := x.Delete(t.Context(), ids); err != nil {
		t.Fatal(err)
	}
}

func testRoundTrip(t *testing.T, in Instance) {
	all := in.vectors(20, 1)
	upsert(t, in.Index, all)
	in.expect(t, byID(all))
}

func testReplace(t *testing.T, in Instance) {
	upsert(t, in.Index, in.vectors(3, 1))
	next := in.vectors(3, 2)
	// What the new version lacks must not survive from the old one.
	next[1].Metadata.Locale, next[1].Metadata.Chunks, next[1].Metadata.UpdatedAt = "", 0, ""
	upsert(t, in.Index, next)
	in.expect(t, byID(next))
}

func testIdempotence(t *testing.T, in Instance) {
	all := in.vectors(10, 1)
	for range 3 {
		upsert(t, in.Index, all)
	}
	in.expect(t, byID(all))
	for range 3 {
		remove(t, in.Index, "posts-0", "posts-1")
	}
	in.expect(t, byID(all[2:]))
}

func testDelete(t *testing.T, in Instance) {
	all := in.vectors(12, 1) // posts-1 is a prefix of posts-10 and posts-11
	tail := in.vector("posts-1#1", 1)
	upsert(t, in.Index, append(all, tail))
	remove(t, in.Index, "posts-1", "posts-1") // the second time in one call too
	want := byID(append(all, tail))
	delete(want, "posts-1")
	in.expect(t, want)
}

func testUnknown(t *testing.T, in Instance) {
	remove(t, in.Index, "nothing", "of the kind")
	if got := fetch(t, in.Index, []string{"nothing", "of the kind"}); len(got) != 0 {
		t.Fatalf("fetched %v", got)
	}
	upsert(t, in.Index, in.vectors(1, 1))
	if got := fetch(t, in.Index, []string{"a", "posts-0", "z", "posts-0"}); len(got) != 1 {
		t.Fatalf("fetched %v", got)
	}
	remove(t, in.Index, "a", "posts-0", "z")
	in.expect(t, map[string]document.Vector{})
}

func testNothing(t *testing.T, in Instance) {
	upsert(t, in.Index, nil)
	remove(t, in.Index)
	if got := fetch(t, in.Index, nil); len(got) != 0 {
		t.Fatalf("fetched %v", got)
	}
	in.expect(t, map[string]document.Vector{})
}

func testBig(t *testing.T, in Instance) {
	all := in.vectors(2500, 1)
	upsert(t, in.Index, all)
	if diff := cmp.Diff(byID(all), in.Held(t)); diff != "" {
		t.Fatal("what is held differs from what was written")
	}
	if got := fetch(t, in.Index, ids(all)); len(got) != len(all) {
		t.Fatalf("fetched %d of %d", len(got), len(all))
	}
	remove(t, in.Index, ids(all[:2499])...)
	in.expect(t, byID(all[2499:]))
}

func testList(t *testing.T, in Instance) {
	all := in.vectors(20, 1)
	upsert(t, in.Index, all)
	for _, n := range []int{1, 3, 10, 19, 20, 21, 1000} {
		if got := listAll(t, in.Index, n); len(got) != len(all) {
			t.Fatalf("pages of %d list %d of %d", n, len(got), len(all))
		}
	}
}

func testAwkward(t *testing.T, in Instance) {
	var all []document.Vector
	for i, text := range []string{
		"<b>&\"quoted\"\\ \u2028 \t\r\n", "日本語 и по-русски 👩‍👩‍👧", "\x00\x01\x1f", "", "'; DROP TABLE posts; --", strings.Repeat("ä", 10000),
	} {
		v := in.vector(fmt.Sprintf("%%2540 posts/%d@pt-BR#1 <ü>\"\\", i), 1)
		v.Data, v.Metadata.Title, v.Metadata.DocID = text, text, text
		all = append(all, v)
	}
	upsert(t, in.Index, all)
	in.expect(t, byID(all))
	remove(t, in.Index, ids(all)...)
	in.expect(t, map[string]document.Vector{})
}

func testForeign(t *testing.T, in Instance) {
	want := map[string]document.Metadata{}
	for _, one := range []struct {
		id, metadata string
		want         document.Metadata
	}{
		{"posts-1", `{"docId":"1","collection":"posts"}`, document.Metadata{DocID: "1", Collection: "posts"}},
		{"posts-2", `{"docId":2,"collection":"posts","title":null}`, document.Metadata{DocID: "2", Collection: "posts"}},
		{"x", "", document.Metadata{}},
		{"y", `{}`, document.Metadata{}},
		{"z", `{"docId":{"a":1},"collection":["posts"],"chunk":"3","hash":7,"chunks":-1.5,"nested":{"docId":"9"}}`, document.Metadata{}},
	} {
		in.Plant(t, one.id, one.metadata)
		want[one.id] = one.want
	}
	for how, got := range map[string]map[string]document.Stored{
		"fetched": fetch(t, in.Index, slices.Collect(maps.Keys(want))),
		"listed":  listAll(t, in.Index, 2),
	} {
		for id, m := range want {
			if diff := cmp.Diff(document.Stored{ID: id, Metadata: m}, got[id]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", how, diff)
			}
		}
	}
	mine := in.vector("posts-1", 1)
	upsert(t, in.Index, []document.Vector{mine})
	remove(t, in.Index, "posts-2", "x", "y", "z")
	in.expect(t, map[string]document.Vector{"posts-1": mine})
}

func testNamespaces(t *testing.T, in Instance) {
	other := in.Other(t)
	defer other.Close()
	mine, theirs := in.vectors(3, 1), in.vectors(5, 2)
	upsert(t, in.Index, mine)
	upsert(t, other, theirs)
	in.expect(t, byID(mine))
	remove(t, other, ids(theirs)...)
	in.expect(t, byID(mine))
	if got := listAll(t, other, 10); len(got) != 0 {
		t.Fatalf("listed %v", got)
	}
}

// testSecond: ids joined with another namespace go there and come back from there, in one call with those that do not.
func testSecond(t *testing.T, in Instance) {
	var all []document.Vector
	for i := range 12 {
		v := in.vector(fmt.Sprintf("posts-%d", i/2), uint64(i))
		if i%2 == 1 {
			v.ID = document.Join(in.Second, v.ID)
		}
		all = append(all, v)
	}
	upsert(t, in.Index, all)
	in.expect(t, byID(all))
	for _, n := range []int{1, 5, 6, 7, 100} {
		if got := listAll(t, in.Index, n); len(got) != len(all) {
			t.Fatalf("pages of %d list %d of %d", n, len(got), len(all))
		}
	}
	changed := in.vector(document.Join(in.Second, "posts-2"), 99)
	upsert(t, in.Index, []document.Vector{changed})
	remove(t, in.Index, document.Join(in.Second, "posts-0"), "posts-1", document.Join(in.Second, "nothing"))
	want := byID(all)
	want[changed.ID] = changed
	delete(want, document.Join(in.Second, "posts-0"))
	delete(want, "posts-1")
	in.expect(t, want)
	remove(t, in.Index, slices.Collect(maps.Keys(want))...)
	in.expect(t, map[string]document.Vector{})
}

func testExtra(t *testing.T, in Instance) {
	v := in.vector("posts-1", 1)
	v.Metadata.Meta = "of the extra fields"
	v.Metadata.Extra = map[string]any{
		"category": "a <b> & \"c\" \u2028", "seo.title": nil, "n": 1.5, "yes": true, "list": []any{"x", 2.0}, "nested": map[string]any{"a": "b"},
	}
	upsert(t, in.Index, []document.Vector{v})
	in.expect(t, byID([]document.Vector{v}))

	// Ours win, also those that this vector has not.
	over := in.vector("posts-1", 2)
	over.Metadata.Locale = ""
	over.Metadata.Extra = map[string]any{"docId": "x", "locale": "x", "meta": "x", "kept": "y"}
	upsert(t, in.Index, []document.Vector{over})
	over.Metadata.Extra = map[string]any{"kept": "y"}
	in.expect(t, byID([]document.Vector{over}))
}

// testValues: whoever gives values back gives those that were written, and says of what they were made.
func testValues(t *testing.T, in Instance) {
	keeper, ok := in.Index.(index.Keeper)
	if !ok {
		t.Skip("the index gives no values back")
	}
	all := in.vectors(450, 1)
	second := in.vector(document.Join(in.Second, "posts-1"), 2)
	upsert(t, in.Index, append(all, second))
	in.Plant(t, "x", `{"title":"somebody else's"}`)
	in.Plant(t, "y", "")
	want := map[string]document.Kept{}
	for _, v := range append(all, second) {
		want[v.ID] = document.Kept{Values: v.Values, Hash: v.Metadata.Hash, Model: v.Metadata.Model}
	}
	got, err := keeper.Values(t.Context(), append(ids(all), second.ID, "posts-7", "nothing", document.Join(in.Second, "posts-2"), "x", "y"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	if got, err := keeper.Values(t.Context(), nil); err != nil || len(got) != 0 {
		t.Fatalf("of nothing: %v, %v", got, err)
	}
}

func testAgain(t *testing.T, in Instance) {
	again := in.Again(t)
	defer again.Close()
	all := in.vectors(5, 1)
	upsert(t, in.Index, all)
	if got := fetch(t, again, ids(all)); len(got) != len(all) {
		t.Fatalf("fetched %d of %d", len(got), len(all))
	}
	remove(t, again, ids(all)...)
	in.expect(t, map[string]document.Vector{})
}

func testConcurrent(t *testing.T, in Instance) {
	const writers, each = 8, 40
	want := map[string]document.Vector{}
	var wg sync.WaitGroup
	for w := range writers {
		var kept, dropped []document.Vector
		for i := range each {
			v := in.vector(fmt.Sprintf("w%d-%d", w, i), 1)
			if i%4 == 0 {
				dropped = append(dropped, v)
			} else {
				kept = append(kept, v)
				want[v.ID] = v
			}
		}
		wg.Go(func() {
			for _, batch := range [][]document.Vector{dropped, kept[:10], kept[10:]} {
				if err := in.Index.Upsert(t.Context(), batch); err != nil {
					t.Error(err)
				}
			}
			if err := in.Index.Delete(t.Context(), ids(dropped)); err != nil {
				t.Error(err)
			}
			if all, err := in.Index.Fetch(t.Context(), append(ids(kept), ids(dropped)...)); err != nil || len(all) != len(kept) {
				t.Errorf("fetched %d of %d: %v", len(all), len(kept), err)
			}
		})
	}
	wg.Wait()
	in.expect(t, want)
}

// An index that can count counts its namespace, what was acknowledged a moment ago and what others wrote included.
func testCount(t *testing.T, in Instance) {
	counter, ok := in.Index.(index.Counter)
	if !ok {
		t.Skip("it cannot count")
	}
	want := func(n int) {
		t.Helper()
		if got, err := counter.Count(t.Context()); err != nil || got != n {
			t.Errorf("counted %d, want %d: %v", got, n, err)
		}
	}
	want(0)
	other := in.Other(t)
	defer other.Close()
	upsert(t, in.Index, []document.Vector{in.vector("posts-1", 1), in.vector("posts-2", 2), in.vector("posts-3", 3)})
	upsert(t, other, []document.Vector{in.vector("posts-4", 4)})
	if err := in.Index.SetOwner(t.Context(), index.Owner{System: "1", Slot: "s", At: time.Unix(0, 0)}); err != nil {
		t.Fatal(err)
	}
	in.Plant(t, "foreign", `{"kind":"faq"}`)
	want(4)
	if err := in.Index.Delete(t.Context(), []string{"posts-1", "posts-9"}); err != nil {
		t.Fatal(err)
	}
	want(3)
}

func testOwner(t *testing.T, in Instance) {
	if _, ok, err := in.Index.Owner(t.Context()); ok || err != nil {
		t.Fatalf("a new namespace has an owner: %v, %v", ok, err)
	}
	first := index.Owner{System: "7481234567890123456", Slot: "payload_cdc", LSN: 0x16_B374D848, At: time.Date(2026, 1, 2, 3, 4, 5, 678000000, time.UTC)}
	other := in.Other(t)
	defer other.Close()
	second := index.Owner{System: "1", Slot: "other", At: first.At}
	for x, o := range map[index.Index]index.Owner{in.Index: first, other: second} {
		if err := x.SetOwner(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	first.LSN++
	if err := in.Index.SetOwner(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	again := in.Again(t)
	defer again.Close()
	for x, want := range map[index.Index]index.Owner{again: first, other: second} {
		got, ok, err := x.Owner(t.Context())
		if diff := cmp.Diff(want, got); !ok || err != nil || diff != "" {
			t.Fatalf("owner: %v, %v (-want +got):\n%s", ok, err, diff)
		}
	}
	in.expect(t, map[string]document.Vector{})
}

func testCheck(t *testing.T, in Instance) {
	if err := in.Index.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func testCancelled(t *testing.T, in Instance) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Index.Upsert(ctx, in.vectors(1, 1)); err == nil {
		t.Error("upsert")
	}
	if err := in.Index.Delete(ctx, []string{"posts-0"}); err == nil {
		t.Error("delete")
	}
	if _, err := in.Index.Fetch(ctx, []string{"posts-0"}); err == nil {
		t.Error("fetch")
	}
	if keeper, ok := in.Index.(index.Keeper); ok {
		if _, err := keeper.Values(ctx, []string{"posts-0"}); err == nil {
			t.Error("values")
		}
	}
	if _, _, err := in.Index.List(ctx, "", 10); err == nil {
		t.Error("list")
	}
	in.expect(t, map[string]document.Vector{})
}
