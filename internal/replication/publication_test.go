package replication_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/failure"
	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/replication"
)

func named(names ...string) []replication.Table {
	tables := []replication.Table{}
	for _, name := range names {
		tables = append(tables, replication.Table{Schema: "public", Name: name})
	}
	return tables
}

// published is the publication as Postgres shows it.
func (w *world) published(name string) []string {
	w.Helper()
	rows, err := w.pool.Query(w.Context(), "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1", name)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var t string
		if err := rows.Scan(&t); err != nil {
			w.Fatal(err)
		}
		tables = append(tables, t)
	}
	return tables
}

func TestEnsurePublicationFollowsTheTables(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), `
			CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY)`)
		var oid uint32
		for _, step := range []struct {
			tables         []replication.Table
			created        bool
			added, removed []replication.Table
			published      []string
		}{
			{named("b", "a"), true, named("a", "b"), nil, []string{"public.a", "public.b"}},
			{named("a", "b"), false, nil, nil, []string{"public.a", "public.b"}},
			{named("c", "b", "c"), false, named("c"), named("a"), []string{"public.b", "public.c"}},
			{named("c"), false, nil, named("b"), []string{"public.c"}},
		} {
			got, err := replication.EnsurePublication(t.Context(), w.pool, "p", step.tables)
			if err != nil {
				t.Fatal(err)
			}
			if oid == 0 {
				oid = got.OID
			}
			want := replication.PublicationChange{OID: oid, Created: step.created, Added: step.added, Removed: step.removed}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(step.published, w.published("p")); diff != "" {
				t.Error(diff)
			}
		}
		// A table that was replaced is out of the publication without a word.
		w.exec("DROP TABLE c; CREATE TABLE c (id int PRIMARY KEY)")
		got, err := replication.EnsurePublication(t.Context(), w.pool, "p", named("c"))
		if err != nil || len(got.Added) != 1 || !got.Changed() {
			t.Errorf("after the table was replaced: %+v, %v", got, err)
		}
		var all bool
		if err := w.pool.QueryRow(t.Context(), "SELECT puballtables OR NOT (pubinsert AND pubupdate AND pubdelete AND pubtruncate) FROM pg_publication").Scan(&all); err != nil || all {
			t.Errorf("not as it should be: %t, %v", all, err)
		}
	})
}

func TestEnsurePublicationRefusesHarm(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), `
			CREATE TABLE good (id int PRIMARY KEY, x int); CREATE TABLE nokey (id int); CREATE TABLE nothing (id int PRIMARY KEY);
			ALTER TABLE nothing REPLICA IDENTITY NOTHING;
			CREATE TABLE full_ (id int); ALTER TABLE full_ REPLICA IDENTITY FULL;
			CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE);
			CREATE TABLE lost (id int PRIMARY KEY, k int NOT NULL); CREATE UNIQUE INDEX lost_k ON lost (k);
			ALTER TABLE lost REPLICA IDENTITY USING INDEX lost_k; DROP INDEX lost_k;
			CREATE TABLE byindex (k int NOT NULL); CREATE UNIQUE INDEX byindex_k ON byindex (k);
			ALTER TABLE byindex REPLICA IDENTITY USING INDEX byindex_k;
			CREATE UNLOGGED TABLE volatile (id int PRIMARY KEY);
			CREATE VIEW seen AS SELECT 1 AS id`)
		for name, want := range map[string]string{
			"nokey": "public.nokey: it has no primary key", "nothing": "REPLICA IDENTITY is NOTHING", "deferred": "no primary key",
			"lost": "is gone", "volatile": "not in the log", "seen": "not a table", "nowhere": "does not exist",
		} {
			_, err := replication.EnsurePublication(t.Context(), w.pool, "p", named("good", name))
			if err == nil || !strings.Contains(err.Error(), want) || failure.Of(err).Remedy == "" {
				t.Errorf("%s: %v, want %q and a remedy", name, err, want)
			}
		}
		if got := w.published("p"); got != nil {
			t.Errorf("refused, and published %q", got)
		}
		if _, err := replication.EnsurePublication(t.Context(), w.pool, "p", named("good", "full_", "byindex")); err != nil {
			t.Error(err)
		}

		foreign := map[string]string{
			"FOR ALL TABLES": "FOR ALL TABLES",
			"FOR TABLE good WITH (publish = 'insert, update, delete')": "every operation",
		}
		if version >= 15 {
			foreign["FOR TABLE good (id)"] = "column list or row filter on public.good"
			foreign["FOR TABLE good WHERE (id > 0)"] = "column list or row filter on public.good"
			foreign["FOR TABLES IN SCHEMA public"] = "whole schemas"
		}
		for kind, want := range foreign {
			w.exec("CREATE PUBLICATION q " + kind)
			_, err := replication.EnsurePublication(t.Context(), w.pool, "q", named("good"))
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(failure.Of(err).Remedy, `DROP PUBLICATION "q"`) {
				t.Errorf("%s: %v", kind, err)
			}
			if _, err := (replication.Teardown{Slot: "none", Publication: "q"}).Run(t.Context(), w.pool); err == nil {
				t.Errorf("%s: torn down, and it is not ours", kind)
			}
			w.exec("DROP PUBLICATION q")
		}
	})
}

