// Package pgtest starts private Postgres clusters: real servers for tests, the demo and the benchmark. Each listens on
// a port of its own on the loopback address, with wal_level=logical and without fsync, so it is quick and worthless.
//
// Nothing outlives its owner. A watcher, a small shell that holds the reading end of a pipe, sees the owner end,
// however that happens (return, panic, a test's timeout, SIGKILL), stops the server and removes its folder.
//
// The programs come from the npm packages in test/postgres, a Debian-style /usr/lib/postgresql, PATH, or where
// CDC_TEST_PG_BIN and CDC_TEST_PG_BIN_<major version> point. Postgres refuses to run as root; as root, it runs as
// nobody. Linux and macOS only.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options describes a cluster. The zero value is the default version with the default settings.
type Options struct {
	// Version is the major version. Zero means CDC_TEST_PG_VERSION, else the newest installed.
	Version int
	// Settings are server parameters on top of the defaults, as they would stand in postgresql.conf without quotes.
	Settings map[string]string
	// Locale of the databases. Empty means C, the only one that every machine has. The encoding is UTF-8.
	Locale string
	// InitArgs are further arguments to initdb, e.g. --data-checksums.
	InitArgs []string
}

// Cluster is a running or stopped Postgres server and its data. Not safe for concurrent use, except URI, Bin and
// CreateDB.
type Cluster struct {
	Version int    // major
	Port    int    // on 127.0.0.1; stays the same over restarts
	Dir     string // the data directory

	home     string // holds the data directory, the log and, if need be, a copy of the programs; removed by Close
	bin      string
	account  account
	settings map[string]string
	leash    *os.File  // the watcher acts when the last writer of this pipe is gone
	watcher  *exec.Cmd // waited for by Close
	running  bool
	close    func() error
}

// defaults serve a test that reads the log, on a machine that runs many clusters at once.
func defaults() map[string]string {
	return map[string]string{
		"wal_level":                 "logical",
		"max_wal_senders":           "20",
		"max_replication_slots":     "20",
		"max_connections":           "100",
		"max_prepared_transactions": "10",
		"shared_buffers":            "32MB",
		"fsync":                     "off",
		"full_page_writes":          "off",
		"jit":                       "off",
		"listen_addresses":          "127.0.0.1",
		"unix_socket_directories":   "",
		"timezone":                  "UTC",
		"log_timezone":              "UTC",
		"log_line_prefix":           "%m [%p] %q%a %d ",
	}
}

// Launch creates a cluster and starts it. The caller owns it and must Close it. ctx bounds only the launch.
func Launch(ctx context.Context, o Options) (*Cluster, error) {
	install, err := find(o.Version)
	if err != nil {
		return nil, err
	}
	c, err := blank(install)
	if err != nil {
		return nil, err
	}
	maps.Copy(c.settings, o.Settings)
	if err := c.create(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("launch postgres %d: %w", install.version, err), c.Close())
	}
	return c, nil
}

// blank is a cluster without any files yet, but for the folder that will hold them.
func blank(install install) (*Cluster, error) {
	acc, err := unprivileged()
	if err != nil {
		return nil, err
	}
	home, err := os.MkdirTemp("", "cdc-pgtest-")
	if err != nil {
		return nil, fmt.Errorf("create a folder for postgres: %w", err)
	}
	c := &Cluster{
		Version:  install.version,
		Dir:      filepath.Join(home, "data"),
		home:     home,
		bin:      install.bin,
		account:  acc,
		settings: defaults(),
	}
	c.close = sync.OnceValue(c.remove)
	return c, nil
}

// settle makes the folder fit for a server, and has it watched.
func (c *Cluster) settle() error {
	if err := c.account.give(c.home); err != nil {
		return err
	}
	bin, err := c.account.reachable(c.bin, c.home)
	if err != nil {
		return err
	}
	c.bin = bin
	return c.watch()
}

