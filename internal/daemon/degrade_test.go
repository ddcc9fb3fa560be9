package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"payload-cdc/internal/admin"
	"payload-cdc/internal/daemon"
)

// weak makes the world's daemons run as a role that may do what SetupSQL gives it, and nothing more.
func (w *world) weak() (role string) {
	w.Helper()
	role = w.db.Name + "_r"
	w.Cleanup(func() { w.exec(`DROP OWNED BY ` + role + ` CASCADE; DROP ROLE ` + role) })
	w.exec(`CREATE ROLE ` + role + ` LOGIN`)
	w.cfg.DatabaseURI = w.as(role)
	w.setUp()
	return role
}

// setUp runs what SetupSQL prints, as an administrator.
func (w *world) setUp() {
	w.Helper()
	sql, err := daemon.SetupSQL(context.Background(), w.cfg, "")
	if err != nil {
		w.Fatal(err)
	}
	w.exec(sql)
}

// status is what the daemon's page says.
func (r *run) status() (s admin.Status) {
	r.w.Helper()
	code, body := r.get("/api/status")
	if code != 200 {
		return s
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		r.w.Fatalf("%v: %s", err, body)
	}
	return s
}

// outside is what cdc status says.
func (w *world) outside() admin.Status {
	w.Helper()
	s, err := daemon.Status(context.Background(), w.cfg)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// finding says what is wrong when no finding has all the words in what and remedy.
func finding(s admin.Status, words ...string) string {
	for _, f := range s.Findings {
		text, all := f.What+" "+f.Remedy, true
		for _, word := range words {
			all = all && strings.Contains(text, word)
		}
		if all {
			return ""
		}
	}
	return fmt.Sprintf("no finding says %q: %+v", words, s.Findings)
}

func streamed(s admin.Status, slug string) bool {
	for _, c := range s.Collections {
		if c.Slug == slug {
			return c.Streamed
		}
	}
	return false
}

const reports = `CREATE TABLE reports (id serial PRIMARY KEY, title varchar, updated_at timestamptz(3) NOT NULL DEFAULT now(),
	created_at timestamptz(3) NOT NULL DEFAULT now(), _status enum_news_status DEFAULT 'draft');
	ALTER TABLE payload_locked_documents_rels ADD COLUMN reports_id int,
	ADD CONSTRAINT payload_locked_documents_rels_reports_fk FOREIGN KEY (reports_id) REFERENCES reports(id) ON DELETE CASCADE;`

const video = `CREATE TABLE posts_blocks_video (_order int NOT NULL, _parent_id int NOT NULL REFERENCES posts(id) ON DELETE CASCADE, _path text NOT NULL,
	id varchar PRIMARY KEY NOT NULL, caption varchar, block_name varchar);`

// A new block's table that only its owner can publish: documents go on, because Payload writes their own row too.
func TestNewChildTableThatMayNotBePublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.weak()
	r := w.start()
	w.equal()
	w.drained()
	if s := r.status(); len(s.Findings) > 0 || !streamed(s, "posts") {
		t.Errorf("nothing is wrong yet: %+v", s)
	}
	w.exec(video + `GRANT SELECT ON posts_blocks_video TO ` + role)
	add := `ALTER PUBLICATION "` + w.cfg.Publication + `" ADD TABLE "public"."posts_blocks_video"`
	w.eventually(func() string { return finding(r.status(), "is without public.posts_blocks_video", role, add) })
	w.exec(`BEGIN; UPDATE posts SET title = 'with a new block' WHERE id = 4; INSERT INTO posts_blocks_video VALUES (1, 4, 'layout', 'abc', 'a caption'); COMMIT`)
	w.equal()
	w.drained()
	if s := w.outside(); finding(s, add) != "" || !streamed(s, "posts") {
		t.Errorf("cdc status: %+v", s)
	}
	if n := strings.Count(w.log.String(), `msg="cdc goes on, but not with everything"`); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if code, body := r.get("/readyz"); code != 200 {
		t.Errorf("readyz: %d %s", code, body)
	}
	w.setUp()
	w.eventually(func() string {
		if s := r.status(); len(s.Findings) > 0 {
			return fmt.Sprintf("%+v", s.Findings)
		}
		return ""
	})
	w.says(`msg="sweep begins" collection=posts strength=prove`)
	w.equal()
	w.drained()
	r.stop()
}

