package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"payload-cdc/test/payloadtest"
)

// create inserts a document with its children and its first version.
func (w *writer) create(ctx context.Context, q querier, table string) error {
	var id int
	status := w.status()
	err := q.QueryRow(ctx, "INSERT INTO "+table+" (_status) VALUES ($1) RETURNING id", status).Scan(&id)
	if err != nil {
		return err
	}
	w.ids[table] = append(w.ids[table], id)
	return w.save(ctx, q, table, id, status)
}

// save is what Payload writes for a publish, and for an update of what is published: the row first, then all children
// anew, then a version.
func (w *writer) save(ctx context.Context, q querier, table string, id int, status string) error {
	if table == "blog_posts" {
		if err := w.exec(ctx, q, "UPDATE blog_posts SET _status = $2, updated_at = now() WHERE id = $1", id, status); err != nil {
			return err
		}
		return w.locales(ctx, q, id)
	}
	sql, args := "title = $3, content = $4", []any{id, status, w.title(), w.content()}
	if table == "posts" {
		sql += `, description = $5, primary_category_id = (SELECT id FROM categories ORDER BY id OFFSET $6 LIMIT 1)`
		args = append(args, w.description(), w.random.IntN(12))
	}
	sql = "UPDATE " + table + " SET _status = $2, updated_at = now(), " + sql + " WHERE id = $1"
	if err := w.exec(ctx, q, sql, args...); err != nil {
		return err
	}
	for _, child := range childrenOf[table] {
		if err := w.exec(ctx, q, "DELETE FROM "+child.table+" WHERE "+child.parent+" = $1", id); err != nil {
			return err
		}
		for n := range w.random.IntN(3) {
			if err := w.insert(ctx, q, child, id, n); err != nil {
				return err
			}
		}
	}
	return w.version(ctx, q, table, id, status)
}

// locales replaces the texts in each language.
func (w *writer) locales(ctx context.Context, q querier, id int) error {
	if err := w.exec(ctx, q, "DELETE FROM blog_posts_locales WHERE _parent_id = $1", id); err != nil {
		return err
	}
	for n, locale := range []string{"en", "de", "fr"} {
		if n > 0 && w.random.IntN(2) == 0 {
			continue
		}
		err := w.exec(ctx, q, "INSERT INTO blog_posts_locales (_locale, _parent_id, title, content) SELECT $1, id, $3, $4 FROM blog_posts WHERE id = $2",
			locale, id, w.title(), w.content())
		if err != nil {
			return err
		}
	}
	return nil
}

// version is what a draft is, and nothing else is written for one.
func (w *writer) version(ctx context.Context, q querier, table string, id int, status string) error {
	if table == "blog_posts" {
		return nil
	}
	err := w.exec(ctx, q, "INSERT INTO _"+table+"_v (parent_id, version_title, version__status, latest) SELECT id, $2, $3, true FROM "+table+" WHERE id = $1",
		id, w.title(), status)
	if err != nil {
		return err
	}
	return w.exec(ctx, q, "UPDATE _"+table+"_v SET latest = false WHERE parent_id = $1 AND id < (SELECT max(id) FROM _"+table+"_v WHERE parent_id = $1)", id)
}

// delete deletes the versions, as Payload does, and the document, whose children go with it.
func (w *writer) delete(ctx context.Context, q querier, table string, ids ...int) error {
	if err := w.exec(ctx, q, "DELETE FROM _"+table+"_v WHERE parent_id = ANY($1)", ids); err != nil {
		return err
	}
	return w.exec(ctx, q, "DELETE FROM "+table+" WHERE id = ANY($1)", ids)
}

// bulk changes several documents in one transaction, statement by statement.
func (w *writer) bulk(ctx context.Context, q querier, table string, ids []int) error {
	some := ids[w.random.IntN(len(ids)):]
	some = some[:min(len(some), 8)]
	switch w.random.IntN(4) {
	case 0:
		return w.delete(ctx, q, table, some...)
	case 1:
		return w.exec(ctx, q, "UPDATE "+table+" SET _status = 'draft', updated_at = now() WHERE id = ANY($1)", some)
	case 2:
		return w.exec(ctx, q, "UPDATE "+table+" SET _status = 'published', updated_at = now() WHERE id = ANY($1)", some)
	}
	for _, id := range some {
		if err := w.save(ctx, q, table, id, "published"); err != nil {
			return err
		}
	}
	return nil
}

