package daemon_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
)

// forwarder is an address that stays while the server behind it changes, as a virtual one does in a failover.
type forwarder struct {
	listener net.Listener

	mu     sync.Mutex
	target string // "" is nobody
	conns  map[net.Conn]bool
	wait   sync.WaitGroup

	flow sync.RWMutex // held while everything hangs
}

// forward forwards to a port of this machine until the test ends.
func forward(t testing.TB, port int) *forwarder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // nothing to wait for
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{listener: listener, conns: map[net.Conn]bool{}}
	f.lead(port)
	f.wait.Go(f.accept)
	t.Cleanup(func() {
		listener.Close()
		f.lead(0)
		f.wait.Wait()
	})
	return f
}

// lead cuts all connections; new ones go to the port, or nowhere when it is 0.
func (f *forwarder) lead(port int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = ""
	if port != 0 {
		f.target = "127.0.0.1:" + strconv.Itoa(port)
	}
	for c := range f.conns {
		c.Close()
	}
	clear(f.conns)
}

// port is where it listens.
func (f *forwarder) port() int { return f.listener.Addr().(*net.TCPAddr).Port }

// through is a database's address by way of the forwarder.
func (f *forwarder) through(t testing.TB, uri string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = fmt.Sprintf("127.0.0.1:%d", f.port())
	return u.String()
}

func (f *forwarder) accept() {
	for {
		near, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.wait.Go(func() { f.join(near) })
	}
}

func (f *forwarder) join(near net.Conn) {
	defer near.Close()
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	if target == "" {
		return
	}
	far, err := net.Dial("tcp", target) //nolint:noctx // on this machine
	if err != nil {
		return
	}
	defer far.Close()
	if !f.keep(target, near, far) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(valve{f, way[0]}, way[1]) // ends with either side
			way[0].Close()
			way[1].Close()
		})
	}
	both.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, near)
	delete(f.conns, far)
}

// keep remembers the connections to be cut, unless the target has changed while they were made.
func (f *forwarder) keep(target string, conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.target != target {
		return false
	}
	for _, c := range conns {
		f.conns[c] = true
	}
	return true
}

// hang lets nothing through until the returned function is called; connections stay, and new ones hang too.
func (f *forwarder) hang() (resume func()) {
	f.flow.Lock()
	return f.flow.Unlock
}

// valve writes when the forwarder does not hang.
type valve struct {
	f *forwarder
	w io.Writer
}

func (v valve) Write(p []byte) (int, error) {
	v.f.flow.RLock()
	defer v.f.flow.RUnlock()
	return v.w.Write(p)
}
