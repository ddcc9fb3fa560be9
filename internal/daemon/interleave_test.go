package daemon_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/pgtest"
)

// A transaction that writes to a table before that is in the log, and commits after, is in no stream: only a sweep that
// waits for it finds what it did. Each case opens one at exactly that moment, and ends it once the daemon waits.
func TestTransactionsThatAreOpenWhenTheLogBegins(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		for _, one := range []struct {
			name   string
			first  string // makes the tables, before the transaction; nothing when it is the slot that begins
			inside string // written by the open transaction
			id     string
			text   string
			after  string // written once the stream goes on
		}{
			{
				name: "slot created", inside: `UPDATE news SET title = 'open' WHERE id = 1`, id: "news-1", text: "open",
				after: `UPDATE news SET title = 'after' WHERE id = 1`,
			},
			{
				name: "child table joins", first: `ALTER TABLE news DROP COLUMN content; CREATE TABLE news_locales (summary varchar, id serial PRIMARY KEY, _locale _locales NOT NULL,
				_parent_id int NOT NULL REFERENCES news(id) ON DELETE CASCADE)`,
				inside: `INSERT INTO news_locales (summary, _locale, _parent_id) VALUES ('open', 'de', 1)`, id: "news-1@de", text: "open",
				after: `UPDATE news_locales SET summary = 'after' WHERE _locale = 'de'`,
			},
			{
				name: "collection joins", first: reports,
				inside: `INSERT INTO reports (title, _status) VALUES ('open', 'published')`, id: "reports-1", text: "open",
				after: `UPDATE reports SET title = 'after' WHERE id = 1`,
			},
			{
				name: "table dropped and created", first: `CREATE TABLE copy (LIKE news INCLUDING ALL); ALTER TABLE copy ALTER id DROP DEFAULT; DROP TABLE news CASCADE; ALTER TABLE copy RENAME TO news; INSERT INTO news (id, _status) VALUES (2, 'draft');
				ALTER TABLE payload_locked_documents_rels ADD CONSTRAINT payload_locked_documents_rels_news_fk FOREIGN KEY (news_id) REFERENCES news(id) ON DELETE CASCADE`,
				inside: `INSERT INTO news (id, title, _status) VALUES (77, 'open', 'published')`, id: "news-77", text: "open",
				after: `UPDATE news SET title = 'after' WHERE id = 77`,
			},
		} {
			t.Run(one.name, func(t *testing.T) {
				if testing.Short() {
					t.Skip("runs the whole assembly; not with -short")
				}
				w := newWorldIn(t, pgtest.NewVersion(t, version))
				w.cfg.Collections = nil
				wait := "sweeps wait for transactions that were open"
				var r *run
				var open pgx.Tx
				if one.first == "" {
					open = w.begin(one.inside)
					r, wait = w.start(), "creating the slot waits for open transactions"
				} else {
					r = w.start()
					w.shows("news-1", "News live")
					w.drained()
					w.exec(one.first)
					open = w.begin(one.inside)
				}
				w.says(wait)
				if err := open.Commit(context.Background()); err != nil {
					t.Fatal(err)
				}
				w.shows(one.id, one.text)
				w.drained()
				// The stream knows of the table for good: an older publication is not kept in it.
				w.exec(one.after)
				w.shows(one.id, "after")
				r.stop()
			})
		}
	})
}

// begin writes in a transaction, and leaves it open.
func (w *world) begin(sql string) pgx.Tx {
	w.Helper()
	ctx := context.Background()
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { tx.Rollback(ctx) })
	if _, err := tx.Exec(ctx, sql); err != nil {
		w.Fatal(err)
	}
	return tx
}
