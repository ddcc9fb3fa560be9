package daemon_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/payload"
)

// showing makes posts show text of other documents.
func (w *world) showing(related ...string) {
	w.cfg.Settings = map[string]daemon.Collection{"posts": {Rules: payload.Rules{Related: related}}}
}

// changed lists the documents whose vectors are others than before.
func changed(before, now map[string]string) (documents []string) {
	for id, text := range now {
		first, _, _ := strings.Cut(id, "#")
		if before[id] != text && !slices.Contains(documents, first) {
			documents = append(documents, first)
		}
	}
	slices.Sort(documents)
	return documents
}

// texts is what all vectors say.
func (w *world) texts() map[string]string {
	w.Helper()
	texts := map[string]string{}
	for id, v := range w.vectors() {
		if v.Data != nil {
			texts[id] = *v.Data
		}
	}
	return texts
}

// whoSays lists the posts whose text has a word.
func (w *world) whoSays(word string) (documents []string) {
	w.Helper()
	for id, text := range w.texts() {
		first, _, _ := strings.Cut(id, "#")
		if strings.Contains(text, word) && !slices.Contains(documents, first) {
			documents = append(documents, first)
		}
	}
	slices.Sort(documents)
	return documents
}

func (w *world) onlySay(word string, want []string) {
	w.Helper()
	w.eventually(func() string {
		if got := w.whoSays(word); !slices.Equal(got, want) {
			return fmt.Sprintf("%v say %q, want %v", got, word, want)
		}
		return ""
	})
}

// strs is a query's one column.
func (w *world) strs(sql string) []string {
	w.Helper()
	return ask[[]string](w, "SELECT coalesce(array_agg(x ORDER BY x), '{}') FROM ("+sql+") AS s (x)")
}

// A category is renamed, deleted, emptied: every post that shows it follows, and no other.
func TestRelatedDocuments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.showing("categories.name", "primaryCategory.name", "heroImage.alt", "polyOne.name")
	w.exec(`INSERT INTO posts (title, _status) SELECT 'Alone ' || n, 'published' FROM generate_series(1, 3) n`)
	w.exec(`INSERT INTO posts (title, _status, primary_category_id) VALUES ('Primary', 'published', 1), ('Draft', 'draft', 1)`)
	r := w.start()
	w.equal()
	w.drained()
	const alpha = `SELECT 'posts-' || id FROM posts p WHERE _status = 'published' AND (primary_category_id = 1 OR EXISTS (
		SELECT FROM posts_rels WHERE parent_id = p.id AND path = 'categories' AND categories_id = 1))`
	showing := w.strs(alpha)
	if len(showing) < 3 {
		t.Fatalf("only %v", showing)
	}
	w.onlySay("Alpha", showing)

	before := w.texts()
	w.exec(`UPDATE categories SET name = 'Omega' WHERE id = 1`)
	w.onlySay("Omega", showing)
	w.drained()
	if got := w.whoSays("Alpha"); len(got) > 0 {
		t.Errorf("%v still say what it was called", got)
	}
	if got := changed(before, w.texts()); !slices.Equal(got, showing) {
		t.Errorf("%v changed, want %v", got, showing)
	}

	// Nothing that is shown changes: nothing is embedded.
	embedded := w.server.Counts().Inputs
	w.exec(`UPDATE categories SET summary = 'another', name = name WHERE id = 1`)
	w.exec(`UPDATE users SET login_attempts = 1`)
	w.drained()
	if n := w.server.Counts().Inputs; n != embedded {
		t.Errorf("%d texts were embedded, though none changed", n-embedded)
	}

	// Accounts, and files.
	w.exec(`UPDATE users SET name = 'Anneliese' WHERE id = 1`)
	w.onlySay("Anneliese", w.strs(`SELECT 'posts-' || id FROM posts p WHERE _status = 'published' AND EXISTS (SELECT FROM posts_rels WHERE parent_id = p.id AND path = 'polyOne' AND users_id = 1)`))
	w.exec(`UPDATE media SET alt = 'a lighthouse' WHERE id = 1`)
	w.onlySay("a lighthouse", w.strs(`SELECT 'posts-' || id FROM posts WHERE _status = 'published' AND hero_image_id = 1`))

	// It is deleted, together with a change of another document: rows of _rels go with it, and name nobody.
	inRels := w.strs(`SELECT 'posts-' || id FROM posts p WHERE _status = 'published' AND EXISTS (SELECT FROM posts_rels WHERE parent_id = p.id AND path = 'categories' AND categories_id = 2)`)
	w.onlySay("Beta", inRels)
	w.exec(`BEGIN; DELETE FROM categories WHERE id = 2; UPDATE posts SET title = 'another one' WHERE title = 'Alone 1'; COMMIT`)
	w.onlySay("Beta", nil)
	w.exec(`BEGIN; DELETE FROM categories WHERE id = 1; COMMIT`)
	w.onlySay("Omega", nil)
	w.equal()
	w.drained()
	r.stop()
	w.says(`a row was deleted that named no document`)
}

