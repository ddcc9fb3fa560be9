package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// StandbyOptions describes a standby. The zero value follows the cluster at its own address, without a slot.
type StandbyOptions struct {
	// Port to follow the primary at, for tests with something in between. Zero is the primary's own.
	Port int
	// Slot is a physical slot, which is made on the primary when it is missing. Empty is none.
	Slot string
	// Database goes into primary_conninfo. Postgres 17's copying of logical slots needs one.
	Database string
	// Settings are server parameters on top of the primary's.
	Settings map[string]string
}

// Standby makes a hot standby of the cluster: a copy of its files, for which it is stopped for a moment. It is closed when
// the test ends.
func (c *Cluster) Standby(t testing.TB, o StandbyOptions) *Cluster {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := c.follow(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log of the standby, postgres %d:\n%s", s.Version, s.Log(4000))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (c *Cluster) follow(ctx context.Context, o StandbyOptions) (*Cluster, error) {
	install, err := find(c.Version)
	if err != nil {
		return nil, err
	}
	s, err := blank(install)
	if err != nil {
		return nil, err
	}
	if err := c.copyTo(ctx, s, o); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("make a standby of postgres %d: %w", c.Version, err)
	}
	return s, nil
}

func (c *Cluster) copyTo(ctx context.Context, s *Cluster, o StandbyOptions) error {
	if err := s.settle(); err != nil {
		return err
	}
	if err := c.Stop(); err != nil {
		return err
	}
	if out, err := c.command(ctx, "cp", "-a", c.Dir, s.Dir).CombinedOutput(); err != nil {
		return fmt.Errorf("copy the files: %w: %s", err, out)
	}
	if err := c.start(ctx); err != nil { // before the standby, which asks for it
		return err
	}
	// Slots are each server's own, as pg_basebackup knows.
	slots, err := filepath.Glob(filepath.Join(s.Dir, "pg_replslot", "*"))
	if err != nil {
		return err
	}
	for _, slot := range slots {
		if err := os.RemoveAll(slot); err != nil {
			return err
		}
	}
	if out, err := s.command(ctx, "touch", filepath.Join(s.Dir, "standby.signal")).CombinedOutput(); err != nil {
		return fmt.Errorf("make it a standby: %w: %s", err, out)
	}
	port := o.Port
	if port == 0 {
		port = c.Port
	}
	conninfo := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres sslmode=disable connect_timeout=5", port)
	if o.Database != "" {
		conninfo += " dbname=" + o.Database
	}
	maps.Copy(s.settings, c.settings)
	s.settings["primary_conninfo"] = conninfo
	s.settings["wal_retrieve_retry_interval"] = "100ms"
	if o.Slot != "" {
		s.settings["primary_slot_name"] = o.Slot
		if err := c.physicalSlot(ctx, o.Slot); err != nil {
			return err
		}
	}
	maps.Copy(s.settings, o.Settings)
	return s.first(ctx)
}

func (c *Cluster) physicalSlot(ctx context.Context, name string) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, `SELECT pg_create_physical_replication_slot($1::text, true)
		WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1::text)`, name)
	return err
}

// CatchUp waits until the standby has replayed all that its primary has written by now.
func (c *Cluster) CatchUp(ctx context.Context, primary *Cluster) error {
	var end string
	if err := primary.ask(ctx, &end, "SELECT pg_current_wal_insert_lsn()::text"); err != nil {
		return fmt.Errorf("ask the primary for its end: %w", err)
	}
	for {
		var there bool
		err := c.ask(ctx, &there, "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)", end)
		if there && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the standby to replay %s: %w", end, errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Promote makes a primary of the standby, and returns once it takes writes.
func (c *Cluster) Promote(ctx context.Context) error {
	var done bool
	if err := c.ask(ctx, &done, "SELECT pg_promote(true, 60)"); err != nil {
		return fmt.Errorf("promote the standby: %w", err)
	}
	if !done {
		return errors.New("promote the standby: it is not done within a minute")
	}
	delete(c.settings, "primary_conninfo")
	delete(c.settings, "primary_slot_name")
	return nil
}

// ask scans the one value of a query.
func (c *Cluster) ask(ctx context.Context, value any, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, c.URI("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return conn.QueryRow(ctx, sql, args...).Scan(value)
}
