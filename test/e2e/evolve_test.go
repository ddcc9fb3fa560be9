package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"payload-cdc/test/e2e"
	"payload-cdc/test/payloadtest"
)

// The project changes under a cdc that names its collection: what is new arrives, what is gone leaves, also where no row
// has changed.
func TestSchemaPushes(t *testing.T) {
	t.Parallel()
	w := newEvolving(t, 3, "articles")
	w.push("field,blocks,enum")
	w.does("write what is new", w.Payload.Update(t.Context(), "articles", w.ids[0], fields{
		"summary": "A field that is new.", "kind": "c", "layout": []fields{{"blockType": "hero", "heading": "A block that is new"}},
	}))
	// Every article becomes a draft, and no row says so.
	w.push("field,blocks,enum,trash,drafts")
	if n := len(w.Vectors(t)); n > 0 {
		t.Errorf("all are drafts, and the index holds %d vectors", n)
	}
	for _, id := range w.ids {
		w.does("publish", w.Payload.Publish(t.Context(), "articles", id, nil))
	}
	w.does("trash", w.Payload.Trash(t.Context(), "articles", w.ids[2]))
	w.does("take out of the trash", w.Payload.Untrash(t.Context(), "articles", w.ids[2]))
	// Drizzle drops the column that had the titles, in what is now every language.
	w.push("field,blocks,enum,trash,drafts,locales,localized")
	w.does("write in German", w.Payload.Publish(t.Context(), "articles", w.ids[0], fields{"title": "Lokalisiert"}, fields{"locale": "de"}))
	w.does("write in English", w.Payload.Publish(t.Context(), "articles", w.ids[0], fields{"title": "Localized"}, fields{"locale": "en"}))
	w.cdc.Stop(t)
}

// The same under a cdc that indexes whatever has drafts.
func TestSchemaPushesOfAllCollections(t *testing.T) {
	t.Parallel()
	w := &evolving{World: e2e.New(t, e2e.Options{Variation: "evolve", Env: map[string]string{"CDC_COLLECTIONS": ""}}), t: t}
	w.Evolve(t, payloadtest.Options{Stage: "drafts", Push: true})
	w.start()
	for i := range 3 {
		id, err := w.Payload.Create(t.Context(), "articles", fields{"title": fmt.Sprint("Article ", i), "remark": "Remarkable.", "_status": "published"})
		w.does("create", err)
		w.ids = append(w.ids, id)
	}
	w.push("drafts,collection")
	thing, err := w.Payload.Create(t.Context(), "extra-things", fields{"name": "A thing that is new", "_status": "published"})
	w.does("create in the new collection", err)
	w.does("change in the new collection", w.Payload.Update(t.Context(), "extra-things", thing, fields{"name": "A thing of yesterday"}))
	w.rename("drafts,collection,rename,noremark")
	w.does("write the renamed field", w.Payload.Update(t.Context(), "articles", w.ids[0], fields{"headline": "A headline"}))
	// A new dbName, and a collection less: its tables may be on their way back, so cdc waits for them a minute.
	w.rename("drafts,collection,rename,noremark,dbname")
	w.does("write to the renamed table", w.Payload.Update(t.Context(), "articles", w.ids[1], fields{"headline": "In another table"}))
	w.PushBroken(t, payloadtest.Options{Stage: "drafts,rename,noremark,dbname"})
	w.push("drafts,rename,noremark,dbname")
	w.does("write after the collection has gone", w.Payload.Update(t.Context(), "articles", w.ids[2], fields{"headline": "One collection less"}))
	w.cdc.Stop(t)
}

// Drafts are switched on in a collection of many documents: that all of them have gone is more often a mistake, so it is
// said, and waits for a person. What is published meanwhile is indexed meanwhile.
func TestDraftsSwitchedOn(t *testing.T) {
	t.Parallel()
	w := newEvolving(t, 25, "articles")
	before := w.Vectors(t)
	w.Evolve(t, payloadtest.Options{Stage: "drafts", Push: true})
	w.held()
	if err := w.Payload.Publish(t.Context(), "articles", w.ids[0], fields{"title": "Published anew"}); err != nil {
		t.Fatal(err)
	}
	e2e.Eventually(t, "what is published anew is indexed", func() []string {
		if v := w.Vectors(t)["articles-"+w.ids[0]]; !strings.Contains(string(v.Metadata), "Published anew") {
			return []string{string(v.Metadata)}
		}
		return nil
	})
	if n := len(w.Vectors(t)); n != len(before) {
		t.Errorf("the index held %d vectors, and has %d while the rest is held", len(before), n)
	}
	w.released()
	w.cdc.Stop(t)
}

