package daemon_test

import (
	"testing"

	"payload-cdc/internal/pgtest"
)

// unread waits until the source has no session that sends us the log. One that nobody drains would be worse than none: the
// server's checkpoints can come to wait for it.
func (w *world) unread() {
	w.Helper()
	w.eventually(func() string {
		return map[bool]string{true: "a walsender waits for us"}[ask[bool](w, `SELECT EXISTS (
			SELECT FROM pg_replication_slots s WHERE slot_name = $1 AND active_pid IS NOT NULL)`, w.cfg.Slot)]
	})
}

// TestStateStoreDown: the state is elsewhere, and that server stops, or hangs, under load. Reading on into memory would
// be no help: nothing could be confirmed. Where memory is full (a thousand documents are its least) it is not even possible.
func TestStateStoreDown(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name string
		down func(f *forwarder, c *pgtest.Cluster) (up func())
		keep string // max_slot_wal_keep_size of the source
		room int64  // in memory
	}{
		{name: "stopped", keep: "-1", room: 256 << 20, down: func(f *forwarder, c *pgtest.Cluster) func() {
			f.lead(0)
			return func() { f.lead(c.Port) }
		}},
		{name: "hanging", keep: "-1", room: 1, down: func(f *forwarder, _ *pgtest.Cluster) func() { return f.hang() }},
		// The log's limit is passed meanwhile: the checkpointer ends the walsender, and waits until it has gone.
		{name: "hanging, and the log is limited", keep: "1MB", room: 1, down: func(f *forwarder, _ *pgtest.Cluster) func() { return f.hang() }},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			source := pgtest.Start(t, pgtest.Options{Settings: map[string]string{
				"max_slot_wal_keep_size": one.keep, "min_wal_size": "32MB", "max_wal_size": "32MB", "wal_sender_timeout": "0",
			}})
			w := newWorldIn(t, source.NewDB(t))
			state := pgtest.New(t)
			between := forward(t, state.Cluster.Port)
			w.cfg.StateURI = withPassword(t, between.through(t, state.URI))
			w.cfg.MemoryLimit = one.room
			r := w.start()
			w.equal()
			w.confirmed()

			up := one.down(between, state.Cluster)
			defer func() { up() }()
			// Drafts mostly: they owe a look like others, and ask nobody else.
			w.exec(`INSERT INTO news (title, _status) SELECT 'load ' || n, CASE WHEN n % 20 = 0 THEN 'published' ELSE 'draft' END::enum_news_status FROM generate_series(1, 1500) n`)
			w.exec(`CREATE TABLE filler AS SELECT repeat(md5(n::text), 50) FROM generate_series(1, 20000) n`)
			w.exec(`SELECT pg_switch_wal()`)
			w.missed()
			w.unread()
			w.exec(`CHECKPOINT`) // returns, or exec fails
			if one.keep != "-1" && ask[string](w, `SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1`, w.cfg.Slot) != "lost" {
				w.exec(`SELECT pg_switch_wal()`)
				w.exec(`CHECKPOINT`)
			}
			up()
			up = func() {}
			w.equal()
			w.confirmed()
			if lost := w.log.has("changes may have been missed"); lost != (one.keep != "-1") {
				t.Errorf("noticed a gap: %t", lost)
			}
			r.stop()
		})
	}
}