// A role that owns nothing is told what its administrator has to run, and that then suffices.
func TestSetupSQLIsWhatIsMissing(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		role := `Cdc "role" $setup$ ` + pgtest.NewVersion(t, version).Name // roles are shared by the cluster's databases
		w := newWorld(t, pgtest.NewVersion(t, version), `CREATE TABLE posts (id int PRIMARY KEY); CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE media (id int PRIMARY KEY)`)
		quoted := `"` + strings.ReplaceAll(role, `"`, `""`) + `"`
		w.exec("CREATE ROLE " + quoted + " LOGIN")
		w.Cleanup(func() {
			pool := w.db.Pool(t)
			pool.Exec(context.Background(), "DROP OWNED BY "+quoted)
			pool.Exec(context.Background(), "DROP ROLE "+quoted)
		})
		tx, err := w.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { tx.Rollback(context.Background()) }()
		be := func() {
			if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE "+quoted); err != nil {
				t.Fatal(err)
			}
		}
		be()
		plan := replication.Plan{Slot: "payload_cdc", Publication: "Pub'\"", Tables: named("posts")}
		err = replication.Preflight(t.Context(), tx, plan)
		for _, want := range []string{"has not the REPLICATION attribute", "CREATE on the database", "ownership of public.posts", `CREATE PUBLICATION "Pub'""" FOR TABLE "public"."posts"`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Preflight says nothing of %q: %v", want, err)
			}
		}
		if _, err := replication.EnsurePublication(t.Context(), tx, plan.Publication, plan.Tables); err == nil || !strings.Contains(failure.Of(err).Remedy, "CREATE PUBLICATION") {
			t.Errorf("EnsurePublication: %v", err)
		}
		tx.Rollback(t.Context())

		setup := replication.Setup{Role: role, Database: w.db.Name, Publication: plan.Publication, Tables: plan.Tables, Read: named("media"), State: `CREATE SCHEMA IF NOT EXISTS "State ""schema""" AUTHORIZATION "` + strings.ReplaceAll(role, `"`, `""`) + `";` + "\n"}
		w.exec(replication.SetupSQL(setup))
		setup.Published = setup.Tables
		w.exec(replication.SetupSQL(setup)) // again
		setup.Tables = named("posts", "media")
		w.exec(replication.SetupSQL(setup)) // and with a table more

		if tx, err = w.pool.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		be()
		// What it may not change is left, and said.
		for _, step := range []struct {
			tables []replication.Table
			want   replication.Lacking
		}{
			{named("posts"), replication.Lacking{Surplus: named("media"), Drop: `ALTER PUBLICATION "Pub'""" DROP TABLE "public"."media"`}},
			{named("posts", "media", "users"), replication.Lacking{Missing: named("users"), Add: `ALTER PUBLICATION "Pub'""" ADD TABLE "public"."users"`}},
		} {
			step.want.Rights = "ownership of publication Pub'\""
			plan.Tables = step.tables
			if err := replication.Preflight(t.Context(), tx, plan); err != nil {
				t.Errorf("Preflight of %v: %v", step.tables, err)
			}
			change, err := replication.EnsurePublication(t.Context(), tx, plan.Publication, plan.Tables)
			if diff := cmp.Diff(step.want, change.Lacking); err != nil || change.Changed() || diff != "" {
				t.Errorf("EnsurePublication of %v: %+v, %v\n%s", step.tables, change, err, diff)
			}
		}
		plan.Tables = setup.Tables
		if err := replication.Preflight(t.Context(), tx, plan); err != nil {
			t.Errorf("Preflight after setup: %v", err)
		}
		if change, err := replication.EnsurePublication(t.Context(), tx, plan.Publication, plan.Tables); err != nil || change.Changed() {
			t.Errorf("EnsurePublication after setup: %+v, %v", change, err)
		}
		for sql, want := range map[string]bool{
			"SELECT has_table_privilege('posts', 'SELECT')": true, "SELECT has_table_privilege('media', 'SELECT')": true,
			"SELECT has_table_privilege('users', 'SELECT')":                  false,
			`SELECT has_schema_privilege('State "schema"', 'CREATE')`:        true,
			"SELECT rolreplication FROM pg_roles WHERE rolname=current_user": true,
		} {
			var got bool
			if err := tx.QueryRow(t.Context(), sql).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %t, %v", sql, got, err)
			}
		}
	})
}

