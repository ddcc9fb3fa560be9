package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"payload-cdc/internal/index"
	"payload-cdc/internal/index/upstash"
	"payload-cdc/internal/local"
	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
)

var errorRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|([^|]*)\\|([^|]*)\\|$")

// documented is the messages of docs/errors.md.
func documented(t *testing.T) []string {
	t.Helper()
	var list []string
	for _, m := range errorRow.FindAllStringSubmatch(page(t, "docs/errors.md"), -1) {
		if strings.TrimSpace(m[2]) == "" || strings.TrimSpace(m[3]) == "" {
			t.Errorf("docs/errors.md: %s: no cause, or nothing to do", m[1])
		}
		list = append(list, m[1])
	}
	return list
}

// says reports whether a text holds a message of the documentation, whose … stands for anything.
func says(text, message string) bool {
	parts := strings.Split(message, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.TrimSpace(parts[i]))
	}
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, `\"`, `"`)), " ")
	return regexp.MustCompile(strings.Join(parts, ".*?")).MatchString(text)
}

// provoked is how a message is made to appear: what is wrong with a project, and how it is found out.
type provoked struct {
	begin   string // of the message in the documentation, enough to tell it from the others
	also    string // within it, where several begin alike
	spoil   func(t *testing.T, p *project)
	environ []string            // on top of the project's
	index   func() local.Config // of both providers; nil is as it should be
	faults  func(s *local.Server)
	follow  bool // nothing ends: it is looked for in what a running cdc says
}

var (
	refuseEmbedding = func(status int, body string) func(s *local.Server) {
		return func(s *local.Server) {
			s.EmbeddingFaults().Set(1, local.Rule{Fault: local.Answer, Chance: 1, Status: status, Body: body})
		}
	}
	refuseIndex = func(endpoint string, status int, body string) func(s *local.Server) {
		return func(s *local.Server) {
			s.VectorFaults().Set(1, local.Rule{Fault: local.Answer, Endpoint: endpoint, Chance: 1, Status: status, Body: body})
		}
	}
	spoilt = func(sql string) func(t *testing.T, p *project) {
		return func(t *testing.T, p *project) { //nolint:thelper // it is a step of a test, not its helper
			p.exec(t, p.URI, strings.ReplaceAll(sql, "{slot}", p.Name))
		}
	}
)