// Payload's migrations, instead of its pushes; and migrate:fresh, which drops the schema with all that is in it.
func TestMigrations(t *testing.T) {
	t.Parallel()
	w := &evolving{World: e2e.New(t, e2e.Options{Variation: "evolve", Env: map[string]string{"CDC_COLLECTIONS": "articles"}}), t: t}
	w.Empty(t)
	o := payloadtest.Options{MigrationDir: filepath.Join(t.TempDir(), "migrations")}
	migrate := func(name string) {
		t.Helper()
		if err := w.Payload.Call(t.Context(), "migrate", fields{"name": name}, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.Evolve(t, o)
	migrate("one")
	w.create(25)
	w.start()

	o.Stage = "field,blocks,collection"
	w.Evolve(t, o)
	migrate("two")
	w.settled()
	w.does("write what is new", w.Payload.Update(t.Context(), "articles", w.ids[0], fields{
		"summary": "A field that is new.", "layout": []fields{{"blockType": "hero", "heading": "A block that is new"}},
	}))

	if err := w.Payload.Call(t.Context(), "migrate", fields{"fresh": true}, nil); err != nil {
		t.Fatal(err)
	}
	w.held()
	if n := len(w.Vectors(t)); n != 25 {
		t.Errorf("the index held 25 vectors, and has %d while nobody has said that the rest is gone", n)
	}
	w.released()
	w.ids = nil
	w.create(1)
	w.settled()
	w.cdc.Stop(t)
}

// evolving is a World whose Payload project changes while cdc streams.
type evolving struct {
	*e2e.World
	t   *testing.T
	cdc *e2e.Process
	ids []string // of articles
}

// newEvolving has some articles, and a cdc that has indexed them.
func newEvolving(t *testing.T, articles int, collections string) *evolving {
	t.Helper()
	w := &evolving{World: e2e.New(t, e2e.Options{Variation: "evolve", Env: map[string]string{"CDC_COLLECTIONS": collections}}), t: t}
	w.create(articles)
	w.start()
	return w
}

func (w *evolving) create(n int) {
	w.t.Helper()
	for i := range n {
		id, err := w.Payload.Create(w.t.Context(), "articles", fields{
			"title": fmt.Sprint("Article ", i), "content": payloadtest.RichText("Body of it."), "kind": "a", "items": []fields{{"label": fmt.Sprint("item", i)}},
		})
		if err != nil {
			w.t.Fatal(err)
		}
		w.ids = append(w.ids, id)
	}
}

func (w *evolving) start() {
	w.t.Helper()
	w.cdc = w.Start(w.t)
	w.settled()
}

func (w *evolving) settled() {
	w.t.Helper()
	w.WaitSettled(w.t, w.cdc)
	w.cdc.WaitReady(w.t)
}

// push lets drizzle change the schema to what the project now is, and waits until the index follows: by itself, for
// nothing has been written.
func (w *evolving) push(stage string) {
	w.t.Helper()
	w.Evolve(w.t, payloadtest.Options{Stage: stage, Push: true})
	w.settled()
}

// rename is push, where what is new is what is gone under another name.
func (w *evolving) rename(stage string) {
	w.t.Helper()
	w.Evolve(w.t, payloadtest.Options{Stage: stage, Push: true, Rename: true})
	w.settled()
}

func (w *evolving) does(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	w.WaitConverged(w.t)
}

// held waits until cdc says that it has found too much gone to believe it.
func (w *evolving) held() {
	w.t.Helper()
	e2e.Eventually(w.t, "the removal is held", func() []string {
		code, body, err := w.cdc.Get(w.t.Context(), "/readyz")
		if err != nil || code != http.StatusServiceUnavailable || !strings.Contains(string(body), "held") {
			return []string{fmt.Sprintf("/readyz answers %d, %v: %s", code, err, body)}
		}
		return nil
	})
}

// released says that they are really gone.
func (w *evolving) released() {
	w.t.Helper()
	if out, errs, code := w.Command(w.t, "verify", "--repair", "--force"); code != 0 {
		w.t.Fatalf("cdc verify --repair --force exits %d: %s%s", code, out, errs)
	}
	w.settled()
}
