package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB is an empty database of a test's own.
type DB struct {
	URI     string // as superuser
	Name    string
	Cluster *Cluster // shared with other tests: do not stop it, nor change its settings
}

// New creates a database on the cluster of the default version that all tests of the binary share, and drops it with
// its slots when the test ends. Tests may run in parallel. Without Postgres the test is skipped, and under CI=true fails.
func New(t testing.TB) *DB {
	t.Helper()
	return NewVersion(t, 0)
}

// NewVersion is New on a cluster of that major version.
func NewVersion(t testing.TB, version int) *DB {
	t.Helper()
	in, err := find(version)
	missing(t, err)
	c, err := shared(in.version)
	if err != nil {
		t.Fatal(err)
	}
	return c.newDB(t)
}

// NewDB creates a database on this cluster and drops it with its slots when the test ends, if the cluster is still
// running then.
func (c *Cluster) NewDB(t testing.TB) *DB {
	t.Helper()
	return c.newDB(t)
}

// Start launches a cluster of the test's own and closes it when the test ends. With -short it skips the test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a server of its own; not with -short")
	}
	_, err := find(o.Version)
	missing(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := Launch(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log of postgres %d:\n%s", c.Version, c.Log(4000))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Each runs a subtest for every supported version; with -short, for the default version only. A version that is not
// installed is skipped, and under CI=true fails.
func Each(t *testing.T, test func(t *testing.T, version int)) {
	t.Helper()
	versions := Supported()
	if testing.Short() {
		in, err := find(0)
		missing(t, err)
		versions = []int{in.version}
	}
	for _, v := range versions {
		t.Run(fmt.Sprintf("postgres-%d", v), func(t *testing.T) {
			_, err := find(v)
			missing(t, err)
			test(t, v)
		})
	}
}

// Version is the server's major version.
func (db *DB) Version() int { return db.Cluster.Version }

// Pool opens a pool of connections and closes it when the test ends.
func (db *DB) Pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), db.URI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() { pool.Close(); close(closed) }()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Errorf("the test ended with %d connections of its pool in use", pool.Stat().AcquiredConns())
		}
	})
	return pool
}

func missing(t testing.TB, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" || !errors.Is(err, ErrNotInstalled) {
		t.Fatal(err)
	}
	t.Skip(err)
}

// clusters are the shared ones, by version. They live as long as the process; their watchers outlive it by a moment.
var clusters sync.Map // int → func() (*Cluster, error)

func shared(version int) (*Cluster, error) {
	launch, _ := clusters.LoadOrStore(version, sync.OnceValues(func() (*Cluster, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		return Launch(ctx, Options{Version: version})
	}))
	return launch.(func() (*Cluster, error))()
}

var created atomic.Int64

func (c *Cluster) newDB(t testing.TB) *DB {
	t.Helper()
	name := fmt.Sprintf("%.40s_%d", plain(t.Name()), created.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.CreateDB(ctx, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !c.running {
			return
		}
		if err := c.drop(name); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	return &DB{URI: c.URI(name), Name: name, Cluster: c}
}

// plain keeps a test's name readable in logs without any need to quote it.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(name))
}

// drop drops a database, the sessions in it and its logical slots, whoever reads from them.
func (c *Cluster) drop(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1 AND active_pid IS NOT NULL`, name)
		if err != nil {
			return err
		}
		// A slot is free only once its reader has gone, a moment after it was told to.
		_, err = conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1`, name)
		if err == nil {
			_, err = conn.Exec(ctx, "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
