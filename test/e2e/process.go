package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the binary of this process, and the folder to remove when its tests are over.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("CDC_E2E_BINARY"); path != "" { // one built with -race, for example
		return filepath.Abs(path)
	}
	if found, _ := filepath.Glob("../../cmd/cdc/*.go"); len(found) == 0 {
		return "", errNoCommand
	}
	dir, err := os.MkdirTemp("", "cdc-e2e-")
	if err != nil {
		return "", err
	}
	removeBinary = func() error { return os.RemoveAll(dir) }
	path := filepath.Join(dir, "cdc")
	out, err := exec.Command("go", "build", "-o", path, "payload-cdc/cmd/cdc").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build cdc: %w\n%s", err, out)
	}
	return path, nil
})

// errNoCommand is for as long as there is no cmd/cdc.
var errNoCommand = errors.New("cmd/cdc is not written yet")

var removeBinary = func() error { return nil }

// Main runs a package's tests and removes the binary afterwards.
func Main(m *testing.M) {
	code := m.Run()
	if err := removeBinary(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func binary(t testing.TB) string {
	t.Helper()
	path, err := built()
	if errors.Is(err, errNoCommand) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Process is a `cdc run` that was started.
type Process struct {
	Address string // of its HTTP server, "http://127.0.0.1:…"

	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
}

// Start starts `cdc run` with further arguments. It is killed when the test ends, if it still runs.
func (w *World) Start(t testing.TB, args ...string) *Process {
	t.Helper()
	address := freeAddress(t)
	cmd := exec.Command(w.binary, append([]string{"run"}, args...)...)
	cmd.Env = w.environment("CDC_HTTP_ADDR=" + address)
	cmd.Stdout, cmd.Stderr = w.log, w.log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start cdc: %v", err)
	}
	fmt.Fprintf(w.log, "--- started, pid %d\n", cmd.Process.Pid)
	p := &Process{Address: "http://" + address, cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is in ProcessState
		fmt.Fprintf(w.log, "--- pid %d ended: %s\n", cmd.Process.Pid, cmd.ProcessState)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-p.exited
	})
	return p
}

// environment is that of a cdc: nothing of ours that could lead it elsewhere.
func (w *World) environment(more ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	for _, name := range slices.Sorted(maps.Keys(w.Env)) {
		env = append(env, name+"="+w.Env[name])
	}
	return append(env, more...)
}

// Stop ends it as a supervisor does, with SIGTERM, and expects it to exit with 0 within ten seconds.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("stop cdc: %v", err)
	}
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines, into the log
		<-p.exited
		t.Fatal("cdc did not end within ten seconds of SIGTERM")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("cdc ended with %s after SIGTERM, want exit status 0", p.cmd.ProcessState)
	}
}

// Kill ends it with SIGKILL. It must not have ended by itself.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	_ = p.cmd.Process.Kill()
	<-p.exited
	if s := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() {
		t.Fatalf("cdc ended by itself before it was killed: %s", p.cmd.ProcessState)
	}
}

// Exit waits until it ends by itself and returns its exit code.
func (p *Process) Exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(Patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.exited
		t.Fatalf("cdc did not end by itself within %s", Patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// WaitReady waits until /readyz answers 200.
func (p *Process) WaitReady(t testing.TB) {
	t.Helper()
	Eventually(t, "cdc is ready", func() []string {
		select {
		case <-p.exited:
			t.Fatalf("cdc ended: %s", p.cmd.ProcessState)
		default:
		}
		code, body, err := p.Get(t.Context(), "/readyz")
		if err != nil {
			return []string{err.Error()}
		}
		if code != http.StatusOK {
			return []string{fmt.Sprintf("/readyz answers %d: %s", code, body)}
		}
		return nil
	})
}

// Get asks its HTTP server.
func (p *Process) Get(ctx context.Context, path string) (code int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Address+path, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// Status is what /api/status and `cdc status --json` tell, as far as tests care. The names are a promise to users, so
// they are spelled out once more here.
type Status struct {
	State string `json:"state"`
	Owed  struct {
		Documents int               `json:"documents"`
		Sweeps    []json.RawMessage `json:"sweeps"`
	} `json:"owed"`
	Parked      int `json:"parked"`
	Collections []struct {
		Slug      string `json:"slug"`
		Published *int   `json:"published"`
		Indexed   int    `json:"indexed"`
	} `json:"collections"`
}

// Status asks /api/status.
func (p *Process) Status(t testing.TB) (Status, error) {
	t.Helper()
	code, body, err := p.Get(t.Context(), "/api/status")
	if err != nil {
		return Status{}, err
	}
	var s Status
	if code != http.StatusOK {
		return s, fmt.Errorf("/api/status answers %d: %s", code, body)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("/api/status: %w: %s", err, body)
	}
	if s.State == "" {
		return s, fmt.Errorf("/api/status has no state: %s", body)
	}
	return s, nil
}

// WaitSettled waits until the index equals what is published and nothing is owed: no doubt is left either.
func (w *World) WaitSettled(t testing.TB, p *Process) {
	t.Helper()
	want := w.published(t)
	Eventually(t, "the index equals what is published, and nothing is owed", func() []string {
		return append(Compare(w.Vectors(t), want), w.owing(t, p)...)
	})
}

// Command runs another cdc command to its end.
func (w *World) Command(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, w.binary, args...)
	cmd.Env = w.environment()
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("cdc %v: %v\n%s", args, err, errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// journal keeps the end of what was written to it.
type journal struct {
	mu   sync.Mutex
	kept []byte
}

const journalSize = 30_000

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept = append(j.kept, p...)
	if len(j.kept) > 2*journalSize {
		j.kept = append(j.kept[:0], j.kept[len(j.kept)-journalSize:]...)
	}
	return len(p), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.kept[max(0, len(j.kept)-journalSize):])
}
