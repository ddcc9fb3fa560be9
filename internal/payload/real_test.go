package payload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/pgtest"
	"payload-cdc/test/payloadtest"
)

type fields = payloadtest.Fields

// real is a real Payload, and what our reader makes of its database.
type real struct {
	*payloadtest.App
	t           *testing.T
	pool        *pgxpool.Pool
	schema      string
	collections []string
	globals     []string
	rules       map[string]Rules
}

func (r *real) create(collection string, data fields, more ...fields) string {
	r.t.Helper()
	id, err := r.Create(r.t.Context(), collection, data, more...)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *real) update(collection, id string, data fields, more ...fields) {
	r.t.Helper()
	if err := r.Update(r.t.Context(), collection, id, data, more...); err != nil {
		r.t.Fatal(err)
	}
}

// agree compares every document and global with Payload's read-back, and returns how many documents are published.
func (r *real) agree() (entries int) {
	r.t.Helper()
	reader := NewReader(r.pool, discover(r.t, r.pool, Config{Schema: r.schema, Collections: slices.Concat(r.collections, r.globals), Rules: r.rules}), Config{})
	var keys []document.Key
	var docs []fields
	for _, slug := range r.collections {
		found, err := r.Find(r.t.Context(), slug, fields{}, fields{"locale": "all", "trash": true})
		if err != nil {
			r.t.Fatal(err)
		}
		for _, doc := range found {
			keys, docs = append(keys, document.Key{Collection: slug, ID: fmt.Sprint(doc["id"])}), append(docs, doc)
		}
	}
	for _, slug := range r.globals {
		var doc fields
		if err := r.Call(r.t.Context(), "findGlobal", fields{"slug": slug, "locale": "all"}, &doc); err != nil {
			r.t.Fatal(err)
		}
		delete(doc, "globalType")
		if doc["id"] != nil {
			keys, docs = append(keys, document.Key{Collection: slug, ID: fmt.Sprint(doc["id"])}), append(docs, doc)
		}
	}
	got, _, err := reader.Read(r.t.Context(), keys)
	if err != nil {
		r.t.Fatal(err)
	}
	for i, doc := range docs {
		compare(r.t, got[i], doc, func(locale string) bool {
			byLocale, ok := doc["_status"].(map[string]any)
			if !ok {
				return live(doc)
			}
			return byLocale[locale] == "published" && doc["deletedAt"] == nil
		})
		entries += len(got[i].Entries)
	}
	return entries
}

func hero(n int) fields {
	text := func(s string) string { return fmt.Sprint(s, n) }
	return fields{
		"blockType": "hero", "blockName": text("name"), "heading": text("Hero"), "subHeading": text("Sub"), "body": payloadtest.RichText(text("body"), "second paragraph"),
		"ctaLinks": []fields{
			{"label": text("cta A"), "linkURL": "/a", "kind": "primary", "audience": []string{"dev"}, "keywords": []string{text("kw1-"), text("kw2-")}, "subLinks": []fields{{"label": text("sub")}}},
			{"label": text("cta B"), "keywords": []string{text("kw3-")}},
		},
	}
}

func quote(text string, categories ...string) fields {
	return fields{"blockType": "quoteBlock", "quote": text, "author": "by " + text, "relatedCategories": categories, "cite": fields{"source": "source of " + text, "publishedYear": 1999}}
}

func columnsOf(text string) fields {
	return fields{"blockType": "two-columns", "columns": []fields{
		{"width": "half", "content": []fields{quote("nested " + text), {"blockType": "textBlock", "text": payloadtest.RichText("rich " + text)}}},
		{"width": "full", "content": []fields{{"blockType": "textBlock", "text": payloadtest.RichText("second " + text)}}},
	}}
}

func grid(text string) fields {
	return fields{"blockType": "featureGrid", "intro": "Intro " + text, "items": []fields{{"name": "feature 1 " + text, "detail": "detail 1"}, {"name": "feature 2 " + text}}}
}

func post(title string, layout ...fields) fields {
	return fields{
		"title": title, "slug": strings.ToLower(strings.ReplaceAll(title, " ", "-")), "_status": "published", "content": payloadtest.RichText("Content of "+title, "and more"),
		"description": "Description of " + title, "excerpt": fields{"shortText": "short", "longText": "long\n\ntext"}, "layout": layout, "tags": []string{"tag1", "tag 2"}, "scores": []float64{1, 2.5},
		"faqItems": []fields{{"question": "Why?", "answer": payloadtest.RichText("Because."), "sources": []fields{{"title": "a source"}}}, {"question": "When?"}},
		"channels": []string{"web", "app"}, "tone": "formal", "seoMeta": fields{"metaTitle": "Meta " + title, "metaDescription": "Meta description"},
		"deepGroup": fields{"innerGroup": fields{"noteText": "note", "bullets": []fields{{"bullet": "one"}, {"bullet": "two"}}}}, "sideNote": "side", "collapsedText": "collapsed", "rowText": "row",
		"extraJSON": fields{"not": "text"}, "snippet": "const x = 1", "contactEmail": "a@example.com", "rating": 3,
	}
}

