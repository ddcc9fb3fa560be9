package e2e

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Freeze stops it as a paused container is: it runs no further, and its connections stay open.
func (p *Process) Freeze(t testing.TB) { p.signal(t, syscall.SIGSTOP) }

// Thaw lets it run on.
func (p *Process) Thaw(t testing.TB) { p.signal(t, syscall.SIGCONT) }

func (p *Process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %s to cdc: %v", s, err)
	}
}

// Door is an address of its own at which the provider server answers, so that it is known who asked for what.
type Door struct {
	Address string

	mu     sync.Mutex
	writes []string
}

// NewDoor opens one. It is for a Start with UPSTASH_VECTOR_REST_URL set to its address.
func (w *World) NewDoor(t testing.TB) *Door {
	t.Helper()
	d := &Door{}
	handler := w.Server.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for _, write := range []string{"/upsert", "/delete", "/update", "/reset"} {
			if strings.HasPrefix(r.URL.Path, write) {
				d.mu.Lock()
				d.writes = append(d.writes, r.Method+" "+r.URL.Path)
				d.mu.Unlock()
			}
		}
		handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	d.Address = server.URL
	return d
}

// Writes lists the requests that came through it and write to the index.
func (d *Door) Writes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.writes)
}
