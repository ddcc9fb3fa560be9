package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"payload-cdc/internal/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts both protocols on an address of their own.
func serve(t *testing.T, cfg local.Config) (*local.Server, *client) {
	t.Helper()
	if cfg.Dimensions == 0 {
		cfg.Dimensions = 2
	}
	s := local.New(cfg)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	return s, &client{web: web, token: "local"}
}

type client struct {
	web   *httptest.Server
	token string
}

// send posts a body and returns the status and the answer, or the error of the network.
func (c *client) send(t *testing.T, path, body string) (status int, answer string, header http.Header, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.web.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	res, err := c.web.Client().Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), res.Header, err
}

// get expects a result.
func (c *client) get(t *testing.T, path, body string) string {
	t.Helper()
	status, answer, _, err := c.send(t, path, body)
	var envelope struct{ Result json.RawMessage }
	if err != nil || status != http.StatusOK || json.Unmarshal([]byte(answer), &envelope) != nil {
		t.Fatalf("%s %s: %d %s, %v", path, body, status, answer, err)
	}
	return string(envelope.Result)
}

// expect compares a result.
func (c *client) expect(t *testing.T, path, body, want string) {
	t.Helper()
	if got := c.get(t, path, body); got != want {
		t.Errorf("%s %s:\n got %s\nwant %s", path, body, got, want)
	}
}

// refused compares an error.
func (c *client) refused(t *testing.T, path, body string, status int, text string) {
	t.Helper()
	got, answer, header, err := c.send(t, path, body)
	want := fmt.Sprintf(`{"error":%q,"status":%d}`, text, status)
	if err != nil || got != status || answer != want || header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s: %d %s, %v; want %s", path, body, got, answer, err, want)
	}
}

func holds(t *testing.T, s *local.Server, id string) bool {
	t.Helper()
	all, err := s.Vectors(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, ok := all[id]
	return ok
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Error("it never happened")
			return
		}
	}
}

const oneVector = `{"id":"a","vector":[1,0]}`

func TestTokens(t *testing.T) {
	_, c := serve(t, local.Config{ReadOnlyToken: "reader"})
	c.token = "nobody"
	c.refused(t, "/info", "", 401, "Unauthorized: Invalid auth token")
	c.token = ""
	c.refused(t, "/info", "", 401, "Unauthorized: Invalid auth token")
	c.token = "reader"
	c.get(t, "/info", "")
	c.refused(t, "/upsert", oneVector, 403, "Forbidden: this token is read-only")
}

func TestValuesArePrintedShort(t *testing.T) {
	_, c := serve(t, local.Config{})
	c.get(t, "/upsert", `{"id":"a","vector":[ 0.1 ,-1e-9 ],"metadata":{"b" : 1.0, "a":"<"}}`)
	c.expect(t, "/fetch", `{"ids":["a"],"includeVectors":true,"includeMetadata":true}`, `[{"id":"a","vector":[0.1,-1e-9],"metadata":{"b":1.0,"a":"<"}}]`)
}

