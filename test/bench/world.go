package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/payload/payloadtest"
	"payload-cdc/internal/pgtest"
)

const (
	database    = "payload"
	publication = "bench"
)

// world is everything around cdc: a Postgres with Payload's tables, the binary, and pg_recvlogical.
type world struct {
	options
	log         *slog.Logger
	cluster     *pgtest.Cluster
	conn        *pgx.Conn // our own session; the only one while nothing runs
	postmaster  int       // process id; zero when not known
	recvlogical string
	folder      string // for the binary
}

func newWorld(ctx context.Context, o options, log *slog.Logger) (_ *world, err error) {
	w := &world{options: o, log: log}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	version, program, err := pick()
	if err != nil {
		return nil, err
	}
	w.recvlogical = program
	log.Info("building cdc and starting Postgres", "postgres", version)
	if err := w.build(ctx); err != nil {
		return nil, err
	}
	w.cluster, err = pgtest.Launch(ctx, pgtest.Options{Version: version, Settings: map[string]string{
		"max_replication_slots": strconv.Itoa(4*o.pairs + 10),
		"shared_buffers":        "256MB",
		"max_wal_size":          "16GB", // no checkpoint in the middle of a measurement
		"checkpoint_timeout":    "1h",
		"autovacuum":            "off", // nobody else uses the processors, and the postmaster reaps nobody but sessions
	}})
	if err != nil {
		return nil, err
	}
	if err := w.cluster.CreateDB(ctx, database); err != nil {
		return nil, err
	}
	if err := payloadtest.Load(ctx, w.uri(), payloadtest.Dump); err != nil {
		return nil, err
	}
	if w.conn, err = pgx.Connect(ctx, w.uri()); err != nil {
		return nil, err
	}
	if pid, err := os.ReadFile(filepath.Join(w.cluster.Dir, "postmaster.pid")); err == nil {
		line, _, _ := strings.Cut(string(pid), "\n")
		w.postmaster, _ = strconv.Atoi(line)
	}
	return w, nil
}

func (w *world) close() {
	if w.conn != nil {
		w.conn.Close(context.Background())
	}
	if w.cluster != nil {
		if err := w.cluster.Close(); err != nil {
			w.log.Error("Postgres is not gone", "err", err)
		}
	}
	if w.folder != "" {
		if err := os.RemoveAll(w.folder); err != nil {
			w.log.Error("the binary is not gone", "err", err)
		}
	}
}

// pick chooses the newest Postgres that came with its pg_recvlogical, else the newest there is and the pg_recvlogical
// of another version: the protocol is the same.
func pick() (version int, recvlogical string, err error) {
	for _, v := range pgtest.Versions() {
		if path := pgtest.Bin(v, "pg_recvlogical"); path != "" {
			version, recvlogical = v, path
		}
	}
	if recvlogical != "" {
		return version, recvlogical, nil
	}
	if recvlogical, err = exec.LookPath("pg_recvlogical"); err != nil {
		return 0, "", errors.New("pg_recvlogical is not installed: it comes with the client programs of Postgres (postgresql-client on Debian and Ubuntu)")
	}
	return 0, recvlogical, nil
}

// build builds the binary as make build does.
func (w *world) build(ctx context.Context) (err error) {
	if w.binary != "" {
		return nil
	}
	if w.folder, err = os.MkdirTemp("", "cdc-bench-"); err != nil {
		return err
	}
	w.binary = filepath.Join(w.folder, "cdc")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=bench", "-o", w.binary, "payload-cdc/cmd/cdc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build cdc: %w\n%s", err, out)
	}
	return nil
}

func (w *world) uri() string { return w.cluster.URI(database) }

// lane is one cdc with all that belongs to it: a slot, a state schema and an index. Lanes share nothing but the
// database and the publication, so each can be measured as if it were the only one.
type lane struct {
	w         *world
	binary    string // of cdc
	name      string // of slot and state schema
	providers *providers
	server    *httptest.Server
}

func (w *world) newLane(name, binary string) *lane {
	p := newProviders()
	return &lane{w: w, binary: binary, name: name, providers: p, server: httptest.NewServer(p.handler())}
}

