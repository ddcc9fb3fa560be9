package upstash_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/index/upstash"
	"payload-cdc/internal/local"
)

func vector(id string) document.Vector {
	return document.Vector{ID: id, Values: []float32{0, 1, 0, 0, 0, 0, 0, 0}, Data: "text", Metadata: document.Metadata{DocID: id, Collection: "posts", Title: "title"}}
}

// quick does not wait between tries.
func quick(url string) upstash.Config {
	return upstash.Config{URL: url, MaxWait: time.Nanosecond}
}

// Whatever the network does to a write, its error says the truth about what is known of it, and it is sent once.
func TestWriteFaults(t *testing.T) {
	const unknown, certain = false, true
	for _, test := range []struct {
		name     string
		rule     local.Rule
		rejected bool
		class    failure.Class
		sent     int
		applied  bool
	}{
		{"reset before headers", local.Rule{Fault: local.Cut}, unknown, failure.Transient, 1, false},
		{"reset mid-body", local.Rule{Fault: local.CutBody}, unknown, failure.Transient, 1, true},
		{"applied, then dropped", local.Rule{Fault: local.AppliedThenCut}, unknown, failure.Transient, 1, true},
		{"applied late", local.Rule{Fault: local.Late, Delay: time.Hour}, unknown, failure.Transient, 1, false},
		{"silence", local.Rule{Fault: local.Stall, Delay: time.Hour}, unknown, failure.Transient, 1, false},
		{"500", local.Rule{Fault: local.ServerError}, unknown, failure.Transient, 1, false},
		{"502 HTML", local.Rule{Fault: local.BadGateway}, unknown, failure.Transient, 1, false},
		{"408", local.Rule{Fault: local.Answer, Status: 408, Body: `{"error":"timeout","status":408}`}, unknown, failure.Transient, 1, false},
		{"200 HTML", local.Rule{Fault: local.Answer, Body: `<html>`}, unknown, failure.Transient, 1, false},
		{"200 empty", local.Rule{Fault: local.Answer}, unknown, failure.Transient, 1, false},
		{"200 without result", local.Rule{Fault: local.Answer, Body: `{}`}, unknown, failure.Transient, 1, false},
		{"200 with error", local.Rule{Fault: local.Answer, Body: `{"error":"no"}`}, unknown, failure.Transient, 1, false},
		{"200 with garbage after", local.Rule{Fault: local.Answer, Body: `{"result":"Success"}}`}, unknown, failure.Transient, 1, false},
		{"redirect", local.Rule{Fault: local.Answer, Status: 301, Body: `moved`}, certain, failure.Systemic, 1, false},
		{"429 without end", local.Rule{Fault: local.RateLimit}, certain, failure.Transient, 4, false},
		{"429 for long", local.Rule{Fault: local.RateLimit, Delay: time.Hour}, certain, failure.Transient, 1, false},
		{"401", local.Rule{Fault: local.BadToken}, certain, failure.Systemic, 1, false},
		{"403", local.Rule{Fault: local.Answer, Status: 403, Body: `{"error":"no","status":403}`}, certain, failure.Systemic, 1, false},
		{"daily quota", local.Rule{Fault: local.Quota}, certain, failure.Systemic, 1, false},
		{"404", local.Rule{Fault: local.Answer, Status: 404, Body: `{"error":"no","status":404}`}, certain, failure.Systemic, 1, false},
		{"413", local.Rule{Fault: local.Answer, Status: 413, Body: `too large`}, certain, failure.Permanent, 1, false},
		{"400", local.Rule{Fault: local.Answer, Status: 400, Body: `{"error":"Missing or wrong input at x","status":400}`}, certain, failure.Permanent, 1, false},
		{"422", local.Rule{Fault: local.Answer, Status: 422, Body: `{"error":"no","status":422}`}, certain, failure.Permanent, 1, false},
		{"422 dimension", local.Rule{Fault: local.Answer, Status: 422, Body: `{"error":"Invalid vector dimension: 2, expected: 256","status":422}`}, certain, failure.Systemic, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, url := serve(t, local.Config{})
			if err := open(t, quick(url)).Upsert(t.Context(), []document.Vector{vector("gone")}); err != nil {
				t.Fatal(err)
			}
			cfg := quick(url)
			if test.rule.Fault == local.Stall {
				cfg.Timeout = time.Second
			}
			x := open(t, cfg)
			// From here on a connection is there to be used again, which net/http may repeat a request on.
			if err := x.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, write := range []struct {
				endpoint string
				do       func() error
				applied  func() bool
			}{
				{"upsert", func() error { return x.Upsert(t.Context(), []document.Vector{vector("new")}) }, func() bool { _, ok := held(t, s, "")["new"]; return ok }},
				{"delete", func() error { return x.Delete(t.Context(), []string{"gone"}) }, func() bool { _, ok := held(t, s, "")["gone"]; return !ok }},
			} {
				test.rule.Chance, test.rule.Endpoint = 1, write.endpoint
				s.VectorFaults().Set(1, test.rule)
				before := s.Counts().Requests[write.endpoint]
				err := write.do()
				if err == nil {
					t.Fatalf("%s: no error", write.endpoint)
				}
				e := failure.Of(err)
				if e.Rejected != test.rejected || e.Class != test.class || e.Provider != "upstash" {
					t.Errorf("%s: rejected %v, %v: %v", write.endpoint, e.Rejected, e.Class, err)
				}
				if e.Class == failure.Systemic && e.Remedy == "" {
					t.Errorf("%s: no remedy: %v", write.endpoint, err)
				}
				if sent := s.Counts().Requests[write.endpoint] - before; sent != test.sent {
					t.Errorf("%s: sent %d times", write.endpoint, sent)
				}
				if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), url) {
					t.Errorf("%s: the error tells too much: %v", write.endpoint, err)
				}
				if write.applied() != test.applied {
					t.Errorf("%s: applied: %v", write.endpoint, !test.applied)
				}
				s.Arrive()
				late := test.rule.Fault == local.Late || test.rule.Fault == local.Stall
				if write.applied() != (test.applied || late) {
					t.Errorf("%s: applied in the end: %v", write.endpoint, write.applied())
				}
			}
		})
	}
}

