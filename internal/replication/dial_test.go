package replication_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"payload-cdc/internal/failure"
	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/replication"
)

// pooler answers connections as poolers do that cannot replicate, and returns its address.
func pooler(t *testing.T, answer func(*pgproto3.Backend)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			backend := pgproto3.NewBackend(conn, conn)
			if _, err := backend.ReceiveStartupMessage(); err == nil {
				answer(backend)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-served })
	return "postgres://u:geheim@" + listener.Addr().String() + "/db?sslmode=disable"
}

func TestOpenBehindAPooler(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*pgproto3.Backend){
		"refuses the parameter": func(b *pgproto3.Backend) {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "08P01", Message: "unsupported startup parameter: replication"})
			b.Flush()
		},
		"ignores the parameter": func(b *pgproto3.Backend) {
			b.Send(&pgproto3.AuthenticationOk{})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			b.Flush()
			b.Receive()
			b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "42601", Message: `syntax error at or near "IDENTIFY_SYSTEM"`})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			b.Flush()
			b.Receive()
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := replication.Open(t.Context(), replication.Config{URI: pooler(t, answer), Slot: "s", Publication: "p"})
			if err == nil || !strings.Contains(failure.Of(err).Remedy, "CDC_REPLICATION_URI") || strings.Contains(err.Error(), "geheim") {
				t.Errorf("Open: %v", err)
			}
		})
	}
}

// Statuses are written beside the reads, over TLS too.
func TestStreamOverTLS(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{})
	certify(t, cluster.Dir)
	if err := cluster.SetSettings(t.Context(), map[string]string{"ssl": "on"}); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, cluster.NewDB(t), "CREATE TABLE posts (id int PRIMARY KEY, body text)", "posts")
	var got tape
	config := w.config()
	config.URI = strings.Replace(config.URI, "sslmode=disable", "sslmode=require", 1)
	if !strings.Contains(config.URI, "sslmode=require") {
		separator := "?"
		if strings.Contains(config.URI, "?") {
			separator = "&"
		}
		config.URI += separator + "sslmode=require"
	}
	config.StatusEvery = 10 * time.Millisecond
	r := w.read(config, &got)
	var encrypted bool
	err := w.pool.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = $1", r.PID()).Scan(&encrypted)
	if err != nil || !encrypted {
		t.Fatalf("encrypted: %t, %v", encrypted, err)
	}
	w.exec("INSERT INTO posts SELECT i, repeat(md5(i::text), 50) FROM generate_series(1, 5000) i")
	got.until(t, "all rows", func() bool { return len(got.lines) == 5000 && !got.open })
	last := got.ends[len(got.ends)-1]
	r.Confirm(last)
	poll(t, "the confirmation", func() bool { return w.inspect().ConfirmedLSN == last })
	r.stop() // by a deadline in the middle of a read, after which the farewell must still work
	if w.inspect().Active {
		t.Error("the slot is in use after Close")
	}
	if _, err := replication.Open(t.Context(), replication.Config{URI: w.db.URI, Slot: "gone", Publication: "p"}); !errors.Is(err, replication.ErrMissing) {
		t.Error(err)
	}
}

// certify gives the server a certificate that it has signed itself.
func certify(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: certificate},
		"server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		id := owner.Sys().(*syscall.Stat_t)
		if err := os.Chown(path, int(id.Uid), int(id.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}
