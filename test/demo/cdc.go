package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// CDC is the built binary and a `cdc run` of it.
type CDC struct {
	Address string // of its HTTP server, "http://127.0.0.1:…"
	LogPath string

	path   string
	env    []string
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	leash  *leash
}

// Build compiles cdc into a folder.
func Build(ctx context.Context, dir string) (path string, err error) {
	path = filepath.Join(dir, "cdc")
	cmd := exec.CommandContext(ctx, cmp.Or(os.Getenv("GO"), "go"), "build", "-o", path, "payload-cdc/cmd/cdc")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}

// Run starts `cdc run` with its log in dir. What our own environment says of databases and keys stays out of it.
func Run(ctx context.Context, path, dir string, settings map[string]string) (*CDC, error) {
	c := &CDC{
		Address: "http://" + settings["CDC_HTTP_ADDR"],
		LogPath: filepath.Join(dir, "cdc.log"),
		path:    path,
		env:     []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()},
		exited:  make(chan struct{}),
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		c.env = append(c.env, name+"="+settings[name])
	}
	log, err := os.Create(c.LogPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	// Not CommandContext: it ends in Stop, in order, after the context has.
	c.cmd = exec.Command(path, "run")
	c.cmd.Env = c.env
	c.cmd.Stdout, c.cmd.Stderr = log, log
	// A group of its own: Ctrl-C is for us, who stop it before its database goes.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.leash, err = newLeash(c.cmd.Process.Pid, dir)
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait() // how it ended is in ProcessState
	}()
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Exited is closed when it has ended.
func (c *CDC) Exited() <-chan struct{} { return c.exited }

// Ended is the error to report when it has ended by itself.
func (c *CDC) Ended() error { return fmt.Errorf("cdc run ended by itself: %s", c.cmd.ProcessState) }

// Stop ends it as a supervisor does: SIGTERM, and when it does not end, SIGKILL.
func (c *CDC) Stop() error {
	var err error
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.exited:
	case <-time.After(15 * time.Second):
		err = errors.New("stop cdc: it did not end within 15 seconds of SIGTERM")
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	if code := c.cmd.ProcessState.ExitCode(); err == nil && code != 0 {
		err = fmt.Errorf("stop cdc: it ended with %s", c.cmd.ProcessState)
	}
	if c.leash != nil {
		err = errors.Join(err, c.leash.release())
	}
	return err
}

// Output runs another cdc command and returns what it prints.
func (c *CDC) Output(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := within(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.path, args...)
	cmd.Env = c.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("cdc %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

// Status is the part of /api/status that the demo waits for.
type Status struct {
	State  string `json:"state"`
	Reason string `json:"reason"`
	Owed   struct {
		Documents int               `json:"documents"`
		Sweeps    []json.RawMessage `json:"sweeps"`
	} `json:"owed"`
	Parked      int `json:"parked"`
	Collections []struct {
		Published *int `json:"published"`
		Indexed   int  `json:"indexed"`
	} `json:"collections"`
}

// Settled reports whether everything that was read has arrived.
func (s Status) Settled() bool {
	return s.State == "streaming" && s.Owed.Documents == 0 && len(s.Owed.Sweeps) == 0
}

// Status asks the running cdc.
func (c *CDC) Status(ctx context.Context) (Status, error) {
	ctx, cancel := within(ctx, 5*time.Second)
	defer cancel()
	var s Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Address+"/api/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return s, err
	}
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("/api/status answers %d: %s", resp.StatusCode, body)
	}
	return s, json.Unmarshal(body, &s)
}

// LogEnd returns the last lines of its log.
func (c *CDC) LogEnd(lines int) string {
	log, err := os.ReadFile(c.LogPath)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// leash is a small shell that ends a process and removes a folder when we are gone without having done so ourselves:
// it sees the end of a pipe that only we hold.
type leash struct {
	pipe    io.WriteCloser
	watcher *exec.Cmd
}

func newLeash(pid int, dir string) (*leash, error) {
	// What a terminal sends to the whole group is not for it.
	cmd := exec.Command("/bin/sh", "-c", `trap '' INT TERM HUP QUIT
read -r released && exit 0
kill "$1" 2>/dev/null
rm -rf "$2"`, "leash", strconv.Itoa(pid), dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &leash{pipe, cmd}, nil
}

// release says that the process has ended and the folder is looked after.
func (l *leash) release() error {
	_, err := io.WriteString(l.pipe, "released\n")
	return errors.Join(err, l.pipe.Close(), l.watcher.Wait())
}
