// Package payloadtest drives a real Payload 3 from Go: the project in test/payload, running in a node process that takes
// commands on its stdin. What it writes to Postgres is what Payload writes, which no fixture of ours could promise.
//
// The process ends with its owner: it waits for the end of stdin, and whoever held the other end is gone then.
// Node and `npm ci` in test/payload are needed; nothing is installed here.
package payloadtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrNotInstalled says that Payload cannot be started on this machine as it is.
var ErrNotInstalled = errors.New("payload is not installed: it needs node 20 or newer and `npm ci` in test/payload")

// Options describes a Payload to start. The zero value is the main variation on a schema that is there already.
type Options struct {
	// Variation is the project: "main" (the default: serial ids, relational blocks, schema public), "alt" (uuid ids,
	// blocks as JSON, a status per locale, schema cms) or "evolve" (small; what has become of it is its Stage).
	Variation string
	// Stage is a list, with commas: see payload.evolve.config.ts.
	Stage string
	// Push creates the schema, or changes it to what the project now is. Where drizzle asks, what is new is created and
	// what is gone is dropped, unless Rename says that the one was renamed to the other.
	Push, Rename bool
	// MigrationDir is where migrations are written and found. It and the folder that it is in are Payload's.
	MigrationDir string
	// MediaDir is where uploads go. Empty is a folder that all share.
	MediaDir string
	// Log receives what Payload itself logs. Nil discards all but the end, which errors carry.
	Log io.Writer
	// Dir is the project's folder. Empty means test/payload of the module that the working directory is in.
	Dir string
}

// App is a running Payload. Safe for concurrent use: commands run side by side, as an admin panel's requests do.
type App struct {
	URI         string        // of its database
	Collections []string      // slugs of those with drafts
	Booted      time.Duration // how long it took

	cmd    *exec.Cmd
	log    *tail
	ended  chan struct{} // closed once the process is gone and err is set
	err    error         // why it ended; read after ended
	closed func() error

	mu      sync.Mutex
	stdin   io.WriteCloser
	next    int64
	waiting map[int64]chan reply // commands sent and not answered
}

type reply struct {
	ID     int64           `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`

	Ready       bool     `json:"ready"`
	Ms          float64  `json:"ms"`
	Collections []string `json:"collections"`
}

// Start boots Payload on a database and returns when it answers, in about two seconds. ctx bounds only the start; the
// caller must Close. The error is ErrNotInstalled where node or the project's packages are missing.
func Start(ctx context.Context, databaseURI string, o Options) (*App, error) {
	dir, err := project(o.Dir)
	if err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, ErrNotInstalled
	}
	log := &tail{to: o.Log}
	// Not CommandContext: its life is Close's, not that of the start.
	cmd := exec.Command(node, "-C", "production", "main.mjs") // see there
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"DATABASE_URI="+databaseURI, "VARIATION="+o.Variation, fmt.Sprintf("PUSH=%t", o.Push), "STAGE="+o.Stage,
		"MEDIA_DIR="+o.MediaDir, "MIGRATION_DIR="+o.MigrationDir,
		"NODE_ENV=development", // or the schema is not pushed
		"DISABLE_PAYLOAD_HMR=true", "PAYLOAD_DISABLE_DEPENDENCY_CHECKER=true", "NEXT_TELEMETRY_DISABLED=1")
	asked := &asked{log: log, rename: o.Rename}
	cmd.Stderr = asked
	// A group of its own: Ctrl-C is for its owner, who may still want to unpublish something.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start Payload: %w", err)
	}
	asked.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start Payload: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Payload: %w", err)
	}
	a := &App{URI: databaseURI, cmd: cmd, log: log, stdin: stdin, ended: make(chan struct{}), waiting: map[int64]chan reply{}}
	a.closed = sync.OnceValue(a.close)
	ready := make(chan reply, 1)
	a.waiting[0] = ready
	go a.read(stdout)
	select {
	case r := <-ready:
		a.Collections, a.Booted = r.Collections, time.Duration(r.Ms*float64(time.Millisecond))
		return a, nil
	case <-a.ended:
		return nil, fmt.Errorf("start Payload: %w", a.err)
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("start Payload: %w", context.Cause(ctx)), a.kill())
	}
}

// project is the folder of the Payload project, with its packages installed.
func project(dir string) (string, error) {
	for at, err := os.Getwd(); dir == "" && err == nil && at != filepath.Dir(at); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			dir = filepath.Join(at, "test", "payload")
		}
	}
	// The last thing that npm writes, so a broken installation is none.
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); dir == "" || err != nil {
		return "", ErrNotInstalled
	}
	return dir, nil
}

// read hands answers to who waits for them, until the process ends.
func (a *App) read(stdout io.Reader) {
	defer close(a.ended)
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var r reply
		if err := json.Unmarshal(line, &r); err != nil {
			fmt.Fprintf(a.log, "not a line of the protocol: %s", line)
			continue
		}
		a.mu.Lock()
		answer := a.waiting[r.ID]
		delete(a.waiting, r.ID)
		a.mu.Unlock()
		if answer != nil {
			answer <- r
		}
	}
	err := a.cmd.Wait()
	if err == nil {
		err = errors.New("exit status 0")
	}
	a.err = fmt.Errorf("payload ended: %w: %s", err, a.log)
}

// Call runs one command of test/payload/driver.ts and decodes its result into result, unless that is nil. When ctx ends
// first, the command may still be done.
func (a *App) Call(ctx context.Context, op string, args, result any) error {
	answer := make(chan reply, 1)
	a.mu.Lock()
	a.next++
	id := a.next
	line, err := json.Marshal(map[string]any{"id": id, "op": op, "args": args})
	if err == nil {
		a.waiting[id] = answer
		_, err = a.stdin.Write(append(line, '\n'))
	}
	a.mu.Unlock()
	if err != nil {
		a.forget(id)
		return fmt.Errorf("%s: %w", op, err)
	}
	select {
	case r := <-answer:
		if r.Error != "" {
			return fmt.Errorf("%s: %s", op, r.Error)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(r.Result, result); err != nil {
			return fmt.Errorf("%s: read the answer: %w", op, err)
		}
		return nil
	case <-a.ended:
		return fmt.Errorf("%s: %w", op, a.err)
	case <-ctx.Done():
		a.forget(id)
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	}
}

func (a *App) forget(id int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

// Close lets commands in flight finish and ends the process; after ten seconds it is killed. Closing twice is fine.
func (a *App) Close() error { return a.closed() }

func (a *App) close() error {
	a.mu.Lock()
	err := a.stdin.Close()
	a.mu.Unlock()
	select {
	case <-a.ended:
	case <-time.After(10 * time.Second):
		return errors.Join(errors.New("close Payload: it did not end by itself within ten seconds"), err, a.kill())
	}
	if !a.cmd.ProcessState.Success() {
		return fmt.Errorf("close: %w", a.err)
	}
	return nil
}

func (a *App) kill() error {
	err := a.cmd.Process.Kill()
	<-a.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// tail passes a log on and keeps its end.
type tail struct {
	to io.Writer

	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	t.kept = bytes.Clone(t.kept[max(0, len(t.kept)-4000):])
	if t.to == nil {
		return len(p), nil
	}
	return t.to.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.kept))
}
