package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
)

// TestOnlyWhatChangedIsEmbedded: a text that the index holds under any id of the document keeps its vector.
func TestOnlyWhatChangedIsEmbedded(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after version
		embedded      int
	}{
		{"the first is written for its time", version{text: "one two"}, version{text: "one three"}, 1},
		{"the first is written for its count", version{text: "one two"}, version{text: "one"}, 0},
		{"a section before the others", version{text: "one two three"}, version{text: "zero one two three"}, 1},
		{"sections change places", version{text: "one two three"}, version{text: "three one two"}, 0},
		{"a section twice", version{text: "one two"}, version{text: "two two two"}, 0},
		{"metadata alone", version{text: "one two", extra: 1}, version{text: "one two", extra: 2}, 0},
		{"metadata for the first time", version{text: "one two"}, version{text: "one two", extra: 2}, 0},
		{"no metadata any more", version{text: "one two", extra: 2}, version{text: "one two"}, 0},
		{"all at once", version{text: "one two", extra: 1}, version{text: "two three one", extra: 2}, 1},
		{"back from a draft", version{text: ""}, version{text: "one two"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(1)
				var tokens atomic.Int64
				p := run(t, w, func(c *pipeline.Config) {
					c.Observe = func(o pipeline.Outcome) { tokens.Add(int64(o.Tokens)) }
				})
				for i, v := range []version{c.before, c.after} {
					w.embedded = 0
					tokens.Store(0)
					v.published = true
					edit(w, p, key("1"), v)
					settle(t, p)
					check(t, w)
					if i == 1 && (w.embedded != c.embedded || tokens.Load() != int64(2*c.embedded)) {
						t.Errorf("%d texts of %d tokens were embedded, want %d", w.embedded, tokens.Load(), c.embedded)
					}
				}
			})
		})
	}
}

// TestReuseBelievesTheIndexAlone: the ledger says where a text's vector may be. Whether it is there, the vector itself
// has to say.
func TestReuseBelievesTheIndexAlone(t *testing.T) {
	for name, lie := range map[string]func(*document.Vector){
		"another text's":     func(v *document.Vector) { v.Metadata.Hash, v.Values = "h-other", vectorOf("a/1 other") },
		"another model's":    func(v *document.Vector) { v.Metadata.Model, v.Values = "older", []float32{7} },
		"nobody knows whose": func(v *document.Vector) { v.Metadata.Hash, v.Values = "", []float32{7} },
		"without values":     func(v *document.Vector) { v.Values = nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(1)
				p := run(t, w, nil)
				edit(w, p, key("1"), version{published: true, text: "one two"})
				settle(t, p)
				w.mu.Lock()
				v := w.vectors["a-1#1"]
				lie(&v)
				w.vectors["a-1#1"] = v
				w.embedded = 0
				w.mu.Unlock()
				edit(w, p, key("1"), version{published: true, text: "two one"})
				settle(t, p)
				check(t, w)
				if w.embedded != 1 {
					t.Errorf("%d texts were embedded, want the one whose vector was not what it should be", w.embedded)
				}
			})
		})
	}
}

// keeper is an index whose values are given back by the function.
type keeper struct {
	pipeline.Index
	values func(ctx context.Context, ids []string) (map[string]document.Kept, error)
}

func (k keeper) Values(ctx context.Context, ids []string) (map[string]document.Kept, error) {
	return k.values(ctx, ids)
}

// TestMetadataGoOnWithoutEmbeddings: what needs no new vector does not wait for whoever makes vectors.
func TestMetadataGoOnWithoutEmbeddings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, func(c *pipeline.Config) {
			inner := c.Embedder
			c.Embedder = embedder(func(ctx context.Context, texts []string) ([][]float32, error) {
				if w.embedDown.After(time.Now()) {
					return nil, &failure.Error{Class: failure.Systemic, Rejected: true, Err: errors.New("quota exhausted")}
				}
				return inner.Embed(ctx, texts)
			})
		})
		for n := range 5 {
			edit(w, p, key(fmt.Sprint(n)), version{published: true, text: "one two", extra: 1})
		}
		settle(t, p)
		w.mu.Lock()
		w.embedDown = time.Now().Add(time.Hour)
		w.mu.Unlock()
		edit(w, p, key("0"), version{published: true, text: "one two three", extra: 2}) // has to wait
		time.Sleep(time.Minute)
		for n := 1; n < 5; n++ {
			edit(w, p, key(fmt.Sprint(n)), version{published: true, text: "two one", extra: 2})
		}
		time.Sleep(time.Minute)
		s := p.Stats()
		if s.Owed != 1 || len(s.Paused) != 1 {
			t.Errorf("during the outage: %+v", s)
		}
		w.mu.Lock()
		for n := 1; n < 5; n++ {
			if got := told(w.vectors[fmt.Sprint("a-", n)]); got != "two and 2" {
				t.Errorf("a-%d says %q", n, got)
			}
		}
		w.mu.Unlock()
		time.Sleep(time.Hour)
		settle(t, p)
		check(t, w)
	})
}

