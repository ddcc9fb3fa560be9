package daemon_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"payload-cdc/internal/chunk"
	"payload-cdc/internal/daemon"
	"payload-cdc/internal/local"
	"payload-cdc/internal/payload"
)

// in returns the vectors of a namespace whose ids begin with a prefix.
func (w *world) in(namespace, prefix string) map[string]local.Vector {
	w.Helper()
	all, err := w.server.Vectors(context.Background(), namespace)
	if err != nil {
		w.Fatal(err)
	}
	maps.DeleteFunc(all, func(id string, _ local.Vector) bool { return !strings.HasPrefix(id, prefix) })
	return all
}

// A collection's settings take effect at the next start, embed nothing that has been embedded, and are taken back likewise.
func TestSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	w.equal()
	w.drained()
	r.stop()
	posts := w.in("", "posts-")
	others := len(w.vectors()) - len(posts)
	before := w.server.Counts().Inputs

	// Other namespaces: two collections move, and what they share with others stays apart.
	w.cfg.Settings = map[string]daemon.Collection{"posts": {Namespace: "articles"}, "news": {Namespace: "articles"}, "events": {}}
	r = w.start()
	w.eventually(func() string {
		own, moved := len(w.in("", "posts-"))+len(w.in("", "news-")), w.in("articles", "")
		if own > 0 || len(moved) < len(posts) {
			return fmt.Sprintf("%d vectors in the old namespace, %d in the new", own, len(moved))
		}
		return compareKeys(posts, w.in("articles", "posts-"))
	})
	w.drained()
	if n := w.server.Counts().Inputs - before; n != 0 {
		w.Errorf("%d texts were embedded again for another namespace", n)
	}
	w.exec(`DELETE FROM posts WHERE id = 2`)
	w.eventually(func() string {
		if _, ok := w.in("articles", "")["posts-2"]; ok {
			return "a deleted document is in the index"
		}
		return ""
	})
	w.drained()
	r.stop()

	// Other sizes: more chunks of a long post.
	longest := len(w.in("articles", "posts-7"))
	w.cfg.Settings["posts"] = daemon.Collection{Namespace: "articles", Chunks: chunk.Sizes{Max: 64}}
	r = w.start()
	w.eventually(func() string {
		if n := len(w.in("articles", "posts-7")); n < longest+10 {
			return fmt.Sprintf("%d chunks of the long post, before %d", n, longest)
		}
		return ""
	})
	w.drained()
	r.stop()

	// Other rules: looked at again, and announced.
	w.cfg.Settings["events"] = daemon.Collection{Rules: payload.Rules{Title: "title"}}
	r = w.start()
	w.says("the collection's settings changed")
	w.drained()
	r.stop()

	// And back.
	w.cfg.Settings = nil
	w.start()
	w.equal()
	w.drained()
	if left := w.in("articles", ""); len(left) != 0 {
		// The namespace is no longer told of, but the ledger knows what is there.
		w.Errorf("%d vectors are left in the namespace: %v", len(left), maps.Keys(left))
	}
	if n := len(w.vectors()) - len(w.in("", "posts-")); n != others {
		w.Errorf("%d vectors of the other collections, before %d", n, others)
	}
}

func compareKeys(want, got map[string]local.Vector) string {
	for id := range want {
		if _, ok := got[id]; !ok {
			return "missing " + id
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d vectors, want %d", len(got), len(want))
	}
	return ""
}
