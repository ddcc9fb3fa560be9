package payload

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
)

// showing pages through the documents of a collection that show a row, n at a time.
func showing(t *testing.T, r *Reader, slug, table, id string, n int) []string {
	t.Helper()
	var ids []string
	for cursor := ""; ; {
		keys, next, snapshot, err := r.Showing(t.Context(), document.Key{Collection: slug, ID: id, Via: "*" + table}, cursor, n)
		if err != nil {
			t.Fatal(err)
		}
		if snapshot.Xmax == 0 {
			t.Fatal("no snapshot")
		}
		for _, k := range keys {
			if k.Collection != slug || k.Hint() {
				t.Fatalf("key %v", k)
			}
			ids = append(ids, k.ID)
		}
		if cursor = next; cursor == "" {
			return ids
		}
	}
}

// relations are the fields of the lab that refer to one collection; the others say to which.
var relations = map[string]string{
	"categories": "categories", "relatedCategories": "categories", "mainCategory": "categories", "primaryCategory": "categories",
	"cats": "categories", "heroImage": "media", "gallery": "media",
}

// showAll shows something of every relation of the lab.
var showAll = map[string]Rules{
	"posts": {Related: []string{
		"categories.name", "primaryCategory.name", "related.name", "related.title", "polyOne.name", "polyOne.title", "heroImage.alt", "gallery.alt",
		"layout.quoteBlock.mainCategory.name", "layout.relatedCategories.name", "layout.columns.content.relatedCategories.name", "layout.twoColumns.columns.content.quoteBlock.mainCategory.name",
	}},
	"blog-posts": {Related: []string{"related.name", "sections.cats.name"}},
}

// refersTo lists the rows that a value which Payload read back refers to, rich text aside.
func refersTo(field string, v any, found map[string]bool) {
	switch v := v.(type) {
	case float64:
		if table := relations[field]; table != "" {
			found[fmt.Sprint(table, ":", v)] = true
		}
		if field == "related" { // of blog-posts
			found[fmt.Sprint("categories:", v)] = true
		}
	case []any:
		for _, e := range v {
			refersTo(field, e, found)
		}
	case map[string]any:
		if v["root"] != nil {
			return
		}
		if to, ok := v["relationTo"].(string); ok {
			found[fmt.Sprint(to, ":", v["value"])] = true
			return
		}
		for name, e := range v {
			if _, locale := map[string]bool{"en": true, "de": true, "fr": true}[name]; locale {
				name = field
			}
			refersTo(name, e, found)
		}
	}
}

// TestShowing asks of every row of the lab that something may show which documents do, and compares with what Payload
// itself reads back.
func TestShowing(t *testing.T) {
	db := pgtest.New(t)
	payloadtest.LoadDump(t, db)
	r := NewReader(db.Pool(t), discover(t, db.Pool(t), Config{Collections: named, Rules: showAll}), Config{})
	shown := 0
	for slug, byLocale := range payloadtest.Expected(t) {
		if !slices.Contains(named, slug) {
			continue
		}
		want := map[string][]string{}
		for _, doc := range byLocale["all"] {
			found := map[string]bool{}
			refersTo("", doc, found)
			for row := range found {
				if live(doc) {
					want[row] = append(want[row], fmt.Sprint(doc["id"]))
				}
			}
		}
		for _, table := range []string{"categories", "media", "posts", "users"} {
			for id := range 12 {
				row := fmt.Sprint(table, ":", id)
				shown += len(want[row])
				for _, n := range []int{1, 2, 100} {
					got := showing(t, r, slug, table, fmt.Sprint(id), n)
					slices.Sort(got)
					slices.Sort(want[row])
					if diff := cmp.Diff(want[row], got); diff != "" {
						t.Errorf("%s that show %s, by %d: %s", slug, row, n, diff)
					}
				}
			}
		}
	}
	if shown < 10 {
		t.Errorf("the lab shows only %d", shown)
	}
}

// TestShowingFromBelow: references of rows of arrays in blocks, of locales, to rows with ids of another type, and from the
// collection to itself.
func TestShowingFromBelow(t *testing.T) {
	db := pgtest.New(t)
	payloadtest.LoadDump(t, db)
	pool := db.Pool(t)
	exec(t, pool,
		`alter table posts_blocks_hero_cta_links add column product_id varchar references shop_items(id) on delete set null`,
		`alter table blog_posts_locales add column product_id varchar references shop_items(id) on delete set null`,
		`alter table posts add column product_id varchar references shop_items(id) on delete set null`,
		`update posts_blocks_hero_cta_links set product_id = 'sku-1'`,
		`update blog_posts_locales set product_id = 'sku-1' where _locale = 'de'`,
		`update posts set product_id = 'sku-1' where id in (select id from posts where _status = 'published' order by id desc limit 1)`)
	r := NewReader(pool, discover(t, pool, Config{Collections: named, Rules: map[string]Rules{
		"posts": {Related: []string{"product.name", "layout.hero.ctaLinks.product.name", "categories.name"}}, "blog-posts": {Related: []string{"product.name"}},
	}}), Config{})
	for slug, sql := range map[string]string{
		"posts":      `select id::text from posts where _status = 'published' and (product_id is not null or id in (select _parent_id from posts_blocks_hero)) order by id`,
		"blog-posts": `select id::text from blog_posts where _status = 'published' and id in (select _parent_id from blog_posts_locales where _locale = 'de') order by id`,
		"events":     `select 'none' where false`,
	} {
		want := selected(t, pool, sql)
		for _, n := range []int{1, 100} {
			if diff := cmp.Diff(want, showing(t, r, slug, "shop_items", "sku-1", n)); diff != "" {
				t.Errorf("%s by %d: %s", slug, n, diff)
			}
		}
		if len(want) == 0 && slug != "events" {
			t.Errorf("no %s to show", slug)
		}
		if got := showing(t, r, slug, "shop_items", "sku-2", 10); got != nil {
			t.Errorf("%s show what nobody refers to: %v", slug, got)
		}
	}
	for name, hint := range map[string]document.Key{
		"an unknown collection":    {Collection: "gone", ID: "1", Via: "*categories"},
		"an unknown table":         {Collection: "posts", ID: "1", Via: "*gone"},
		"an id that cannot be one": {Collection: "posts", ID: "one", Via: "*categories"},
		"an id that is too large":  {Collection: "posts", ID: "99999999999", Via: "*categories"},
	} {
		if keys, next, snapshot, err := r.Showing(t.Context(), hint, "after x", 10); err != nil || len(keys) > 0 || next != "" || snapshot.Xmax == 0 {
			t.Errorf("%s: %v %q %v %v", name, keys, next, snapshot, err)
		}
	}
	exec(t, pool, `drop table posts_rels`)
	if _, _, _, err := r.Showing(t.Context(), document.Key{Collection: "posts", ID: "1", Via: "*categories"}, "", 10); err == nil {
		t.Error("no error without a table")
	}
}

func selected(t *testing.T, pool *pgxpool.Pool, sql string) (out []string) {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
