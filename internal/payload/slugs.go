package payload

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// spellings are the places where Payload's own tables spell slugs as the project does, the surest first. Each is read
// only as far as bounded says: a table of a million jobs must not make a start slow.
var spellings = []struct{ table, needs, sql string }{
	// What someone has opened in the admin panel: "collection-blogPosts", "collection-blogPosts-42", "global-footer".
	{"payload_preferences", "key", `select distinct regexp_replace(key, '^(collection|global)-', '') from (select key from %s
		where key ~ '^(collection|global)-' and length(key) < 100 limit 100000) t limit 10000`},
	{"payload_locked_documents", "global_slug", `select distinct global_slug from (select global_slug from %s where length(global_slug) < 100 limit 100000) t limit 10000`},
	// Scheduled publishes.
	{"payload_jobs", "input", `select distinct slug from (select input #>> '{doc,relationTo}' slug from %s where jsonb_typeof(input) = 'object' limit 100000) t
		where length(slug) < 100 limit 10000`},
}

// readSlugs reads the slugs that the database spells out. They are a help and not a need: what cannot be read is left out.
func (c *catalog) readSlugs(ctx context.Context, q Querier) []string {
	var out []string
	for _, from := range spellings {
		t := c.byName[from.table]
		if t == nil || !t.readable || !t.has(from.needs) {
			continue
		}
		var slugs []string
		b := &pgx.Batch{}
		b.Queue(strings.ReplaceAll(from.sql, "%s", quoted(c.schema, t.name))).Query(func(rows pgx.Rows) (err error) {
			slugs, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		})
		if err := q.SendBatch(ctx, b).Close(); err != nil {
			continue
		}
		slices.Sort(slugs)
		out = append(out, slugs...)
	}
	return out
}