func TestWrongInput(t *testing.T) {
	s, c := serve(t, local.Config{})
	for _, body := range []string{
		``, `{`, `nul`, `{"id":"x","vector":[1,null]}`, `{"id":"x","vector":[1,]}`, `{"id":"x","vector":[1,"2"]}`, `{"id":"x","vector":[1,1e99]}`, `{"id":"x","vector":[[1],2]}`,
		`{"id":true,"vector":[1,0]}`, `{"vector":[1,0]}`, `[{"id":"ok","vector":[1,0]},{"id":"x","vector":[1,null]}]`, "{\"id\":\"\xff\",\"vector\":[1,0]}",
	} {
		status, answer, _, err := c.send(t, "/upsert", body)
		if err != nil || status != 400 || !strings.HasPrefix(answer, `{"error":"Missing or wrong input at [Source: (ByteArrayInputStream); line: 1, column: `) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if n := s.Counts().Written; n != 0 {
		t.Errorf("%d vectors of refused requests were written", n)
	}
	c.refused(t, "/upsert", `[{"id":"ok","vector":[1,0]},{"id":"x","vector":[1]}]`, 422, "Invalid vector dimension: 1, expected: 2")
	if holds(t, s, "ok") {
		t.Error("half of a refused batch was applied")
	}
}

// The cursor is a position, as the vendor's seems to be. Who deletes while reading has to look twice.
func TestRangeMissesWhatMovesUp(t *testing.T) {
	_, c := serve(t, local.Config{})
	c.get(t, "/upsert", `[{"id":"a","vector":[1,0]},{"id":"b","vector":[1,0]},{"id":"c","vector":[1,0]}]`)
	c.expect(t, "/range", `{"cursor":"","limit":1}`, `{"nextCursor":"1","vectors":[{"id":"a"}]}`)
	c.get(t, "/delete", `{"ids":["a"]}`)
	c.expect(t, "/range", `{"cursor":"1","limit":1}`, `{"nextCursor":"","vectors":[{"id":"c"}]}`)
}

func TestIndexDelay(t *testing.T) {
	now := time.Now()
	_, c := serve(t, local.Config{IndexDelay: time.Second, Now: func() time.Time { return now }})
	c.get(t, "/upsert", oneVector)
	c.expect(t, "/fetch", `{"ids":["a"]}`, `[{"id":"a"}]`)
	c.expect(t, "/query", `{"vector":[1,0]}`, `[]`)
	if got := c.get(t, "/info", ""); !strings.HasPrefix(got, `{"vectorCount":0,"pendingVectorCount":1,`) {
		t.Error(got)
	}
	now = now.Add(time.Second)
	c.expect(t, "/query", `{"vector":[1,0]}`, `[{"id":"a","score":1}]`)
	if got := c.get(t, "/info", ""); !strings.HasPrefix(got, `{"vectorCount":1,"pendingVectorCount":0,`) {
		t.Error(got)
	}
}

func TestDailyWrites(t *testing.T) {
	now := time.Date(2026, 1, 1, 23, 59, 59, 0, time.UTC)
	_, c := serve(t, local.Config{DailyWrites: 3, Now: func() time.Time { return now }})
	c.get(t, "/upsert", `[{"id":"a","vector":[1,0]},{"id":"b","vector":[1,0]}]`)
	c.refused(t, "/upsert", `[{"id":"c","vector":[1,0]},{"id":"d","vector":[1,0]}]`, 403, "Exceeded daily write limit: 3")
	c.get(t, "/delete", `{"ids":["a"]}`)
	c.refused(t, "/delete", `{"ids":["b"]}`, 403, "Exceeded daily write limit: 3")
	now = now.Add(time.Second)
	c.get(t, "/delete", `{"ids":["b"]}`)
}

func TestResumableQueriesEnd(t *testing.T) {
	now := time.Now()
	_, c := serve(t, local.Config{Now: func() time.Time { return now }})
	c.get(t, "/upsert", oneVector)
	var one struct{ UUID string }
	if err := json.Unmarshal([]byte(c.get(t, "/resumable-query", `{"vector":[1,0],"maxIdle":60}`)), &one); err != nil {
		t.Fatal(err)
	}
	now = now.Add(59 * time.Second)
	c.get(t, "/resumable-query-next", fmt.Sprintf(`{"uuid":%q,"additionalK":1}`, one.UUID))
	now = now.Add(60 * time.Second)
	c.refused(t, "/resumable-query-next", fmt.Sprintf(`{"uuid":%q,"additionalK":1}`, one.UUID), 404, "Resumable query with UUID "+one.UUID+" does not exist")
}

// What was cut in every way has happened, or not, or happens later, and the store says which.
func TestFaultsOnWrites(t *testing.T) {
	for _, test := range []struct {
		name                  string
		rule                  local.Rule
		answered, now, atLast bool
	}{
		{"none", local.Rule{}, true, true, true},
		{"cut", local.Rule{Fault: local.Cut}, false, false, false},
		{"cut mid-body", local.Rule{Fault: local.CutBody}, false, true, true},
		{"applied, then cut", local.Rule{Fault: local.AppliedThenCut}, false, true, true},
		{"late", local.Rule{Fault: local.Late, Delay: time.Hour}, false, false, true},
		{"slow", local.Rule{Fault: local.Slow, Delay: time.Millisecond}, true, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, c := serve(t, local.Config{})
			test.rule.Next = 1
			s.VectorFaults().Set(1, test.rule)
			status, answer, _, err := c.send(t, "/upsert", oneVector)
			if (err == nil) != test.answered {
				t.Errorf("answered %d %s, %v", status, answer, err)
			}
			if got := holds(t, s, "a"); got != test.now {
				t.Errorf("applied: %v", got)
			}
			s.Arrive()
			if got := holds(t, s, "a"); got != test.atLast {
				t.Errorf("applied at last: %v", got)
			}
			c.get(t, "/upsert", `{"id":"b","vector":[0,1]}`) // the rule is used up
		})
	}
}

func TestLateWriteArrivesByItself(t *testing.T) {
	s, c := serve(t, local.Config{})
	s.VectorFaults().Add(local.Rule{Fault: local.Late, Next: 1, Delay: 20 * time.Millisecond})
	if _, _, _, err := c.send(t, "/upsert", `{"id":"a","vector":[1,0],"data":"old"}`); err == nil {
		t.Fatal("the connection was not cut")
	}
	eventually(t, func() bool { return holds(t, s, "a") })
}

func TestCloseAppliesWhatIsDue(t *testing.T) {
	s, c := serve(t, local.Config{})
	s.VectorFaults().Set(1, local.Rule{Fault: local.Late, Delay: time.Hour, Chance: 1})
	_, _, _, _ = c.send(t, "/upsert", oneVector)
	if err := s.Close(); err != nil || !holds(t, s, "a") {
		t.Fatalf("the write is lost: %v", err)
	}
}

