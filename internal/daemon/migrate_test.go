package daemon_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/payload/payloadtest"
)

// What Payload's dev push and its migrations do to tables, with a daemon that streams. See also schema_test.go.

// migrated starts a daemon, lets it catch up, changes the schema, and returns the daemon.
func (w *world) migrated(sql string) *run {
	w.Helper()
	r := w.start()
	w.equal()
	w.drained()
	w.exec(sql)
	return r
}

// Drafts are switched on: every document becomes a draft, and no row says so.
func TestDraftsSwitchedOn(t *testing.T) {
	t.Parallel()
	const drafts = `CREATE TYPE enum_categories_status AS ENUM ('draft', 'published');
		ALTER TABLE categories ADD COLUMN _status enum_categories_status DEFAULT 'draft'`
	start := func(w *world) *run {
		w.cfg.Collections = append(w.cfg.Collections, "categories")
		r := w.start()
		w.shows("categories-1", "Alpha")
		w.drained()
		return r
	}
	t.Run("few", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := start(w)
		w.exec(drafts)
		w.equal() // the oracle knows of no category
		w.exec(`UPDATE categories SET _status = 'published' WHERE id = 2`)
		w.shows("categories-2", "Beta")
		if text := w.titles("categories-1"); text != "" {
			t.Errorf("a draft is in the index: %s", text)
		}
		r.stop()
	})
	t.Run("few, and one is written before anybody looks", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.cfg.LookEvery = time.Hour
		r := start(w)
		w.exec(drafts)
		w.exec(`UPDATE categories SET summary = 'not yet for anybody' WHERE id = 1`)
		w.equal()
		if w.log.has("not yet for anybody") {
			t.Error("a draft was embedded")
		}
		r.stop()
	})
	t.Run("many", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.exec(`INSERT INTO categories (name) SELECT 'Category ' || n FROM generate_series(1, 40) n`)
		r := start(w)
		held := w.ids("categories-")
		w.exec(drafts)
		w.says("removal waits for you")
		if now := w.ids("categories-"); !slices.Equal(now, held) {
			t.Errorf("%d of %d vectors are left", len(now), len(held))
		}
		// What is published again is in the index, and what a person lets go leaves it.
		w.exec(`UPDATE categories SET _status = 'published' WHERE id <= 20`)
		if _, err := daemon.Repair(t.Context(), w.cfg, "categories", true); err != nil {
			t.Fatal(err)
		}
		w.eventually(func() string {
			if now := w.ids("categories-"); len(now) != 20 {
				return fmt.Sprintf("%d vectors are left", len(now))
			}
			return ""
		})
		w.drained()
		r.stop()
	})
}

func TestTrashSwitchedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.LookEvery = time.Hour // what the log announces has to do
	r := w.migrated(`ALTER TABLE news ADD COLUMN deleted_at timestamptz(3)`)
	w.exec(`UPDATE news SET deleted_at = now() WHERE id = 1`)
	w.eventually(func() string {
		if ids := w.ids("news-"); len(ids) > 0 {
			return fmt.Sprintf("in the trash, and in the index: %q", ids)
		}
		return ""
	})
	w.exec(`UPDATE news SET deleted_at = NULL WHERE id = 1`)
	w.equal()
	w.drained()
	r.stop()
}

// A renamed column is the same text under another name; one that is dropped leaves no text behind.
func TestColumnRenamedAndDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.migrated(`ALTER TABLE posts RENAME COLUMN description TO summary`)
	w.shows("posts-1", "Description 1")
	w.exec(`UPDATE posts SET summary = 'under its new name' WHERE id = 1`)
	w.shows("posts-1", "under its new name")
	w.drained()
	w.exec(`ALTER TABLE posts DROP COLUMN summary`)
	w.eventually(func() string {
		for id, v := range w.vectors() {
			if strings.HasPrefix(id, "posts-") && v.Data != nil && (strings.Contains(*v.Data, "under its new name") || strings.Contains(*v.Data, "Description 2")) {
				return id + " shows a text that is no longer there"
			}
		}
		return ""
	})
	w.equal()
	w.drained()
	r.stop()
}

// A field becomes localized: its column moves to a new table.
func TestFieldBecomesLocalized(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.migrated(`BEGIN; CREATE TABLE news_locales (title varchar, content jsonb, id serial PRIMARY KEY, _locale _locales NOT NULL,
		_parent_id int NOT NULL REFERENCES news(id) ON DELETE CASCADE, UNIQUE (_locale, _parent_id));
		INSERT INTO news_locales (title, content, _locale, _parent_id) SELECT title, content, 'en', id FROM news;
		ALTER TABLE news DROP COLUMN title; ALTER TABLE news DROP COLUMN content; COMMIT`)
	w.shows("news-1@en", "News live")
	w.eventually(func() string {
		for _, id := range w.ids("news-") {
			if !strings.HasPrefix(id, "news-1@en") {
				return id + " is left over"
			}
		}
		return ""
	})
	w.drained()
	w.exec(`INSERT INTO news_locales (title, _locale, _parent_id) VALUES ('Nachrichten', 'de', 1)`)
	w.shows("news-1@de", "Nachrichten")
	r.stop()
}

