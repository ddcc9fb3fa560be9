package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"payload-cdc/internal/index"
	"payload-cdc/internal/index/upstash"
	"payload-cdc/internal/local"
	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
)

// project is a database that Payload filled, a role that may do nothing in it yet, and both providers.
type project struct {
	*pgtest.DB
	role      string
	server    *local.Server
	providers string   // the server's address
	environ   []string // of cdc, as role
}

func newProject(t *testing.T) *project {
	t.Helper()
	p := &project{DB: pgtest.New(t), server: local.New(local.Config{})}
	payloadtest.LoadDump(t, p.DB)
	p.role = "cdc_" + p.Name
	u, err := url.Parse(p.URI)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(p.role)
	p.exec(t, p.URI, "CREATE ROLE "+p.role+" LOGIN")
	t.Cleanup(func() { p.exec(t, p.URI, "DROP OWNED BY "+p.role+"; DROP ROLE "+p.role) })
	web := httptest.NewServer(p.server.Handler())
	t.Cleanup(func() {
		if err := p.server.Close(); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	p.providers = web.URL
	p.environ = []string{
		"DATABASE_URI=" + u.String(), "CDC_SLOT=" + p.Name, "CDC_HTTP_ADDR=off", "CDC_COLLECTIONS=posts,blog-posts,docPages",
		"UPSTASH_VECTOR_REST_URL=" + web.URL, "UPSTASH_VECTOR_REST_TOKEN=local", "OPENAI_BASE_URL=" + web.URL + "/v1", "OPENAI_API_KEY=local",
	}
	return p
}

// exec runs statements as psql would.
func (p *project) exec(t *testing.T, uri, sql string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgconn.Connect(ctx, uri)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
}

// asAdministrator is the environment of p with the owner's address in place of the role's.
func (p *project) asAdministrator() []string {
	return append(append([]string{}, p.environ...), "DATABASE_URI="+p.URI)
}

// From a role that may do nothing to an index that is full, by what the README says and nothing else; and away again.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	p := newProject(t)

	// Without rights it stops, says why and which statements help, and has made nothing.
	cdc(t, p.environ, "run", "--until", "caught-up").want(t, exitFailed, "REPLICATION", "cdc setup --print-sql", "CREATE PUBLICATION")
	cdc(t, p.environ, "setup").want(t, exitFailed, "CREATE PUBLICATION")

	// The role itself can ask for the SQL, and an administrator can ask on its behalf: it is the same.
	printed := cdc(t, p.environ, "setup", "--print-sql")
	printed.want(t, exitDone, "ALTER ROLE "+`"`+p.role+`"`+" REPLICATION", "CREATE PUBLICATION", "CREATE SCHEMA")
	other := cdc(t, p.asAdministrator(), "setup", "--print-sql", "--role", p.role)
	if other.want(t, exitDone); other.out != printed.out {
		t.Errorf("the administrator is told\n%s\nand the role\n%s", other.out, printed.out)
	}
	for range 2 { // it can be run again
		p.exec(t, p.URI, printed.out)
		printed = cdc(t, p.environ, "setup", "--print-sql")
	}
	if strings.Contains(printed.out, "PUBLICATION") {
		t.Errorf("the publication is complete, and yet:\n%s", printed.out)
	}

	cdc(t, p.environ, "setup").want(t, exitDone, "publication payload_cdc was complete", "state schema payload_cdc is ready")
	cdc(t, p.environ, "status").want(t, exitDone, "cdc has not run here yet", "posts")
	cdc(t, p.environ, "run", "--until", "caught-up").want(t, exitDone, "caught up")
	p.indexed(t, p.environ)

	// A new block brings a table that only its owner can publish: it goes on, and says what the owner runs.
	p.exec(t, p.URI, `CREATE TABLE posts_blocks_new (_order integer NOT NULL, _parent_id integer NOT NULL REFERENCES posts ON DELETE CASCADE,
		_path text NOT NULL, id varchar PRIMARY KEY, block_name varchar)`)
	cdc(t, p.environ, "run", "--until", "caught-up").want(t, exitDone, "caught up", `ALTER PUBLICATION \"payload_cdc\" ADD TABLE \"public\".\"posts_blocks_new\"`)
	cdc(t, p.environ, "status").want(t, exitDone, "finding", `ALTER PUBLICATION "payload_cdc" ADD TABLE "public"."posts_blocks_new"`)
	p.exec(t, p.URI, cdc(t, p.environ, "setup", "--print-sql").out)
	cdc(t, p.environ, "run", "--until", "caught-up").want(t, exitDone, "caught up")

	// Teardown: the slot is the role's to drop, the publication its owner's.
	cdc(t, p.environ, "teardown").want(t, exitFailed, "its owner, or an administrator, runs: DROP PUBLICATION")
	down := cdc(t, p.asAdministrator(), "teardown", "--state")
	down.want(t, exitDone, "slot was not there; publication dropped; state dropped")
	var left int
	err := p.Pool(t).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())
		+ (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_namespace WHERE nspname = 'payload_cdc')`).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("after the teardown %d things are left, %v", left, err)
	}
}

// indexed compares cdc status with the database and with the index.
func (p *project) indexed(t *testing.T, environ []string) {
	t.Helper()
	got := cdc(t, environ, "status", "--json")
	got.want(t, exitDone)
	var status struct {
		State       string
		Owed        struct{ Documents int }
		Collections []struct {
			Slug, Table                string
			Published, Indexed, Chunks int
		}
	}
	if err := json.Unmarshal([]byte(got.out), &status); err != nil {
		t.Fatalf("%v: %s", err, got.out)
	}
	if len(status.Collections) != 3 || status.Owed.Documents != 0 {
		t.Fatalf("want three collections and nothing owed:\n%s", got.out)
	}
	vectors, err := p.server.Vectors(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	chunks := 0
	for _, c := range status.Collections {
		var published int
		// Localized or not, a document is published once.
		err := p.Pool(t).QueryRow(t.Context(), "SELECT count(*) FROM "+pgx.Identifier{c.Table}.Sanitize()+" WHERE _status = 'published' AND to_jsonb("+
			pgx.Identifier{c.Table}.Sanitize()+")->>'deleted_at' IS NULL").Scan(&published)
		if err != nil {
			t.Fatal(err)
		}
		if c.Published != published || c.Indexed != published || published == 0 {
			t.Errorf("%s: %d published and %d indexed, want %d", c.Slug, c.Published, c.Indexed, published)
		}
		chunks += c.Chunks
	}
	if len(vectors) != chunks || chunks == 0 {
		t.Errorf("the index holds %d vectors, the status says %d", len(vectors), chunks)
	}
}

// A copy of the database with production's keys must not touch the index, until a person says that it may.
func TestAdopt(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	environ := p.asAdministrator()
	idx, err := upstash.New(upstash.Config{URL: p.providers, Token: "local", Dimensions: 1024})
	if err != nil {
		t.Fatal(err)
	}
	defer idx.Close()
	if err := idx.SetOwner(t.Context(), index.Owner{System: "4711", Slot: "payload_cdc", LSN: 1, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	cdc(t, environ, "run", "--until", "caught-up").want(t, exitFailed, "the index belongs to another database", "4711", "cdc adopt")
	if vectors, err := p.server.Vectors(t.Context(), ""); err != nil || len(vectors) > 0 {
		t.Fatalf("somebody else's index has %d vectors of ours, %v", len(vectors), err)
	}
	cdc(t, environ, "adopt").want(t, exitDone, "before to the system 4711")
	cdc(t, environ, "adopt").want(t, exitDone, "belongs to this database already")
	cdc(t, environ, "run", "--until", "caught-up").want(t, exitDone, "caught up")
	p.indexed(t, environ)
}

// A server that does not write what is needed into its log is told apart, with what to run.
func TestLogIsNotLogical(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server of its own")
	}
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"wal_level": "replica"}})
	db := cluster.NewDB(t)
	payloadtest.LoadDump(t, db)
	environ := []string{
		"DATABASE_URI=" + db.URI, "CDC_HTTP_ADDR=off", "UPSTASH_VECTOR_REST_URL=http://127.0.0.1:1", "UPSTASH_VECTOR_REST_TOKEN=t",
		"OPENAI_API_KEY=k",
	}
	cdc(t, environ, "setup", "--print-sql").want(t, exitDone, "ALTER SYSTEM SET wal_level = 'logical';")
	cdc(t, environ, "run").want(t, exitFailed, "wal_level is replica", "ALTER SYSTEM SET wal_level = 'logical'")
}

func TestParked(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	admin := p.asAdministrator()
	cdc(t, admin, "parked", "list").want(t, exitDone, "Nothing is parked.") // nor has cdc ever run here
	cdc(t, admin, "setup").want(t, exitDone)
	cdc(t, admin, "parked", "list", "--json").want(t, exitDone, "[]")
	cdc(t, admin, "parked", "retry", "--all").want(t, exitFailed, "nothing is parked")
	p.exec(t, p.URI, `INSERT INTO payload_cdc.parked (collection, doc_id, reason, attempts, since, blocker_collection, blocker_id)
		VALUES ('posts', '42', E'larger than\n8 MiB', 3, '2026-01-02 03:04:05Z', '', ''), ('blog', 'post-1', 'shares an id', 1, '2026-01-03 03:04:05Z', 'blog-post', '1')`)
	cdc(t, admin, "parked", "list").want(t, exitDone,
		"COLLECTION  ID      SINCE                ATTEMPTS  REASON", "posts       42      2026-01-02 03:04:05  3         larger than 8 MiB")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(cdc(t, admin, "parked", "list", "--json").out), &rows); err != nil || len(rows) != 2 || rows[1]["blocker"] != "blog-post/1" {
		t.Errorf("as JSON: %v, %v", rows, err)
	}
	cdc(t, admin, "parked", "retry", "posts", "41").want(t, exitFailed, "posts/41 is not parked", "cdc parked list")
	cdc(t, admin, "parked", "retry", "pages").want(t, exitFailed, "no document of pages is parked")
	cdc(t, admin, "parked", "retry", "posts", "42").want(t, exitDone, "try 1 parked documents again")
	cdc(t, admin, "parked", "retry").want(t, exitUsage, "--all")
	cdc(t, admin, "parked", "retry", "posts", "--all").want(t, exitUsage, "--all")
	cdc(t, admin, "parked", "retry", "a", "b", "c").want(t, exitUsage)
}