// TestValuesAreNotNeeded: an index that gives no values back costs embeddings, and nothing else; one that refuses us
// altogether is waited for.
func TestValuesAreNotNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		embedded int
	}{
		"it fails":       {errNet, 2},
		"it refuses one": {errRefused, 2},
		"it gives none":  {nil, 2},
		"it refuses us":  {&failure.Error{Class: failure.Systemic, Rejected: true, Err: errors.New("unauthorized")}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(1)
				var failing atomic.Bool
				failing.Store(true)
				p := run(t, w, func(cfg *pipeline.Config) {
					inner := cfg.Index.(pipeline.Keeper)
					cfg.Index = keeper{cfg.Index, func(ctx context.Context, ids []string) (map[string]document.Kept, error) {
						if failing.Load() {
							return nil, c.err
						}
						return inner.Values(ctx, ids)
					}}
				})
				edit(w, p, key("1"), version{published: true, text: "one two"})
				settle(t, p)
				w.embedded = 0
				edit(w, p, key("1"), version{published: true, text: "two one"})
				time.Sleep(time.Minute)
				failing.Store(false)
				settle(t, p)
				check(t, w)
				if w.embedded != c.embedded {
					t.Errorf("%d texts were embedded, want %d", w.embedded, c.embedded)
				}
				if parked := p.Dirty.Parked(); len(parked) != 0 {
					t.Errorf("parked: %+v", parked)
				}
			})
		})
	}
}

// TestProveComparesMetadata: a late write of older metadata is found although the text is right.
func TestProveComparesMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, nil)
		edit(w, p, key("1"), version{published: true, text: "one two", extra: 1})
		settle(t, p)
		w.mu.Lock()
		late := w.vectors["a-1#1"]
		w.mu.Unlock()
		edit(w, p, key("1"), version{published: true, text: "one two", extra: 2})
		settle(t, p)
		check(t, w)
		w.mu.Lock()
		w.vectors["a-1#1"] = late
		w.embedded = 0
		w.mu.Unlock()
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "a", Strength: owed.Prove, Reason: "test"})
		settle(t, p)
		check(t, w)
		if w.embedded != 0 {
			t.Errorf("%d texts were embedded", w.embedded)
		}
	})
}

// TestLedgerOfAnOlderVersion: lines that know only the text's hash are no reason to write anything, unless there are
// metadata that they cannot know of. They are renewed with what is written.
func TestLedgerOfAnOlderVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		var calls []string
		p := run(t, w, func(c *pipeline.Config) {
			kept := c.Index.(pipeline.Keeper)
			watch(c, &calls)
			c.Index = keeper{c.Index, kept.Values}
		})
		edit(w, p, key("1"), version{published: true, text: "one two"})
		settle(t, p)
		w.mu.Lock()
		for id, l := range w.ledger {
			text, _, whole := strings.Cut(l.hash, ".")
			if !whole {
				t.Errorf("the ledger knows only the text of %s: %s", id, l.hash)
			}
			l.hash = text
			w.ledger[id] = l
		}
		w.embedded, calls = 0, nil
		w.mu.Unlock()
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "a", Reason: "an upgrade"})
		settle(t, p)
		if len(calls) != 0 {
			t.Errorf("an upgrade did: %v", calls)
		}
		// Only the first is written: of the second nobody knows more than before.
		edit(w, p, key("1"), version{published: true, text: "one two three"})
		settle(t, p)
		w.mu.Lock()
		if a, b := w.ledger["a-1"].hash, w.ledger["a-1#1"].hash; !strings.HasPrefix(a, "h-one.") || b != "h-two" {
			t.Errorf("the ledger says %s and %s", a, b)
		}
		w.embedded, calls = 0, nil
		w.mu.Unlock()
		edit(w, p, key("1"), version{published: true, text: "one two three", extra: 1})
		settle(t, p)
		check(t, w)
		if w.embedded != 0 || len(calls) != 3 {
			t.Errorf("%d texts were embedded by: %v", w.embedded, calls)
		}
	})
}

