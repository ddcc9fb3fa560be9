package payloadtest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/pgtest"
	"payload-cdc/test/payloadtest"
)

type (
	fields = payloadtest.Fields
	row    struct {
		Status, Title string
		Trashed       bool
	}
)

// A document's life, step by step, as its row and as Payload's own readback show it.
func TestLifeOfADocument(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	app := payloadtest.New(t, db, payloadtest.Options{})
	pool, ctx := db.Pool(t), t.Context()
	var id string
	is := func(after string, err error, want *row, published ...string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", after, err)
		}
		if diff := cmp.Diff(want, rowOf(t, pool, id)); diff != "" {
			t.Errorf("%s: row (-want +got):\n%s", after, diff)
		}
		if diff := cmp.Diff(published, readback(t, app)); diff != "" {
			t.Errorf("%s: read back (-want +got):\n%s", after, diff)
		}
	}

	id, err := app.Create(ctx, "events", fields{"title": "Tides", "content": payloadtest.RichText("Wind", "and weather")}, fields{"draft": true})
	is("create draft", err, &row{"draft", "Tides", false})
	is("publish", app.Publish(ctx, "events", id, nil), &row{"published", "Tides", false}, "Tides: Wind and weather")
	is("edit", app.Update(ctx, "events", id, fields{"title": "Tide tables"}), &row{"published", "Tide tables", false}, "Tide tables: Wind and weather")
	is("save draft", app.SaveDraft(ctx, "events", id, fields{"title": "Not yet"}), &row{"published", "Tide tables", false}, "Tide tables: Wind and weather")
	is("publish the draft", app.Publish(ctx, "events", id, nil), &row{"published", "Not yet", false}, "Not yet: Wind and weather")
	is("trash", app.Trash(ctx, "events", id), &row{"published", "Not yet", true})
	is("untrash", app.Untrash(ctx, "events", id), &row{"published", "Not yet", false}, "Not yet: Wind and weather")
	is("unpublish", app.Unpublish(ctx, "events", id), &row{"draft", "Not yet", false})
	is("delete", app.Delete(ctx, "events", id), nil)
}

func TestBulk(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	app := payloadtest.New(t, db, payloadtest.Options{})
	ctx := t.Context()
	for i := range 50 {
		_, err := app.Create(ctx, "events", fields{"title": fmt.Sprint("bulk ", i)}, fields{"draft": true})
		if err != nil {
			t.Fatal(err)
		}
	}
	all := fields{"title": fields{"like": "bulk"}}
	if n, err := app.BulkPublish(ctx, "events", all); err != nil || n != 50 {
		t.Fatalf("bulk publish = %d, %v, want 50", n, err)
	}
	if n := len(readback(t, app)); n != 50 {
		t.Errorf("published are %d, want 50", n)
	}
	if docs, err := app.Find(ctx, "events", all); err != nil || len(docs) != 50 {
		t.Errorf("find = %d, %v, want 50", len(docs), err)
	}
	if n, err := app.DeleteWhere(ctx, "events", all); err != nil || n != 50 {
		t.Errorf("bulk delete = %d, %v, want 50", n, err)
	}
	if left := readback(t, app); len(left) != 0 {
		t.Errorf("published after the delete: %q", left)
	}
}

