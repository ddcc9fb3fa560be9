package daemon_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/daemon"
)

// TestHostileNames: whatever schemas, tables, columns, publications and roles are called, it is a name and never SQL.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	q := func(name string) string { return pgx.Identifier{name}.Sanitize() }
	const (
		attack = `"; DROP TABLE users; --`
		schema = `pay'load` + attack
		table  = `odd $1 %s ` + attack
		child  = table + `_k'; SELECT pg_sleep(9999); --"`
		column = `col"umn', null); --`
		state  = `st"ate'; --{state}`
		pub    = `p"ub'lication, all; --`
	)
	role := "ro\"le'; --" + w.db.Name
	w.exec(`ALTER SCHEMA public RENAME TO ` + q(schema))
	w.exec(`CREATE SCHEMA public`)
	in := func(name string) string { return q(schema) + "." + q(name) }
	w.exec(fmt.Sprintf(`CREATE TABLE %s (id varchar PRIMARY KEY, title text, %s text, _status %s DEFAULT 'published')`,
		in(table), q(column), in("enum_posts_status")))
	w.exec(fmt.Sprintf(`CREATE TABLE %s (_order int NOT NULL, _parent_id varchar NOT NULL REFERENCES %s ON DELETE CASCADE, id varchar PRIMARY KEY, %s text)`,
		in(child), in(table), q(column)))
	const id = `1'; DROP TABLE x; --"`
	w.exec(fmt.Sprintf(`INSERT INTO %s VALUES ($1, 'an odd title', 'the odd text', 'published')`, in(table)), id)
	w.exec(fmt.Sprintf(`INSERT INTO %s VALUES (1, $1, 'k', 'text of the odd child')`, in(child)), id)
	w.exec(`CREATE ROLE ` + q(role) + ` LOGIN`)
	t.Cleanup(func() { w.exec(`DROP OWNED BY ` + q(role) + ` CASCADE; DROP ROLE ` + q(role)) })

	cfg := w.cfg
	cfg.Collections, cfg.PayloadSchema, cfg.StateSchema, cfg.Publication = []string{"posts", table}, schema, state, pub
	cfg.DatabaseURI = w.as(role)
	sql, err := daemon.SetupSQL(context.Background(), cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	w.exec(sql)

	r := w.startWith(cfg)
	text := func() (all string) {
		for _, v := range w.vectors() {
			if v.Data != nil && strings.Contains(string(v.Metadata), "odd") {
				all += *v.Data + "\n"
			}
		}
		return all
	}
	holds := func(words ...string) {
		t.Helper()
		w.eventually(func() string {
			have := text()
			for _, word := range words {
				if !strings.Contains(have, word) {
					return fmt.Sprintf("%q is not in %q", word, have)
				}
			}
			return ""
		})
	}
	holds("the odd text")
	w.exec(fmt.Sprintf(`UPDATE %s SET %s = 'another odd text'`, in(table), q(column)))
	holds("another odd text")
	w.exec(fmt.Sprintf(`UPDATE %s SET %s = 'another child'`, in(child), q(column))) // names its document by the foreign key
	w.eventually(func() string {
		if n := strings.Count(w.log.String(), `msg="document reconciled" key="odd`); n < 3 {
			return fmt.Sprintf("the odd document was looked at %d times", n)
		}
		return ""
	})
	w.exec(fmt.Sprintf(`TRUNCATE %s CASCADE`, in(table)))
	w.eventually(func() string { return text() })
	if code, body := r.get("/api/status"); code != 200 || !strings.Contains(body, "odd $1") {
		t.Errorf("status: %d %s", code, body)
	}
	if code, body := r.get("/"); code != 200 || strings.Contains(body, `pay'load"`) {
		t.Errorf("the page: %d %s", code, body)
	}
	r.stop()
	for _, name := range []string{"users", "posts", table} {
		if !ask[bool](w, `SELECT to_regclass($1) IS NOT NULL`, in(name)) {
			t.Errorf("%s is gone", name)
		}
	}
	if _, err := daemon.Teardown(context.Background(), w.administrator(cfg), true, false); err != nil {
		t.Error(err)
	}
	if n := ask[int](w, `SELECT (SELECT count(*) FROM pg_publication WHERE pubname = $1) + (SELECT count(*) FROM pg_namespace WHERE nspname = $2)`, pub, state); n != 0 {
		t.Errorf("after the teardown %d things are left", n)
	}

	// What Postgres does not take as a slot's name, and Upstash not as a namespace's, is refused before anything is made.
	for _, spoil := range []func(c *daemon.Config){
		func(c *daemon.Config) { c.Slot = `slot"; DROP TABLE users; --` },
		func(c *daemon.Config) { c.UpstashNamespace = "../../reset" },
		func(c *daemon.Config) { c.UpstashNamespace = "a/b?c#d" },
	} {
		bad := cfg
		spoil(&bad)
		if err := w.fails(bad); !strings.Contains(err.Error(), "CDC_SLOT") && !strings.Contains(err.Error(), "namespace") {
			t.Errorf("%v", err)
		}
	}
	if n := ask[int](w, `SELECT count(*) FROM pg_publication`); n != 0 {
		t.Error("it made a publication")
	}
}

// administrator is cfg with the address of the one who may do everything.
func (w *world) administrator(cfg daemon.Config) daemon.Config {
	cfg.DatabaseURI, cfg.ReplicationURI, cfg.StateURI = w.db.URI, "", ""
	return cfg
}
