package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"payload-cdc/test/e2e"
	"payload-cdc/test/payloadtest"
)

type fields = payloadtest.Fields

func TestMain(m *testing.M) { e2e.Main(m) }

// Everything an editor does to documents, step by step, through Payload itself; after each step the index equals what
// is published. With instant and honest providers every text is embedded exactly once, and a draft's never.
func TestLifeOfADocument(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{})
	app, ctx := w.Payload, t.Context()
	done := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	then := func(what string, err error) {
		t.Helper()
		done(what, err)
		w.WaitConverged(t)
	}
	// What must not change the index is followed by what does: once that has arrived, the first has been read.
	markers := 0
	thenNothing := func(what string, err error) {
		t.Helper()
		done(what, err)
		markers++
		_, err = app.Create(ctx, "news", fields{"title": fmt.Sprint("Marker after ", what, " ", markers), "_status": "published"})
		then("marker", err)
	}

	// Published before cdc has ever run.
	_, err := app.Create(ctx, "posts", fields{"title": "Early bird", "content": payloadtest.RichText("Was here first."), "_status": "published"})
	done("create before the start", err)
	cdc := w.Start(t)
	cdc.WaitReady(t)
	then("first start", nil)

	id, err := app.Create(ctx, "posts", fields{"title": "Tides", "content": payloadtest.RichText("Sekretfirst words.")}, fields{"draft": true})
	thenNothing("create draft", err)
	thenNothing("autosave", app.Update(ctx, "posts", id, fields{"content": payloadtest.RichText("Wind makes waves.")}, fields{"draft": true, "autosave": true}))
	then("publish", app.Publish(ctx, "posts", id, nil))
	then("edit", app.Update(ctx, "posts", id, fields{"content": payloadtest.RichText("Wind and moon make waves.")}))
	then("grow", app.Update(ctx, "posts", id, fields{"content": payloadtest.RichText(long("alpha")...)}))
	if _, ok := w.Vectors(t)["posts-"+id+"#2"]; !ok {
		t.Error("the long text was not cut in three")
	}
	thenNothing("draft edit of a published document", app.SaveDraft(ctx, "posts", id, fields{"title": "Sekretdraft"}))
	thenNothing("discard the draft", app.Publish(ctx, "posts", id, fields{"title": "Tides"}))
	thenNothing("no-op republish", app.Publish(ctx, "posts", id, nil))
	then("shrink", app.Update(ctx, "posts", id, fields{"content": payloadtest.RichText("Only the moon.")}))

	cdc.Stop(t)
	then("restart", nil)
	done("edit while it is down", app.Update(ctx, "posts", id, fields{"title": "Tides and moon"}))
	gone, err := app.Create(ctx, "docPages", fields{"title": "Shortlived", "_status": "published"})
	done("create while it is down", err)
	done("delete while it is down", app.Delete(ctx, "docPages", gone))
	cdc = w.Start(t)
	then("start again", nil)

	event, err := app.Create(ctx, "events", fields{"title": "Harbour day", "content": payloadtest.RichText("Boats."), "_status": "published"})
	then("create published", err)
	then("trash", app.Trash(ctx, "events", event))
	post, err := app.Create(ctx, "blog-posts", fields{"title": "Lighthouse", "content": payloadtest.RichText("The lamp stays."), "_status": "published"})
	then("create localized", err)
	then("translate", app.Publish(ctx, "blog-posts", post, fields{"title": "Leuchtturm", "content": payloadtest.RichText("Die Lampe bleibt.")}, fields{"locale": "de"}))
	then("unpublish localized", app.Unpublish(ctx, "blog-posts", post))
	then("unpublish", app.Unpublish(ctx, "posts", id))
	other, err := app.Create(ctx, "posts", fields{"title": "Another", "_status": "published"})
	then("create another", err)
	then("delete", app.Delete(ctx, "posts", other))

	for i := range 500 {
		_, err := app.Create(ctx, "docPages", fields{"title": fmt.Sprint("Bulk page ", i), "content": payloadtest.RichText(fmt.Sprintf("Text of page%d.", i))}, fields{"draft": true})
		done("create bulk drafts", err)
	}
	n, err := app.BulkPublish(ctx, "docPages", fields{"title": fields{"like": "Bulk"}})
	if n != 500 {
		t.Fatalf("bulk publish = %d, want 500", n)
	}
	then("bulk publish of 500", err)
	cdc.WaitReady(t)
	cdc.Stop(t)
	then("stop", nil)

	times := map[string]int{}
	for _, text := range w.Embedded() {
		times[text]++
		if strings.Contains(text, "Sekret") {
			t.Errorf("a draft's text was embedded: %q", text)
		}
	}
	for text, n := range times {
		if n != 1 {
			t.Errorf("embedded %d times: %.100q", n, text)
		}
	}
}

