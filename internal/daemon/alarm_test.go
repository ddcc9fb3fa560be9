package daemon_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"payload-cdc/internal/pgtest"
)

// tunnel passes connections on to a server, and can stop passing on what the server says: the connection stays open and
// is silent, as behind a firewall that has forgotten it.
type tunnel struct {
	net.Listener
	target string

	mu    sync.Mutex
	mute  chan struct{} // closed: connections that were open then hear nothing any more
	conns map[net.Conn]bool
	parts sync.WaitGroup
}

func newTunnel(t *testing.T, target string) *tunnel {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &tunnel{Listener: l, target: target, mute: make(chan struct{}), conns: map[net.Conn]bool{}}
	n.parts.Go(n.accept)
	t.Cleanup(func() {
		l.Close()
		n.mu.Lock()
		for c := range n.conns {
			c.Close()
		}
		n.mu.Unlock()
		n.parts.Wait()
	})
	return n
}

func (n *tunnel) accept() {
	for {
		client, err := n.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", n.target)
		if err != nil {
			client.Close()
			continue
		}
		n.mu.Lock()
		mute := n.mute
		n.conns[client], n.conns[server] = true, true
		n.mu.Unlock()
		n.parts.Go(func() {
			_, _ = io.Copy(server, client)
			server.Close() // the client hung up, and so do we: the slot is free again
		})
		n.parts.Go(func() {
			defer client.Close()
			buffer := make([]byte, 16<<10)
			for {
				k, err := server.Read(buffer)
				if err != nil {
					return
				}
				select {
				case <-mute:
					continue
				default:
				}
				if _, err := client.Write(buffer[:k]); err != nil {
					return
				}
			}
		})
	}
}

// silence mutes the connections that are open.
func (n *tunnel) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.mute)
	n.mute = make(chan struct{})
}

// TestHeartbeat: a stream that is open and silent is opened anew, and said to be silent meanwhile.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u, err := url.Parse(w.cfg.DatabaseURI)
	if err != nil {
		t.Fatal(err)
	}
	way := newTunnel(t, u.Host)
	u.Host = way.Addr().String()
	w.cfg.ReplicationURI = u.String()
	w.cfg.Heartbeat = 300 * time.Millisecond
	r := w.start()
	w.equal()
	w.drained()
	way.silence()
	w.exec(`UPDATE posts SET title = 'nobody hears of this' WHERE id = 4`)
	w.says("no heartbeat comes back: one was written")
	w.equal() // on the stream that was opened anew
	w.says("heartbeats come back again")
	w.eventually(func() string {
		if _, body := r.get("/api/status"); !strings.Contains(body, `"findings": []`) || !strings.Contains(body, `"streaming"`) {
			return body
		}
		return ""
	})
	r.stop()
	if ask[bool](w, `SELECT confirmed_flush_lsn < (SELECT lsn FROM payload_cdc.checkpoint) FROM pg_replication_slots WHERE slot_name = $1`, w.cfg.Slot) {
		t.Error("what was saved is not confirmed")
	}
}

// TestRetainedLog: that the server keeps much log because of us is said, with what to do, until it is over.
func TestRetainedLog(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a server of its own; not with -short")
	}
	cluster := pgtest.Start(t, pgtest.Options{})
	w := newWorldIn(t, cluster.NewDB(t))
	w.cfg.RetainedWarning, w.cfg.LookEvery = 3<<20, 100*time.Millisecond
	r := w.start()
	w.equal()
	w.drained()
	tx, err := w.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), `UPDATE posts SET title = title WHERE id = 1`); err != nil {
		t.Fatal(err)
	}
	w.exec(`CREATE TABLE other (x text)`)
	write := func() { w.exec(`INSERT INTO other SELECT repeat(md5(i::text), 30) FROM generate_series(1, 5000) i`) }
	finding := func(words ...string) {
		t.Helper()
		w.eventually(func() string {
			write()
			_, body := r.get("/api/status")
			for _, word := range words {
				if !strings.Contains(body, word) {
					return body
				}
			}
			return ""
		})
	}
	finding("holds back", "MiB of the server's log", "no max_slot_wal_keep_size", "end the oldest in pg_stat_activity")
	w.says(`msg="the slot holds back much of the server's log"`)
	if n := strings.Count(w.log.String(), `msg="the slot holds back much of the server's log"`); n != 1 {
		t.Errorf("it warned %d times", n)
	}
	if err := cluster.SetSettings(t.Context(), map[string]string{"max_slot_wal_keep_size": "2GB"}); err != nil {
		t.Fatal(err)
	}
	finding("and is lost after", "GiB more", "at the present pace")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.eventually(func() string {
		w.exec(`CHECKPOINT`) // which notes what runs; the slot lets go at the next such note
		w.exec(touch)
		if _, body := r.get("/api/status"); !strings.Contains(body, `"findings": []`) {
			return body
		}
		return ""
	})
	w.says("holds back little of the server's log again")
	r.stop()
}