func TestStallLetsGo(t *testing.T) {
	s, c := serve(t, local.Config{})
	s.VectorFaults().Set(1, local.Rule{Fault: local.Stall, Delay: time.Hour, Next: 1})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		eventually(t, func() bool { return s.VectorFaults().Hits()[local.Stall] == 1 })
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.web.URL+"/upsert", strings.NewReader(oneVector))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer local")
	if res, err := c.web.Client().Do(req); !errors.Is(err, context.Canceled) {
		if err == nil {
			res.Body.Close()
		}
		t.Fatal(err)
	}
	if holds(t, s, "a") {
		t.Error("applied too early")
	}
	// A request held up by no client's patience ends with the server.
	s.VectorFaults().Set(1, local.Rule{Fault: local.Stall, Delay: time.Hour, Next: 1})
	cut := make(chan error)
	go func() {
		_, _, _, err := c.send(t, "/upsert", `{"id":"b","vector":[1,0]}`)
		cut <- err
	}()
	eventually(t, func() bool { return s.VectorFaults().Hits()[local.Stall] == 2 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-cut; err == nil {
		t.Error("a stalled request was answered")
	}
	if !holds(t, s, "b") {
		t.Error("a stalled write is lost")
	}
}

func TestFaultsThatAnswer(t *testing.T) {
	s, c := serve(t, local.Config{})
	for _, test := range []struct {
		rule   local.Rule
		status int
		answer string
		retry  string
	}{
		{local.Rule{Fault: local.RateLimit, Delay: 1500 * time.Millisecond}, 429, `{"error":"Too many requests","status":429}`, "2"},
		{local.Rule{Fault: local.RateLimit}, 429, `{"error":"Too many requests","status":429}`, ""},
		{local.Rule{Fault: local.ServerError}, 500, `{"error":"Internal server error","status":500}`, ""},
		{local.Rule{Fault: local.BadToken}, 401, `{"error":"Unauthorized: Invalid auth token","status":401}`, ""},
		{local.Rule{Fault: local.Quota, Limit: 7}, 403, `{"error":"Exceeded daily write limit: 7","status":403}`, ""},
		{local.Rule{Fault: local.Answer, Status: 418, Body: "tea"}, 418, "tea", ""},
	} {
		test.rule.Next = 1
		s.VectorFaults().Set(1, test.rule)
		status, answer, header, err := c.send(t, "/upsert", oneVector)
		if err != nil || status != test.status || answer != test.answer || header.Get("Retry-After") != test.retry {
			t.Errorf("%+v: %d %s %v %v", test.rule, status, answer, header, err)
		}
	}
	if holds(t, s, "a") {
		t.Error("a refused write was applied")
	}
}

// The same seed and requests fail alike; endpoints and protocols do not mind each other.
func TestFaultsAreSeeded(t *testing.T) {
	run := func(seed uint64) (failed []bool) {
		s, c := serve(t, local.Config{})
		s.VectorFaults().Set(seed, local.Rule{Fault: local.ServerError, Endpoint: "upsert", Chance: 0.5})
		s.EmbeddingFaults().Set(seed, local.Rule{Fault: local.ServerError, Chance: 1})
		for range 40 {
			status, _, _, _ := c.send(t, "/upsert", oneVector)
			failed = append(failed, status == 500)
			c.get(t, "/fetch", `{"ids":[]}`)
		}
		if hits := s.VectorFaults().Hits()[local.ServerError]; hits < 5 || hits > 35 {
			t.Errorf("%d of 40 failed", hits)
		}
		if status, _, _, _ := c.send(t, "/v1/embeddings", `{}`); status != 500 {
			t.Error("the embeddings' own fault is missing")
		}
		return failed
	}
	if !slices.Equal(run(1), run(1)) || slices.Equal(run(1), run(2)) {
		t.Error("the seed does not decide")
	}
}

type panicking struct{ local.Store }

func (panicking) Namespaces(context.Context) ([]local.Namespace, error) { panic("boom") }

func (panicking) Reset(context.Context, string) error { return errors.New("disk full") }

func TestPanicsAndErrorsAreJSON(t *testing.T) {
	_, c := serve(t, local.Config{Store: panicking{local.NewMemory(local.Cosine)}})
	c.refused(t, "/info", "", 500, "Internal server error")
	c.refused(t, "/reset", "", 500, "Internal server error")
}

func TestServe(t *testing.T) {
	s := local.New(local.Config{Dimensions: 2})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.ServeOn(ctx, l) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.Addr().String()+"/upsert", bytes.NewReader([]byte(oneVector)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer local")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := s.Serve(ctx, l.Addr().String()); err == nil {
		t.Error("two servers on one address")
	}
	cancel()
	if err := <-served; err != nil || !holds(t, s, "a") {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
