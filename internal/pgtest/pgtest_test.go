package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"payload-cdc/internal/pgtest"
)

// Callers check for leaked goroutines: a running cluster must not have any.
func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_OWNER") != "" {
		own()
		return
	}
	goleak.VerifyTestMain(m)
}

func TestEveryVersion(t *testing.T) {
	t.Parallel()
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		db := pgtest.NewVersion(t, version)
		if db.Version() != version {
			t.Fatalf("version %d, want %d", db.Version(), version)
		}
		pool := db.Pool(t)
		var number int
		var level string
		err := pool.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int / 10000, current_setting('wal_level')").Scan(&number, &level)
		if err != nil {
			t.Fatal(err)
		}
		if number != version || level != "logical" {
			t.Errorf("server %d with wal_level %s", number, level)
		}
		// pgoutput is in a library of its own.
		if _, err := pool.Exec(t.Context(), "SELECT pg_create_logical_replication_slot('every_version', 'pgoutput')"); err != nil {
			t.Error(err)
		}
	})
}

// Not parallel: the second subtest finds what the first one left behind.
func TestDropsWhatATestLeaves(t *testing.T) {
	var name string
	t.Run("leaves", func(t *testing.T) {
		db := pgtest.New(t)
		name = db.Name
		cfg, err := pgx.ParseConfig(db.URI)
		if err != nil {
			t.Fatal(err)
		}
		cfg.RuntimeParams["replication"] = "database"
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		_, err = conn.PgConn().Exec(t.Context(), "CREATE_REPLICATION_SLOT left LOGICAL pgoutput").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
	})
	conn := connect(t, pgtest.New(t).URI)
	var left int
	err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM pg_database WHERE datname = $1) + (SELECT count(*) FROM pg_replication_slots WHERE database = $1)", name).Scan(&left)
	if err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%s and its slot are still there", name)
	}
}

func TestOwnCluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	c := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"work_mem": "5MB"}})
	if err := c.CreateDB(ctx, "cms"); err != nil {
		t.Fatal(err)
	}
	setting := func(name string) (value string) {
		t.Helper()
		if err := connect(t, c.URI("cms")).QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			t.Fatal(err)
		}
		return value
	}
	if got := setting("work_mem"); got != "5MB" {
		t.Errorf("work_mem = %s", got)
	}
	if err := c.SetSettings(ctx, map[string]string{"application_name": "it's"}); err != nil {
		t.Fatal(err)
	}
	if got := setting("application_name"); got != "it's" {
		t.Errorf("application_name = %s after SetSettings", got)
	}
	if _, err := connect(t, c.URI("cms")).Exec(ctx, "CREATE TABLE kept AS SELECT 1 AS one"); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func() error{c.Kill, c.Stop} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if conn, err := pgx.Connect(ctx, c.URI("cms")); err == nil {
			conn.Close(ctx)
			t.Fatal("still accepts connections")
		}
		if err := c.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		var one int
		if err := connect(t, c.URI("cms")).QueryRow(ctx, "SELECT one FROM kept").Scan(&one); err != nil {
			t.Fatal(err)
		}
	}
}

func TestResetWAL(t *testing.T) {
	t.Parallel()
	for _, v := range pgtest.Versions() {
		if pgtest.Bin(v, "pg_resetwal") == "" {
			continue
		}
		c := pgtest.Start(t, pgtest.Options{Version: v})
		if err := c.ResetWAL(t.Context(), "-e", "1"); err == nil {
			t.Fatal("pg_resetwal ran beside the server")
		}
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := c.ResetWAL(t.Context(), "-e", "1"); err != nil {
			t.Fatal(err)
		}
		if err := c.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		var xid uint64
		err := connect(t, c.URI("postgres")).QueryRow(t.Context(), "SELECT pg_current_xact_id()::text::bigint").Scan(&xid)
		if err != nil {
			t.Fatal(err)
		}
		if xid < 1<<32 {
			t.Errorf("transaction id %d is of epoch 0", xid)
		}
		return
	}
	t.Skip("no pg_resetwal here")
}

func TestSaysWhyItDidNotStart(t *testing.T) {
	t.Parallel()
	pgtest.New(t) // skips or fails where there is no Postgres
	_, err := pgtest.Launch(t.Context(), pgtest.Options{Settings: map[string]string{"wal_level": "sideways"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "wal_level"`) {
		t.Errorf("error is %v", err)
	}
	_, err = pgtest.Launch(t.Context(), pgtest.Options{Version: 9})
	if !errors.Is(err, pgtest.ErrNotInstalled) {
		t.Errorf("error is %v", err)
	}
}

// A killed owner leaves neither server nor folder, also when a logical slot is being read.
func TestEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	pgtest.New(t) // skips or fails where there is no Postgres
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PGTEST_OWNER=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	dir := lines.Text()
	pidfile, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(pidfile), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	poll(t, "the folder is removed", func() bool {
		_, err := os.Stat(filepath.Dir(dir))
		return errors.Is(err, os.ErrNotExist)
	})
	poll(t, "the server is gone", func() bool { return gone(pid) })
}

// own is the process that TestEndsWithItsOwner kills.
func own() {
	c, err := pgtest.Launch(context.Background(), pgtest.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.Dir)
	select {}
}

// gone also takes a dead process that nobody has waited for as gone: in a container without an init, nobody will.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") Z ")
}

func connect(t *testing.T, uri string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func poll(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestStandbyFollowsAndIsPromoted(t *testing.T) {
	t.Parallel()
	primary := pgtest.Start(t, pgtest.Options{})
	db := primary.NewDB(t)
	standby := primary.Standby(t, pgtest.StandbyOptions{Slot: "standby", Database: db.Name})
	ctx := t.Context()
	pool := db.Pool(t)
	if _, err := pool.Exec(ctx, "CREATE TABLE t AS SELECT 1 AS one"); err != nil {
		t.Fatal(err)
	}
	if err := standby.CatchUp(ctx, primary); err != nil {
		t.Fatal(err)
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(ctx, standby.URI(db.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var n, timeline int
	_, err = conn.Exec(ctx, "INSERT INTO t VALUES (2)")
	if err == nil {
		err = conn.QueryRow(ctx, "SELECT count(*), ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int FROM t").Scan(&n, &timeline)
	}
	if err != nil || n != 2 || timeline != 2 {
		t.Errorf("%d rows on timeline %d: %v", n, timeline, err)
	}
}