// What is shown is published, unpublished, trashed and comes back; it is indexed itself.
func TestRelatedDocumentIsUnpublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.showing("polyOne.title", "related.title")
	w.exec(`INSERT INTO posts (title, _status) VALUES ('Showing', 'published'), ('Lamplight', 'published');
		INSERT INTO posts_rels (parent_id, path, posts_id) SELECT a.id, 'polyOne', b.id FROM posts a, posts b WHERE a.title = 'Showing' AND b.title = 'Lamplight'`)
	both := w.strs(`SELECT 'posts-' || id FROM posts WHERE title IN ('Showing', 'Lamplight')`)
	r := w.start()
	w.equal()
	w.onlySay("Lamplight", both)
	for range 2 {
		w.exec(`UPDATE posts SET _status = 'draft' WHERE title = 'Lamplight'`)
		w.onlySay("Lamplight", nil)
		w.equal()
		w.exec(`UPDATE posts SET _status = 'published' WHERE title = 'Lamplight'`)
		w.onlySay("Lamplight", both)
		w.equal()
	}
	w.drained()
	r.stop()
	// While it is stopped, too.
	w.exec(`UPDATE posts SET title = 'Moonlight' WHERE title = 'Lamplight'`)
	r = w.start()
	w.onlySay("Moonlight", both)
	w.onlySay("Lamplight", nil)
	w.drained()
	r.stop()
}

// Everything shows one author; it is renamed. Memory does not grow with how many there are: no more are owed at once than
// the configuration lets in, and each is changed.
func TestRelatedFanOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const many = 4000
	w.showing("primaryCategory.name")
	w.cfg.Collections = []string{"posts", "news"}
	w.exec(`DELETE FROM posts`)
	w.exec(`INSERT INTO posts (title, _status, primary_category_id) SELECT 'Post ' || n, 'published', 1 FROM generate_series(1, $1::int) n`, many)
	r := w.start()
	w.eventually(func() string { return w.differences("posts", "news") })
	w.drained()
	w.exec(`UPDATE categories SET name = 'Renamed' WHERE id = 1`)
	w.eventually(func() string {
		n := 0
		for _, text := range w.texts() {
			if strings.Contains(text, "Renamed") {
				n++
			}
		}
		if n != many {
			return fmt.Sprintf("%d of %d posts are changed", n, many)
		}
		return ""
	})
	w.drained()
	w.says(`msg="documents that show a changed row are owed" key="categories:1 shown in posts" documents=4000`)
	r.stop()
}

// The role may not publish a table that is shown: a finding, and sweeps.
func TestRelatedTableThatMayNotBePublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.weak()
	w.showing("categories.name")
	w.exec(`GRANT SELECT ON categories TO ` + role)
	r := w.start()
	w.eventually(func() string {
		return finding(r.status(), `what documents of "posts" show of others is not streamed`, "public.categories", role, `ADD TABLE "public"."categories"`)
	})
	w.equal()
	w.drained()
	if s := r.status(); len(s.Findings) != 1 || !streamed(s, "posts") {
		t.Errorf("%+v", s)
	}
	r.stop()
	showing := w.whoSays("Alpha")
	w.exec(`UPDATE categories SET name = 'Omega' WHERE id = 1`)
	r = w.start()
	w.onlySay("Omega", showing)
	w.exec(`UPDATE categories SET name = 'Missed' WHERE id = 1`)
	w.setUp() // its owner publishes it; what was missed until then is found
	w.onlySay("Missed", showing)
	w.eventually(func() string {
		if s := r.status(); len(s.Findings) > 0 {
			return fmt.Sprintf("%+v", s.Findings)
		}
		return ""
	})
	w.drained()
	w.exec(`UPDATE categories SET name = 'Seen' WHERE id = 1`)
	w.onlySay("Seen", showing)
	r.stop()
}

// A rule for text of others comes and goes.
func TestRelatedRuleChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	w.equal()
	before := w.texts()
	r.stop()
	w.showing("gallery.alt")
	r = w.start()
	w.eventually(func() string {
		if len(w.whoSays("a text file")) == 0 {
			return "nothing is shown"
		}
		return ""
	})
	w.drained()
	r.stop()
	// The last row that told the relation's name goes: what was in force stays so.
	w.exec(`DELETE FROM posts_rels WHERE path = 'gallery'`)
	r = w.start()
	w.eventually(func() string {
		if says := w.whoSays("a text file"); len(says) > 0 {
			return fmt.Sprintf("%v still show it", says)
		}
		return ""
	})
	r.stop()
	w.cfg.Settings = nil
	r = w.start()
	w.eventually(func() string {
		if now := w.texts(); !maps.Equal(before, now) {
			return fmt.Sprintf("%v are others than before", changed(before, now))
		}
		return ""
	})
	r.stop()
}