// A read that may go better is tried again; the caller sees nothing of it.
func TestReadsAreRepeated(t *testing.T) {
	s, url := serve(t, local.Config{})
	x := open(t, quick(url))
	if err := x.Upsert(t.Context(), []document.Vector{vector("a")}); err != nil {
		t.Fatal(err)
	}
	for _, fault := range []local.Fault{local.Cut, local.CutBody, local.RateLimit, local.ServerError, local.BadGateway} {
		s.VectorFaults().Set(1, local.Rule{Fault: fault, Next: 3})
		if all, err := x.Fetch(t.Context(), []string{"a"}); err != nil || len(all) != 1 {
			t.Errorf("fault %d: fetched %v, %v", fault, all, err)
		}
		s.VectorFaults().Set(1, local.Rule{Fault: fault, Next: 4})
		if _, _, err := x.List(t.Context(), "", 10); err == nil || failure.Of(err).Class != failure.Transient {
			t.Errorf("fault %d, once too often: %v", fault, err)
		}
	}
	for name, body := range map[string]string{
		"short": `{"result":[]}`, "another": `{"result":[{"id":"b"}]}`, "not a list": `{"result":{"id":"a"}}`, "null": `{"result":null}`,
	} {
		s.VectorFaults().Set(1, local.Rule{Fault: local.Answer, Body: body, Next: 1})
		if _, err := x.Fetch(t.Context(), []string{"a"}); err == nil {
			t.Errorf("%s: a lying answer was believed", name)
		}
	}
	for name, body := range map[string]string{
		"no cursor": `{"result":{"vectors":[]}}`, "no vectors": `{"result":{"nextCursor":""}}`, "a circle": `{"result":{"nextCursor":"7","vectors":[]}}`,
		"no id": `{"result":{"nextCursor":"","vectors":[{}]}}`,
	} {
		s.VectorFaults().Set(1, local.Rule{Fault: local.Answer, Body: body, Next: 1})
		if _, _, err := x.List(t.Context(), "7", 10); err == nil {
			t.Errorf("%s: a lying answer was believed", name)
		}
	}
}

