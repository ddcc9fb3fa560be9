package daemon_test

import (
	"strings"
	"testing"

	"payload-cdc/internal/local"
)

// TestMigrationsWhileRunning changes the schema as Payload's migrations do.
func TestMigrationsWhileRunning(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name string
		test func(w *world)
	}{
		{"new text column", func(w *world) {
			w.exec(`ALTER TABLE posts ADD COLUMN teaser varchar`)
			w.exec(`UPDATE posts SET teaser = 'an unheard-of teaser' WHERE id = 1`)
			w.eventually(func() string {
				if !strings.Contains(w.text("posts-1"), "an unheard-of teaser") {
					return "posts-1 says " + w.text("posts-1")
				}
				return ""
			})
		}},
		{"column dropped", func(w *world) {
			before := w.text("posts-1")
			w.exec(`ALTER TABLE posts DROP COLUMN description`)
			w.eventually(func() string {
				if w.text("posts-1") == before {
					return "posts-1 still says " + before
				}
				return ""
			})
		}},
		{"column renamed", func(w *world) { w.exec(`ALTER TABLE posts RENAME COLUMN side_note TO margin_note`) }},
		{"block added", func(w *world) {
			w.exec(`CREATE TABLE posts_blocks_video (_order int NOT NULL, _parent_id int NOT NULL REFERENCES posts(id) ON DELETE CASCADE, _path text NOT NULL,
				id varchar PRIMARY KEY NOT NULL, caption varchar, block_name varchar)`)
			w.exec(`INSERT INTO posts_blocks_video VALUES (1, 1, 'layout', 'abc', 'a caption')`)
			w.eventually(func() string {
				if n := ask[int](w, `SELECT count(*) FROM pg_publication_tables WHERE pubname = $1 AND tablename = 'posts_blocks_video'`, w.cfg.Publication); n != 1 {
					return "the block's table is not published"
				}
				return ""
			})
		}},
		{"block dropped", func(w *world) { w.exec(`DROP TABLE posts_blocks_quote_block CASCADE`) }},
		{"block dropped in a transaction that wrote it", func(w *world) {
			w.exec(`BEGIN; UPDATE posts SET title = 'written and dropped' WHERE id = 1; UPDATE posts_blocks_quote_block SET quote = 'x';
				DROP TABLE posts_blocks_quote_block CASCADE; COMMIT`)
		}},
		{"a table of nobody's", func(w *world) { w.exec(`CREATE TABLE other (id int PRIMARY KEY)`) }},
		{"enum value added", func(w *world) { w.exec(`ALTER TYPE enum_posts_tone ADD VALUE 'shrill'`) }},
		{"table rewritten", func(w *world) {
			w.exec(`ALTER TABLE posts ALTER COLUMN side_note TYPE text`)
			w.exec(`VACUUM FULL posts`)
			w.exec(`CLUSTER posts USING posts_pkey`)
		}},
		{"replica identity full", func(w *world) {
			w.exec(`ALTER TABLE posts REPLICA IDENTITY FULL`)
			w.exec(`ALTER TABLE blog_posts_locales REPLICA IDENTITY FULL`)
			w.exec(`DELETE FROM blog_posts_locales WHERE _locale = 'de' AND _parent_id = 1`)
			w.silence("de")
		}},
		{"migrate:fresh of a collection", func(w *world) {
			w.exec(`BEGIN; CREATE TABLE copy (LIKE news INCLUDING ALL); DROP TABLE news CASCADE; ALTER TABLE copy RENAME TO news;
				INSERT INTO news (id, title, _status) VALUES (2, 'a new table', 'published'); COMMIT`)
		}},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.start()
			w.equal()
			w.drained()
			one.test(w)
			w.exec(`DELETE FROM posts WHERE id = 2`)
			w.exec(`UPDATE posts SET title = 'after the migration' WHERE id = 1`)
			w.exec(`UPDATE blog_posts_locales SET title = 'nach der Migration' WHERE _parent_id = 1 AND _locale = 'en'`)
			w.equal()
			w.drained()
			if text := w.differences(); text != "" {
				t.Fatal(text)
			}
			r.stop()
			inputs := w.server.Counts().Inputs
			r = w.start()
			w.drained()
			if n := w.server.Counts().Inputs - inputs; n > 0 {
				t.Errorf("the next start embedded %d texts again", n)
			}
			r.stop()
		})
	}
}

// text is all that the index shows of a document.
func (w *world) text(first string) string {
	w.Helper()
	var all strings.Builder
	for id, v := range w.vectors() {
		if (id == first || strings.HasPrefix(id, first+"#")) && v.Data != nil {
			all.WriteString(*v.Data)
		}
	}
	return all.String()
}

func TestTableRenamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	w.equal()
	w.drained()
	// A new dbName keeps the slug, which the database tells by a constraint.
	w.exec(`ALTER TABLE posts RENAME TO articles`)
	w.exec(`UPDATE articles SET title = 'renamed' WHERE id = 1`)
	w.exec(`CREATE VIEW posts AS SELECT * FROM articles`) // for the oracle
	w.equal()
	w.drained()
	r.stop()
}

func TestConfigurationChangesBetweenRuns(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name string
		test func(w *world)
	}{
		{"namespace", func(w *world) {
			w.cfg.UpstashNamespace = "other"
			w.start()
			w.equal()
			w.drained()
		}},
		{"namespace and back, with changes in between", func(w *world) {
			w.cfg.UpstashNamespace = "other"
			r := w.start()
			w.exec(`DELETE FROM posts WHERE id = 1`)
			w.equal()
			w.drained()
			r.stop()
			w.cfg.UpstashNamespace = ""
			w.start()
			w.equal()
			w.drained()
		}},
		{"model", func(w *world) {
			before := w.server.Counts().Inputs
			held := len(w.vectors())
			w.cfg.EmbedModel = "text-embedding-3-large"
			w.start()
			w.eventually(func() string {
				for id, v := range w.vectors() {
					if !strings.Contains(string(v.Metadata), w.cfg.EmbedModel) {
						return id + " is of the old model"
					}
				}
				return w.differences()
			})
			w.drained()
			if n := w.server.Counts().Inputs - before; n != held {
				w.Errorf("%d texts were embedded for %d vectors", n, held)
			}
		}},
		{"collection removed and added", func(w *world) {
			all := w.cfg.Collections
			w.cfg.Collections = []string{"news", "events"}
			r := w.start()
			w.eventually(func() string { return w.differences("news", "events") })
			w.exec(`UPDATE posts SET title = 'while not indexed' WHERE id = 1`)
			w.drained()
			if text := w.differences("news", "events"); text != "" {
				w.Error(text)
			}
			r.stop()
			w.exec(`DELETE FROM posts WHERE id = 2`)
			w.cfg.Collections = all
			w.start()
			w.equal()
			w.drained()
		}},
		{"every collection replaced", func(w *world) {
			w.cfg.Collections = []string{"events"}
			w.exec(`INSERT INTO posts (title, _status) SELECT 'many', 'published' FROM generate_series(1, 50)`)
			w.start()
			w.eventually(func() string { return w.differences("events") })
		}},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.start()
			w.equal()
			w.drained()
			r.stop()
			one.test(w)
		})
	}
}

func TestDimensionsChangedWithTheIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	w.equal()
	w.drained()
	r.stop()
	other := newFront(w, local.Config{Dimensions: 32, Token: token})
	w.cfg.UpstashURL, w.cfg.OpenAIBaseURL, w.cfg.EmbedDimensions = other, other+"/v1", 32
	w.start()
	w.equal()
	w.drained()
}