func (c *Cluster) create(ctx context.Context, o Options) error {
	if err := c.settle(); err != nil {
		return err
	}
	locale := o.Locale
	if locale == "" {
		locale = "C"
	}
	args := append([]string{
		"-D", c.Dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=" + locale, "--no-sync", "--no-instructions",
	}, o.InitArgs...)
	// Not copied from a template: each cluster must have a system identifier of its own.
	if err := c.run(ctx, "initdb", args...); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(c.Dir, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	_, err = conf.WriteString("\ninclude = 'pgtest.conf'\n")
	if err := errors.Join(err, conf.Close()); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return c.first(ctx)
}

// first starts the server for the first time, on a port that it keeps.
func (c *Cluster) first(ctx context.Context) (err error) {
	for try := 0; ; try++ {
		if c.Port, err = freePort(ctx); err != nil {
			return err
		}
		err = c.start(ctx)
		// Another process may take the port between the look and the start.
		if err == nil || try == 4 || !strings.Contains(err.Error(), "could not bind") {
			return err
		}
	}
}

// URI is the address of a database of the cluster, as superuser.
func (c *Cluster) URI(db string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User("postgres"),
		Host:     "127.0.0.1:" + strconv.Itoa(c.Port),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Bin is the path of a program of this version (pg_recvlogical, pg_resetwal, psql), "" when it is not installed. See
// the function Bin for which there are.
func (c *Cluster) Bin(name string) string { return program(name, c.bin, debian(c.Version)) }

// CreateDB creates an empty database.
func (c *Cluster) CreateDB(ctx context.Context, name string) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("create database %s: %w", name, err)
	}
	return nil
}

// Stop shuts the server down cleanly: sessions are cut, logical WAL senders wait until their reader has confirmed
// everything. When one does not within ten seconds, the shutdown is immediate. Stopping a stopped cluster does nothing.
func (c *Cluster) Stop() error {
	if !c.running {
		return nil
	}
	if c.stop("fast") == nil {
		return nil
	}
	return c.Kill()
}

// Kill ends the server as a crash would: no checkpoint, nothing flushed; the next start recovers from the WAL.
func (c *Cluster) Kill() error {
	if !c.running {
		return nil
	}
	return c.stop("immediate")
}

// Restart starts the server, stopping it first if it runs. The port stays.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.Stop(); err != nil {
		return err
	}
	return c.start(ctx)
}

// SetSettings changes server parameters. A running server has loaded them when it returns (they hold for new
// sessions; others follow within moments); those that need a restart take effect at the next Restart.
func (c *Cluster) SetSettings(ctx context.Context, settings map[string]string) error {
	maps.Copy(c.settings, settings)
	if !c.running {
		return nil // start writes them
	}
	if err := c.configure(); err != nil {
		return err
	}
	return c.Reload(ctx)
}

// Reload makes the server read its configuration files again, pg_hba.conf included, and waits until it has.
func (c *Cluster) Reload(ctx context.Context) error {
	before, err := c.loaded(ctx)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if err := c.run(ctx, "pg_ctl", "reload", "-D", c.Dir); err != nil {
		return err
	}
	for {
		if now, err := c.loaded(ctx); err == nil && now.After(before) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("reload: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (c *Cluster) loaded(ctx context.Context) (at time.Time, err error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return at, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, "SELECT pg_conf_load_time()").Scan(&at)
	return at, err
}

// connect opens a session of our own. It waits for no standby, not even for one that a test has asked for in vain.
func (c *Cluster) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, c.URI("postgres")+"&synchronous_commit=local")
}

// ErrNoProgram says that a program is not installed for this version of Postgres.
var ErrNoProgram = errors.New("not installed")

// ResetWAL runs pg_resetwal on the stopped cluster, e.g. with "-e", "1" to set the epoch of transaction ids. The error
// is ErrNoProgram where there is no pg_resetwal of this version.
func (c *Cluster) ResetWAL(ctx context.Context, args ...string) error {
	if c.running {
		return errors.New("pg_resetwal: the cluster is running")
	}
	return c.run(ctx, "pg_resetwal", append(args, "-D", c.Dir)...)
}

// Log returns the last n bytes of the server's log.
func (c *Cluster) Log(n int) string {
	log, err := os.ReadFile(c.logPath())
	if err != nil {
		return ""
	}
	return string(log[max(0, len(log)-n):])
}