// TestAltWords: uuid ids, blocks as JSON, a status per locale and a schema of its own, as real Payload writes them.
func TestAltWords(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	app := payloadtest.New(t, db, payloadtest.Options{Variation: "alt"})
	r := &real{
		App: app, t: t, pool: db.Pool(t), schema: "cms", globals: []string{"site-settings", "footer"},
		collections: []string{"categories", "posts", "blog-posts", "events", "news"},
		// In JSON a choice is a string as any other. Common names tell (tone, kind, width); this one has to be said.
		rules: map[string]Rules{"posts": {Exclude: []string{"layout.hero.ctaLinks.audience"}}},
	}
	ctx := t.Context()
	category := r.create("categories", fields{"name": "Trees", "summary": "All about trees"})
	first := r.create("posts", post("First", hero(1), quote("q1", category), columnsOf("c1"), grid("g1"), hero(2)))
	r.create("posts", post("Second", columnsOf("c2"), grid("g2")))
	r.create("posts", fields{"title": "Only a title", "_status": "published"})
	r.create("posts", post("Draft", hero(3)), fields{"draft": true})
	r.update("posts", first, fields{"layout": []fields{quote("moved"), hero(4)}})

	section := func(heading, cell string) []fields {
		return []fields{{"blockType": "textSection", "heading": heading, "anchor": "anchored", "rows": []fields{{"cell": cell}}}}
	}
	blog := func(l string) fields {
		return fields{
			"title": l + " title", "content": payloadtest.RichText(l + " content"), "keywords": []string{l + "-kw"}, "summary": fields{"lead": l + " lead", "points": []fields{{"point": l + " p1"}, {"point": l + " p2"}}},
			"sections": []fields{{"blockType": "promo", "text": l + " promo", "keywords": []string{l + " promo kw"}, "items": []fields{{"item": l + " item"}}}},
			"steps":    []fields{{"step": l + " step"}}, "_status": "published",
		}
	}
	// translate adds a locale, with the ids of what is not localized itself.
	translate := func(id, l string, more fields) {
		docs, err := app.Find(ctx, "blog-posts", fields{"id": fields{"equals": id}}, fields{"locale": "en"})
		if err != nil {
			t.Fatal(err)
		}
		data := blog(l)
		if layout, _ := docs[0]["layout"].([]any); len(layout) > 0 {
			one := layout[0].(map[string]any)
			one["heading"] = l + " heading"
			one["rows"].([]any)[0].(map[string]any)["cell"] = l + " cell"
			data["layout"] = layout
		}
		if notes, _ := docs[0]["notes"].([]any); len(notes) > 0 {
			notes[0].(map[string]any)["note"] = l + " note"
			data["notes"] = notes
		}
		maps.Copy(data, more)
		r.update("blog-posts", id, data, fields{"locale": l})
	}
	whole := func() fields {
		data := blog("en")
		data["internalRef"], data["labels"], data["layout"], data["notes"] = "R1", []string{"everywhere"}, section("en heading", "en cell"), []fields{{"note": "en note"}}
		return data
	}
	both := r.create("blog-posts", whole(), fields{"locale": "en"})
	translate(both, "de", nil)
	translate(both, "fr", fields{"_status": "draft"})
	r.create("blog-posts", blog("en"), fields{"locale": "en"})
	unpublished := r.create("blog-posts", whole(), fields{"locale": "en"})
	translate(unpublished, "de", nil)
	r.update("blog-posts", unpublished, fields{"_status": "draft"}, fields{"locale": "en"})
	r.create("blog-posts", fields{"title": "en draft only"}, fields{"locale": "en", "draft": true})

	r.create("events", fields{"title": "Event", "content": payloadtest.RichText("what"), "agenda": []fields{{"item": "opening"}}, "_status": "published"})
	trashed := r.create("events", fields{"title": "Gone", "_status": "published"})
	if err := app.Trash(ctx, "events", trashed); err != nil {
		t.Fatal(err)
	}
	for _, l := range []string{"en", "de"} {
		if err := app.Call(ctx, "updateGlobal", fields{"slug": "site-settings", "locale": l, "data": fields{
			"siteName": "Site", "tagline": l + " tagline", "nav": []fields{{"label": "Home"}}, "about": payloadtest.RichText("About"), "_status": "published",
		}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Call(ctx, "updateGlobal", fields{"slug": "footer", "data": fields{"copyright": "all rights"}}, nil); err != nil {
		t.Fatal(err)
	}
	if n := r.agree(); n < 12 {
		t.Errorf("only %d entries were compared", n)
	}
}

// TestRealWords: what Payload leaves behind when blocks move and fields are emptied, and what SQL leaves it to read.
func TestRealWords(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	app := payloadtest.New(t, db, payloadtest.Options{})
	r := &real{App: app, t: t, pool: db.Pool(t), schema: "public", collections: []string{"posts", "blog-posts", "products"}}
	ctx := t.Context()
	id := r.create("posts", post("Moving", hero(1), quote("q1"), columnsOf("c1"), grid("g1"), hero(2)))
	if n := r.agree(); n != 1 {
		t.Fatalf("%d entries", n)
	}
	layout := func() []any {
		docs, err := app.Find(ctx, "posts", fields{"id": fields{"equals": id}})
		if err != nil {
			t.Fatal(err)
		}
		return docs[0]["layout"].([]any)
	}
	for name, step := range map[string]func(){
		"reversed": func() { l := layout(); slices.Reverse(l); r.update("posts", id, fields{"layout": l}) },
		"shorter":  func() { r.update("posts", id, fields{"layout": layout()[2:]}) },
		"links moved": func() {
			l := layout()
			for _, b := range l {
				if links, ok := b.(map[string]any)["ctaLinks"].([]any); ok {
					slices.Reverse(links)
				}
			}
			r.update("posts", id, fields{"layout": l, "tags": []string{}})
		},
	} {
		step()
		t.Log(name)
		r.agree()
	}
	// Rows that SQL deletes leave gaps in the numbering.
	id = r.create("posts", post("Gaps", quote("first"), hero(7), columnsOf("c7"), hero(8)))
	exec(t, r.pool, `delete from posts_blocks_quote_block where _parent_id = `+id+` and _path = 'layout'`)
	r.agree()
	exec(t, r.pool, `delete from posts_blocks_hero_cta_links where label = 'cta A7'`)
	r.agree()
}
