package daemon_test

import (
	"strings"
	"testing"
)

// TestEveryWayToChangeADocument compares after each kind of change that SQL can make, Payload's ways and others.
func TestEveryWayToChangeADocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.equal()
	w.silence("de")
	for _, one := range []struct{ name, sql string }{
		{"primary key of a root row", `BEGIN; SET LOCAL session_replication_role = replica; UPDATE posts SET id = 4000, title = 'moved' WHERE id = 4; COMMIT`},
		{"primary key of a localized document", `BEGIN; SET LOCAL session_replication_role = replica; UPDATE blog_posts SET id = 3000 WHERE id = 3;
			UPDATE blog_posts_locales SET _parent_id = 3000 WHERE _parent_id = 3; COMMIT`},
		{"status", `UPDATE news SET _status = 'published' WHERE id = 2`},
		{"status to NULL", `UPDATE news SET _status = NULL WHERE id = 2`},
		{"trash", `UPDATE events SET deleted_at = now() WHERE id = 1`},
		{"restore", `UPDATE events SET deleted_at = NULL`},
		{"a locale's text", `UPDATE blog_posts_locales SET title = 'by SQL' WHERE _locale = 'de' AND _parent_id = 1`},
		{"a locale's row alone deleted", `DELETE FROM blog_posts_locales WHERE _locale = 'de' AND _parent_id = 1`},
		{"a locale's row alone inserted", `INSERT INTO blog_posts_locales (title, _locale, _parent_id) VALUES ('neu', 'fr', 1)`},
		{"many in one transaction", `INSERT INTO posts (title, description, _status) SELECT 'bulk ' || n, 'text ' || n, 'published' FROM generate_series(1, 300) n`},
		{"rolled back in part", `BEGIN; UPDATE posts SET title = 'kept' WHERE id = 1; SAVEPOINT a; UPDATE posts SET title = 'lost' WHERE id = 2; ROLLBACK TO a;
			UPDATE posts SET title = 'kept too' WHERE id = 6; COMMIT`},
		{"categories deleted", `DELETE FROM categories`},
		{"one and the same id in text and number", `UPDATE posts SET title = '1' WHERE id = 1`},
		{"bulk deleted", `DELETE FROM posts WHERE title LIKE 'bulk %'`},
		{"truncated", `TRUNCATE posts CASCADE`},
		{"filled again", `INSERT INTO posts (id, title, _status) VALUES (1, 'again', 'published')`},
	} {
		w.exec(one.sql + "; " + touch)
		w.eventually(func() string {
			if text := w.differences(); text != "" {
				return one.name + ": " + text
			}
			return ""
		})
	}
	// All sweeps of the cluster wait for a prepared transaction: not for long, and last.
	w.exec(`BEGIN; UPDATE posts SET title = 'in two phases' WHERE id = 1; PREPARE TRANSACTION 'every_way_two_phases'`)
	w.exec(`COMMIT PREPARED 'every_way_two_phases'`)
	w.equal()
	w.drained()
	if text := w.differences(); text != "" {
		t.Error(text)
	}
	if w.log.has("level=WARN msg=\"the log cannot be read") {
		t.Error("the stream broke")
	}
}

// TestNestedRowsNameTheirDocument changes rows two levels down, which name only their parent row.
func TestNestedRowsNameTheirDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.equal()
	w.drained()
	at := len(w.log.String())
	since := func() string { return w.log.String()[at:] }
	w.exec(`UPDATE posts_faq_items_sources SET title = title || '!' WHERE id = (SELECT min(id) FROM posts_faq_items_sources)`)
	owner := ask[string](w, `SELECT i._parent_id::text FROM posts_faq_items i JOIN posts_faq_items_sources s ON s._parent_id = i.id ORDER BY s.id LIMIT 1`)
	w.eventually(func() string {
		if !strings.Contains(since(), "key=posts/"+owner+" outcome=revised") {
			return "posts/" + owner + " was not looked at"
		}
		return ""
	})
	if strings.Contains(since(), "sweep begins") {
		t.Error("a hint that leads to its document owes no sweep")
	}
	w.exec(`DELETE FROM posts_faq_items_sources`)
	w.eventually(func() string {
		if !strings.Contains(since(), `msg="sweep begins" collection=posts strength=look`) {
			return "a deleted child row owes no sweep"
		}
		return ""
	})
	w.drained()
}