// Close stops the server and removes all of it. Closing twice is fine.
func (c *Cluster) Close() error { return c.close() }

func (c *Cluster) remove() error {
	if c.watcher == nil {
		return os.RemoveAll(c.home)
	}
	c.running = false
	c.leash.Close()
	if err := c.watcher.Wait(); err != nil {
		return fmt.Errorf("remove postgres in %s: %w", c.home, err)
	}
	return nil
}

// watchScript waits for the end of its input, which nobody writes to. pg_ctl finds no server when one is only just
// being started, hence twice; a server that still slips through ends by itself when it misses its lock file, within a
// minute. The shell ignores what a terminal or a supervisor sends to the whole group: its owner decides.
const watchScript = `trap '' INT TERM HUP QUIT
cat >/dev/null
for pause in 0 0.2; do
  sleep $pause
  [ -f "$2/postmaster.pid" ] && "$1/pg_ctl" stop -D "$2" -m immediate -w -t 20 >/dev/null 2>&1
  [ -e "$3/starting" ] || break
done
rm -rf "$3"`

func (c *Cluster) watch() error {
	in, leash, err := os.Pipe() // both ends close on exec, so only this process holds the leash
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer in.Close()
	w := c.command(context.Background(), "/bin/sh", "-c", watchScript, "watch", c.bin, c.Dir, c.home)
	w.Stdin = in
	w.SysProcAttr.Setsid = true
	if err := w.Start(); err != nil {
		leash.Close()
		return fmt.Errorf("watch: %w", err)
	}
	c.leash, c.watcher = leash, w
	return nil
}

// start writes the settings and starts the server on c.Port.
func (c *Cluster) start(ctx context.Context) error {
	if err := c.configure(); err != nil {
		return err
	}
	starting := filepath.Join(c.home, "starting") // tells the watcher to look twice
	if err := os.WriteFile(starting, nil, 0o644); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() { _ = os.Remove(starting) }()
	tail := len(c.Log(1 << 20))
	// After a crash the last backends may hold the shared memory for a moment; pg_ctl does not wait for them.
	for try := 0; ; try++ {
		err := c.run(ctx, "pg_ctl", "start", "-D", c.Dir, "-l", c.logPath(), "-w", "-t", "60")
		if err == nil {
			c.running = true
			return nil
		}
		log := c.Log(1 << 20)
		log = log[min(tail, len(log)):]
		if try == 20 || ctx.Err() != nil || !strings.Contains(log, "still in use") {
			return fmt.Errorf("%w\nthe end of its log:\n%s", err, log[max(0, len(log)-2000):])
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *Cluster) stop(mode string) error {
	patience := "60"
	if mode == "fast" {
		patience = "10"
	}
	if err := c.run(context.Background(), "pg_ctl", "stop", "-D", c.Dir, "-m", mode, "-w", "-t", patience); err != nil {
		return err
	}
	c.running = false
	return nil
}

// configure writes the settings where postgresql.conf includes them.
func (c *Cluster) configure() error {
	var b strings.Builder
	fmt.Fprintf(&b, "port = %d\n", c.Port)
	for _, name := range slices.Sorted(maps.Keys(c.settings)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(c.settings[name], "'", "''"))
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "pgtest.conf"), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return nil
}

func (c *Cluster) logPath() string { return filepath.Join(c.home, "postgres.log") }

// run runs a program of Postgres to its end. Its output is in the error.
func (c *Cluster) run(ctx context.Context, name string, args ...string) error {
	path := c.Bin(name)
	if path == "" {
		return fmt.Errorf("%s of postgres %d: %w", name, c.Version, ErrNoProgram)
	}
	cmd := c.command(ctx, path, args...)
	// A file, not a pipe: nobody has to read it until the last of its writers, the server itself, is gone.
	out, err := os.CreateTemp(c.home, name+"-")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = os.Remove(out.Name()) }()
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said))
	}
	return nil
}

// command runs as the account that owns the cluster, in its folder, with nothing of our environment that could lead
// Postgres elsewhere.
func (c *Cluster) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = c.home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "HOME=" + c.home}
	cmd.SysProcAttr = c.account.attr()
	return cmd
}
