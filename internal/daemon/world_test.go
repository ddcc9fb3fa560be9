package daemon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/document"
	"payload-cdc/internal/local"
	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What must appear in no log, error or page, whatever the test is about.
const (
	password = "open-sesame-4711"
	token    = "token-of-index-and-embedding-0815"
)

// patience is how long a test waits for what has to come. It bounds failing tests only.
const patience = 60 * time.Second

// world is a Payload database, the providers' servers, and the configuration of daemons between them.
type world struct {
	testing.TB
	db     *pgtest.DB
	pool   *pgxpool.Pool
	server *local.Server
	store  local.Store
	cfg    daemon.Config
	log    *logbook
}

func newWorld(t testing.TB) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the whole assembly; not with -short")
	}
	return newWorldIn(t, pgtest.New(t))
}

func newWorldIn(t testing.TB, db *pgtest.DB) *world {
	t.Helper()
	payloadtest.LoadDump(t, db)
	w := &world{TB: t, db: db, pool: db.Pool(t), store: local.NewMemory(local.Cosine), log: &logbook{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemons' log:\n%s", w.log.tail(12_000))
		}
		w.log.secretless(t)
	})
	front := newFront(w, local.Config{Dimensions: 64, Token: token, Store: w.store})
	w.cfg = daemon.Config{
		DatabaseURI: withPassword(t, db.URI), Slot: db.Name, Publication: db.Name,
		Collections: []string{"posts", "blog-posts", "docPages", "events", "news"},
		OpenAIKey:   token, OpenAIBaseURL: front + "/v1", EmbedDimensions: 64,
		UpstashURL: front, UpstashToken: token, IndexTimeout: 3 * time.Second,
		HTTPAddr: "127.0.0.1:0", Tick: 50 * time.Millisecond, LookEvery: time.Second, Version: "test",
		Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return w
}

// newFront serves both providers' protocols, from now on as those of the world, and returns their address.
func newFront(w *world, cfg local.Config) string {
	w.Helper()
	server := local.New(cfg)
	front := httptest.NewServer(server.Handler())
	w.Cleanup(func() {
		if err := server.Close(); err != nil {
			w.Error(err)
		}
		front.Close()
	})
	w.server = server
	return front.URL
}

// withPassword gives the address a password, which these clusters do not ask for.
func withPassword(t testing.TB, uri string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String()
}

// run is a daemon at work.
type run struct {
	w      *world
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
	addr   chan string
}

func (w *world) start() *run {
	w.Helper()
	return w.startWith(w.cfg)
}

func (w *world) startWith(cfg daemon.Config) *run {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{w: w, cancel: cancel, ended: make(chan struct{}), addr: make(chan string, 1)}
	cfg.Listening = func(addr string) { r.addr <- addr }
	go func() {
		defer close(r.ended)
		r.err = daemon.Run(ctx, cfg)
	}()
	w.Cleanup(func() {
		cancel()
		r.wait()
	})
	return r
}

// wait waits for the end of the daemon and returns its error.
func (r *run) wait() error {
	r.w.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		r.w.Fatal("the daemon does not end")
	}
	if r.err != nil {
		r.w.log.secretlessText(r.w.TB, r.err.Error())
	}
	return r.err
}

// stop ends the daemon in good order.
func (r *run) stop() {
	r.w.Helper()
	r.cancel()
	if err := r.wait(); err != nil {
		r.w.Fatalf("the daemon ended with: %v", err)
	}
}

// get asks the daemon's pages.
func (r *run) get(path string) (int, string) {
	r.w.Helper()
	addr := <-r.addr
	r.addr <- addr
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		r.w.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	r.w.log.secretlessText(r.w.TB, string(body))
	return response.StatusCode, string(body)
}

// exec changes the database as anybody could.
func (w *world) exec(sql string, args ...any) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := w.pool.Exec(ctx, sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// ask returns the one value of a query.
func ask[V any](w *world, sql string, args ...any) V {
	w.Helper()
	v, err := try[V](w, sql, args...)
	if err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
	return v
}

func try[V any](w *world, sql string, args ...any) (v V, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = w.pool.QueryRow(ctx, sql, args...).Scan(&v)
	return v, err
}

// eventually polls until wrong returns "".
func (w *world) eventually(wrong func() string) {
	w.Helper()
	deadline := time.Now().Add(patience)
	for {
		text := wrong()
		if text == "" {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("after %s: %s", patience, text)
		}
		<-time.After(25 * time.Millisecond)
	}
}

// published is what should be in the index, in this test's own words.
const published = `
SELECT 'posts-' || id, coalesce(title, ''), coalesce(to_jsonb(p)->>'description', '') FROM posts p WHERE _status = 'published'
UNION ALL SELECT 'docPages-' || id, coalesce(title, ''), '' FROM doc_pages WHERE _status = 'published'
UNION ALL SELECT 'news-' || id, coalesce(title, ''), '' FROM news WHERE _status = 'published'
UNION ALL SELECT 'events-' || id, coalesce(title, ''), '' FROM events WHERE _status = 'published' AND deleted_at IS NULL
UNION ALL SELECT 'blog-posts-' || b.id || '@' || l._locale, coalesce(l.title, ''), ''
	FROM blog_posts b JOIN blog_posts_locales l ON l._parent_id = b.id WHERE b._status = 'published'`

// silence deletes what rows below the documents say in a locale: then it is in the index as long as the document's own row of it
// is there, which is what published says.
func (w *world) silence(locale string) {
	w.Helper()
	for _, table := range []string{
		"blog_posts_steps", "blog_posts_summary_points", "blog_posts_blocks_promo", "blog_posts_notes_locales",
		"blog_posts_blocks_text_section_locales", "blog_posts_blocks_text_section_rows_locales",
	} {
		w.exec(`DELETE FROM ` + table + ` WHERE _locale = '` + locale + `'`)
	}
	w.exec(`DELETE FROM blog_posts_texts WHERE locale = '` + locale + `'`)
}

type entry struct{ ID, Title, Text string }

// differences compares the index with the database: empty when they are equal. Only the given collections count; none
// is all of them.
func (w *world) differences(collections ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rows, err := w.pool.Query(ctx, published)
	if err != nil {
		return err.Error()
	}
	want, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		return err.Error()
	}
	if len(collections) > 0 {
		want = slices.DeleteFunc(want, func(e entry) bool {
			return !slices.ContainsFunc(collections, func(c string) bool { return strings.HasPrefix(e.ID, c+"-") })
		})
	}
	return compare(want, w.vectors())
}

