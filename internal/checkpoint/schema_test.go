package checkpoint_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pgtest"
)

func exec(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func open(t *testing.T, cfg checkpoint.Config) *checkpoint.Postgres {
	t.Helper()
	s, err := checkpoint.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func claim(t *testing.T, s *checkpoint.Postgres) owed.State {
	t.Helper()
	got, err := s.Claim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestConcurrentOpen(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	pool := db.Pool(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			s, err := checkpoint.Open(t.Context(), checkpoint.Config{URI: db.URI})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Claim(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	o, err := checkpoint.Peek(t.Context(), pool, "")
	if err != nil {
		t.Fatal(err)
	}
	if o.Epoch != 4 {
		t.Errorf("epoch %d after four claims", o.Epoch)
	}
}

func TestNewerStateIsRefused(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	open(t, checkpoint.Config{Pool: pool})
	exec(t, pool, `UPDATE payload_cdc.meta SET version = version + 1`)
	_, err := checkpoint.Open(t.Context(), checkpoint.Config{Pool: pool})
	if !errors.Is(err, checkpoint.ErrNewer) {
		t.Errorf("open: %v, want ErrNewer", err)
	}
	if _, err := checkpoint.Peek(t.Context(), pool, ""); !errors.Is(err, checkpoint.ErrNewer) {
		t.Errorf("peek: %v, want ErrNewer", err)
	}
	if err := checkpoint.Drop(t.Context(), pool, ""); err != nil {
		t.Errorf("drop: %v, want it gone whoever wrote it", err)
	}
}

// TestSchemasOfOthers: nothing goes into a schema with tables that are not ours, Payload's own least of all.
func TestSchemasOfOthers(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	exec(t, pool, `CREATE TABLE public.posts (id int)`)
	exec(t, pool, `CREATE SCHEMA other CREATE TABLE meta (id int)`)
	exec(t, pool, `CREATE SCHEMA alike CREATE TABLE meta (product text, version int)`)
	exec(t, pool, `INSERT INTO alike.meta VALUES ('another', 1)`)
	for _, schema := range []string{"public", "other", "alike"} {
		if _, err := checkpoint.Open(t.Context(), checkpoint.Config{Pool: pool, Schema: schema}); err == nil || !strings.Contains(err.Error(), "CDC_STATE_SCHEMA") {
			t.Errorf("open in %s: %v, want a refusal that says what to change", schema, err)
		}
		if err := checkpoint.Drop(t.Context(), pool, schema); err == nil {
			t.Errorf("dropped %s", schema)
		}
	}
	exec(t, pool, `SELECT FROM public.posts, other.meta, alike.meta`)
	for _, schema := range []string{strings.Repeat("x", 64), "a\x00b", "\xff"} {
		if _, err := checkpoint.Open(t.Context(), checkpoint.Config{Pool: pool, Schema: schema}); err == nil {
			t.Errorf("opened in %q", schema)
		}
	}
}

func TestHostileSchemaName(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t).Pool(t)
	schema := `a"; DROP {state} $$ -- ' \ é`
	exec(t, pool, checkpoint.SetupSQL(schema, ""))
	s := open(t, checkpoint.Config{Pool: pool, Schema: schema})
	claim(t, s)
	if err := s.Save(t.Context(), owed.Delta{LSN: 5}); err != nil {
		t.Fatal(err)
	}
	o, err := checkpoint.Peek(t.Context(), pool, schema)
	if err != nil || o.Position.LSN != 5 {
		t.Fatalf("peek: %+v, %v", o, err)
	}
	if err := checkpoint.Drop(t.Context(), pool, schema); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Peek(t.Context(), pool, schema); !errors.Is(err, checkpoint.ErrNoState) {
		t.Errorf("peek after drop: %v, want ErrNoState", err)
	}
	if err := checkpoint.Drop(t.Context(), pool, schema); !errors.Is(err, checkpoint.ErrNoState) {
		t.Errorf("drop after drop: %v, want ErrNoState", err)
	}
	// Who was running learns that the state is gone, and what to do.
	err = s.Save(t.Context(), owed.Delta{})
	if e := failure.Of(err); e.Class != failure.Systemic || e.Remedy == "" {
		t.Errorf("save without tables: %v, want a systemic error with a remedy", err)
	}
}

// TestPrivileges: a role without the right to create schemas is told what to do, can then work, and nobody else reads.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	admin := db.Pool(t)
	role, other := db.Name+`"cdc`, db.Name+"_other"
	quoted := `"` + strings.ReplaceAll(role, `"`, `""`) + `"`
	exec(t, admin, `CREATE ROLE `+quoted+` LOGIN`)
	exec(t, admin, `CREATE ROLE "`+other+`" LOGIN`)
	t.Cleanup(func() {
		ctx := context.Background()
		_ = checkpoint.Drop(ctx, admin, "")
		_, _ = admin.Exec(ctx, `DROP ROLE IF EXISTS `+quoted+`, "`+other+`"`)
	})
	as := func(name string) *pgxpool.Pool {
		cfg, err := pgxpool.ParseConfig(db.URI)
		if err != nil {
			t.Fatal(err)
		}
		cfg.ConnConfig.RuntimeParams["role"] = name
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		return pool
	}
	_, err := checkpoint.Open(t.Context(), checkpoint.Config{Pool: as(role)})
	if err == nil || !strings.Contains(err.Error(), "cdc setup --print-sql") || failure.Of(err).Class != failure.Systemic {
		t.Fatalf("open without the right to create: %v, want it to name cdc setup --print-sql", err)
	}
	for range 2 { // harmless when run again
		exec(t, admin, checkpoint.SetupSQL("", role))
	}
	s := open(t, checkpoint.Config{Pool: as(role)})
	claim(t, s)
	if err := s.Save(t.Context(), owed.Delta{LSN: 1}); err != nil {
		t.Fatal(err)
	}
	stranger := as(other)
	for _, table := range []string{"meta", "owner", "checkpoint", "owed", "sweeps", "parked", "collections", "ledger"} {
		if _, err := stranger.Exec(t.Context(), `SELECT FROM payload_cdc.`+table); err == nil {
			t.Errorf("%s can be read by another role", table)
		}
	}
	for name, err := range map[string]error{
		"peek": func() error { _, err := checkpoint.Peek(t.Context(), stranger, ""); return err }(),
		"open": func() error {
			_, err := checkpoint.Open(t.Context(), checkpoint.Config{Pool: stranger})
			return err
		}(),
		"drop": checkpoint.Drop(t.Context(), stranger, ""),
	} {
		if err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s by another role: %v", name, err)
		}
	}
}