// Nobody listens: a write is certain not to have happened, and worth a few tries.
func TestConnectionRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	l.Close()
	x := open(t, quick(url))
	err = x.Upsert(t.Context(), []document.Vector{vector("a")})
	if e := failure.Of(err); err == nil || !e.Rejected || e.Class != failure.Transient {
		t.Fatalf("%v", err)
	}
}

// A call of several requests that fails in the second one has been applied in part: it is not rejected.
func TestPartlyApplied(t *testing.T) {
	s, url := serve(t, local.Config{})
	cfg := quick(url)
	cfg.MaxBatch = 2
	x := open(t, cfg)
	s.VectorFaults().Set(1, local.Rule{Fault: local.Answer, Status: 200, Body: `{"result":"Success"}`, Next: 1}, local.Rule{Fault: local.Quota, Next: 1})
	err := x.Upsert(t.Context(), []document.Vector{vector("a"), vector("b"), vector("c"), vector("d")})
	if e := failure.Of(err); err == nil || e.Rejected || e.Class != failure.Systemic {
		t.Fatalf("%v", err)
	}
	if n := s.Counts().Requests["upsert"]; n != 2 {
		t.Fatalf("%d requests", n)
	}
}

func TestDailyQuotaEndsAtMidnight(t *testing.T) {
	now := time.Date(2026, 3, 4, 22, 30, 0, 0, time.FixedZone("", -3600))
	s, url := serve(t, local.Config{DailyWrites: 2, Now: func() time.Time { return now }})
	cfg := quick(url)
	cfg.Now = func() time.Time { return now }
	x := open(t, cfg)
	if err := x.Upsert(t.Context(), []document.Vector{vector("a"), vector("b")}); err != nil {
		t.Fatal(err)
	}
	err := x.Upsert(t.Context(), []document.Vector{vector("c")})
	midnight := time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC)
	if e := failure.Of(err); e.Class != failure.Systemic || e.Until.Before(midnight) || e.Until.After(midnight.Add(10*time.Minute)) {
		t.Fatalf("until %v: %v", e.Until, err)
	}
	now = failure.Of(err).Until
	if err := x.Upsert(t.Context(), []document.Vector{vector("c")}); err != nil {
		t.Fatal(err)
	}
	if len(held(t, s, "")) != 3 {
		t.Fatal("the new day's write is missing")
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	now := time.Now()
	s, url := serve(t, local.Config{})
	x := open(t, upstash.Config{URL: url, Now: func() time.Time { return now }})
	s.VectorFaults().Set(1, local.Rule{Fault: local.RateLimit, Delay: 90 * time.Second, Next: 1})
	err := x.Upsert(t.Context(), []document.Vector{vector("a")})
	if e := failure.Of(err); err == nil || !e.Until.Equal(now.Add(90*time.Second)) {
		t.Fatalf("%v", err)
	}
}

