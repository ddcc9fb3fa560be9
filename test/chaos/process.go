package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the binary that is tested, and the folder to remove when the tests are over.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("CDC_CHAOS_BINARY"); path != "" { // one built with -race, for example
		return filepath.Abs(path)
	}
	dir, err := os.MkdirTemp("", "cdc-chaos-")
	if err != nil {
		return "", err
	}
	removeBinary = func() error { return os.RemoveAll(dir) }
	path := filepath.Join(dir, "cdc")
	// From its own module, with its own dependencies and not with those of this one.
	out, err := exec.Command("go", "build", "-C", "../..", "-o", path, "./cmd/cdc").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build cdc: %w\n%s", err, out)
	}
	return path, nil
})

var removeBinary = func() error { return nil }

// instance is one place where a cdc runs, is killed, and is started again, as a supervisor does.
type instance struct {
	name    string
	binary  string
	env     []string
	address string // of its HTTP server
	log     *journal

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended; nil when none was started
	meant  bool          // to end: we ended it
	ends   []string      // how it ended by itself
}

// start starts cdc run. It is started again when it ends by itself, as any supervisor does, and that is remembered.
func (i *instance) start() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.startLocked()
}

func (i *instance) startLocked() error {
	cmd := exec.Command(i.binary, "run")
	cmd.Env = append(i.env, "CDC_HTTP_ADDR="+i.address)
	cmd.Stdout, cmd.Stderr = i.log, i.log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start cdc: %w", err)
	}
	i.log.printf("--- instance %s started, pid %d", i.name, cmd.Process.Pid)
	exited := make(chan struct{})
	i.cmd, i.exited, i.meant = cmd, exited, false
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in ProcessState
		i.log.printf("--- instance %s, pid %d, ended: %s", i.name, cmd.Process.Pid, cmd.ProcessState)
		i.mu.Lock()
		again := !i.meant
		i.mu.Unlock()
		if !again {
			return
		}
		time.Sleep(300 * time.Millisecond)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.ends = append(i.ends, cmd.ProcessState.String())
		if i.meant {
			return
		}
		if err := i.startLocked(); err != nil {
			i.ends = append(i.ends, err.Error())
		}
	}()
	return nil
}

// signal sends one, if it runs.
func (i *instance) signal(s syscall.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd != nil {
		_ = i.cmd.Process.Signal(s)
	}
}

// kill ends it with SIGKILL, frozen or not.
func (i *instance) kill() {
	i.mu.Lock()
	i.meant = true
	exited := i.exited
	if i.cmd != nil {
		_ = i.cmd.Process.Kill()
	}
	i.mu.Unlock()
	if exited != nil {
		<-exited
	}
}

// stop ends it with SIGTERM, which it has to obey within ten seconds. Twice that is for the machine.
func (i *instance) stop() error {
	i.mu.Lock()
	i.meant = true
	cmd, exited := i.cmd, i.exited
	i.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-exited:
		return nil
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Signal(syscall.SIGQUIT) // its goroutines, into the log
		<-exited
		return fmt.Errorf("instance %s did not end within 20 s of SIGTERM", i.name)
	}
}

// run runs another command of cdc to its end.
func (i *instance) run(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, i.binary, args...)
	cmd.Env = i.env
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cdc %s: %w: %s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// status is what tests care about in /api/status.
type status struct {
	State  string `json:"state"`
	Reason string `json:"reason"`
	Owed   struct {
		Documents int `json:"documents"`
		Sweeps    []struct {
			Collection, Reason string
			Held               int
		} `json:"sweeps"`
	} `json:"owed"`
	Parked int `json:"parked"`
}

func (i *instance) status(ctx context.Context) (s status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.address+"/api/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("/api/status answers %d: %s", resp.StatusCode, body)
	}
	return s, errors.Join(err, json.Unmarshal(body, &s))
}

// journal is what was done and what cdc said, in one order.
type journal struct {
	mu    sync.Mutex
	text  bytes.Buffer
	began time.Time
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) printf(format string, args ...any) {
	fmt.Fprintf(j, "%6.2fs "+format+"\n", append([]any{time.Since(j.began).Seconds()}, args...)...)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// keep writes the journal where it can be read after the test, and returns the end of it.
func (j *journal) keep(t testing.TB, path string) string {
	t.Helper()
	text := j.String()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Error(err)
	}
	return text[max(0, len(text)-6000):]
}