// raw is plain SQL that moves no updated_at and sends no large value again.
func (w *writer) raw(ctx context.Context, q querier, table string, id int) error {
	if table == "blog_posts" {
		return w.exec(ctx, q, "UPDATE blog_posts_locales SET title = $2 WHERE _parent_id = $1 AND _locale = 'en'", id, w.title())
	}
	return w.exec(ctx, q, "UPDATE "+table+" SET title = $2 WHERE id = $1", id, w.title())
}

// rename gives a document another id, which its versions do not survive.
func (w *writer) rename(ctx context.Context, q querier, id int) error {
	if err := w.exec(ctx, q, "DELETE FROM _doc_pages_v WHERE parent_id = $1", id); err != nil {
		return err
	}
	w.words++
	other := 1_000_000*(w.number+1) + w.words
	w.ids["doc_pages"] = append(w.ids["doc_pages"], other)
	return w.exec(ctx, q, "UPDATE doc_pages SET id = $2 WHERE id = $1", id, other)
}

// category makes, renames or deletes something that posts refer to.
func (w *writer) category(ctx context.Context, q querier) error {
	one := "(SELECT id FROM categories ORDER BY id OFFSET $1 LIMIT 1)"
	switch w.random.IntN(3) {
	case 0:
		return w.exec(ctx, q, "DELETE FROM categories WHERE id = "+one, w.random.IntN(8))
	case 1:
		return w.exec(ctx, q, "UPDATE categories SET name = $2 WHERE id = "+one, w.random.IntN(8), "Category "+w.mark())
	}
	return w.exec(ctx, q, "INSERT INTO categories (name) VALUES ($1)", "Category "+w.mark())
}

// child is a table below a document's.
type child struct{ table, parent, insert string }

// childrenOf have $1 for the document, $2 for a number, $3 for a text and $4 for an id.
var childrenOf = map[string][]child{
	"posts": {
		{"posts_texts", "parent_id", `("order", parent_id, path, text) SELECT $2::int, id, 'tags', $3 FROM posts WHERE id = $1 AND $4 <> ''`},
		{"posts_faq_items", "_parent_id", `(_order, _parent_id, id, question) SELECT $2::int, id, $4, $3 FROM posts WHERE id = $1`},
		{"posts_blocks_quote_block", "_parent_id", `(_order, _parent_id, _path, id, quote, main_category_id)
			SELECT $2::int, id, 'layout', $4, $3, (SELECT min(id) FROM categories) FROM posts WHERE id = $1`},
		{"posts_rels", "parent_id", `("order", parent_id, path, categories_id)
			SELECT $2::int, p.id, 'categories', c.id FROM posts p, (SELECT max(id) AS id FROM categories) c WHERE p.id = $1 AND c.id IS NOT NULL AND $3 || $4 <> ''`},
	},
	"events": {
		{"events_agenda", "_parent_id", `(_order, _parent_id, id, item) SELECT $2::int, id, $4, $3 FROM events WHERE id = $1`},
	},
}

// child writes a row below a document and not the document's: a plugin's payload.db.updateOne.
func (w *writer) child(ctx context.Context, q querier, table string, id int) error {
	if table == "blog_posts" {
		return w.exec(ctx, q, `INSERT INTO blog_posts_locales (_locale, _parent_id, title) SELECT 'fr', id, $2 FROM blog_posts WHERE id = $1
			ON CONFLICT (_locale, _parent_id) DO UPDATE SET title = excluded.title`, id, w.title())
	}
	children := childrenOf[table]
	if len(children) == 0 {
		return nil
	}
	return w.insert(ctx, q, children[w.random.IntN(len(children))], id, 100+w.words)
}

func (w *writer) insert(ctx context.Context, q querier, c child, id, n int) error {
	return w.exec(ctx, q, "INSERT INTO "+c.table+" "+c.insert, id, n, "Below "+w.mark(), fmt.Sprintf("%d%023x", w.number, w.words))
}

func (w *writer) title() string { return "Title " + w.mark() }

func (w *writer) description() *string {
	if w.random.IntN(4) == 0 {
		return nil
	}
	text := "Described as " + w.mark()
	return &text
}

// content is a text of one to several chunks, and of several kilobytes now and then.
func (w *writer) content() *string {
	paragraphs := []string{"Short " + w.mark()}
	switch w.random.IntN(10) {
	case 0:
		return nil
	case 1, 2:
		for range 1 + w.random.IntN(30) {
			words := []string{w.mark()}
			for range 40 {
				words = append(words, fmt.Sprintf("w%x", w.random.Uint32()))
			}
			paragraphs = append(paragraphs, strings.Join(words, " "))
		}
	}
	text, err := json.Marshal(payloadtest.RichText(paragraphs...))
	if err != nil {
		panic(err)
	}
	said := string(text)
	return &said
}
