package daemon_test

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/pgtest"
)

// as returns the world's database as another role would connect.
func (w *world) as(role string) string {
	w.Helper()
	u, err := url.Parse(w.db.URI)
	if err != nil {
		w.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

// TestLeastPrivilege runs as a role that may read, and nothing more: an administrator runs what SetupSQL prints.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	role := w.db.Name + "_r"
	t.Cleanup(func() { w.exec(`DROP OWNED BY ` + role + ` CASCADE; DROP ROLE ` + role) })
	w.exec(`CREATE ROLE ` + role + ` LOGIN`)
	w.cfg.DatabaseURI = w.as(role)
	err := w.fails(w.cfg)
	for _, word := range []string{"REPLICATION", "setup --print-sql", role, "CREATE PUBLICATION"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("without privileges it does not say %q: %v", word, err)
		}
	}
	if n := ask[int](w, `SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1`, w.cfg.Slot); n != 0 {
		t.Error("it left a slot that nobody reads")
	}
	sql, err := daemon.SetupSQL(context.Background(), w.cfg, "")
	if err != nil {
		t.Fatal(err)
	}
	w.exec(sql)
	r := w.start()
	w.equal()
	w.drained()
	w.missed()
	w.equal()

	r.stop()
}

// TestCommitsDoNotWaitForUs: somebody makes every client a synchronous standby while we stream.
func TestCommitsDoNotWaitForUs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a server of its own; not with -short")
	}
	cluster := pgtest.Start(t, pgtest.Options{})
	w := newWorldIn(t, cluster.NewDB(t))
	r := w.start()
	w.equal()
	all := map[string]string{"synchronous_standby_names": "*"}
	if err := cluster.SetSettings(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	r.unready("synchronous_standby_names")
	all["synchronous_standby_names"] = "" // else the test's own writes wait for nobody
	if err := cluster.SetSettings(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	w.exec(`UPDATE posts SET title = 'nobody waited' WHERE id = 4`)
	w.equal()
	r.stop()
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name  string
		spoil func(w *world)
		words []string
	}{
		{"unknown collection", func(w *world) { w.cfg.Collections = []string{"post"} }, []string{`"post"`, `did you mean "posts"`}},
		{"accounts", func(w *world) { w.cfg.Collections = []string{"users"} }, []string{"users", "never indexed"}},
		{"no Payload", func(w *world) { w.cfg.PayloadSchema = "elsewhere" }, []string{"elsewhere", "no Payload tables"}},
		{"no database", func(w *world) { w.cfg.DatabaseURI = "postgres://postgres:" + password + "@127.0.0.1:1/x" }, []string{"DATABASE_URI", "127.0.0.1:1"}},
		{"not an address", func(w *world) { w.cfg.DatabaseURI = "postgres://postgres:" + password + "@@%%/x" }, []string{"DATABASE_URI", "postgres://user:password@host"}},
		{"another's slot", func(w *world) {
			w.exec(`SELECT pg_create_logical_replication_slot($1, 'test_decoding')`, w.cfg.Slot)
		}, []string{"test_decoding", "CDC_SLOT"}},
		{"another's publication", func(w *world) { w.exec(`CREATE PUBLICATION ` + w.cfg.Publication + ` FOR ALL TABLES`) }, []string{"ALL TABLES", "CDC_PUBLICATION"}},
		{"another's schema", func(w *world) { w.exec(`CREATE SCHEMA payload_cdc; CREATE TABLE payload_cdc.theirs (id int)`) }, []string{"payload_cdc", "CDC_STATE_SCHEMA"}},
		{"no index", func(w *world) { w.cfg.UpstashURL = "" }, []string{"UPSTASH_VECTOR_REST_URL"}},
		{"no token", func(w *world) { w.cfg.UpstashToken = "" }, []string{"UPSTASH_VECTOR_REST_TOKEN"}},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			one.spoil(w)
			err := w.fails(w.cfg)
			for _, word := range one.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("it does not say %q: %v", word, err)
				}
			}
		})
	}
}

func TestServerThatDoesNotLogRows(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"wal_level": "replica"}})
	w := newWorldIn(t, c.NewDB(t))
	err := w.fails(w.cfg)
	for _, word := range []string{"wal_level is replica", "ALTER SYSTEM SET wal_level = 'logical'", "restart"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("it does not say %q: %v", word, err)
		}
	}
	if n := ask[int](w, `SELECT count(*) FROM pg_publication`); n != 0 {
		t.Error("it left a publication")
	}
}