// What no index could hold is refused before anything is sent, also when it is the last of many.
func TestImpossibleVectors(t *testing.T) {
	s, url := serve(t, local.Config{})
	x := open(t, upstash.Config{URL: url, MaxBatch: 1})
	zero := float32(0)
	for name, test := range map[string]struct {
		spoil func(*document.Vector)
		class failure.Class
	}{
		"text":       {func(v *document.Vector) { v.Data = strings.Repeat("x", 1<<20+1) }, failure.Permanent},
		"metadata":   {func(v *document.Vector) { v.Metadata.Title = strings.Repeat("x", 48<<10) }, failure.Permanent},
		"id":         {func(v *document.Vector) { v.ID = "" }, failure.Permanent},
		"NaN":        {func(v *document.Vector) { v.Values[3] = zero / zero }, failure.Permanent},
		"infinity":   {func(v *document.Vector) { v.Values[3] = 1 / zero }, failure.Permanent},
		"dimensions": {func(v *document.Vector) { v.Values = v.Values[1:] }, failure.Systemic},
	} {
		bad := vector("bad")
		test.spoil(&bad)
		err := x.Upsert(t.Context(), []document.Vector{vector("good"), bad})
		if e := failure.Of(err); err == nil || e.Class != test.class || !e.Rejected {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := x.Delete(t.Context(), []string{"good", ""}); failure.Of(err).Class != failure.Permanent {
		t.Errorf("delete of nothing: %v", err)
	}
	if n := s.Counts().Requests; len(n) != 0 {
		t.Fatalf("sent %v", n)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	bodies := 0
	s := local.New(local.Config{Dimensions: dimensions, Token: token})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bodies++
		body, err := io.ReadAll(r.Body)
		if n := bytes.Count(body, []byte(`"id":`)); err != nil || len(body) > 3000 && n > 1 {
			t.Errorf("a request of %d bytes and %d vectors: %v", len(body), n, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.Handler().ServeHTTP(w, r)
	}))
	defer web.Close()
	x := open(t, upstash.Config{URL: web.URL, MaxBytes: 3000})
	var all []document.Vector
	for i := range 50 {
		v := vector(fmt.Sprint(i))
		v.Data = strings.Repeat("x", i*100)
		all = append(all, v)
	}
	if err := x.Upsert(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if bodies < 25 {
		t.Errorf("%d requests", bodies)
	}
	if len(held(t, s, "")) != 50 {
		t.Fatal("vectors are missing")
	}
}

func TestCheckSaysWhatToDo(t *testing.T) {
	_, url := serve(t, local.Config{Metric: local.Euclidean})
	for name, test := range map[string]struct {
		cfg  upstash.Config
		want string
	}{
		"dimension": {upstash.Config{Dimensions: 4, Metric: "EUCLIDEAN"}, "CDC_EMBED_DIMENSIONS=8"},
		"metric":    {upstash.Config{}, "metric COSINE"},
		"token":     {upstash.Config{Token: "wrong"}, "UPSTASH_VECTOR_REST_TOKEN"},
	} {
		test.cfg.URL = url
		err := open(t, test.cfg).Check(t.Context())
		if e := failure.Of(err); err == nil || e.Class != failure.Systemic || !strings.Contains(e.Remedy, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open(t, upstash.Config{URL: url, Metric: "EUCLIDEAN"}).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOwnerThatIsNotUnderstood(t *testing.T) {
	s, url := serve(t, local.Config{})
	x := open(t, upstash.Config{URL: url})
	s.VectorFaults().Set(1, local.Rule{Fault: local.Answer, Body: `{"result":[{"id":"default","metadata":{"system":7}}]}`, Chance: 1})
	if _, ok, err := x.Owner(t.Context()); ok || failure.Of(err).Class != failure.Systemic {
		t.Fatalf("%v, %v", ok, err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := upstash.Config{URL: "https://x.upstash.io/", Token: token, Dimensions: 4}
	if _, err := upstash.New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*upstash.Config){
		"no URL":           func(c *upstash.Config) { c.URL = "" },
		"no scheme":        func(c *upstash.Config) { c.URL = "x.upstash.io" },
		"user":             func(c *upstash.Config) { c.URL = "https://u:" + token + "@x.upstash.io" },
		"broken URL":       func(c *upstash.Config) { c.URL = "https://" + token + "\x7f" },
		"no token":         func(c *upstash.Config) { c.Token = "" },
		"token with space": func(c *upstash.Config) { c.Token += "\n" },
		"no dimensions":    func(c *upstash.Config) { c.Dimensions = 0 },
		"namespace":        func(c *upstash.Config) { c.Namespace = "a/b" },
		"dots":             func(c *upstash.Config) { c.Namespace = ".." },
		"owners' own":      func(c *upstash.Config) { c.Namespace = upstash.OwnerNamespace },
		"batch":            func(c *upstash.Config) { c.MaxBatch = 1001 },
	} {
		cfg := good
		spoil(&cfg)
		_, err := upstash.New(cfg)
		if err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A write that the caller gave up on has been sent: it is in doubt.
func TestCancelledWrite(t *testing.T) {
	s, url := serve(t, local.Config{})
	x := open(t, upstash.Config{URL: url})
	s.VectorFaults().Set(1, local.Rule{Fault: local.Stall, Chance: 1, Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for s.VectorFaults().Hits()[local.Stall] == 0 && t.Context().Err() == nil {
			<-time.After(time.Millisecond)
		}
	}()
	err := x.Upsert(ctx, []document.Vector{vector("a")})
	if e := failure.Of(err); !errors.Is(err, context.Canceled) || e.Rejected {
		t.Fatalf("%v", err)
	}
}
