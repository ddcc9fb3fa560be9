package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// backlog is what reading a full log cost, one usage for each turn.
type backlog struct {
	Changes   int     `json:"changes"`
	Documents int     `json:"documents"`
	WALBytes  int64   `json:"wal_bytes"`
	CDC       []usage `json:"cdc"`
	Recv      []usage `json:"pg_recvlogical"`
	Against   []usage `json:"other_cdc,omitempty"`
	Drain     []usage `json:"replication_drain,omitempty"`
	Idle      usage   `json:"nothing_to_read"` // cdc on a slot that has been read: its start and end
}

// firstDraft is the id of the first document of the backlog, beyond those that Payload's dump has.
const firstDraft = 100_000

// variants is how many different texts the documents change between.
const variants = 500

// measureBacklog fills the log and lets everyone read it.
func measureBacklog(ctx context.Context, w *world) (backlog, error) {
	b := backlog{Changes: w.changes, Documents: w.documents}
	if err := w.createDrafts(ctx); err != nil {
		return b, fmt.Errorf("create documents: %w", err)
	}
	names := []string{}
	for i := range w.pairs {
		names = append(names, turnLane(i))
		if w.against != "" {
			names = append(names, turnLane(i)+againstSuffix)
		}
	}
	if w.profile != "" {
		names = append(names, profileLane)
	}
	lanes := map[string]*lane{}
	defer func() {
		for _, l := range lanes {
			l.close()
		}
	}()
	for _, name := range names {
		binary := w.binary
		if strings.HasSuffix(name, againstSuffix) {
			binary = w.against
		}
		lanes[name] = w.newLane(name, binary)
		if err := lanes[name].prime(ctx); err != nil {
			return b, fmt.Errorf("first start of cdc: %w", err)
		}
	}
	if err := w.copySlots(ctx); err != nil {
		return b, err
	}
	end, size, err := w.fill(ctx)
	if err != nil {
		return b, fmt.Errorf("fill the log: %w", err)
	}
	b.WALBytes = size
	for i := range w.pairs {
		if err := b.turn(ctx, w, lanes, i, end); err != nil {
			return b, err
		}
	}
	if b.Idle, err = lanes[turnLane(w.pairs-1)].catchUp(ctx); err != nil {
		return b, err
	}
	if l := lanes[profileLane]; l != nil {
		if err := l.profileBacklog(ctx); err != nil {
			return b, err
		}
	}
	for _, l := range lanes {
		if err := w.dropSlot(ctx, l.name); err != nil {
			return b, err
		}
	}
	return b, nil
}

// createDrafts makes the documents and the texts that they will have.
func (w *world) createDrafts(ctx context.Context) error {
	w.log.Info("creating drafts", "documents", w.documents)
	_, err := w.conn.Exec(ctx, `CREATE SCHEMA bench; CREATE TABLE bench.variants (variant int PRIMARY KEY, content jsonb NOT NULL)`)
	if err != nil {
		return err
	}
	_, err = w.conn.CopyFrom(ctx, pgx.Identifier{"bench", "variants"}, []string{"variant", "content"},
		pgx.CopyFromSlice(variants, func(i int) ([]any, error) { return []any{i, content(uint64(i))}, nil }))
	if err != nil {
		return err
	}
	_, err = w.conn.Exec(ctx, fmt.Sprintf(`
		INSERT INTO posts (id, title, slug, content, _status)
		SELECT %[1]d + n, 'Draft ' || n, 'draft-' || n, content, 'draft'
		FROM generate_series(0, %[2]d - 1) n JOIN bench.variants v ON variant = n %% %[3]d`, firstDraft, w.documents, variants))
	if err != nil {
		return err
	}
	_, err = w.conn.Exec(ctx, fmt.Sprintf(`
		CREATE PROCEDURE bench.change(first int, last int) LANGUAGE plpgsql AS $$
		BEGIN
			FOR i IN first .. last LOOP
				UPDATE posts SET content = (SELECT content FROM bench.variants WHERE variant = i %% %[3]d), updated_at = now()
				WHERE id = %[1]d + (i::bigint * 7919 %% %[2]d);
				COMMIT;
			END LOOP;
		END $$;
		ANALYZE`, firstDraft, w.documents, variants))
	return err
}

// prime runs cdc for the first time, so that its first sweep is done.
func (l *lane) prime(ctx context.Context) error {
	u, err := l.catchUp(ctx)
	if err != nil {
		return err
	}
	l.w.log.Info("cdc has swept the database", "slot", l.name, "took", seconds(u.Wall))
	return nil
}

// Lanes, and their slots, by turn.
func turnLane(turn int) string { return fmt.Sprintf("bench_%d", turn+1) }

