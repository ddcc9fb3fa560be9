package payloadtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/pgtest"
)

// New gives the empty database db Payload's schema and boots Payload on it; it is closed when the test ends. The schema
// is pushed once per cluster and copied from then on. Without Payload the test is skipped, and under CI=true fails.
func New(t testing.TB, db *pgtest.DB, o Options) *App {
	t.Helper()
	if testing.Short() {
		t.Skip("boots Payload; not with -short")
	}
	if _, err := project(o.Dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := fill(ctx, db, o); err != nil {
		t.Fatal(err)
	}
	o.Push = false
	return Open(t, db.URI, o)
}

// Open boots Payload on a database as it is; it is closed when the test ends.
func Open(t testing.TB, databaseURI string, o Options) *App {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	o.MediaDir = t.TempDir()
	a, err := Start(ctx, databaseURI, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && a.log.String() != "" {
			t.Logf("the end of Payload's log:\n%s", a.log)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// templates are the databases with a pushed schema and no rows, by cluster and variation.
var templates sync.Map // templateKey → func() (string, error)

type templateKey struct {
	cluster   *pgtest.Cluster
	variation string
}

// fill replaces an empty database by a copy of the template.
func fill(ctx context.Context, db *pgtest.DB, o Options) error {
	once, _ := templates.LoadOrStore(templateKey{db.Cluster, o.Variation}, sync.OnceValues(func() (string, error) {
		return push(db.Cluster, o)
	}))
	template, err := once.(func() (string, error))()
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, db.Cluster.URI("postgres"))
	if err != nil {
		return fmt.Errorf("copy Payload's schema: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	name := pgx.Identifier{db.Name}.Sanitize()
	for _, sql := range []string{
		"DROP DATABASE " + name + " WITH (FORCE)",
		"CREATE DATABASE " + name + " TEMPLATE " + pgx.Identifier{template}.Sanitize(),
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("copy Payload's schema: %w", err)
		}
	}
	return nil
}

// push creates a database and lets Payload make its schema there.
func push(c *pgtest.Cluster, o Options) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	name := "payload_template_" + o.Variation
	if err := c.CreateDB(ctx, name); err != nil {
		return "", err
	}
	o.Push = true
	a, err := Start(ctx, c.URI(name), o)
	if err != nil {
		return "", fmt.Errorf("push Payload's schema: %w", err)
	}
	return name, a.Close()
}
