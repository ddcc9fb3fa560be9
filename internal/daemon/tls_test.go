package daemon_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/pgtest"
)

// TestTLS: the server's certificate is proved on each of the three connections as libpq would, and a server that cannot
// prove who it is gets no password.
func TestTLS(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a server of its own; not with -short")
	}
	cluster := pgtest.Start(t, pgtest.Options{})
	w := newWorldIn(t, cluster.NewDB(t))
	trusted, other := authority(t, "trusted"), authority(t, "other")
	show := func(a *pgtest.Authority, hosts ...string) {
		t.Helper()
		cert, key, err := a.Issue(hosts...)
		if err == nil {
			err = cluster.UseTLS(t.Context(), cert, key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	show(trusted, "127.0.0.1")
	// All three connections are a role's that may connect with TLS and its password only.
	w.exec(`CREATE ROLE careful SUPERUSER LOGIN PASSWORD '` + password + `'`)
	if err := cluster.SetHBA(t.Context(), "hostssl all careful 127.0.0.1/32 scram-sha-256"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root, foreign, empty := file("root.pem", trusted.PEM), file("other.pem", other.PEM), file("empty.pem", nil)
	uri := func(host, mode, ca string) string {
		query := url.Values{"sslmode": {mode}}
		if ca != "" {
			query.Set("sslrootcert", ca)
		}
		u := url.URL{
			Scheme: "postgres", User: url.UserPassword("careful", password), Host: host + ":" + strconv.Itoa(cluster.Port),
			Path: "/" + w.db.Name, RawQuery: query.Encode(),
		}
		return u.String()
	}
	full := uri("127.0.0.1", "verify-full", root)
	three := map[string]func(c *daemon.Config, uri string){
		"DATABASE_URI":        func(c *daemon.Config, uri string) { c.DatabaseURI = uri },
		"CDC_REPLICATION_URI": func(c *daemon.Config, uri string) { c.ReplicationURI = uri },
		"CDC_STATE_URI":       func(c *daemon.Config, uri string) { c.StateURI = uri },
	}
	cfg := w.cfg
	cfg.DatabaseURI, cfg.ReplicationURI, cfg.StateURI = full, full, full+"&application_name=x" // another pool than the source's
	for _, refused := range []struct{ name, host, mode, ca, says string }{
		{"wrong host", "localhost", "verify-full", root, "the server's certificate is for another host"},
		{"unknown authority", "127.0.0.1", "verify-full", foreign, "set sslrootcert"},
		{"unknown authority, host not looked at", "127.0.0.1", "verify-ca", foreign, "set sslrootcert"},
		{"require with an authority is verify-ca", "127.0.0.1", "require", foreign, "set sslrootcert"},
		{"the system's authorities do not know it", "127.0.0.1", "verify-full", "system", "set sslrootcert"},
		{"no TLS", "127.0.0.1", "disable", "", "use sslmode=require"},
		{"no file", "127.0.0.1", "verify-full", filepath.Join(dir, "none.pem"), "none.pem"},
		{"no certificate in the file", "127.0.0.1", "verify-full", empty, "no certificate in PEM form"},
		{"another client's word", "127.0.0.1", "no-verify", "", "want disable, allow, prefer, require, verify-ca or verify-full"},
	} {
		for variable, set := range three {
			bad := cfg
			set(&bad, uri(refused.host, refused.mode, refused.ca))
			if err := w.fails(bad); !strings.Contains(err.Error(), refused.says) {
				t.Errorf("%s, %s: it does not say %q: %v", refused.name, variable, refused.says, err)
			}
		}
	}

	r := w.startWith(cfg)
	w.equal()
	open := ask[string](w, `SELECT string_agg(DISTINCT application_name || CASE WHEN s.ssl THEN '' ELSE ' in the clear' END, ', ' ORDER BY application_name
		|| CASE WHEN s.ssl THEN '' ELSE ' in the clear' END) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE usename = 'careful'`)
	if open != "payload_cdc, payload_cdc_read, payload_cdc_state" {
		t.Errorf("connected are: %s", open)
	}
	r.stop()

	// Of a host whose name is not on the certificate verify-ca asks nothing.
	for _, set := range three {
		set(&cfg, uri("localhost", "verify-ca", root))
	}
	r = w.startWith(cfg)
	w.exec(`UPDATE posts SET title = 'by another name' WHERE id = 4`)
	w.equal()
	// While it runs, the server comes back with a certificate of nobody we know: it is not talked to, until it is right again.
	show(other, "127.0.0.1")
	w.exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'careful'`)
	r.unready("lost")
	w.says("set sslrootcert")
	show(trusted, "127.0.0.1")
	w.exec(`UPDATE posts SET title = 'proved again' WHERE id = 4`)
	w.equal()
	r.stop()
}

func authority(t *testing.T, name string) *pgtest.Authority {
	t.Helper()
	a, err := pgtest.NewAuthority(name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