// The publication's owner adds what it owns, and says what it does not. InspectPublication says the same before.
func TestEnsurePublicationDoesWhatItMay(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		w := newWorld(t, pgtest.NewVersion(t, version), `CREATE TABLE posts (id int PRIMARY KEY); CREATE TABLE mine (id int PRIMARY KEY); CREATE TABLE theirs (id int PRIMARY KEY)`)
		role := w.db.Name + "_r"
		w.exec("CREATE ROLE " + role + "; GRANT CREATE ON DATABASE " + w.db.Name + " TO " + role + "; ALTER TABLE posts OWNER TO " + role + "; ALTER TABLE mine OWNER TO " + role)
		w.Cleanup(func() {
			pool := w.db.Pool(t)
			pool.Exec(context.Background(), "DROP OWNED BY "+role)
			pool.Exec(context.Background(), "DROP ROLE "+role)
		})
		tx, err := w.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { tx.Rollback(context.Background()) }()
		if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE "+role); err != nil {
			t.Fatal(err)
		}
		if _, exists, err := replication.InspectPublication(t.Context(), tx, "p", named("posts")); err != nil || exists {
			t.Errorf("there is no publication, and it says %t, %v", exists, err)
		}
		if _, err := replication.EnsurePublication(t.Context(), tx, "p", named("posts")); err != nil {
			t.Fatal(err)
		}
		want := replication.PublicationChange{Added: named("mine"), Lacking: replication.Lacking{
			Missing: named("theirs"), Rights: "ownership of public.theirs", Add: `ALTER PUBLICATION "p" ADD TABLE "public"."theirs"`,
		}}
		all := named("mine", "posts", "theirs")
		may, _, err := replication.InspectPublication(t.Context(), tx, "p", all)
		want.OID = may.OID
		if diff := cmp.Diff(want, may); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		got, err := replication.EnsurePublication(t.Context(), tx, "p", all)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		want.Added = nil
		got, err = replication.EnsurePublication(t.Context(), tx, "p", all)
		if diff := cmp.Diff(want, got); err != nil || diff != "" || got.Changed() {
			t.Errorf("again: %v\n%s", err, diff)
		}
	})
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{Settings: map[string]string{
		"wal_level": "replica", "max_replication_slots": "0", "max_wal_senders": "0", "synchronous_standby_names": "*",
	}})
	w := newWorld(t, cluster.NewDB(t), "SET synchronous_commit = local; CREATE TABLE posts (id int PRIMARY KEY); CREATE TABLE nokey (id int)")
	err := replication.Preflight(t.Context(), w.pool, replication.Plan{Slot: "No-Slot", Publication: "p", Tables: named("posts", "nokey")})
	for _, want := range []string{
		"wal_level is replica", "ALTER SYSTEM SET wal_level = 'logical'", "all 0 replication slots", "all 0 walsenders",
		"synchronous_standby_names = '*'", `"No-Slot" cannot name a slot`, "public.nokey: it has no primary key",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing of %q in: %v", want, err)
		}
	}
	if failure.Of(err).Class != failure.Systemic {
		t.Errorf("class %s", failure.Of(err).Class)
	}
	if _, err := replication.CreateSlot(t.Context(), replication.SlotConfig{URI: w.db.URI, Slot: "s"}); err == nil || failure.Of(err).Remedy == "" {
		t.Errorf("CreateSlot: %v", err)
	}
}

// What a pooler says to a replication connection is explained, and no password is repeated.
func TestOpenExplains(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t), "CREATE TABLE posts (id int PRIMARY KEY)", "posts")
	role := "weak_" + w.slot
	w.exec("CREATE ROLE " + role + " LOGIN PASSWORD 'geheim'")
	w.Cleanup(func() { w.db.Pool(t).Exec(context.Background(), "DROP ROLE "+role) })
	config := w.config()
	config.URI = strings.Replace(w.db.URI, "postgres://", "postgres://"+role+":geheim@", 1)
	if i := strings.Index(w.db.URI, "@"); i >= 0 {
		config.URI = "postgres://" + role + ":geheim" + w.db.URI[i:]
	}
	_, err := replication.Open(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), "REPLICATION attribute") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("Open: %v", err)
	}
	config.URI = "postgres://u:geheim@127.0.0.1:1/db?sslmode=disable"
	_, err = replication.Open(t.Context(), config)
	if err == nil || strings.Contains(err.Error(), "geheim") || errors.Is(err, replication.ErrMissing) {
		t.Errorf("Open: %v", err)
	}
}
