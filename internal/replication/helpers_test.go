package replication_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// patience bounds every wait for a real server; it only ever passes when something is broken.
const patience = 30 * time.Second

// tape is a Receiver that remembers, and that tests can wait on.
type tape struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	lines   []string      // what came, without positions
	begun   []wal.XID
	ends    []wal.LSN // of commits
	idle    wal.LSN
	asked   bool
	open    bool
	onRow   func() error // nil is nothing
}

func (r *tape) note(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func (r *tape) Begin(xid wal.XID) {
	r.note(func() { r.begun, r.open = append(r.begun, xid), true })
}

func (r *tape) Row(row *wal.Row) error {
	r.note(func() {
		line := fmt.Sprintf("%c %s.%s", row.Op, row.Relation.Schema, row.Relation.Table)
		line += side(" old", row.Relation, row.Old) + side(" new", row.Relation, row.New)
		r.lines = append(r.lines, line)
	})
	if r.onRow != nil {
		return r.onRow()
	}
	return nil
}

func side(name string, relation *wal.Relation, tuple wal.Tuple) string {
	if len(tuple) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(name)
	for i, c := range relation.Columns {
		kind, value, _ := tuple.Column(i)
		switch kind {
		case wal.Text:
			if len(value) > 20 {
				value = value[:20]
			}
			fmt.Fprintf(&b, " %s=%s", c.Name, value)
		default:
			fmt.Fprintf(&b, " %s:%c", c.Name, kind)
		}
	}
	return b.String()
}

func (r *tape) Truncate(relations []*wal.Relation) error {
	r.note(func() {
		names := []string{}
		for _, one := range relations {
			names = append(names, one.Table)
		}
		slices.Sort(names)
		r.lines = append(r.lines, "truncate "+strings.Join(names, " "))
	})
	return nil
}

func (r *tape) Message(prefix string, content []byte) error {
	r.note(func() { r.lines = append(r.lines, fmt.Sprintf("message %s %s open=%t", prefix, content, r.open)) })
	return nil
}

func (r *tape) Commit(end wal.LSN, at time.Time) error {
	r.note(func() {
		r.ends, r.open = append(r.ends, end), false
		if since := time.Since(at); since < -time.Hour || since > time.Hour {
			r.lines = append(r.lines, "committed at "+at.String())
		}
	})
	return nil
}

func (r *tape) Idle(end wal.LSN, asked bool) {
	r.note(func() {
		if r.open {
			r.lines = append(r.lines, "idle inside a transaction")
		}
		r.idle, r.asked = end, r.asked || asked
	})
}

// until waits until cond, which is called with the lock held, is true.
func (r *tape) until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		if cond() {
			r.mu.Unlock()
			return
		}
		if r.changed == nil {
			r.changed = make(chan struct{})
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-changed:
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Fatalf("waited in vain for %s; so far:\n%s", what, strings.Join(r.lines, "\n"))
		}
	}
}

func (r *tape) rows() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// poll waits until cond is true on a real server.
func poll(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// world is a database with a published table and a slot.
type world struct {
	testing.TB
	db   *pgtest.DB
	pool *pgxpool.Pool
	slot string
}

const publication = "cdc_test"

func newWorld(t testing.TB, db *pgtest.DB, ddl string, tables ...string) *world {
	t.Helper()
	w := &world{TB: t, db: db, pool: db.Pool(t), slot: "s_" + fmt.Sprint(time.Now().UnixNano())}
	w.exec(ddl)
	if len(tables) == 0 {
		return w
	}
	list := []replication.Table{}
	for _, name := range tables {
		list = append(list, replication.Table{Schema: "public", Name: name})
	}
	if _, err := replication.EnsurePublication(t.Context(), w.pool, publication, list); err != nil {
		t.Fatal(err)
	}
	w.create()
	return w
}

func (w *world) create() replication.Created {
	w.Helper()
	created, err := replication.CreateSlot(w.Context(), replication.SlotConfig{URI: w.db.URI, Slot: w.slot})
	if err != nil {
		w.Fatal(err)
	}
	return created
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(w.Context(), sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

func (w *world) inspect() replication.Slot {
	w.Helper()
	slot, err := replication.InspectSlot(w.Context(), w.pool, w.slot)
	if err != nil {
		w.Fatal(err)
	}
	return slot
}

func (w *world) server() replication.Server {
	w.Helper()
	server, err := replication.InspectServer(w.Context(), w.pool)
	if err != nil {
		w.Fatal(err)
	}
	return server
}

func (w *world) config() replication.Config {
	return replication.Config{URI: w.db.URI, Slot: w.slot, Publication: publication, Near: w.server().Next}
}

// reading is a stream that runs.
type reading struct {
	*replication.Stream
	t      testing.TB
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once ended
}

func (w *world) read(config replication.Config, receiver replication.Receiver) *reading {
	w.Helper()
	stream, err := replication.Open(w.Context(), config)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &reading{Stream: stream, t: w, cancel: cancel, ended: make(chan struct{})}
	go func() {
		r.err = stream.Run(ctx, receiver)
		close(r.ended)
	}()
	w.Cleanup(func() { r.halt() })
	return r
}

// wait returns Run's error.
func (r *reading) wait() error {
	r.t.Helper()
	select {
	case <-r.ended:
		return r.err
	case <-time.After(patience):
		r.t.Fatal("the stream goes on and on")
		return nil
	}
}

func (r *reading) halt() {
	r.cancel()
	<-r.ended
	r.Close(context.Background())
}

// stop ends the stream as a shutdown does.
func (r *reading) stop() {
	r.t.Helper()
	r.cancel()
	if err := r.wait(); !errors.Is(err, context.Canceled) {
		r.t.Fatalf("Run: %v", err)
	}
	if err := r.Close(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}
