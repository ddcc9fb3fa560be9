package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"payload-cdc/internal/admin"
)

// answer is a whole response.
type answer struct {
	code   int
	header http.Header
	body   string
}

func ask(t *testing.T, method, url string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

func status(s admin.Status) func(context.Context) (admin.Status, error) {
	return func(context.Context) (admin.Status, error) { return s, nil }
}

func TestEndpoints(t *testing.T) {
	url := serve(t, admin.Config{Status: status(streaming()), Gatherer: prometheus.NewRegistry()})
	paths := []struct{ path, kind, has string }{
		{"/livez", "text/plain; charset=utf-8", "ok\n"},
		{"/readyz", "text/plain; charset=utf-8", "ok\n"},
		{"/metrics", "text/plain; version=0.0.4; charset=utf-8; escaping=underscores", ""},
		{"/api/status", "application/json", `"state": "streaming"`},
		{"/", "text/html; charset=utf-8", "Streaming, 0 B behind; 3 documents owed."},
		{"/page.css", "text/css; charset=utf-8", "color-scheme"},
	}
	for _, p := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			t.Run(method+p.path, func(t *testing.T) {
				got := ask(t, method, url+p.path)
				switch method {
				case "GET", "HEAD":
					if got.code != http.StatusOK {
						t.Fatalf("%d: %s", got.code, got.body)
					}
					if kind := got.header.Get("Content-Type"); kind != p.kind {
						t.Errorf("Content-Type %q, want %q", kind, p.kind)
					}
					if method == "HEAD" && got.body != "" {
						t.Errorf("HEAD has a body: %q", got.body)
					}
					if method == "GET" && !strings.Contains(got.body, p.has) {
						t.Errorf("body lacks %q:\n%s", p.has, got.body)
					}
				default:
					if got.code != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, HEAD" {
						t.Errorf("%d, Allow %q", got.code, got.header.Get("Allow"))
					}
				}
				checkGuard(t, got.header)
			})
		}
	}
	for _, path := range []string{"/status", "/livez/", "/api", "/api/status/x", "/metrics/", "/favicon.ico"} {
		if got := ask(t, "GET", url+path); got.code != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, got.code)
		} else {
			checkGuard(t, got.header)
		}
	}
}

func checkGuard(t *testing.T, header http.Header) {
	t.Helper()
	for name, has := range map[string]string{
		"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if got := header.Get(name); !strings.Contains(got, has) {
			t.Errorf("%s: %q, want %q", name, got, has)
		}
	}
}

func TestZeroConfig(t *testing.T) {
	url := serve(t, admin.Config{})
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 404, "/api/status": 503, "/": 503} {
		if got := ask(t, "GET", url+path); got.code != want {
			t.Errorf("GET %s: %d, want %d: %s", path, got.code, want, got.body)
		}
	}
}

func TestReady(t *testing.T) {
	tests := []struct {
		name       string
		ok         bool
		reason     string
		query      string
		accept     string
		code       int
		kind, body string
	}{
		{"ready", true, "", "", "", 200, "text/plain; charset=utf-8", "ok\n"},
		{"standing by", true, "standing by", "", "", 200, "text/plain; charset=utf-8", "standing by\n"},
		{"paused", false, "openai: quota\nused up", "", "*/*", 503, "text/plain; charset=utf-8", "openai: quota used up\n"},
		{"no reason", false, "", "", "", 503, "text/plain; charset=utf-8", "not ready\n"},
		{"as JSON by Accept", false, "lost", "", "application/json, */*", 503, "application/json", "{\n  \"ready\": false,\n  \"reason\": \"lost\"\n}\n"},
		{"as JSON by query", true, "", "?format=json", "", 200, "application/json", "{\n  \"ready\": true,\n  \"reason\": \"\"\n}\n"},
		{"as text by query", true, "", "?format=text", "application/json", 200, "text/plain; charset=utf-8", "ok\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			url := serve(t, admin.Config{Ready: func() (bool, string) { return test.ok, test.reason }})
			got := ask(t, "GET", url+"/readyz"+test.query, "Accept", test.accept)
			if got.code != test.code || got.header.Get("Content-Type") != test.kind || got.body != test.body {
				t.Errorf("%d, %s: %q", got.code, got.header.Get("Content-Type"), got.body)
			}
		})
	}
}

