package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/admin"
)

const (
	adminToken = "0123456789abcdef-admin"
	retryPath  = "/api/parked/retry"
)

// post sends a body with headers, as curl would.
func post(t *testing.T, url, body string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(all)}
}

// Only who bears the token may change something, and only by a request that no foreign page in a browser can make.
func TestRetry(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	asked := ""
	var fail error
	cfg := admin.Config{
		Token: adminToken, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Retry: func(_ context.Context, collection, id string) (int, error) {
			asked += fmt.Sprintf("[%s/%s]", collection, id)
			return 3, fail
		},
	}
	url := serve(t, cfg) + retryPath
	bearer, kind := []string{"Authorization", "Bearer " + adminToken}, []string{"Content-Type", "application/json"}
	both := append(append([]string{}, bearer...), kind...)
	with := func(more ...string) []string { return append(append([]string{}, both...), more...) }
	for _, one := range []struct {
		name   string
		body   string
		header []string
		code   int
		says   string
		asks   string
	}{
		{"one", `{"collection":"posts","id":"42"}`, both, 202, `"documents": 3`, "[posts/42]"},
		{"a collection", ` {"collection":"posts"} `, both, 202, `"documents": 3`, "[posts/]"},
		{"all", `{"all":true}`, with("Content-Type", "application/json; charset=utf-8"), 202, `"documents": 3`, "[/]"},
		{"no token", `{"all":true}`, kind, 401, "CDC_ADMIN_TOKEN", ""},
		{"empty token", `{"all":true}`, append([]string{"Authorization", "Bearer "}, kind...), 401, "CDC_ADMIN_TOKEN", ""},
		{"wrong token", `{"all":true}`, append([]string{"Authorization", "Bearer " + adminToken + "x"}, kind...), 401, "CDC_ADMIN_TOKEN", ""},
		{"the token as a password", `{"all":true}`, append([]string{"Authorization", "Basic " + adminToken}, kind...), 401, "CDC_ADMIN_TOKEN", ""},
		{"a form", `{"all":true}`, append([]string{"Content-Type", "text/plain"}, bearer...), 415, "application/json", ""},
		{"no type", `{"all":true}`, bearer, 415, "application/json", ""},
		{"another site", `{"all":true}`, with("Sec-Fetch-Site", "cross-site"), 403, "", ""},
		{"another origin", `{"all":true}`, with("Origin", "https://evil.example"), 403, "", ""},
		{"nothing", ``, both, 400, "want", ""},
		{"nothing named", `{}`, both, 400, "want", ""},
		{"all and one", `{"all":true,"collection":"posts"}`, both, 400, "want", ""},
		{"an id alone", `{"id":"42"}`, both, 400, "want", ""},
		{"all and an id", `{"all":true,"id":"42"}`, both, 400, "want", ""},
		{"unknown", `{"all":true,"also":1}`, both, 400, "want", ""},
		{"two", `{"all":true}{"all":true}`, both, 400, "want", ""},
		{"large", `{"collection":"` + strings.Repeat("x", 8<<10) + `"}`, both, 413, "too large", ""},
	} {
		asked = ""
		got := post(t, url, one.body, one.header...)
		if got.code != one.code || !strings.Contains(got.body, one.says) || asked != one.asks {
			t.Errorf("%s: %d %s, asked %s, want %d %s, asked %s", one.name, got.code, got.body, asked, one.code, one.says, one.asks)
		}
		if strings.Contains(got.body, adminToken) {
			t.Errorf("%s: the token is told", one.name)
		}
		if (one.code == 401) != (got.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: WWW-Authenticate %q", one.name, got.header.Get("WWW-Authenticate"))
		}
	}
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS"} { // no preflight is ever allowed
		got := ask(t, method, url, both...)
		if got.code != http.StatusMethodNotAllowed || got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", method, got.code, got.header)
		}
	}
	fail = admin.ErrNotParked
	if got := post(t, url, `{"all":true}`, both...); got.code != 404 {
		t.Errorf("nothing parked: %d %s", got.code, got.body)
	}
	fail = errors.New("connect to db.internal as payload")
	if got := post(t, url, `{"all":true}`, both...); got.code != 503 || strings.Contains(got.body, "db.internal") || !strings.Contains(log.String(), "db.internal") {
		t.Errorf("failing: %d %s, the log says %s", got.code, got.body, log.String())
	}
}

func TestRetryWithoutAToken(t *testing.T) {
	t.Parallel()
	url := serve(t, admin.Config{Retry: func(context.Context, string, string) (int, error) {
		t.Error("it was asked")
		return 0, nil
	}}) + retryPath
	for _, header := range [][]string{nil, {"Authorization", "Bearer ", "Content-Type", "application/json"}, {"Authorization", "Bearer x", "Content-Type", "application/json"}} {
		if got := post(t, url, `{"all":true}`, header...); got.code != 403 || !strings.Contains(got.body, "CDC_ADMIN_TOKEN") {
			t.Errorf("%v: %d %s", header, got.code, got.body)
		}
	}
}

// A client that sends its request, or its body, byte by byte is not waited for longer than others, and others are served
// meanwhile.
func TestSlowClientsAreLetGo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the server's patience; not with -short")
	}
	url := serve(t, admin.Config{Token: adminToken, Retry: func(context.Context, string, string) (int, error) { return 1, nil }})
	addr := strings.TrimPrefix(url, "http://")
	ended := make(chan error, 40)
	for i := range cap(ended) {
		begin := "GET /livez HTTP/1.1\r\nHost: x\r\n"
		if i%2 == 1 {
			begin = "POST " + retryPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + adminToken +
				"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
		}
		go func() { ended <- drip(t.Context(), addr, begin) }()
	}
	for range 5 {
		if got := ask(t, "GET", url+"/livez"); got.code != http.StatusOK {
			t.Errorf("meanwhile: %d", got.code)
		}
	}
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// drip sends a byte now and then until the server hangs up.
func drip(ctx context.Context, addr, begin string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, begin); err != nil {
		return err
	}
	gone := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, bufio.NewReader(conn))
		gone <- err
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-gone:
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				return errors.New("a slow client is held for a minute")
			}
			return nil
		case <-tick.C:
			_, _ = io.WriteString(conn, "x") // the reader tells of the end
		}
	}
}

// By default nobody but this machine can ask.
func TestLoopbackByDefault(t *testing.T) {
	t.Parallel()
	host, _, err := net.SplitHostPort(admin.DefaultAddr)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("%s: %v", admin.DefaultAddr, err)
	}
}
