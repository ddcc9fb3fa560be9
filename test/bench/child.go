package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// usage is what one run of a program cost.
type usage struct {
	Wall      float64 `json:"wall_seconds"` // from exec to exit
	User      float64 `json:"user_seconds"`
	System    float64 `json:"system_seconds"`
	RSS       int64   `json:"peak_rss_bytes"`
	ServerCPU float64 `json:"server_cpu_seconds"` // of the Postgres sessions it opened; zero where that is not known
}

func (u usage) cpu() float64 { return u.User + u.System }

// child is a program that was started. What it cost is known once exited is closed.
type child struct {
	cmd    *exec.Cmd
	output *tail
	exited chan struct{}
	wall   time.Duration
	peak   int64 // bytes
	err    error // of its end
}

// start starts a program with that environment and nothing else of ours.
func start(ctx context.Context, env []string, path string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, path, args...), output: &tail{}, exited: make(chan struct{})}
	c.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, env...)
	c.cmd.Stdout, c.cmd.Stderr = c.output, c.output
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = 15 * time.Second
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	watched := make(chan struct{})
	go func() { defer close(watched); c.watchMemory(gone) }()
	go func() {
		defer close(c.exited)
		c.err = c.cmd.Wait()
		c.wall = time.Since(began)
		close(gone)
		<-watched
	}()
	return c, nil
}

// wait waits for the program to end by itself with 0.
func (c *child) wait() (usage, error) {
	<-c.exited
	if c.err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", c.cmd.Path, c.err, c.output)
	}
	state := c.cmd.ProcessState
	u := usage{Wall: c.wall.Seconds(), User: state.UserTime().Seconds(), System: state.SystemTime().Seconds(), RSS: c.peak}
	if u.RSS == 0 {
		u.RSS = maxRSS(state)
	}
	return u, nil
}

// stop ends the program as a supervisor does, and expects it to end with 0. One that has ended already has its say.
func (c *child) stop() (usage, error) {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return usage{}, err
	}
	return c.wait()
}

// watchMemory looks at the greatest resident size that the kernel has seen, so that looking seldom is enough. The one
// that wait4 reports would be wrong for small programs: on Linux it begins with the parent's own size at the fork.
func (c *child) watchMemory(gone <-chan struct{}) {
	if runtime.GOOS != "linux" {
		return
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if peak := highWater(c.cmd.Process.Pid); peak > c.peak {
			c.peak = peak
		}
		select {
		case <-gone:
			return
		case <-tick.C:
		}
	}
}

// highWater reads a process's VmHWM; zero when it cannot.
func highWater(pid int) int64 {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib << 10
}

// maxRSS is what wait4 says.
func maxRSS(state *os.ProcessState) int64 {
	u, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "linux" {
		return u.Maxrss << 10
	}
	return u.Maxrss
}

// reapedCPU is the processor time of a process's ended children, in seconds; zero where that is not known. A Postgres
// session ends with its connection, so what it cost is found there, once it has been waited for.
func reapedCPU(pid int) float64 {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold spaces. After it: state is field 3, cutime 16 and cstime 17 of proc(5).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 15 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[13], 64)
	system, _ := strconv.ParseFloat(fields[14], 64)
	const ticks = 100 // a second: USER_HZ on every Linux that Go runs on
	return (user + system) / ticks
}

// tail keeps the end of what was written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*tailSize {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}
