package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/test/payloadtest"
)

// Evolve ends Payload, changes its project and starts it again, while cdc runs. With Push the schema follows.
func (w *World) Evolve(t testing.TB, o payloadtest.Options) {
	t.Helper()
	if err := w.Payload.Close(); err != nil {
		t.Fatal(err)
	}
	o.Variation = "evolve"
	w.Payload = payloadtest.Open(t, w.DB.URI, o)
}

// PushBroken starts Payload with a change that drizzle does only a part of, and expects it to end: its statements are no
// transaction, and the next push finds the rest.
func (w *World) PushBroken(t testing.TB, o payloadtest.Options) {
	t.Helper()
	if err := w.Payload.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	o.Variation, o.Push = "evolve", true
	app, err := payloadtest.Start(ctx, w.DB.URI, o)
	if err == nil {
		w.Payload = app
		t.Fatal("the push that was to break off has succeeded")
	}
}

// Empty drops Payload's schema, as if nothing had ever been pushed. cdc must not run.
func (w *World) Empty(t testing.TB) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.DB.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
}