// A new array and what is below it.
func TestArrayAdded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.migrated(`CREATE TABLE news_links (_order int NOT NULL, _parent_id int NOT NULL REFERENCES news(id) ON DELETE CASCADE, id varchar PRIMARY KEY NOT NULL, label varchar);
		CREATE TABLE news_links_locales (note varchar, id serial PRIMARY KEY, _locale _locales NOT NULL, _parent_id varchar NOT NULL REFERENCES news_links(id) ON DELETE CASCADE)`)
	w.exec(`BEGIN; UPDATE news SET title = 'with links' WHERE id = 1; INSERT INTO news_links VALUES (1, 1, 'abc', 'a label');
		INSERT INTO news_links_locales (note, _locale, _parent_id) VALUES ('a note', 'en', 'abc'); COMMIT`)
	w.equal()
	w.eventually(func() string {
		if n := ask[int](w, `SELECT count(*) FROM pg_publication_tables WHERE pubname = $1 AND tablename LIKE 'news_links%'`, w.cfg.Publication); n != 2 {
			return fmt.Sprintf("%d of the new tables are published", n)
		}
		return ""
	})
	w.equal()
	w.drained()
	r.stop()
}

// Payload's dev push alters tables without changing them, each time that a file is saved: nothing begins again for that.
func TestIdleAlterCostsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	w.equal()
	w.drained()
	at := len(w.log.String())
	for i := range 5 {
		w.exec(`ALTER TABLE users ALTER COLUMN login_attempts SET DEFAULT 0; ALTER TABLE posts ALTER COLUMN title DROP DEFAULT;
			ALTER TABLE posts ADD COLUMN passing int; ALTER TABLE posts DROP COLUMN passing`)
		w.exec(`UPDATE posts SET title = $1 WHERE id = 1`, fmt.Sprintf("saved %d", i))
		w.shows("posts-1", fmt.Sprintf("saved %d", i))
	}
	w.drained()
	if log := w.log.String()[at:]; strings.Contains(log, "beginning again") || strings.Contains(log, "sweep begins") {
		t.Error("nothing had changed, and it began again")
	}
	r.stop()
}

// ids lists the vectors whose ids begin so.
func (w *world) ids(prefix string) []string {
	w.Helper()
	ids := slices.Sorted(maps.Keys(w.vectors()))
	return slices.DeleteFunc(ids, func(id string) bool { return !strings.HasPrefix(id, prefix) })
}