func (w *world) vectors() map[string]local.Vector {
	w.Helper()
	vectors, err := w.server.Vectors(context.Background(), w.cfg.UpstashNamespace)
	if err != nil {
		w.Fatal(err)
	}
	return vectors
}

func compare(want []entry, vectors map[string]local.Vector) string {
	var wrong []string
	left := maps.Clone(vectors)
	for _, e := range want {
		text, n := "", 1
		for i := 0; i < n; i++ {
			id := e.ID
			if i > 0 {
				id = fmt.Sprintf("%s#%d", e.ID, i)
			}
			v, ok := left[id]
			if !ok {
				wrong = append(wrong, "missing "+id)
				break
			}
			delete(left, id)
			var m document.Metadata
			if err := json.Unmarshal(v.Metadata, &m); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %v", id, err))
			}
			if m.Chunk != i || m.Hash == "" || m.Title != e.Title {
				wrong = append(wrong, fmt.Sprintf("%s: chunk %d, hash %q, title %q, want %d, some, %q", id, m.Chunk, m.Hash, m.Title, i, e.Title))
			}
			if i == 0 {
				n = m.Chunks
			}
			if v.Data != nil {
				text += *v.Data + "\n"
			}
		}
		if !strings.Contains(text, e.Text) {
			wrong = append(wrong, fmt.Sprintf("%s: %q is not in its text", e.ID, e.Text))
		}
	}
	for id := range left {
		wrong = append(wrong, "orphan "+id)
	}
	slices.Sort(wrong)
	return strings.Join(wrong, "\n")
}

// equal waits until the index holds exactly what is published.
func (w *world) equal() {
	w.Helper()
	w.eventually(func() string { return w.differences() })
}

// touch changes a draft, which changes nothing in the index but has to be read.
const touch = `UPDATE news SET updated_at = clock_timestamp() WHERE id = 2`

// drained waits until everything committed by now has been read, paid and confirmed, and no sweep is owed.
func (w *world) drained() {
	w.Helper()
	begin := ask[time.Time](w, "SELECT clock_timestamp()")
	var touched time.Time
	w.eventually(func() string {
		w.Helper()
		if time.Since(touched) > 2*time.Second { // again, in case that the slot was created after it
			w.exec(touch)
			touched = time.Now()
		}
		text, err := try[string](w, `SELECT concat_ws(' ',
			(SELECT 'not read' WHERE NOT EXISTS (SELECT FROM payload_cdc.checkpoint WHERE commit_at >= $2::timestamptz)),
			(SELECT 'not confirmed' WHERE NOT EXISTS (SELECT FROM pg_replication_slots, payload_cdc.checkpoint WHERE slot_name = $1 AND confirmed_flush_lsn >= lsn)),
			(SELECT 'owed ' || string_agg(collection || '/' || doc_id, ',') FROM payload_cdc.owed),
			(SELECT 'sweeps ' || string_agg(collection || ' ' || reason || ' ' || stage || ' held ' || held, ',') FROM payload_cdc.sweeps WHERE since <= now()))`, w.cfg.Slot, begin)
		if err != nil {
			return err.Error()
		}
		return text
	})
}

// logbook keeps what daemons log.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) has(text string) bool { return strings.Contains(l.String(), text) }

func (l *logbook) tail(n int) string {
	text := l.String()
	return text[max(0, len(text)-n):]
}

func (l *logbook) secretless(t testing.TB) {
	t.Helper()
	l.secretlessText(t, l.String())
}

func (l *logbook) secretlessText(t testing.TB, text string) {
	t.Helper()
	for _, secret := range []string{password, token} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("a secret is told: …%s…", text[max(0, i-200):min(len(text), i+50)])
		}
	}
}

// says waits until the log has a text.
func (w *world) says(text string) {
	w.Helper()
	w.eventually(func() string {
		if w.log.has(text) {
			return ""
		}
		return fmt.Sprintf("the log does not say %q", text)
	})
}

var errNone = errors.New("no error")

// fails runs a daemon that has to refuse, and returns what it says.
func (w *world) fails(cfg daemon.Config) error {
	w.Helper()
	err := w.startWith(cfg).wait()
	if err == nil {
		w.Fatal(errNone)
	}
	return err
}