// A new collection that only its owner can publish is kept right by sweeps, until it is streamed.
func TestNewCollectionThatMayNotBePublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Collections = nil
	role := w.weak()
	r := w.start()
	w.eventually(func() string { return w.missing() })
	w.drained()
	w.exec(reports + `GRANT SELECT ON reports TO ` + role + `; INSERT INTO reports (title, _status) VALUES ('from before', 'published')`)
	add := `ALTER PUBLICATION "` + w.cfg.Publication + `" ADD TABLE "public"."reports"`
	w.eventually(func() string {
		return finding(r.status(), `collection "reports" is not streamed`, "sweeps only", role, add)
	})
	w.shows("reports-1", "from before") // the sweep of a new collection
	w.drained()
	for _, s := range []admin.Status{r.status(), w.outside()} {
		if streamed(s, "reports") || !streamed(s, "posts") || finding(s, add) != "" {
			t.Errorf("status: %+v", s)
		}
	}
	// Not seen while it runs, but at the next start.
	w.exec(`UPDATE reports SET title = 'unseen' WHERE id = 1`)
	w.exec(`UPDATE posts SET title = 'seen' WHERE id = 1`)
	w.shows("posts-1", "seen")
	w.drained()
	if text := w.titles("reports-1"); !strings.Contains(text, "from before") {
		t.Errorf("it is not streamed, and says %q", text)
	}
	r.stop()
	r = w.start()
	w.shows("reports-1", "unseen")
	w.drained()
	// Its owner publishes it; what was missed until then is found.
	w.exec(`UPDATE reports SET title = 'missed' WHERE id = 1; INSERT INTO reports (title, _status) VALUES ('too', 'published')`)
	w.setUp()
	w.shows("reports-1", "missed")
	w.shows("reports-2", "too")
	w.eventually(func() string {
		if s := r.status(); len(s.Findings) > 0 || !streamed(s, "reports") {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	w.says(`msg="sweep begins" collection=reports strength=prove`)
	w.drained()
	w.exec(`UPDATE reports SET title = 'streamed' WHERE id = 1`)
	w.shows("reports-1", "streamed")
	r.stop()
}

// A collection leaves the configuration, and the role may not take its tables out of the publication.
func TestTablesThatMayNotLeaveThePublication(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.weak()
	r := w.start()
	w.equal()
	w.drained()
	r.stop()
	w.cfg.Collections = []string{"posts", "blog-posts", "docPages", "events"}
	r = w.start()
	w.eventually(func() string {
		return finding(r.status(), "tables that are not indexed", "public.news", `DROP TABLE "public"."news"`)
	})
	w.exec(`UPDATE news SET title = 'ignored' WHERE id = 1`)
	w.exec(`UPDATE posts SET title = 'not ignored' WHERE id = 4`)
	w.eventually(func() string { return w.differences(w.cfg.Collections...) })
	r.stop()
}

// A role that is given the right uses it.
func TestRightsThatComeLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.weak()
	r := w.start()
	w.equal()
	w.exec(video)
	w.eventually(func() string { return finding(r.status(), "may not read public.posts_blocks_video", "GRANT SELECT") })
	w.exec(`ALTER TABLE posts_blocks_video OWNER TO ` + role + `; ALTER PUBLICATION ` + w.cfg.Publication + ` OWNER TO ` + role)
	w.eventually(func() string {
		if s := r.status(); len(s.Findings) > 0 {
			return fmt.Sprintf("%+v", s.Findings)
		}
		if n := ask[int](w, `SELECT count(*) FROM pg_publication_tables WHERE pubname = $1 AND tablename = 'posts_blocks_video'`, w.cfg.Publication); n != 1 {
			return "the table is not published"
		}
		return ""
	})
	w.equal()
	w.drained()
	r.stop()
}

// missing is differences without orphans: for configurations that index more than the oracle knows.
func (w *world) missing() string {
	w.Helper()
	var lines []string
	for line := range strings.Lines(w.differences("posts", "blog-posts", "events", "news")) {
		if !strings.HasPrefix(line, "orphan ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// shows waits until the index shows a text, or title, under a document's ids.
func (w *world) shows(first, text string) {
	w.Helper()
	w.eventually(func() string {
		if got := w.text(first) + w.titles(first); !strings.Contains(got, text) {
			return fmt.Sprintf("%s says %q, want %q", first, got, text)
		}
		return ""
	})
}

// titles is what the metadata of a document's vectors say.
func (w *world) titles(first string) string {
	w.Helper()
	var all strings.Builder
	for id, v := range w.vectors() {
		if id == first || strings.HasPrefix(id, first+"#") {
			all.Write(v.Metadata)
		}
	}
	return all.String()
}