func (l *lane) close() {
	l.server.CloseClientConnections()
	l.server.Close()
	if err := l.providers.server.Close(); err != nil {
		l.w.log.Error("the providers are not closed", "err", err)
	}
}

// start starts cdc run on the lane.
func (l *lane) start(ctx context.Context, env []string, args ...string) (*child, error) {
	env = append([]string{
		"DATABASE_URI=" + l.w.uri(),
		"CDC_SLOT=" + l.name,
		"CDC_STATE_SCHEMA=" + l.name,
		"CDC_PUBLICATION=" + publication,
		"CDC_COLLECTIONS=posts",
		"OPENAI_BASE_URL=" + l.server.URL + "/v1",
		"OPENAI_API_KEY=local",
		"UPSTASH_VECTOR_REST_URL=" + l.server.URL,
		"UPSTASH_VECTOR_REST_TOKEN=local",
		"CDC_LOG_FORMAT=text",
	}, env...)
	return start(ctx, env, l.binary, append([]string{"run"}, args...)...)
}

// catchUp runs cdc until everything committed is in the index, and measures it.
func (l *lane) catchUp(ctx context.Context) (usage, error) {
	u, err := l.w.measured(ctx, func() (*child, error) {
		return l.start(ctx, []string{"CDC_HTTP_ADDR=off"}, "--until", "caught-up")
	})
	if err != nil {
		return u, fmt.Errorf("cdc run --until caught-up: %w", err)
	}
	return u, nil
}

// measured runs a program to its end, with what it cost the server.
func (w *world) measured(ctx context.Context, begin func() (*child, error)) (usage, error) {
	before, err := w.sessionCPU(ctx)
	if err != nil {
		return usage{}, err
	}
	c, err := begin()
	if err != nil {
		return usage{}, err
	}
	u, err := c.wait()
	if w.verbose {
		fmt.Fprint(os.Stderr, c.output)
	}
	if err != nil {
		return u, err
	}
	after, err := w.sessionCPU(ctx)
	u.ServerCPU = after - before
	return u, err
}

// sessionCPU waits until every session but ours has ended and returns what the ended ones have cost.
func (w *world) sessionCPU(ctx context.Context) (float64, error) {
	err := until(ctx, time.Minute, "the sessions of the last program have ended", func() (bool, error) {
		var others int
		err := w.conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()`).Scan(&others)
		return others == 0, err
	})
	if err != nil {
		return 0, err
	}
	// A session leaves the list a moment before its process ends.
	last := reapedCPU(w.postmaster)
	err = until(ctx, time.Minute, "the processor time of ended sessions stands still", func() (bool, error) {
		now := reapedCPU(w.postmaster)
		same := now == last
		last = now
		return same, nil
	})
	return last, err
}

// until waits for a condition of a real server.
func until(ctx context.Context, patience time.Duration, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-tick.C:
		}
		ok, err := holds()
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if ok {
			return nil
		}
	}
}

// method says on what was measured, and how, in a few lines.
func (w *world) method() []string {
	return []string{
		fmt.Sprintf("%s, %d processors, %s/%s; Postgres %s; %s; %s; cdc: %s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
			w.serverVersion(), strings.TrimSpace(output(w.recvlogical, "--version")), runtime.Version(), w.which()),
		"loopback TCP without TLS, fsync and autovacuum off; load average before: " + load(),
	}
}

// which says which cdc is measured.
func (w *world) which() string {
	if w.folder != "" {
		return "this work tree"
	}
	return "a binary that was given"
}

func (w *world) serverVersion() string {
	return w.conn.PgConn().ParameterStatus("server_version")
}

func output(path string, args ...string) string {
	out, err := exec.CommandContext(context.Background(), path, args...).Output()
	if err != nil {
		return path + " of unknown version"
	}
	return string(out)
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	_, rest, _ := strings.Cut(string(text), "model name")
	_, rest, _ = strings.Cut(rest, ":")
	name, _, _ := strings.Cut(rest, "\n")
	if name = strings.TrimSpace(name); name != "" {
		return name
	}
	return "unknown processor"
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) == 0 {
		return "unknown"
	}
	return fields[0]
}
