package payload

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
)

// lab returns a database as Payload filled it.
func lab(t testing.TB, version int) *pgxpool.Pool {
	t.Helper()
	db := pgtest.NewVersion(t, version)
	payloadtest.LoadDump(t, db)
	return db.Pool(t)
}

func exec(t testing.TB, pool *pgxpool.Pool, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := pool.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func discover(t testing.TB, pool *pgxpool.Pool, cfg Config) *Model {
	t.Helper()
	m, err := Discover(context.Background(), pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestEveryVersion reads the database that Payload filled, on every supported Postgres.
func TestEveryVersion(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		pool := lab(t, version)
		t.Run("discover", func(t *testing.T) { testDiscover(t, pool) })
		t.Run("published", func(t *testing.T) { testPublished(t, pool) })
		t.Run("read", func(t *testing.T) { testRead(t, pool) })
		t.Run("words", func(t *testing.T) { testWords(t, pool) })
		t.Run("resolve", func(t *testing.T) { testResolve(t, pool) })
	})
}

func testDiscover(t *testing.T, pool *pgxpool.Pool) {
	m := discover(t, pool, Config{})
	want := []Collection{
		{Slug: "blog-posts", SlugGuessed: true, Schema: "public", Table: "blog_posts", IDType: "integer", Drafts: true, Localized: true, Fields: []string{
			"title", "content", "summary_lead", "internal_ref", "keywords", "labels", "notes.note", "steps.step", "summary_points.point",
			"layout.text_section.heading", "layout.text_section.anchor", "layout.text_section.rows.cell",
			"sections.promo.text", "sections.promo.keywords", "sections.promo.items.item",
		}},
		{
			Slug: "doc-pages", SlugGuessed: true, Schema: "public", Table: "doc_pages", IDType: "integer", Drafts: true, Fields: []string{"title", "h1_title", "content", "body_h_t_m_l", "camel_c_a_s_e_field2", "snake_case_field"},
			Skipped: []string{"u_r_l_path: an identifier, an address or internal, by its name", "private: an identifier, an address or internal, by its name"},
		},
		{Slug: "events", Schema: "public", Table: "events", IDType: "integer", Drafts: true, Trash: true, Fields: []string{"title", "content", "agenda.item"}},
		{Slug: "news", Schema: "public", Table: "news", IDType: "integer", Drafts: true, Fields: []string{"title", "content"}},
		{Slug: "posts", Schema: "public", Table: "posts", IDType: "integer", Drafts: true, Fields: []string{
			"title", "content", "description", "excerpt_short_text", "excerpt_long_text", "seo_meta_meta_title", "seo_meta_meta_description",
			"side_note", "deep_group_inner_group_note_text", "collapsed_text", "row_text", "extra_j_s_o_n", "snippet", "tags",
			"deep_group_inner_group_bullets.bullet", "faq_items.question", "faq_items.answer", "faq_items.sources.title",
			"layout.fgrid.intro", "layout.fgrid.items.name", "layout.fgrid.items.detail",
			"layout.hero.heading", "layout.hero.sub_heading", "layout.hero.body", "layout.hero.ctaLinks.label", "layout.hero.ctaLinks.keywords", "layout.hero.ctaLinks.sub_links.label",
			"layout.quote_block.quote", "layout.quote_block.author", "layout.quote_block.cite_source",
			"layout.two_columns.columns.content.quote_block.quote", "layout.two_columns.columns.content.quote_block.author", "layout.two_columns.columns.content.quote_block.cite_source",
			"layout.two_columns.columns.content.text_block.text",
		}, Skipped: []string{
			"slug: an identifier, an address or internal, by its name", "tone: a choice", "audience: a choice",
			"contact_email: an identifier, an address or internal, by its name", "hero.cta_links.link_u_r_l: an identifier, an address or internal, by its name",
			"hero.cta_links.kind: a choice", "two_columns.columns.width: a choice",
		}},
	}
	if diff := cmp.Diff(want, m.Collections()); diff != "" {
		t.Errorf("collections (-want +got):\n%s", diff)
	}

	m = discover(t, pool, Config{Collections: []string{"docPages", "products", "media", "numbered", "notes", "categories", "site-settings", "blog-posts"}})
	var got []string
	for _, c := range m.Collections() {
		got = append(got, strings.Join([]string{c.Slug, c.Table, c.IDType}, " "))
		if c.SlugGuessed {
			t.Errorf("%s was named and is called a guess", c.Slug)
		}
		if c.Global != (c.Slug == "site-settings") {
			t.Errorf("%s: global %v", c.Slug, c.Global)
		}
	}
	if diff := cmp.Diff([]string{
		"blog-posts blog_posts integer", "categories categories integer", "docPages doc_pages integer", "media media integer", "notes notes integer",
		"numbered numbered numeric", "products shop_items character varying", "site-settings site_settings integer",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTables(t *testing.T) {
	m := discover(t, lab(t, 0), Config{Collections: []string{"posts", "products"}})
	var got []string
	for _, table := range m.Tables() {
		got = append(got, table.Name)
	}
	if diff := cmp.Diff(strings.Fields(`fgrid fgrid_items posts posts_blocks_hero posts_blocks_hero_cta_links posts_blocks_hero_cta_links_audience
		posts_blocks_hero_cta_links_sub_links posts_blocks_quote_block posts_blocks_text_block posts_blocks_two_columns posts_blocks_two_columns_columns
		posts_channels posts_deep_group_inner_group_bullets posts_faq_items posts_faq_items_sources posts_numbers posts_rels posts_texts
		product_colours shop_items shop_items_blocks_quote_block shop_items_rels shop_items_variants`), got); diff != "" {
		t.Error(diff)
	}
	kinds := map[string]kind{
		"posts": root, "fgrid": block, "fgrid_items": array, "posts_rels": rels, "posts_texts": texts, "posts_numbers": numbers, "posts_channels": selects,
		"_posts_v": versions, "_fgrid_v": block, "blog_posts_locales": locales, "payload_jobs": system, "_site_settings_v": versions, "footer": root,
	}
	for name, want := range kinds {
		if got := m.byName[name].kind; got != want {
			t.Errorf("%s is of kind %d, want %d", name, got, want)
		}
	}
}

func TestDiscoverRefuses(t *testing.T) {
	pool := lab(t, 0)
	for name, want := range map[string]string{
		"post":       `did you mean "posts"?`,
		"shop_items": `did you mean "products"?`,
		"users":      "never indexed",
		"zzzzzzzz":   "There are: blog-posts, categories, doc-pages, events, footer, media, news, notes, numbered, posts, products, site-settings",
	} {
		_, err := Discover(t.Context(), pool, Config{Collections: []string{name}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	if _, err := Discover(t.Context(), pool, Config{Schema: "elsewhere"}); !errors.Is(err, ErrNotPayload) {
		t.Errorf("an empty schema: %v", err)
	}
	if _, err := Discover(t.Context(), pool, Config{Collections: []string{"doc-pages", "docPages"}}); err == nil {
		t.Error("two slugs of one table are accepted")
	}
}

func TestSlugsFromTheAdminPanel(t *testing.T) {
	pool := lab(t, 0)
	exec(t, pool, `insert into payload_preferences (key) values ('collection-docPages'), ('collection-docPages-1'), ('nav')`)
	for _, c := range discover(t, pool, Config{}).Collections() {
		if c.Table == "doc_pages" && (c.Slug != "docPages" || c.SlugGuessed) {
			t.Errorf("slug %q, guessed %v", c.Slug, c.SlugGuessed)
		}
	}
}

func TestFingerprint(t *testing.T) {
	pool := lab(t, 0)
	before := discover(t, pool, Config{})
	same := func(t *testing.T, what string, slug string, want bool) {
		t.Helper()
		if got := discover(t, pool, Config{}).Fingerprint(slug) == before.Fingerprint(slug); got != want {
			t.Errorf("%s: the fingerprint of %s is the same: %v", what, slug, got)
		}
	}
	exec(t, pool, `alter table posts add column likes integer, add column other_slug varchar`, `create table posts_more ("order" int, parent_id int references posts(id) on delete cascade, value varchar, id serial primary key)`)
	same(t, "columns that are not text", "posts", true)
	exec(t, pool, `alter table posts add column teaser varchar`)
	same(t, "a text column", "posts", false)
	same(t, "another collection's", "news", true)
	exec(t, pool, `alter table news add column deleted_at timestamptz`)
	same(t, "trash", "news", false)
	if before.Fingerprint("nope") != "" {
		t.Error("an unknown slug has a fingerprint")
	}
}

func TestColumnNames(t *testing.T) {
	for name, want := range map[string]bool{
		"title": true, "body_h_t_m_l": true, "key_points": true, "description": true, "_private": false, "slug": false, "page_slug": false,
		"contact_email": false, "link_u_r_l": false, "thumbnail_u_r_l": false, "u_r_l_path": false, "filename": false, "mime_type": false,
		"reset_password_token": false, "api_key": false, "api_key_index": false, "a_p_i_key": false, "client_secret": false, "hash": false,
		"path": false, "block_name": false, "external_id": false, "hashtags": true, "tokenomics": true, "identity": true,
	} {
		if got := isTextName(name); got != want {
			t.Errorf("isTextName(%q) = %v", name, got)
		}
	}
}

// TestSlugsThatTheDatabaseSpells: what Payload's own tables say of slugs is exact; what cannot be read is left out.
func TestSlugsThatTheDatabaseSpells(t *testing.T) {
	for name, sql := range map[string]string{
		"preferences":      `insert into payload_preferences (key) values ('collection-docPages')`,
		"locked documents": `insert into payload_locked_documents (global_slug) values ('docPages')`,
		"jobs":             `insert into payload_jobs (input) values ('{"doc": {"relationTo": "docPages", "value": 1}}'), ('[]'), (null), ('{"doc": 1}')`,
	} {
		db := pgtest.New(t)
		payloadtest.LoadDump(t, db)
		pool := db.Pool(t)
		exec(t, pool, `delete from payload_jobs`, sql)
		guessed := func(pool *pgxpool.Pool) bool {
			for _, c := range discover(t, pool, Config{}).Collections() {
				if c.Table == "doc_pages" {
					return c.SlugGuessed || c.Slug != "docPages"
				}
			}
			t.Fatal("no doc_pages")
			return false
		}
		if guessed(pool) {
			t.Errorf("%s: the slug is a guess", name)
		}
		role := "poor_" + db.Name
		exec(t, pool, `create role `+quoted(role)+` login`)
		t.Cleanup(func() { exec(t, pool, `drop role `+quoted(role)) })
		cfg, err := pgxpool.ParseConfig(db.URI)
		if err != nil {
			t.Fatal(err)
		}
		cfg.ConnConfig.User = role
		poor, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !guessed(poor) {
			t.Errorf("%s: a role that may read nothing knows the slug", name)
		}
		poor.Close()
	}
}
