// Package e2e runs the built cdc binary against a real Postgres, a real Payload and servers that speak OpenAI's and
// Upstash's protocols, and compares what the index then holds with what Payload itself says is published.
//
// The comparison shares no code with cdc: documents come from payload.find, vectors from the server's own store.
package e2e

import (
	"context"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"payload-cdc/internal/local"
	"payload-cdc/internal/pgtest"
	"payload-cdc/test/payloadtest"
)

// Options describes a World. The zero value is an empty project in its main variation on the shared cluster.
type Options struct {
	Cluster   *pgtest.Cluster   // nil is the one that all tests share
	Variation string            // of the Payload project
	Env       map[string]string // further settings of cdc
	Local     local.Config      // of the provider server; OnEmbed is taken
}

// World is everything around cdc: a database that Payload writes to, and the two providers.
type World struct {
	DB      *pgtest.DB
	Payload *payloadtest.App
	Server  *local.Server     // both providers: its faults, counts and vectors
	Env     map[string]string // settings of cdc; may be changed before a Start

	binary string
	store  local.Store
	log    *journal
	marker marker

	mu       sync.Mutex
	embedded []string
}

// New builds the binary and a world for one test, which is gone when the test ends. When it fails, the end of cdc's log
// is printed.
func New(t testing.TB, o Options) *World {
	t.Helper()
	if testing.Short() {
		t.Skip("boots Payload; not with -short")
	}
	w := &World{binary: binary(t), log: &journal{}}
	if o.Cluster == nil {
		w.DB = pgtest.New(t)
	} else {
		w.DB = o.Cluster.NewDB(t)
	}
	w.Payload = payloadtest.New(t, w.DB, payloadtest.Options{Variation: o.Variation})
	o.Local.OnEmbed = func(texts []string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.embedded = append(w.embedded, texts...)
	}
	if o.Local.Store == nil {
		o.Local.Store = local.NewMemory(local.Cosine)
	}
	w.store = o.Local.Store
	w.Server = local.New(o.Local)
	address := serve(t, w.Server)
	w.Env = map[string]string{
		"DATABASE_URI":              w.DB.URI,
		"OPENAI_BASE_URL":           address + "/v1",
		"OPENAI_API_KEY":            "local",
		"UPSTASH_VECTOR_REST_URL":   address,
		"UPSTASH_VECTOR_REST_TOKEN": "local",
		"CDC_LOG_LEVEL":             "debug",
		"CDC_LOG_FORMAT":            "text",
		// Slots belong to the whole cluster, which other tests use too.
		"CDC_SLOT": "cdc_" + w.DB.Name,
		// The database does not tell docPages from doc-pages.
		"CDC_COLLECTIONS": "posts,blog-posts,docPages,events,news",
	}
	if o.Variation == "alt" {
		w.Env["CDC_PAYLOAD_SCHEMA"] = "cms"
		w.Env["CDC_COLLECTIONS"] = "posts,blog-posts,events,news"
	}
	maps.Copy(w.Env, o.Env)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of cdc's log:\n%s", w.log)
		}
	})
	return w
}

// serve runs the provider server until the test ends and returns its address. Unlike ServeOn it does not wait for
// requests in flight: a cdc that hangs must not hang the test.
func serve(t testing.TB, s *local.Server) string {
	t.Helper()
	server := httptest.NewUnstartedServer(s.Handler())
	server.Start()
	t.Cleanup(func() {
		if err := s.Close(); err != nil { // lets stalled requests go
			t.Error(err)
		}
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// Embedded returns every text that the embedding server was asked for, in order, repeats included.
func (w *World) Embedded() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.embedded)
}

// Vectors returns what the index holds.
func (w *World) Vectors(t testing.TB) map[string]local.Vector {
	t.Helper()
	vectors, err := w.Server.Vectors(t.Context(), w.Env["CDC_UPSTASH_NAMESPACE"])
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

// Differences compares the index with what Payload has published, and returns what is wrong with it.
func (w *World) Differences(t testing.TB) []string {
	t.Helper()
	return Compare(w.Vectors(t), w.published(t))
}

func (w *World) published(t testing.TB) []payloadtest.Entry {
	t.Helper()
	var slugs []string
	if named := w.Env["CDC_COLLECTIONS"]; named != "" {
		slugs = strings.Split(named, ",")
	}
	entries, err := w.Payload.Readback(t.Context(), slugs...)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// WaitConverged waits until the index equals what is published now. Nobody may write meanwhile.
func (w *World) WaitConverged(t testing.TB) {
	t.Helper()
	want := w.published(t)
	Eventually(t, "the index equals what is published", func() []string { return Compare(w.Vectors(t), want) })
}

// Patience is how long Eventually waits. A machine that runs many tests at once is slow.
const Patience = 2 * time.Minute

// Eventually calls problems until there are none, and fails the test with the last ones when they stay.
func Eventually(t testing.TB, what string, problems func() []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		last := problems()
		if len(last) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if n := len(last); n > 20 {
				last = append(last[:20], "…")
				t.Logf("%d problems", n)
			}
			t.Fatalf("after %s it is still not so that %s:\n%s", Patience, what, lines(last))
		}
	}
}

// Plant puts a vector into the index past cdc, as another program does.
func (w *World) Plant(t testing.TB, id, metadata string) {
	t.Helper()
	values := make([]float32, 1024)
	values[0] = 1
	err := w.store.Upsert(t.Context(), w.Env["CDC_UPSTASH_NAMESPACE"], []local.Vector{{ID: id, Values: values, Metadata: []byte(metadata)}})
	if err != nil {
		t.Fatal(err)
	}
}
