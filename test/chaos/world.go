// Package chaos lets the built cdc run while everything around it fails, and compares the index with the database
// afterwards. A seed draws what happens: when which instance is killed or frozen, when Postgres crashes, which connection
// is cut, delayed or swallowed, how the providers fail and lie, and when state, slot or publication are dropped. Meanwhile
// writers write to Payload's tables as Payload does. It repeats the plan and not the moment, to the microsecond, at
// which a plan met a program; a seed that failed is worth several runs.
//
// It is a module of its own because toxiproxy, which the connections go through, is nothing that cdc needs.
package chaos

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/local"
	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
)

// settings make Postgres notice soon that a reader is frozen.
func settings() map[string]string {
	return map[string]string{"wal_sender_timeout": "2s", "deadlock_timeout": "100ms"}
}

// collections are those that are indexed, as cdc is told.
const collections = "posts,blog-posts,docPages,events,news"

// world is a database, two providers, and one or two instances of cdc between them.
type world struct {
	t         testing.TB
	cluster   *pgtest.Cluster
	db        *pgtest.DB
	pool      *pgxpool.Pool // not through a link: writers and the oracle
	server    *local.Server
	links     map[string]*link
	instances []*instance
	log       *journal
	slot      string
	held      map[string]*sync.Mutex // by what steps hold
}

func newWorld(t testing.TB, cluster *pgtest.Cluster, second bool) *world {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, cluster: cluster, db: cluster.NewDB(t), log: &journal{began: time.Now()}, held: map[string]*sync.Mutex{}}
	for what, k := range steps {
		for _, name := range append(Step{What: what}.holds(), k.on...) {
			w.held[name] = &sync.Mutex{}
		}
	}
	payloadtest.LoadDump(t, w.db)
	w.pool, w.slot = w.db.Pool(t), "cdc_"+w.db.Name
	w.server = local.New(local.Config{Store: local.NewMemory(local.Cosine)})
	providers := httptest.NewServer(w.server.Handler())
	t.Cleanup(func() {
		if err := w.server.Close(); err != nil { // lets stalled requests go
			t.Error(err)
		}
		providers.CloseClientConnections()
		providers.Close()
	})
	u, err := url.Parse(w.db.URI)
	if err != nil {
		t.Fatal(err)
	}
	w.links = map[string]*link{
		postgres:   newLink(t, postgres, u.Host),
		index:      newLink(t, index, providers.Listener.Addr().String()),
		embeddings: newLink(t, embeddings, providers.Listener.Addr().String()),
	}
	u.Host = w.links[postgres].listen
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + t.TempDir(), "GORACE=halt_on_error=1",
		"DATABASE_URI=" + u.String(), "CDC_SLOT=" + w.slot, "CDC_COLLECTIONS=" + collections,
		"OPENAI_BASE_URL=http://" + w.links[embeddings].listen + "/v1", "OPENAI_API_KEY=local",
		"UPSTASH_VECTOR_REST_URL=http://" + w.links[index].listen, "UPSTASH_VECTOR_REST_TOKEN=local",
		"CDC_INDEX_TIMEOUT=1s", "CDC_LOG_LEVEL=debug", "CDC_LOG_FORMAT=text",
	}
	for n := range 2 {
		if n == 0 || second {
			i := &instance{name: fmt.Sprint(n), binary: binary, env: env, address: freeAddress(t), log: w.log}
			w.instances = append(w.instances, i)
			t.Cleanup(i.kill)
		}
	}
	return w
}

// named returns the instances that a step is about.
func (w *world) named(on string) []*instance {
	for _, i := range w.instances {
		if i.name == on {
			return []*instance{i}
		}
	}
	return w.instances
}