// What the recipe that cdc replaces has left in the index is cleaned up on first start; what is somebody else's stays.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{})
	ctx := t.Context()
	id, err := w.Payload.Create(ctx, "posts", fields{"title": "Kept", "content": payloadtest.RichText("Still published."), "_status": "published"})
	if err != nil {
		t.Fatal(err)
	}
	w.Plant(t, "posts-"+id, `{"docId":"`+id+`","collection":"posts","title":"An old title"}`)
	w.Plant(t, "posts-4711", `{"docId":"4711","collection":"posts","title":"Deleted long ago"}`)
	w.Plant(t, "somebody-else", `{"kind":"product","sku":"x-1"}`)
	w.Start(t).WaitReady(t)
	e2e.Eventually(t, "only the stranger differs", func() []string {
		problems := w.Differences(t)
		stranger := slices.IndexFunc(problems, func(p string) bool { return strings.HasPrefix(p, "extra somebody-else:") })
		if stranger < 0 {
			return append(problems, "a vector that is not ours was deleted")
		}
		return slices.Delete(problems, stranger, stranger+1)
	})
}

// A status per locale, uuid ids and a schema of its own.
func TestAlternativeProject(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{Variation: "alt"})
	app, ctx := w.Payload, t.Context()
	w.Start(t).WaitReady(t)
	id, err := app.Create(ctx, "blog-posts", fields{"title": "Lighthouse", "content": payloadtest.RichText("The lamp stays."), "_status": "published"})
	if err != nil {
		t.Fatal(err)
	}
	w.WaitConverged(t)
	if err := app.Publish(ctx, "blog-posts", id, fields{"title": "Leuchtturm", "content": payloadtest.RichText("Die Lampe bleibt.")}, fields{"locale": "de"}); err != nil {
		t.Fatal(err)
	}
	w.WaitConverged(t)
	if err := app.Update(ctx, "blog-posts", id, fields{"_status": "draft"}, fields{"locale": "en"}); err != nil {
		t.Fatal(err)
	}
	w.WaitConverged(t)
	if n := len(w.Vectors(t)); n != 1 {
		t.Errorf("the index holds %d vectors, want the German one", n)
	}
}

func TestUntilCaughtUp(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{})
	if _, err := w.Payload.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first start, and one that has nothing to do
		if code := w.Start(t, "--until", "caught-up").Exit(t); code != 0 {
			t.Fatalf("exit code %d, want 0", code)
		}
		if problems := w.Differences(t); len(problems) > 0 {
			t.Fatalf("caught up, but:\n  %s", strings.Join(problems, "\n  "))
		}
	}
}

// long is a text of several chunks; each paragraph has a word of its own.
func long(word string) []string {
	paragraphs := make([]string, 40)
	for i := range paragraphs {
		paragraphs[i] = fmt.Sprintf("Paragraph %s%d says at some length that the harbour was quiet, the ferry late, the lamp lit early, and that nobody in the town remembered a colder spring than this one.", word, i)
	}
	return paragraphs
}