const (
	againstSuffix = "_against"
	profileLane   = "bench_profile"
	recvSuffix    = "_recv" // slots without a lane: of clients that keep no state
	drainSuffix   = "_drain"
)

// copySlots gives the clients that keep no state slots that stand where cdc's do.
func (w *world) copySlots(ctx context.Context) error {
	for i := range w.pairs {
		for _, suffix := range []string{recvSuffix, drainSuffix} {
			if suffix == drainSuffix && !w.drain {
				continue
			}
			if _, err := w.conn.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1, $2)`, turnLane(i), turnLane(i)+suffix); err != nil {
				return fmt.Errorf("copy slot: %w", err)
			}
		}
	}
	return nil
}

// fill writes the backlog, and returns where it ends and how long it is in the log.
func (w *world) fill(ctx context.Context) (end string, size int64, err error) {
	var from string
	if err := w.conn.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&from); err != nil {
		return "", 0, err
	}
	if _, err := w.conn.Exec(ctx, `SET synchronous_commit = off`); err != nil {
		return "", 0, err
	}
	const parts = 5
	began := time.Now()
	for i := range parts {
		first, last := w.changes*i/parts, w.changes*(i+1)/parts-1
		// A procedure may commit only when it is called outside any transaction, so by the simple protocol.
		if _, err := w.conn.Exec(ctx, fmt.Sprintf("CALL bench.change(%d, %d)", first, last)); err != nil {
			return "", 0, err
		}
		w.log.Info("filling the log", "transactions", last+1, "of", w.changes, "took", seconds(time.Since(began).Seconds()))
	}
	// Everything before a synchronous commit is flushed with it.
	_, err = w.conn.Exec(ctx, `RESET synchronous_commit; SELECT pg_logical_emit_message(true, 'bench', 'end'); CHECKPOINT`)
	if err != nil {
		return "", 0, err
	}
	err = w.conn.QueryRow(ctx, `SELECT lsn::text, (lsn - $1::text::pg_lsn)::bigint FROM pg_current_wal_flush_lsn() AS lsn`, from).Scan(&end, &size)
	return end, size, err
}

// turn lets each client read the log once. Who begins changes from turn to turn.
func (b *backlog) turn(ctx context.Context, w *world, lanes map[string]*lane, n int, end string) error {
	type client struct {
		name, slot string
		run        func() (usage, error)
		into       *[]usage
	}
	name := turnLane(n)
	clients := []client{
		{"pg_recvlogical", name + recvSuffix, func() (usage, error) {
			return w.measured(ctx, func() (*child, error) {
				return start(ctx, nil, w.recvlogical, "--dbname="+w.uri(), "--slot="+name+recvSuffix, "--start", "--no-loop", "--endpos="+end,
					"--option=proto_version=1", "--option=publication_names="+publication, "--option=messages=true", "--file=/dev/null")
			})
		}, &b.Recv},
		{"cdc", name, func() (usage, error) { return lanes[name].catchUp(ctx) }, &b.CDC},
	}
	if l := lanes[name+againstSuffix]; l != nil {
		clients = append(clients, client{"the other cdc", l.name, func() (usage, error) { return l.catchUp(ctx) }, &b.Against})
	}
	if w.drain {
		clients = append(clients, client{"replication.Drain", name + drainSuffix, func() (usage, error) {
			return w.measured(ctx, func() (*child, error) { return w.startDrain(ctx, name+drainSuffix, end) })
		}, &b.Drain})
	}
	if n%2 == 1 {
		slices.Reverse(clients)
	}
	for _, c := range clients {
		u, err := c.run()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		w.log.Info("backlog read", "turn", fmt.Sprintf("%d/%d", n+1, w.pairs), "by", c.name, "wall", seconds(u.Wall), "cpu", seconds(u.cpu()),
			"user", seconds(u.User), "server_cpu", seconds(u.ServerCPU), "peak_rss_mib", mebi(u.RSS))
		var confirmed bool
		err = w.conn.QueryRow(ctx, `SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1`, c.slot, end).Scan(&confirmed)
		if err != nil {
			return fmt.Errorf("%s: look at its slot: %w", c.name, err)
		}
		if !confirmed {
			return errors.New(c.name + " ended with 0 and has not confirmed the end of the log")
		}
		if lanes[c.slot] == nil {
			if err := w.dropSlot(ctx, c.slot); err != nil {
				return err
			}
		}
		*c.into = append(*c.into, u)
	}
	return nil
}

func (w *world) dropSlot(ctx context.Context, name string) error {
	if _, err := w.conn.Exec(ctx, `SELECT pg_drop_replication_slot($1)`, name); err != nil {
		return fmt.Errorf("drop slot %s: %w", name, err)
	}
	return nil
}