// One transaction of several commands is seen whole or not at all.
func TestTransaction(t *testing.T) {
	t.Parallel()
	app := payloadtest.New(t, pgtest.New(t), payloadtest.Options{})
	create := func(title string) fields {
		return fields{"op": "create", "args": fields{"collection": "events", "data": fields{"title": title, "_status": "published"}}}
	}
	for _, rollback := range []bool{false, true} {
		err := app.Call(t.Context(), "transaction", fields{"steps": []fields{create("a"), create("b")}, "rollback": rollback}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a: ", "b: "}, readback(t, app)); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// The other variation keeps a status per locale: only published locales are read back.
func TestLocales(t *testing.T) {
	t.Parallel()
	app := payloadtest.New(t, pgtest.New(t), payloadtest.Options{Variation: "alt"})
	ctx := t.Context()
	id, err := app.Create(ctx, "blog-posts", fields{"title": "English"}, fields{"locale": "en", "draft": true})
	if err == nil {
		err = app.Publish(ctx, "blog-posts", id, fields{"title": "Deutsch"}, fields{"locale": "de"})
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := app.Readback(ctx, "blog-posts")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].ID != id || got[0].Locale != "de" || got[0].Title != "Deutsch" {
		t.Errorf("read back %+v, want only the German locale of %s", got, id)
	}
}

// The oracle has the text of whole documents, in each locale, and none that readers do not see.
func TestReadback(t *testing.T) {
	t.Parallel()
	app := payloadtest.New(t, pgtest.New(t), payloadtest.Options{})
	ctx := t.Context()
	_, err := app.Create(ctx, "posts", fields{
		"title": "Title", "slug": "no-slug", "contactEmail": "no@example.com", "tone": "formal", "tags": []string{"tag"}, "scores": []int{7},
		"excerpt": fields{"shortText": "group"}, "seoMeta": fields{"metaTitle": "tab"}, "rowText": "row", "extraJSON": fields{"no": "json"},
		"layout": []fields{
			{"blockType": "hero", "blockName": "No label", "heading": "block", "body": payloadtest.RichText("rich"), "ctaLinks": []fields{
				{"label": "array", "linkURL": "no-url", "kind": "primary", "keywords": []string{"many"}},
			}},
			{"blockType": "two-columns", "columns": []fields{{"content": []fields{{"blockType": "quoteBlock", "quote": "nested"}}}}},
		},
		"_status": "published",
	})
	if err != nil {
		t.Fatal(err)
	}
	blog := fields{"title": "English", "labels": []string{"label"}, "notes": []fields{{"note": "note"}}, "sections": []fields{{"blockType": "promo", "text": "promo"}}}
	id, err := app.Create(ctx, "blog-posts", blog, fields{"draft": true})
	if err == nil {
		err = app.Publish(ctx, "blog-posts", id, fields{"title": "Deutsch"}, fields{"locale": "de"})
	}
	if err == nil {
		err = app.Call(ctx, "updateGlobal", fields{"slug": "footer", "data": fields{"copyright": "global"}}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	entries, err := app.Readback(ctx, "posts", "blog-posts", "notes", "footer", "site-settings")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		words := strings.Fields(e.Content)
		slices.Sort(words)
		got[e.Collection+"-"+e.ID+"@"+e.Locale] = e.Title + ": " + strings.Join(words, " ")
	}
	want := map[string]string{
		"posts-1@":        "Title: array block group many nested rich row tab tag",
		"blog-posts-1@en": "English: label note promo",
		"blog-posts-1@de": "Deutsch: label",
		"footer-1@":       ": global",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	app := payloadtest.New(t, pgtest.New(t), payloadtest.Options{})
	seeded, err := app.Seed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	published := 0
	for _, s := range seeded {
		if s.Published {
			published++
		}
	}
	entries, err := app.Readback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	documents := map[string]bool{}
	for _, e := range entries {
		documents[e.Collection+"/"+e.ID] = true
	}
	if len(seeded) < 20 || len(documents) != published {
		t.Errorf("seeded %d, of which published %d; read back are %d", len(seeded), published, len(documents))
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	app := payloadtest.New(t, pgtest.New(t), payloadtest.Options{})
	_, err := app.Create(t.Context(), "posts", fields{})
	if err == nil || !strings.Contains(err.Error(), "title") {
		t.Errorf("create without its title = %v, want an error that names it", err)
	}
	if err := app.Call(t.Context(), "no such thing", nil, nil); err == nil {
		t.Error("an unknown command is no error")
	}
	if err := app.Close(); err != nil {
		t.Error(err)
	}
	if err := app.Delete(t.Context(), "posts", "1"); err == nil {
		t.Error("a command after Close is no error")
	}
}

func rowOf(t *testing.T, pool *pgxpool.Pool, id string) *row {
	t.Helper()
	var r row
	err := pool.QueryRow(t.Context(), "SELECT _status, title, deleted_at IS NOT NULL FROM events WHERE id = $1::int", id).Scan(&r.Status, &r.Title, &r.Trashed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

// readback is "title: content" of each published event, sorted.
func readback(t *testing.T, app *payloadtest.App) []string {
	t.Helper()
	entries, err := app.Readback(t.Context(), "events")
	if err != nil {
		t.Fatal(err)
	}
	var published []string
	for _, e := range entries {
		published = append(published, e.Title+": "+strings.Join(strings.Fields(e.Content), " "))
	}
	slices.Sort(published)
	return published
}