// TestNamespaceMoves: a collection that gets another namespace is written there before it leaves the old one, and not
// embedded again. Two documents may have one id in two namespaces.
func TestNamespaceMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		var calls []string
		live := func(space string) (p *pipeline.Pipeline, stop func()) {
			return start(t, w, func(c *pipeline.Config) {
				me := c.Source.(*incarnation)
				me.space = space
				watch(c, &calls)
				c.Index = keeper{c.Index, me.Values}
			})
		}
		p, stop := live("")
		moves := document.Key{Collection: "b", ID: "1"}
		edit(w, p, moves, version{published: true, text: "one two", extra: 1})
		settle(t, p)
		stop()
		calls, w.embedded = nil, 0
		p, stop = live("n")
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "b", Reason: "another namespace"})
		if err := p.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle(t, p)
		check(t, w)
		for i := range calls {
			verb, id, _ := strings.Cut(calls[i], " ")
			calls[i] = verb + " " + document.PrintID(id)
		}
		if got := strings.Join(calls, ", "); got != "upsert n/b-1, upsert n/b-1#1, delete b-1, delete b-1#1" {
			t.Errorf("the move did: %s", got)
		}
		if w.embedded != 0 {
			t.Errorf("%d texts were embedded again", w.embedded)
		}
		// What is in the index without the ledger's knowledge is found in both places.
		for _, id := range []string{"b-stray", document.Join("n", "b-stray")} {
			w.mu.Lock()
			w.vectors[id] = document.Vector{ID: id, Metadata: document.Metadata{Collection: "b", DocID: "stray"}}
			w.mu.Unlock()
		}
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "b", Strength: owed.Prove, Reason: "test", Force: true})
		settle(t, p)
		check(t, w)
		edit(w, p, moves, version{})
		settle(t, p)
		stop()
		if len(w.vectors) != 0 || len(w.ledger) != 0 {
			t.Errorf("after it was unpublished: %v, %v", w.vectors, w.ledger)
		}
	})
}

// TestOneIDInTwoNamespaces: in different namespaces two documents may have the same id.
func TestOneIDInTwoNamespaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, func(c *pipeline.Config) { c.Source.(*incarnation).space = "n" })
		first, second := document.Key{Collection: "b", ID: "x-1"}, document.Key{Collection: "b-x", ID: "1"}
		edit(w, p, first, version{published: true, text: "one"})
		edit(w, p, second, version{published: true, text: "two"})
		settle(t, p)
		if parked := p.Dirty.Parked(); len(parked) != 0 {
			t.Fatalf("parked: %+v", parked)
		}
		if a, b := w.vectors[document.Join("n", "b-x-1")].Data, w.vectors["b-x-1"].Data; a != "one" || b != "two" {
			t.Errorf("the index says %q and %q", a, b)
		}
	})
}

// TestTooMuchMetadata: what no index holds is not embedded first, and the reason says which field is too large.
func TestTooMuchMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		p := run(t, w, func(c *pipeline.Config) {
			c.MetadataBytes = 300
			c.Chunker = chunker{c.Chunker, func(c *document.Chunk) {
				if n, ok := c.Extra["n"].(int); ok {
					c.Extra = map[string]any{"summary": strings.Repeat("<", n), "category": "web"}
				}
			}}
		})
		edit(w, p, key("1"), version{published: true, text: "one two", extra: 100})
		edit(w, p, key("2"), version{published: true, text: "one two", extra: 300})
		settle(t, p)
		parked := p.Dirty.Parked()
		if len(parked) != 1 || parked[0].Key != key("2") || !strings.Contains(parked[0].Reason, "summary has 302, category has 5") {
			t.Fatalf("parked: %+v", parked)
		}
		if w.embedded != 2 {
			t.Errorf("%d texts were embedded", w.embedded)
		}
		if n := len(w.vectors["a-1"].Metadata.Extra); n != 2 {
			t.Errorf("%d extra fields", n)
		}
		edit(w, p, key("2"), version{published: true, text: "one two", extra: 10})
		settle(t, p)
		if parked := p.Dirty.Parked(); len(parked) != 0 || len(w.vectors) != 4 {
			t.Errorf("parked %+v, %d vectors", parked, len(w.vectors))
		}
	})
}

// chunker changes what another one cuts.
type chunker struct {
	pipeline.Chunker
	change func(*document.Chunk)
}

func (c chunker) Split(collection string, e document.Entry) ([]document.Chunk, error) {
	chunks, err := c.Chunker.Split(collection, e)
	for i := range chunks {
		c.change(&chunks[i])
	}
	return chunks, err
}
