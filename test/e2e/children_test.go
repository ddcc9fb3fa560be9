package e2e_test

import (
	"strings"
	"testing"

	"payload-cdc/test/e2e"
	"payload-cdc/test/payloadtest"
)

// Writes past Payload, to rows below a document alone: arrays, arrays in arrays, blocks, hasMany fields, locales. The
// document's own row does not change.
func TestChildRows(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{Env: map[string]string{"CDC_COLLECTIONS": "posts,blog-posts,news"}})
	ctx, pool := t.Context(), w.DB.Pool(t)
	post := func(n string) string {
		t.Helper()
		id, err := w.Payload.Create(ctx, "posts", fields{
			"title": "Post " + n, "_status": "published", "tags": []string{"tag" + n, "second" + n},
			"faqItems": []fields{
				{"question": "Question" + n, "answer": payloadtest.RichText("Answer" + n), "sources": []fields{{"title": "Source" + n}, {"title": "Other" + n}}},
				{"question": "Another" + n},
			},
			"layout": []fields{{"blockType": "hero", "heading": "Heading" + n, "ctaLinks": []fields{{"label": "Label" + n, "keywords": []string{"keyword" + n}}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	one, two := post("one"), post("two")
	blog, err := w.Payload.Create(ctx, "blog-posts", fields{"title": "Lighthouse", "_status": "published"})
	if err == nil {
		err = w.Payload.Publish(ctx, "blog-posts", blog, fields{"title": "Leuchtturm"}, fields{"locale": "de"})
	}
	if err != nil {
		t.Fatal(err)
	}
	cdc := w.Start(t)
	w.WaitSettled(t, cdc)

	for _, c := range []struct {
		name, sql string
		late      bool // a DELETE alone: its row told only its own id, so that the collection is swept, five seconds later
	}{
		{"array row", `UPDATE posts_faq_items SET question = 'Asked anew' WHERE _parent_id = $1 AND _order = 1`, false},
		{"array row added", `INSERT INTO posts_faq_items (_order, _parent_id, id, question) SELECT 3, $1, '65f000000000000000000001', 'Inserted'`, false},
		{"row of an array in it", `UPDATE posts_faq_items_sources s SET title = 'Sourced anew' FROM posts_faq_items f
			WHERE s._parent_id = f.id AND f._parent_id = $1 AND s._order = 1`, false},
		{"row added to an array in it", `INSERT INTO posts_faq_items_sources (_order, _parent_id, id, title)
			SELECT 1, id, '65f000000000000000000002', 'Inserted below' FROM posts_faq_items WHERE _parent_id = $1 AND _order = 2`, false},
		{"rows that change places", `UPDATE posts_faq_items SET _order = 3 - _order WHERE _parent_id = $1 AND _order < 3`, false},
		{"hasMany value", `UPDATE posts_texts SET text = 'tagged anew' WHERE parent_id = $1 AND path = 'tags' AND "order" = 1`, false},
		{"hasMany value added", `INSERT INTO posts_texts ("order", parent_id, path, text) SELECT 3, $1, 'tags', 'inserted tag'`, false},
		{"block", `UPDATE posts_blocks_hero SET heading = 'Headed anew' WHERE _parent_id = $1`, false},
		{"row of an array in a block", `UPDATE posts_blocks_hero_cta_links l SET label = 'Labelled anew' FROM posts_blocks_hero b
			WHERE l._parent_id = b.id AND b._parent_id = $1`, false},
		{"locale", `UPDATE blog_posts_locales SET title = 'Licht' WHERE _locale = 'de' AND _parent_id = $1`, false},
		{"locale deleted", `DELETE FROM blog_posts_locales WHERE _locale = 'de' AND _parent_id = $1`, true},
		{"row of an array in it deleted", `DELETE FROM posts_faq_items_sources s USING posts_faq_items f WHERE s._parent_id = f.id AND f._parent_id = $1`, true},
		{"array row deleted", `DELETE FROM posts_faq_items WHERE _parent_id = $1 AND _order = 3`, true},
		{"hasMany value deleted", `DELETE FROM posts_texts WHERE parent_id = $1 AND path = 'tags' AND "order" = 3`, true},
		{"block deleted", `DELETE FROM posts_blocks_hero WHERE _parent_id = $1`, true},
	} {
		id := one
		if strings.Contains(c.sql, "blog_posts") {
			id = blog
		}
		tag, err := pool.Exec(ctx, strings.ReplaceAll(c.sql, "$1", id))
		if err != nil || tag.RowsAffected() == 0 {
			t.Fatalf("%s: %s, %v", c.name, tag, err)
		}
		if c.late {
			continue
		}
		w.WaitRead(t, cdc)
		if problems := w.Differences(t); len(problems) > 0 {
			t.Errorf("%s:\n  %s", c.name, strings.Join(problems, "\n  "))
			w.WaitConverged(t)
		}
	}
	w.WaitConverged(t)

	// A DELETE in a transaction that names another document of the collection: whose row it was cannot be told, and the
	// sweep that finds it is the daily one. Or one that is asked for.
	if _, err := pool.Exec(ctx, `BEGIN; DELETE FROM posts_faq_items WHERE _parent_id = `+one+`; UPDATE posts SET title = 'Beside it' WHERE id = `+two+`; COMMIT`); err != nil {
		t.Fatal(err)
	}
	w.WaitRead(t, cdc)
	if v := w.Vectors(t)["posts-"+two]; !strings.Contains(string(v.Metadata), "Beside it") {
		t.Errorf("the document that the transaction names has %s", v.Metadata)
	}
	if out, errs, code := w.Command(t, "verify", "--repair"); code != 0 {
		t.Fatalf("cdc verify --repair exits %d: %s%s", code, out, errs)
	}
	w.WaitSettled(t, cdc)
	cdc.Stop(t)
}