// watch looks at the index all the time until the returned function is called, which says what was ever missing of it.
func (w *world) watch(ids []string) (stop func() []string) {
	ctx, cancel := context.WithCancel(context.Background())
	lost := map[string]bool{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			vectors, err := w.server.Vectors(ctx, w.cfg.UpstashNamespace)
			for _, id := range ids {
				if _, ok := vectors[id]; err == nil && !ok {
					lost[id] = true
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	stop = func() []string {
		cancel()
		<-ended
		return slices.Sorted(maps.Keys(lost))
	}
	w.Cleanup(func() { stop() })
	return stop
}

// again makes a table and its rows anew, as it is now.
const (
	aside = `CREATE SCHEMA aside; CREATE TABLE aside.news AS SELECT * FROM news; CREATE TABLE aside.shape (LIKE news INCLUDING ALL); ALTER TABLE aside.shape ALTER id DROP DEFAULT;`
	drop  = `DROP TABLE news CASCADE;`
	again = `CREATE TABLE news (LIKE aside.shape INCLUDING ALL); INSERT INTO news SELECT * FROM aside.news;
		ALTER TABLE payload_locked_documents_rels ADD CONSTRAINT payload_locked_documents_rels_news_fk FOREIGN KEY (news_id) REFERENCES news(id) ON DELETE CASCADE;`
)

// A table that vanishes for a moment takes nothing out of the index, whether its collection is named or found.
func TestTableVanishesForAMoment(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		for _, one := range []struct {
			name   string
			vanish func(w *world)
		}{
			{"in one transaction", func(w *world) { w.exec(`BEGIN;` + drop + again + `COMMIT`) }},
			{"in two", func(w *world) {
				w.exec(drop)
				w.says("waiting for tables to come back") // it was noticed in between
				w.exec(again)
			}},
			{"and cdc is started in between", func(w *world) {
				w.exec(drop)
				w.log.text.Reset()
				w.start()
				w.says("waiting for tables to come back")
				w.exec(again)
			}},
			{"with all others", func(w *world) {
				w.exec(`ALTER SCHEMA public RENAME TO elsewhere; CREATE SCHEMA public`)
				w.says("no Payload tables")
				w.exec(`DROP SCHEMA public; ALTER SCHEMA elsewhere RENAME TO public`)
			}},
		} {
			t.Run(fmt.Sprintf("%s, named %t", one.name, named), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				if !named {
					w.cfg.Collections = nil
				}
				r := w.start()
				w.shows("news-1", "News live")
				w.drained()
				w.exec(aside)
				ids := w.ids("")
				lost := w.watch(ids)
				if one.name == "and cdc is started in between" {
					r.stop()
				}
				one.vanish(w)
				w.eventually(func() string {
					if n := ask[int](w, `SELECT count(*) FROM pg_publication_rel WHERE prrelid = 'public.news'::regclass`); n != 1 {
						return "the table is not published again"
					}
					return ""
				})
				w.drained()
				w.exec(`UPDATE news SET title = 'it is back' WHERE id = 1`)
				w.shows("news-1", "it is back")
				w.drained()
				if gone := lost(); len(gone) > 0 {
					t.Errorf("for a moment the index was without %q", gone)
				}
			})
		}
	}
}

// Tables that do not come back: what the index holds of them leaves, unless it is much.
func TestCollectionDropped(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprintf("few, named %t", named), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if !named {
				w.cfg.Collections = nil
			}
			w.cfg.GoneAfter = time.Second
			r := w.start()
			w.shows("news-1", "News live")
			w.drained()
			w.exec(drop)
			w.eventually(func() string {
				if ids := w.ids("news-"); len(ids) > 0 {
					return fmt.Sprintf("left in the index: %q", ids)
				}
				return ""
			})
			w.exec(`UPDATE posts SET title = 'goes on' WHERE id = 1`)
			w.shows("posts-1", "goes on")
			w.eventually(func() string { return finding(r.status(), `collection "news" is indexed no longer`) })
			r.stop()
		})
	}
	t.Run("many", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.cfg.GoneAfter = time.Second
		w.exec(`INSERT INTO news (title, _status) SELECT 'News ' || n, 'published' FROM generate_series(1, 40) n`)
		r := w.start()
		w.equal()
		w.drained()
		ids := w.ids("news-")
		lost := w.watch(ids)
		w.exec(drop)
		w.says("removal waits for you")
		w.exec(`UPDATE posts SET title = 'goes on' WHERE id = 1`)
		w.shows("posts-1", "goes on")
		if gone := lost(); len(gone) > 0 {
			t.Errorf("removed and not held: %q", gone)
		}
		if s := w.outside(); finding(s, `collection "news"`) != "" || len(s.Owed.Sweeps) != 1 || s.Owed.Sweeps[0].Held != len(ids) {
			t.Errorf("cdc status does not say what is held: %+v", s)
		}
		r.stop()
		r = w.start() // its name is still no mistake
		w.exec(`UPDATE posts SET title = 'and on' WHERE id = 1`)
		w.shows("posts-1", "and on")
		if _, err := daemon.Repair(t.Context(), w.cfg, "", true); err != nil {
			t.Fatal(err)
		}
		w.eventually(func() string {
			if left := w.ids("news-"); len(left) > 0 {
				return fmt.Sprintf("%d of %d are left", len(left), len(ids))
			}
			return ""
		})
		r.stop()
	})
}

// migrate:fresh drops the whole schema, and makes it anew.
func TestMigrateFresh(t *testing.T) {
	t.Parallel()
	fresh := func(w *world) {
		w.exec(`DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
		w.says("no Payload tables")
	}
	t.Run("with rows", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.start()
		w.equal()
		w.drained()
		lost := w.watch(w.ids(""))
		fresh(w)
		if gone := lost(); len(gone) > 0 {
			t.Errorf("without tables, the index lost %q", gone)
		}
		w.dumpAgain()
		w.exec(`UPDATE posts SET title = 'of the new table' WHERE id = 1; DELETE FROM posts WHERE id = 2`)
		w.equal()
		w.drained()
		w.equal()
		r.stop()
	})
	t.Run("without rows", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.exec(`INSERT INTO posts (title, _status) SELECT 'many ' || n, 'published' FROM generate_series(1, 40) n`)
		r := w.start()
		w.equal()
		w.drained()
		lost := w.watch(w.ids("posts-"))
		fresh(w)
		w.dumpAgain()
		w.exec(`TRUNCATE news CASCADE`) // an order: not held
		// The dump had 40 documents less: they are held.
		w.says("removal waits for you")
		w.eventually(func() string {
			if ids := w.ids("news-"); len(ids) > 0 {
				return fmt.Sprintf("left: %q", ids)
			}
			return ""
		})
		if gone := lost(); len(gone) > 0 {
			t.Errorf("not held: %q", gone)
		}
		w.exec(`INSERT INTO posts (title, _status) VALUES ('the first of the new', 'published')`)
		id := ask[string](w, `SELECT 'posts-' || id FROM posts WHERE title = 'the first of the new'`)
		w.shows(id, "the first of the new")
		r.stop()
	})
}

// dumpAgain fills the schema with Payload's tables and rows, in many transactions.
func (w *world) dumpAgain() {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := payloadtest.Load(ctx, w.db.URI, payloadtest.Dump); err != nil {
		w.Fatal(err)
	}
}
