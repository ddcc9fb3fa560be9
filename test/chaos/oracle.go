package chaos

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// document is a text that the database has published, in the oracle's words.
type document struct {
	collection, id, locale string
	title, description     string
	content                string // rich text, as stored
	below                  string // every other text of the document, and of what it refers to
}

// published is what each collection has published. It is plain SQL about plain columns, and shares nothing with cdc.
var published = []string{
	`SELECT 'posts', p.id::text, '', coalesce(title, ''), coalesce(description, ''), coalesce(content::text, ''), concat_ws(' ',
		row_to_json(p)::text,
		(SELECT string_agg(text, ' ') FROM posts_texts WHERE parent_id = p.id),
		(SELECT string_agg(question, ' ') FROM posts_faq_items WHERE _parent_id = p.id),
		(SELECT string_agg(concat_ws(' ', q.quote, c.name), ' ') FROM posts_blocks_quote_block q LEFT JOIN categories c ON c.id = q.main_category_id WHERE q._parent_id = p.id),
		(SELECT string_agg(c.name, ' ') FROM posts_rels r JOIN categories c ON c.id = r.categories_id WHERE r.parent_id = p.id),
		(SELECT name FROM categories WHERE id = p.primary_category_id))
	FROM posts p WHERE _status = 'published'`,
	`SELECT 'events', e.id::text, '', coalesce(title, ''), '', coalesce(content::text, ''),
		coalesce((SELECT string_agg(item, ' ') FROM events_agenda WHERE _parent_id = e.id), '')
	FROM events e WHERE _status = 'published' AND deleted_at IS NULL`,
	`SELECT 'docPages', id::text, '', coalesce(title, ''), '', coalesce(content::text, ''), row_to_json(d)::text FROM doc_pages d WHERE _status = 'published'`,
	`SELECT 'news', id::text, '', coalesce(title, ''), '', coalesce(content::text, ''), '' FROM news WHERE _status = 'published'`,
	`SELECT 'blog-posts', b.id::text, l._locale::text, coalesce(title, ''), '', coalesce(content::text, ''), coalesce(summary_lead, '')
	FROM blog_posts b JOIN blog_posts_locales l ON l._parent_id = b.id WHERE _status = 'published'`,
}

// ask returns what is published, as one moment sees it.
func ask(ctx context.Context, pool *pgxpool.Pool) ([]document, error) {
	var all []document
	err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		all = nil
		for _, sql := range published {
			rows, err := tx.Query(ctx, sql)
			if err != nil {
				return err
			}
			some, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d document, err error) {
				err = row.Scan(&d.collection, &d.id, &d.locale, &d.title, &d.description, &d.content, &d.below)
				return d, err
			})
			if err != nil {
				return err
			}
			all = append(all, some...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ask what is published: %w", err)
	}
	return all, nil
}