var provocations = []provoked{
	{begin: "DATABASE_URI is not set", environ: []string{"DATABASE_URI="}},
	{begin: "… is not a variable of cdc", environ: []string{"CDC_SLTO=x"}},
	{begin: "DATABASE_URI is not a Postgres connection string", environ: []string{"DATABASE_URI=mysql://user:pw@host/db"}},
	{begin: "the password in a postgres:// address", environ: []string{"DATABASE_URI=postgres://payload:12/34@db/payload"}},
	{begin: "DATABASE_URI: its sslmode", environ: []string{"DATABASE_URI=postgres://u:p@127.0.0.1:1/db?sslmode=no-verify"}},
	{begin: "DATABASE_URI: its certificate or key", environ: []string{"DATABASE_URI=postgres://u:p@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/no/such/file"}},
	{begin: "UPSTASH_VECTOR_REST_URL is not set", environ: []string{"UPSTASH_VECTOR_REST_URL="}},
	{begin: "OPENAI_API_KEY is not set", environ: []string{"OPENAI_API_KEY=", "OPENAI_BASE_URL="}},
	{begin: "CDC_STATE_URI: this version", environ: []string{"CDC_STATE_URI=sqlite:///state.db"}},
	{begin: "… is not a key of", spoil: file("collections:\n  posts:\n    tilte: x\n")},
	{begin: `unknown collection "…"`, environ: []string{"CDC_COLLECTIONS=post"}},
	{begin: `collection "…" holds accounts`, environ: []string{"CDC_COLLECTIONS=users"}},

	{begin: "connect to the database", also: "nothing listens there", environ: []string{nowhere}},
	{begin: "connect to the database", also: "the host's name", environ: []string{"DATABASE_URI=postgres://u:p@no-such-host.invalid/db"}},
	{begin: "connect to the database", also: "the database's name is wrong", spoil: address(func(u *url.URL) { u.Path = "/no_such_database" })},
	{begin: "connect to the database", also: "take out the parameter", spoil: address(func(u *url.URL) { u.RawQuery += "&pgbouncer=true" })},
	{begin: "open a replication connection", spoil: func(t *testing.T, p *project) {
		p.environ = append(p.environ, "CDC_REPLICATION_URI="+pooler(t))
	}},
	{begin: "discover collections in schema", environ: []string{"CDC_PAYLOAD_SCHEMA=elsewhere"}},
	{begin: `role "…" has not the REPLICATION attribute`, spoil: asRole},
	{begin: "this role may not create publication", spoil: asRole},
	{begin: "table …: … so publishing it", spoil: spoilt("ALTER TABLE posts REPLICA IDENTITY NOTHING")},
	{begin: `publication "…": …`, spoil: spoilt("CREATE PUBLICATION payload_cdc FOR TABLE posts WHERE (id > 1)")},
	{begin: "slot … belongs to something else", spoil: spoilt("SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')")},
	{begin: "slot … belongs to database", spoil: func(t *testing.T, p *project) {
		other := pgtest.New(t)
		p.exec(t, other.URI, "SELECT pg_create_logical_replication_slot('"+p.Name+"', 'pgoutput')")
	}},
	{begin: "the slot … exists, nobody reads it", spoil: spoilt("SELECT pg_create_logical_replication_slot('payload_cdc_' || '{slot}', 'pgoutput')")},
	{begin: "the schema holds tables that are not cdc's", spoil: spoilt("CREATE SCHEMA payload_cdc CREATE TABLE theirs (id int)")},
	{begin: "this state was written by a newer cdc", spoil: func(t *testing.T, p *project) {
		cdc(t, p.asAdministrator(), "setup").want(t, exitDone)
		p.exec(t, p.URI, "UPDATE payload_cdc.meta SET version = 4711")
	}},
	{begin: "stopped by CDC_ON_GAP=stop", environ: []string{"CDC_ON_GAP=stop"}, spoil: func(t *testing.T, p *project) {
		cdc(t, p.asAdministrator(), "run", "--until", "caught-up").want(t, exitDone)
		p.exec(t, p.URI, "SELECT pg_drop_replication_slot('"+p.Name+"')")
	}},

	{begin: "the index belongs to another database", spoil: func(t *testing.T, p *project) {
		idx, err := upstash.New(upstash.Config{URL: p.providers, Token: "local", Dimensions: 1024})
		if err != nil {
			t.Fatal(err)
		}
		defer idx.Close()
		if err := idx.SetOwner(t.Context(), index.Owner{System: "4711", Slot: "payload_cdc", LSN: 1, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}},
	{begin: "openai: embed … texts: 401", environ: []string{"OPENAI_API_KEY=sk-of-another-account"}, follow: true},
	{begin: "openai: embed … texts: 429", faults: func(s *local.Server) { s.EmbeddingFaults().Set(1, local.Rule{Fault: local.Quota, Chance: 1}) }, follow: true},
	{begin: "openai: embed … texts: 404", faults: refuseEmbedding(404, `{"error":{"message":"The model does not exist","code":"model_not_found"}}`), follow: true},
	{begin: "the vectors have … dimensions", environ: []string{"CDC_EMBED_MODEL=some-other-model", "CDC_EMBED_DIMENSIONS=64"}, index: func() local.Config { return local.Config{Dimensions: 64} }, faults: func(s *local.Server) {
		s.EmbeddingFaults().Set(1, local.Rule{Fault: local.Answer, Chance: 1, Body: vectorsOf(5, 3)})
	}, follow: true},
	{begin: "upstash: 401", environ: []string{"UPSTASH_VECTOR_REST_TOKEN=of-another-index"}, follow: true},
	{begin: "upstash: 403 …", environ: []string{"UPSTASH_VECTOR_REST_TOKEN=may-read"}, index: func() local.Config { return local.Config{ReadOnlyToken: "may-read"} }, follow: true},
	{begin: "check the index: upstash: its type", faults: refuseIndex("info", 200, `{"result":{"indexType":"SPARSE","dimension":0,"similarityFunction":""}}`), follow: true},
	{begin: "check the index: upstash: its dimension", index: func() local.Config { return local.Config{Dimensions: 1536} }, follow: true},
	{begin: "check the index: upstash: its metric", index: func() local.Config { return local.Config{Metric: local.Euclidean} }, follow: true},
	{begin: "upstash: 403 Exceeded daily", faults: func(s *local.Server) { s.VectorFaults().Set(1, local.Rule{Fault: local.Quota, Chance: 1}) }, follow: true},
	{begin: "upstash: 404", faults: refuseIndex("", 404, `{"error":"Not Found"}`), follow: true},

	{begin: "serve health and status", spoil: func(t *testing.T, p *project) {
		taken := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(taken.Close)
		p.environ = append(p.environ, "CDC_HTTP_ADDR="+strings.TrimPrefix(taken.URL, "http://"))
	}},
}

// file writes the file of CDC_CONFIG.
func file(content string) func(t *testing.T, p *project) {
	return func(t *testing.T, p *project) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "cdc.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p.environ = append(p.environ, "CDC_CONFIG="+path, "CDC_COLLECTIONS=")
	}
}

// address changes DATABASE_URI.
func address(change func(u *url.URL)) func(t *testing.T, p *project) {
	return func(t *testing.T, p *project) {
		t.Helper()
		u, err := url.Parse(p.URI)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		p.environ = append(p.environ, "DATABASE_URI="+u.String())
	}
}

// asRole connects as a role that may do nothing.
func asRole(t *testing.T, p *project) {
	t.Helper()
	address(func(u *url.URL) { u.User = url.User(p.role) })(t, p)
}

// pooler answers as PgBouncer does to a connection for replication.
func pooler(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: replication"})
				_ = backend.Flush()
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return "postgres://u:p@" + l.Addr().String() + "/db?sslmode=disable"
}

// vectorsOf is an answer with n vectors, each of a few dimensions.
func vectorsOf(n, dimensions int) string {
	one := strings.TrimSuffix(strings.Repeat("1,", dimensions), ",")
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[%s]}`, i, one))
	}
	return `{"object":"list","data":[` + strings.Join(list, ",") + `]}`
}

func (o provoked) of(messages []string) (found []string) {
	for _, m := range messages {
		if strings.HasPrefix(m, o.begin) && strings.Contains(m, o.also) {
			found = append(found, m)
		}
	}
	return found
}

// TestEveryError provokes each row of docs/errors.md. A row that nothing provokes fails it, and a provocation without a row.
func TestEveryError(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes a database for each row; not with -short")
	}
	messages := documented(t)
	var covered []string
	for _, one := range provocations {
		found := one.of(messages)
		if one.begin == "upstash: 403 …" { // which any other 403 begins with, too
			found = slices.DeleteFunc(found, func(m string) bool { return strings.Contains(m, "Exceeded") })
		}
		if len(found) != 1 {
			t.Errorf("%q … %q is the beginning of %d rows of docs/errors.md", one.begin, one.also, len(found))
			continue
		}
		covered = append(covered, found...)
		t.Run(found[0][:min(len(found[0]), 40)], func(t *testing.T) {
			t.Parallel()
			one.provoke(t, found[0])
		})
	}
	for _, m := range messages {
		if !slices.Contains(covered, m) && !slices.ContainsFunc(onServers, func(begin string) bool { return strings.Contains(m, begin) }) {
			t.Errorf("docs/errors.md: nothing provokes %s", m)
		}
	}
}

func (o provoked) provoke(t *testing.T, message string) {
	t.Helper()
	p := newProject(t)
	p.environ = p.asAdministrator()
	if o.index != nil || o.faults != nil {
		var cfg local.Config
		if o.index != nil {
			cfg = o.index()
		}
		server := local.New(cfg)
		web := httptest.NewServer(server.Handler())
		t.Cleanup(func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			web.Close()
		})
		if o.faults != nil {
			o.faults(server)
		}
		p.environ = append(p.environ, "UPSTASH_VECTOR_REST_URL="+web.URL, "OPENAI_BASE_URL="+web.URL+"/v1")
	}
	if o.spoil != nil {
		o.spoil(t, p)
	}
	environ := append(append(p.environ, o.environ...), "CDC_LOG_FORMAT=text", "CDC_COLLECTIONS="+collections(p, o))
	if !o.follow {
		got := cdc(t, environ, "run", "--until", "caught-up")
		if !says(got.out+got.err, message) || got.code == exitDone {
			t.Errorf("exit code %d, and not said is\n%s\nbut\n%s", got.code, message, got.out+got.err)
		}
		return
	}
	run := start(t, append(environ, "CDC_HTTP_ADDR=127.0.0.1:0"), "run")
	run.until(message, func() bool { return says(run.output(), message) })
	run.until("the same on /readyz", func() bool {
		code, body := run.ask(http.MethodGet, "/readyz", "")
		return code == http.StatusServiceUnavailable && says(body, message)
	})
}

// collections is what the environment of a provocation names, posts otherwise.
func collections(p *project, o provoked) string {
	value := "posts"
	for _, e := range append(p.environ[len(p.environ)-1:], o.environ...) {
		if v, ok := strings.CutPrefix(e, "CDC_COLLECTIONS="); ok {
			value = v
		}
	}
	return value
}

// onServers are the rows that TestServersErrors and TestErrorsOverHTTP provoke: they need a server of their own.
var onServers = []string{
	"user or password are wrong", "pg_hba.conf has to let", "signed by an authority", "for another host", "wal_level is", "replication slots are in use",
	"walsenders are in use", "is a standby", "commits would wait for us", "nothing can be changed over HTTP", "want Authorization",
}

func row(t *testing.T, part string) string {
	t.Helper()
	for _, m := range documented(t) {
		if strings.Contains(m, part) {
			return m
		}
	}
	t.Fatalf("docs/errors.md has no row with %q", part)
	return ""
}

// TestServersErrors provokes the rows that say how a server is set up.
func TestServersErrors(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"max_replication_slots": "1", "max_wal_senders": "1"}})
	db := cluster.NewDB(t)
	payloadtest.LoadDump(t, db)
	ctx := t.Context()
	exec := func(sql string) {
		t.Helper()
		if _, err := db.Pool(t).Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(part, uri string) {
		t.Helper()
		environ := []string{
			"DATABASE_URI=" + uri, "CDC_HTTP_ADDR=off", "UPSTASH_VECTOR_REST_URL=http://127.0.0.1:1", "UPSTASH_VECTOR_REST_TOKEN=t", "OPENAI_API_KEY=k",
			"CDC_LOG_FORMAT=text", "CDC_COLLECTIONS=posts",
		}
		got := cdc(t, environ, "run")
		if message := row(t, part); !says(got.out+got.err, message) || got.code != exitFailed {
			t.Errorf("exit code %d, and not said is\n%s\nbut\n%s", got.code, message, got.out+got.err)
		}
	}

	exec("SELECT pg_create_logical_replication_slot('others', 'test_decoding')")
	refused("replication slots are in use", db.URI)
	exec("SELECT pg_drop_replication_slot('others')")
	sender, err := pgx.Connect(ctx, db.URI+"&replication=database&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	refused("walsenders are in use", db.URI)
	sender.Close(ctx)

	set := func(name, value string) {
		t.Helper()
		if err := cluster.SetSettings(ctx, map[string]string{name: value}); err != nil {
			t.Fatal(err)
		}
	}
	set("synchronous_standby_names", "*")
	refused("commits would wait for us", db.URI)
	set("synchronous_standby_names", "")

	authority, err := pgtest.NewAuthority("nobody we know")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Issue("127.0.0.1")
	if err == nil {
		err = cluster.UseTLS(ctx, cert, key)
	}
	if err == nil {
		err = cluster.SetHBA(ctx, "hostssl all careful 127.0.0.1/32 scram-sha-256")
	}
	if err != nil {
		t.Fatal(err)
	}
	exec("CREATE ROLE careful SUPERUSER LOGIN PASSWORD 'the right one'")
	root := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	careful := func(host, password, mode string) string {
		u := url.URL{
			Scheme: "postgres", User: url.UserPassword("careful", password), Host: host + ":" + strconv.Itoa(cluster.Port), Path: "/" + db.Name, RawQuery: "sslmode=" + mode,
		}
		return u.String()
	}
	refused("user or password are wrong", careful("127.0.0.1", "another one", "require"))
	refused("pg_hba.conf has to let", careful("127.0.0.1", "the right one", "disable"))
	refused("signed by an authority", careful("127.0.0.1", "the right one", "verify-full"))
	refused("for another host", careful("localhost", "the right one", "verify-full&sslrootcert="+url.QueryEscape(root)))

	set("wal_level", "replica")
	if err := cluster.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	refused("wal_level is", db.URI)
	set("wal_level", "logical")
	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cluster.Dir, "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Restart(context.WithoutCancel(ctx)); err != nil {
		t.Fatal(err)
	}
	refused("is a standby", db.URI)
	if err := cluster.Stop(); err != nil { // nothing can be dropped on a standby
		t.Fatal(err)
	}
}

// TestErrorsOverHTTP provokes the rows of what is refused over HTTP.
func TestErrorsOverHTTP(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	environ := append(p.asAdministrator(), "CDC_HTTP_ADDR=127.0.0.1:0", "CDC_COLLECTIONS=posts")
	for _, one := range []struct {
		token, part string
		code        int
	}{{"", "nothing can be changed over HTTP", 403}, {"a-token-of-sixteen", "want Authorization", 401}} {
		run := start(t, append(environ, "CDC_ADMIN_TOKEN="+one.token), "run")
		code, body := run.ask(http.MethodPost, "/api/parked/retry", `{"all":true}`, "Authorization", "Bearer x", "Content-Type", "application/json")
		if code != one.code || !says(body, row(t, one.part)) {
			t.Errorf("%d %s", code, body)
		}
		run.stop()
	}
}