func TestStatusJSON(t *testing.T) {
	for name, want := range map[string]admin.Status{"streaming": streaming(), "troubled": troubled(), "empty": {At: before(0)}} {
		t.Run(name, func(t *testing.T) {
			body := ask(t, "GET", serve(t, admin.Config{Status: status(want)})+"/api/status").body
			golden(t, name+".json", []byte(body))
			var got admin.Status
			decoder := json.NewDecoder(strings.NewReader(body))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&got); err != nil {
				t.Fatal(err)
			}
			if again, err := json.MarshalIndent(got, "", "  "); err != nil || string(again)+"\n" != body {
				t.Errorf("read and written again (%v): %s", err, cmp.Diff(body, string(again)))
			}
		})
	}
}

func TestStatusErrorKeepsSecrets(t *testing.T) {
	var log bytes.Buffer
	url := serve(t, admin.Config{
		Status: func(context.Context) (admin.Status, error) {
			return admin.Status{}, errors.New("connect to postgres://cdc:hunter2@db.example/payload")
		},
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	for _, path := range []string{"/api/status", "/", "/api/status"} {
		got := ask(t, "GET", url+path)
		if got.code != http.StatusServiceUnavailable {
			t.Errorf("GET %s: %d", path, got.code)
		}
		if strings.Contains(got.body, "hunter2") || strings.Contains(got.body, "db.example") || !strings.Contains(got.body, "the log says why") {
			t.Errorf("GET %s: %s", path, got.body)
		}
	}
	if got := ask(t, "GET", url+"/livez"); got.code != http.StatusOK {
		t.Errorf("not live: %d", got.code)
	}
}

func TestPageEscapes(t *testing.T) {
	body := ask(t, "GET", serve(t, admin.Config{Status: status(troubled())})+"/").body
	golden(t, "page.html", []byte(body))
	if strings.Contains(body, "<b>") || strings.Contains(body, "<script") || strings.Contains(body, "style=") {
		t.Error("the page has what its policy forbids, or does not escape")
	}
}

// A client that waits for a slow status gets an answer at shutdown, and Run does not leave the reading behind.
func TestShutdownInHand(t *testing.T) {
	asked := make(chan struct{})
	read := make(chan struct{})
	left := make(chan struct{}) // Run returned
	var leftBehind atomic.Bool
	server := admin.New(admin.Config{Addr: "127.0.0.1:0", Status: func(ctx context.Context) (admin.Status, error) {
		defer close(read)
		close(asked)
		<-ctx.Done()
		select {
		case <-left:
			leftBehind.Store(true)
		case <-time.After(200 * time.Millisecond): // long enough for a Run that does not wait
		}
		return admin.Status{}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	<-server.Listening()
	code := make(chan int, 1)
	go func() {
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(mustRequest(t, "http://"+server.Addr()+"/api/status"))
		if err != nil {
			code <- 0
			return
		}
		response.Body.Close()
		code <- response.StatusCode
	}()
	<-asked
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	close(left)
	<-read
	if leftBehind.Load() {
		t.Error("Run returned before the reading it began")
	}
	if got := <-code; got != http.StatusServiceUnavailable {
		t.Errorf("the request in hand got %d", got)
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Addr()); err == nil {
		t.Error("the address still answers")
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

func TestAddressInUse(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	server := admin.New(admin.Config{Addr: taken.Addr().String()})
	if err = server.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "CDC_HTTP_ADDR") {
		t.Errorf("Run: %v", err)
	}
	if server.Addr() != "" {
		t.Errorf("Addr %q", server.Addr())
	}
	select {
	case <-server.Listening():
		t.Error("says that it listens")
	default:
	}
}

func TestLargeHeaderRefused(t *testing.T) {
	url := serve(t, admin.Config{})
	if got := ask(t, "GET", url+"/livez", "X-Long", strings.Repeat("x", 64<<10)); got.code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", got.code)
	}
}

func TestEndedBeforeItBegan(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := admin.New(admin.Config{Addr: "127.0.0.1:0"}).Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}
