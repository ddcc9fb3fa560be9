package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pgtest"
)

// eventually waits for a real server.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for tick := time.NewTicker(5 * time.Millisecond); !is(); {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited too long: %s", what)
		}
	}
}

// TestTakeoverWaits: a write that is in flight when the state is taken over is in what the new owner reads, also on a
// server whose sessions would by default look at the state as it was when they began.
func TestTakeoverWaits(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, version int) {
		db := pgtest.NewVersion(t, version)
		pool := db.Pool(t)
		exec(t, pool, `ALTER DATABASE `+strconv.Quote(db.Name)+` SET default_transaction_isolation = 'serializable'`)
		exec(t, pool, `ALTER DATABASE `+strconv.Quote(db.Name)+` SET default_transaction_read_only = on`)
		old := open(t, checkpoint.Config{URI: db.URI})
		claim(t, old)
		ctx := t.Context()
		// What Save does, stopped before its commit.
		tx, err := pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(context.WithoutCancel(ctx))
		for _, sql := range []string{
			`SELECT FROM payload_cdc.owner WHERE epoch = 1 FOR SHARE`,
			`INSERT INTO payload_cdc.owed (collection, doc_id, strength, version) VALUES ('posts', '1', 1, 1)`,
		} {
			if _, err := tx.Exec(ctx, sql); err != nil {
				t.Fatal(err)
			}
		}
		next := open(t, checkpoint.Config{URI: db.URI})
		type result struct {
			state owed.State
			err   error
		}
		claimed := make(chan result, 1)
		go func() {
			state, err := next.Claim(ctx)
			claimed <- result{state, err}
		}()
		eventually(t, "the claim to wait for the write", func() bool {
			var waiting bool
			err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
				AND wait_event_type = 'Lock' AND query LIKE '%SET epoch = epoch + 1%')`).Scan(&waiting)
			if err != nil {
				t.Fatal(err)
			}
			return waiting
		})
		// A write that comes after the takeover waits for it, and is refused.
		late := make(chan error, 1)
		go func() { late <- old.Save(ctx, owed.Delta{LSN: 9}) }()
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		got := <-claimed
		if got.err != nil || len(got.state.Debts) != 1 {
			t.Errorf("claimed %+v, %v; want the debt that was in flight", got.state, got.err)
		}
		if err := <-late; err != nil && !errors.Is(err, owed.ErrFenced) {
			t.Errorf("the late write: %v", err)
		} else if saved := err == nil; saved != (got.state.Position.LSN == 9) {
			t.Errorf("the late write was saved: %v; the new owner read position %v", saved, got.state.Position.LSN)
		}
	})
}

// liar is a connection that, when told to, loses a request, or its answer after the server has acted.
type liar struct {
	net.Conn
	mode *atomic.Int32
}

const (
	honest = iota
	loseRequest
	loseAnswer
)

var errLost = errors.New("connection reset by the test")

func (l *liar) Write(b []byte) (int, error) {
	if l.mode.Load() == loseRequest {
		l.Close()
		return 0, errLost
	}
	return l.Conn.Write(b)
}

func (l *liar) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	// The command tag says that it is committed; nobody hears of it.
	if l.mode.Load() == loseAnswer && bytes.Contains(b[:n], []byte("COMMIT\x00")) {
		l.Close()
		return 0, errLost
	}
	return n, err
}

// TestUnknownOutcome: a write that fails may have happened or not; done again it has happened once.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	cfg, err := pgxpool.ParseConfig(db.URI)
	if err != nil {
		t.Fatal(err)
	}
	var mode atomic.Int32
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return &liar{Conn: conn, mode: &mode}, err
	}
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	k := document.Key{Collection: "posts", ID: "1"}
	for _, lie := range []int32{loseRequest, loseAnswer} {
		schema := "lie_" + strconv.Itoa(int(lie))
		s := open(t, checkpoint.Config{Pool: pool, Schema: schema})
		claim(t, s)
		happened := func() (position bool, lines int) {
			o, err := checkpoint.Peek(t.Context(), pool, schema)
			if err != nil {
				t.Fatal(err)
			}
			return o.Position.LSN != 0, o.InDoubt
		}
		save := func() error {
			return s.Save(t.Context(), owed.Delta{LSN: 7, Owe: []owed.Debt{{Key: k, Strength: owed.Look, Version: 1}}})
		}
		intend := func() error {
			_, err := s.Intend(t.Context(), []owed.Intent{{Key: k, IDs: []string{"posts-1"}}}, time.Hour)
			return err
		}
		for _, write := range []func() error{save, intend} {
			mode.Store(lie)
			err := write()
			mode.Store(honest)
			if err == nil {
				t.Fatalf("lie %d: no error", lie)
			}
		}
		if saved, lines := happened(); saved != (lie == loseAnswer) || (lines == 1) != (lie == loseAnswer) {
			t.Fatalf("lie %d: saved %v, %d lines: the lie itself did not work", lie, saved, lines)
		}
		for _, write := range []func() error{save, intend} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
		got := claim(t, open(t, checkpoint.Config{Pool: pool, Schema: schema}))
		if got.Position.LSN != 7 || len(got.Debts) != 1 || got.Debts[0].Strength != owed.Prove {
			t.Errorf("lie %d: %+v", lie, got)
		}
	}
}

// TestOwnCluster: what needs a server of its own. Our writes wait for no synchronous standby, and outlive restarts.
func TestOwnCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := pgtest.Start(t, pgtest.Options{})
	if err := c.SetSettings(ctx, map[string]string{"synchronous_standby_names": "nobody"}); err != nil {
		t.Fatal(err)
	}
	cfg := checkpoint.Config{URI: c.URI("postgres"), Timeout: 20 * time.Second}
	s := open(t, cfg)
	claim(t, s)
	k := document.Key{Collection: "posts", ID: "1"}
	if err := s.Save(ctx, owed.Delta{LSN: 7, Owe: []owed.Debt{{Key: k, Strength: owed.Look}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Intend(ctx, []owed.Intent{{Key: k, IDs: []string{"posts-1"}}}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Save(ctx, owed.Delta{LSN: 8}); err == nil {
		t.Error("saved on a dead server")
	}
	if err := c.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pool to come back", func() bool { return s.Save(ctx, owed.Delta{LSN: 9}) == nil })
	held, err := s.Held(ctx, []document.Key{k})
	if err != nil || len(held[k]) != 1 {
		t.Errorf("held %v, %v; want the intent", held, err)
	}
	got := claim(t, open(t, cfg))
	if got.Position.LSN != 9 || len(got.Debts) != 1 {
		t.Errorf("%+v, want what was saved before and after", got)
	}
	pool, err := pgxpool.New(ctx, c.URI("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := checkpoint.Drop(ctx, pool, ""); err != nil {
		t.Fatal(err)
	}
}
