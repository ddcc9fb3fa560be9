package embed_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"payload-cdc/internal/embed"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ pipeline.Embedder = (*embed.OpenAI)(nil)

const (
	key  = "sk-proj-abcDEF0123456789"
	dims = 4
)

// wire is an embeddings request as a server sees it.
type wire struct {
	Input      []string `json:"input"`
	Model      string   `json:"model"`
	Format     string   `json:"encoding_format"`
	Dimensions int      `json:"dimensions"`
	header     http.Header
	path       string
}

// vector is the unit vector of a text: its length decides the direction.
func vector(text string) []float32 {
	a := float64(len(text))
	return []float32{float32(math.Cos(a)), float32(math.Sin(a)), 0, 0}
}

func b64(v []float32) string {
	var b []byte
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return base64.StdEncoding.EncodeToString(b)
}

type reply func(w http.ResponseWriter, r wire)

// datum is one line of a response.
type datum struct {
	Object    string `json:"object"`
	Index     any    `json:"index"`
	Embedding any    `json:"embedding"`
}

func good(w http.ResponseWriter, r wire) { answer(w, r, nil) }

// answer replies well, but for what edit does to it.
func answer(w http.ResponseWriter, r wire, edit func(data []datum) []datum) {
	data := make([]datum, len(r.Input))
	for i, text := range r.Input {
		data[i] = datum{"embedding", i, b64(vector(text))}
		if r.Format != "base64" {
			data[i].Embedding = vector(text)
		}
	}
	if edit != nil {
		data = edit(data)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"object": "list", "data": data, "model": r.Model, "usage": map[string]int{"prompt_tokens": 7}})
}

func edited(edit func(data []datum) []datum) reply {
	return func(w http.ResponseWriter, r wire) { answer(w, r, edit) }
}

func first(v any) reply {
	return edited(func(d []datum) []datum { d[0].Embedding = v; return d })
}

func status(code int, body string, header ...string) reply {
	return func(w http.ResponseWriter, _ wire) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func refusal(code int, kind, reason, message string, header ...string) reply {
	var c any
	if reason != "" {
		c = reason
	}
	b, _ := json.Marshal(map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": c}})
	return status(code, string(b), header...)
}

// reset drops the connection after body.
func reset(body string) reply {
	return func(w http.ResponseWriter, _ wire) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = buf.WriteString(body)
		_ = buf.Flush()
		_ = conn.Close()
	}
}

type peer struct {
	*httptest.Server
	hits atomic.Int32
	mu   sync.Mutex
	seen []wire
}

// serve answers with one reply after the other; the last again and again.
func serve(t *testing.T, replies ...reply) *peer {
	t.Helper()
	p := &peer{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(p.hits.Add(1))
		req := wire{header: r.Header, path: r.URL.String()}
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Errorf("the request is no JSON: %v", err)
		}
		p.mu.Lock()
		p.seen = append(p.seen, req)
		p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		replies[min(n, len(replies))-1](w, req)
	}))
	t.Cleanup(p.Close)
	return p
}

func client(t *testing.T, p *peer, edit func(*embed.Config)) *embed.OpenAI {
	t.Helper()
	cfg := embed.Config{APIKey: key, BaseURL: p.URL + "/v1", Dimensions: dims, Timeout: 10 * time.Second, Backoff: time.Millisecond, MaxPause: 50 * time.Millisecond, MaxWait: 50 * time.Millisecond}
	if edit != nil {
		edit(&cfg)
	}
	o, err := embed.NewOpenAI(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.Close)
	return o
}

func want(texts ...string) [][]float32 {
	var out [][]float32
	for _, s := range texts {
		out = append(out, vector(s))
	}
	return out
}

func TestRequestOnTheWire(t *testing.T) {
	p := serve(t, good)
	var calls []embed.Call
	o := client(t, p, func(c *embed.Config) {
		c.Project, c.Organization = "proj_1", "org_1"
		c.Observe = func(call embed.Call) { calls = append(calls, call) }
	})
	got, err := o.Embed(t.Context(), []string{"a", "bb", "ccc"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want("a", "bb", "ccc"), got); d != "" {
		t.Error(d)
	}
	r := p.seen[0]
	if r.path != "/v1/embeddings" || r.Model != "text-embedding-3-small" || r.Format != "base64" || r.Dimensions != dims || len(r.Input) != 3 {
		t.Errorf("request %+v", r)
	}
	if h := r.header; h.Get("Authorization") != "Bearer "+key || h.Get("OpenAI-Project") != "proj_1" || h.Get("OpenAI-Organization") != "org_1" {
		t.Errorf("headers %v", h)
	}
	if len(calls) != 1 || calls[0].Inputs != 3 || calls[0].Tokens != 7 || calls[0].Tries != 1 || calls[0].Err != nil {
		t.Errorf("observed %+v", calls)
	}
	if err := o.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got, err := o.Embed(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no texts: %v, %v", got, err)
	}
}

func TestResponses(t *testing.T) {
	html := "<html><body>502 Bad Gateway</body></html>"
	nan := b64([]float32{float32(math.NaN()), 0, 0, 1})
	inf := b64([]float32{float32(math.Inf(1)), 0, 0, 1})
	long := "This model's maximum context length is 8192 tokens, however you requested 8610 tokens (8610 in your prompt; 0 for the completion). Please reduce your prompt; or completion length."
	const (
		ok        = -1
		transient = int(failure.Transient)
		systemic  = int(failure.Systemic)
		permanent = int(failure.Permanent)
	)
	for _, c := range []struct {
		name    string
		replies []reply
		class   int // or ok
		hits    int32
		says    string // part of the error
		remedy  string
	}{
		{"rate limit, then good", []reply{refusal(429, "tokens", "rate_limit_exceeded", "Rate limit reached", "Retry-After-Ms", "2"), good}, ok, 2, "", ""},
		{"rate limit goes on", []reply{refusal(429, "requests", "rate_limit_exceeded", "Rate limit reached", "Retry-After-Ms", "2")}, transient, 3, "429 rate_limit_exceeded: Rate limit reached", ""},
		{"rate limit for long", []reply{refusal(429, "tokens", "rate_limit_exceeded", "Rate limit reached", "Retry-After", "20")}, transient, 1, "Rate limit", ""},
		{"slow down", []reply{refusal(429, "rate_limit_error", "slow_down", "slow down"), good}, ok, 2, "", ""},
		{"azure rate limit", []reply{status(429, `{"error":{"code":"429","message":"Requests to the Embeddings_Create Operation have exceeded call rate limit"}}`), good}, ok, 2, "", ""},
		{"quota", []reply{refusal(429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota")}, systemic, 1, "insufficient_quota", "add credit"},
		{"credit", []reply{refusal(429, "billing_error", "credit_balance_exhausted", "No credit", "Retry-After", "1")}, systemic, 1, "credit_balance_exhausted", "add credit"},
		{"project spend", []reply{refusal(429, "billing", "project_spend_limit_exceeded", "Limit")}, systemic, 1, "", "spend limit"},
		{"organization spend", []reply{refusal(429, "organization_spend_limit_exceeded", "", "Limit")}, systemic, 1, "", "spend limit"},
		{"organization usage", []reply{refusal(429, "", "organization_usage_limit_exceeded", "Limit")}, systemic, 1, "", "spend limit"},
		{"payment required", []reply{status(402, `{"error":"pay"}`)}, systemic, 1, "402 pay", "add credit"},
		{"bad key", []reply{refusal(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: "+key)}, systemic, 1, "401 invalid_api_key: Incorrect API key provided: ***", "OPENAI_API_KEY"},
		{"region", []reply{refusal(403, "", "unsupported_country_region_territory", "Country not supported")}, systemic, 1, "403", "OPENAI_BASE_URL"},
		{"no model", []reply{refusal(404, "invalid_request_error", "model_not_found", "The model `x` does not exist")}, systemic, 1, "404", "CDC_EMBED_MODEL"},
		{"no model, 400", []reply{refusal(400, "invalid_request_error", "", "invalid model ID")}, systemic, 1, "400", "CDC_EMBED_MODEL"},
		{"no dimensions", []reply{refusal(400, "invalid_request_error", "", "This model does not support specifying dimensions.")}, systemic, 1, "", "CDC_EMBED_DIMENSIONS"},
		{"not found, HTML", []reply{status(404, html)}, systemic, 1, "404 Not Found", "OPENAI_BASE_URL"},
		{"method", []reply{status(405, "")}, systemic, 1, "405", "OPENAI_BASE_URL"},
		{"redirect", []reply{status(301, "", "Location", "https://example.org/v1/embeddings")}, systemic, 1, "redirects", "OPENAI_BASE_URL"},
		{"too long", []reply{refusal(400, "invalid_request_error", "", long)}, permanent, 1, "8610 tokens", ""},
		{"too many tokens", []reply{refusal(400, "max_tokens_per_request", "max_tokens_per_request", "Requested 453357 tokens, max 300000 tokens per request")}, permanent, 1, "453357", ""},
		{"too many texts", []reply{refusal(400, "invalid_request_error", "array_above_max_length", "Invalid 'input': array too long.")}, permanent, 1, "array too long", ""},
		{"invalid input", []reply{refusal(400, "invalid_request_error", "", "'$.input' is invalid.")}, permanent, 1, "400 '$.input'", ""},
		{"too large", []reply{status(413, html)}, permanent, 1, "413", ""},
		{"detail", []reply{status(422, `{"detail":[{"loc":["body"],"msg":"too long"}]}`)}, permanent, 1, "too long", ""},
		{"bad request of a proxy", []reply{status(400, html)}, transient, 1, "400", ""},
		{"server error", []reply{refusal(500, "server_error", "", "The server had an error"), good}, ok, 2, "", ""},
		{"empty 500", []reply{status(500, "")}, transient, 3, "500 Internal Server Error", ""},
		{"HTML 502", []reply{status(502, html)}, transient, 3, "502", ""},
		{"overloaded", []reply{refusal(503, "service_unavailable_error", "server_is_overloaded", "overloaded"), good}, ok, 2, "", ""},
		{"error is text", []reply{status(500, `{"error":"boom"}`)}, transient, 3, "500 boom", ""},
		{"error without message", []reply{status(500, `{"error":{"type":"x"}}`)}, transient, 3, "500", ""},
		{"not implemented", []reply{status(501, "")}, transient, 1, "501", ""},
		{"conflict", []reply{status(409, "{}"), good}, ok, 2, "", ""},
		{"should not retry", []reply{status(500, "", "X-Should-Retry", "false")}, transient, 1, "500", ""},
		{"should retry", []reply{status(404, "", "X-Should-Retry", "true"), good}, ok, 2, "", ""},
		{"reset before headers", []reply{reset(""), good}, ok, 2, "", ""},
		{"reset goes on", []reply{reset("")}, transient, 3, "EOF", ""},
		{"reset within the body", []reply{reset("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"data\":["), good}, ok, 2, "", ""},
		{"reset within a chunk", []reply{reset("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{\"data\":["), reset("")}, transient, 3, "EOF", ""},
		{"error with 200", []reply{status(200, `{"error":{"message":"boom of sk-proj-xxxxxxxx"}}`)}, transient, 2, "status 200: boom of [key]", ""},
		{"empty 200", []reply{status(200, "")}, transient, 2, "not of the protocol", ""},
		{"HTML 200", []reply{status(200, html), good}, ok, 2, "", ""},
		{"HTML 200 goes on", []reply{status(200, html)}, transient, 2, "not of the protocol", ""},
		{"cut JSON", []reply{status(200, `{"data":[`)}, transient, 2, "not of the protocol", ""},
		{"garbage after", []reply{func(w http.ResponseWriter, r wire) { good(w, r); _, _ = io.WriteString(w, "garbage") }, good}, ok, 2, "", ""},
		{"no data", []reply{edited(func([]datum) []datum { return nil })}, transient, 2, "no vectors", ""},
		{"short data once", []reply{edited(func(d []datum) []datum { return d[:1] }), good}, ok, 2, "", ""},
		{"short data", []reply{edited(func(d []datum) []datum { return d[:1] })}, permanent, 2, "1 vectors for 2 texts", ""},
		{"long data", []reply{edited(func(d []datum) []datum { return append(d, d[0]) })}, permanent, 2, "3 vectors for 2 texts", ""},
		{"doubled index", []reply{edited(func(d []datum) []datum { d[1].Index = 0; return d })}, permanent, 2, "index", ""},
		{"index out of range", []reply{edited(func(d []datum) []datum { d[1].Index = 2; return d })}, permanent, 2, "index", ""},
		{"no index", []reply{edited(func(d []datum) []datum { d[1].Index = nil; return d })}, permanent, 2, "index", ""},
		{"other order", []reply{edited(func(d []datum) []datum { slices.Reverse(d); return d })}, ok, 1, "", ""},
		{"other dimension", []reply{edited(func(d []datum) []datum {
			d[0].Embedding, d[1].Embedding = b64([]float32{1, 0}), b64([]float32{1, 0})
			return d
		})}, systemic, 2, "2 dimensions, not 4", "CDC_EMBED_DIMENSIONS"},
		{"one other dimension", []reply{first(b64([]float32{1, 0}))}, permanent, 2, "another dimension", ""},
		{"NaN", []reply{first(nan)}, permanent, 2, "not finite", ""},
		{"NaN once", []reply{first(nan), good}, ok, 2, "", ""},
		{"Inf", []reply{first(inf)}, permanent, 2, "not finite", ""},
		{"zeros", []reply{first(b64(make([]float32, dims)))}, permanent, 2, "all zeros", ""},
		{"norm", []reply{first(b64([]float32{2, 0, 0, 0}))}, permanent, 2, "length 2.000", ""},
		{"17 bytes", []reply{first(base64.StdEncoding.EncodeToString(make([]byte, 17)))}, permanent, 2, "17 bytes", ""},
		{"not base64", []reply{first("!!!!")}, permanent, 2, "base64", ""},
		{"null", []reply{first(nil)}, permanent, 2, "missing", ""},
		{"null once", []reply{first(nil), good}, ok, 2, "", ""},
		{"null in floats", []reply{edited(func(d []datum) []datum {
			d[0].Embedding, d[1].Embedding = []any{1, nil, 0, 0}, []float32{1, 0, 0, 0}
			return d
		})}, permanent, 2, "null", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := serve(t, c.replies...)
			var call embed.Call
			o := client(t, p, func(cfg *embed.Config) { cfg.Observe = func(c embed.Call) { call = c } })
			got, err := o.Embed(t.Context(), []string{"a", "bb"})
			if hits := p.hits.Load(); hits != c.hits || call.Tries != int(c.hits) {
				t.Errorf("%d tries, observed %d, want %d", hits, call.Tries, c.hits)
			}
			if c.class == ok {
				if d := cmp.Diff(want("a", "bb"), got); err != nil || d != "" {
					t.Fatal(err, d)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			f := failure.Of(err)
			if int(f.Class) != c.class || f.Provider != "openai" {
				t.Errorf("class %v of %v", f.Class, err)
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(f.Remedy, c.remedy) || (c.remedy == "") != (f.Remedy == "") {
				t.Errorf("error %q with remedy %q, want %q, %q", err, f.Remedy, c.says, c.remedy)
			}
			if strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "sk-proj") {
				t.Errorf("the key is in %q", err)
			}
			if call.Err == nil {
				t.Error("no error was observed")
			}
		})
	}
}

func TestFloatsForServersWithoutBase64(t *testing.T) {
	floats := func(w http.ResponseWriter, r wire) { r.Format = "float"; good(w, r) }
	p := serve(t, floats)
	o := client(t, p, nil)
	for range 2 {
		got, err := o.Embed(t.Context(), []string{"a", "bb"})
		if d := cmp.Diff(want("a", "bb"), got); err != nil || d != "" {
			t.Fatal(err, d)
		}
	}
	if p.hits.Load() != 3 || p.seen[0].Format != "base64" || p.seen[1].Format != "float" || p.seen[2].Format != "float" {
		t.Errorf("requests %+v", p.seen)
	}
}

func TestNormalizeAndOtherModels(t *testing.T) {
	p := serve(t, first(b64([]float32{3, 0, 4, 0})))
	o := client(t, p, func(c *embed.Config) { c.Normalize, c.Model, c.APIKey = true, "nomic", "" })
	got, err := o.Embed(t.Context(), []string{"a"})
	if d := cmp.Diff([][]float32{{0.6, 0, 0.8, 0}}, got); err != nil || d != "" {
		t.Fatal(err, d)
	}
	if r := p.seen[0]; r.Dimensions != 0 || r.header.Get("Authorization") != "" {
		t.Errorf("request %+v", r)
	}
}

func TestLargeCallsAreCut(t *testing.T) {
	p := serve(t, good)
	o := client(t, p, func(c *embed.Config) {
		c.MaxInputs, c.MaxTokens = 3, 10
		c.Count = func(s string) (int, error) { return len(s), nil }
	})
	texts := []string{"a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg", strings.Repeat("h", 40), "i"}
	got, err := o.Embed(t.Context(), texts)
	if d := cmp.Diff(want(texts...), got); err != nil || d != "" {
		t.Fatal(err, d)
	}
	var sizes []int
	for _, r := range p.seen {
		sizes = append(sizes, len(r.Input))
	}
	if d := cmp.Diff([]int{3, 2, 1, 1, 1, 1}, sizes); d != "" {
		t.Error(d)
	}
	if _, err := o.Embed(t.Context(), []string{"a", " "}); failure.Of(err).Class != failure.Permanent {
		t.Errorf("an empty text: %v", err)
	}
	if o.MaxInputs() != 3 || o.MaxTokens() != 10 {
		t.Error("limits")
	}
}

func TestUntil(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		least  time.Duration
		most   time.Duration
	}{
		"seconds":           {[]string{"Retry-After", "20"}, 15 * time.Second, 20 * time.Second},
		"milliseconds":      {[]string{"Retry-After-Ms", "20000", "Retry-After", "300"}, 15 * time.Second, 20 * time.Second},
		"a date":            {[]string{"Retry-After", time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat)}, 9 * time.Minute, 10 * time.Minute},
		"forever":           {[]string{"Retry-After", "999999999999999999999"}, 59 * time.Minute, time.Hour},
		"nonsense":          {[]string{"Retry-After", "soon"}, 0, 0},
		"negative":          {[]string{"Retry-After", "-5"}, 0, 0},
		"nothing":           {nil, 0, 0},
		"not a number":      {[]string{"Retry-After", "NaN"}, 0, 0},
		"infinite":          {[]string{"Retry-After-Ms", "Inf"}, 59 * time.Minute, time.Hour},
		"rounded to a date": {[]string{"Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT"}, 0, 0},
	} {
		p := serve(t, refusal(429, "tokens", "rate_limit_exceeded", "slow", c.header...))
		o := client(t, p, nil)
		before := time.Now()
		_, err := o.Embed(t.Context(), []string{"a"})
		f := failure.Of(err)
		if f.Class != failure.Transient || !f.Rejected {
			t.Errorf("%s: %v", name, err)
		}
		if c.most == 0 {
			if f.Until.After(time.Now()) {
				t.Errorf("%s: until %v", name, f.Until)
			}
			continue
		}
		if f.Until.Before(before.Add(c.least)) || f.Until.After(time.Now().Add(c.most)) {
			t.Errorf("%s: until %v from %v", name, f.Until, before)
		}
		// Others hold back as well, without a request.
		hits := p.hits.Load()
		if _, err := o.Embed(t.Context(), []string{"b"}); err == nil || failure.Of(err).Until.IsZero() || p.hits.Load() != hits {
			t.Errorf("%s: another call was sent: %v", name, err)
		}
	}
}

func TestSlowServer(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	hang := func(w http.ResponseWriter, r wire) { <-stop }
	trickle := func(w http.ResponseWriter, r wire) {
		_, _ = io.WriteString(w, `{"data":`)
		w.(http.Flusher).Flush()
		<-stop
	}
	for name, slow := range map[string]reply{"before headers": hang, "within the body": trickle} {
		p := serve(t, slow, slow, good)
		o := client(t, p, func(c *embed.Config) { c.Timeout = 300 * time.Millisecond })
		if _, err := o.Embed(t.Context(), []string{"a"}); err != nil || p.hits.Load() != 3 {
			t.Errorf("%s: %v after %d tries", name, err, p.hits.Load())
		}
		p = serve(t, slow)
		o = client(t, p, func(c *embed.Config) { c.Timeout, c.Tries = 100*time.Millisecond, 2 })
		_, err := o.Embed(t.Context(), []string{"a"})
		if f := failure.Of(err); err == nil || f.Class != failure.Transient || f.Rejected || p.hits.Load() != 2 {
			t.Errorf("%s: %v after %d tries", name, err, p.hits.Load())
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: a try's timeout looks like the caller's own", name)
		}
	}
}

func TestCancelled(t *testing.T) {
	stop, arrived := make(chan struct{}), make(chan struct{}, 10)
	defer close(stop)
	p := serve(t, func(http.ResponseWriter, wire) { arrived <- struct{}{}; <-stop })
	o := client(t, p, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, err := o.Embed(ctx, []string{"a"})
	if !errors.Is(err, context.Canceled) || p.hits.Load() != 1 || failure.Of(err).Class != failure.Transient {
		t.Errorf("%v after %d tries", err, p.hits.Load())
	}
	// While it waits for the next try.
	p = serve(t, func(w http.ResponseWriter, r wire) {
		status(500, "", "Retry-After", "30")(w, r)
		arrived <- struct{}{}
	})
	o = client(t, p, func(c *embed.Config) { c.MaxPause = time.Minute })
	ctx, cancel = context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	if _, err := o.Embed(ctx, []string{"a"}); !errors.Is(err, context.Canceled) || p.hits.Load() != 1 {
		t.Errorf("%v after %d tries", err, p.hits.Load())
	}
}

func TestKeyIsNeverInAnError(t *testing.T) {
	const odd = "my.own+key/of=another-shape"
	echo := func(code int) reply {
		return func(w http.ResponseWriter, r wire) {
			refusal(code, r.header.Get("Authorization"), r.header.Get("Authorization"), "you sent "+r.header.Get("Authorization")+", masked sk-pr***6789")(w, r)
		}
	}
	for _, k := range []string{key, odd} {
		for _, code := range []int{200, 400, 401, 403, 404, 413, 418, 429, 500, 502} {
			p := serve(t, echo(code))
			o := client(t, p, func(c *embed.Config) { c.APIKey = k })
			_, err := o.Embed(t.Context(), []string{"a"})
			for e := err; e != nil; e = errors.Unwrap(e) {
				if text := fmt.Sprintf("%v %+v %#v", e, e, e); strings.Contains(text, k) || strings.Contains(text, "sk-pr") {
					t.Errorf("%d: the key is in %s", code, text)
				}
			}
			if err == nil {
				t.Errorf("%d: no error", code)
			}
		}
	}
}

func TestNoServer(t *testing.T) {
	p := serve(t, good)
	p.Close()
	o := client(t, p, nil)
	if _, err := o.Embed(t.Context(), []string{"a"}); err == nil || failure.Of(err).Class != failure.Transient {
		t.Error(err)
	}
}

func TestHugeResponse(t *testing.T) {
	p := serve(t, func(w http.ResponseWriter, _ wire) {
		block := make([]byte, 1<<20)
		for range 65 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	o := client(t, p, nil)
	if _, err := o.Embed(t.Context(), []string{"a"}); err == nil || failure.Of(err).Class != failure.Transient || p.hits.Load() != 1 {
		t.Errorf("%v after %d tries", err, p.hits.Load())
	}
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []embed.Config{
		{},
		{APIKey: "a b"},
		{APIKey: "k\nX: y"},
		{APIKey: key, BaseURL: "ftp://x"},
		{APIKey: key, BaseURL: "nonsense"},
		{APIKey: key, BaseURL: "http://user:secret@x/v1"},
		{APIKey: key, MaxInputs: 3000},
		{APIKey: key, MaxTokens: 1 << 20},
		{APIKey: key, Tries: -1},
	} {
		_, err := embed.NewOpenAI(c)
		if err == nil {
			t.Errorf("%+v was accepted", c)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), key) {
			t.Errorf("a secret is in %q", err)
		}
	}
	o, err := embed.NewOpenAI(embed.Config{APIKey: " " + key + "\n"})
	if err != nil || o.MaxInputs() != embed.DefaultMaxInputs || o.MaxTokens() != embed.DefaultMaxTokens {
		t.Error(err)
	}
}

// elsewhere sends every request to a test server.
type elsewhere struct{ host string }

func (e elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", e.host
	return http.DefaultTransport.RoundTrip(r)
}

func TestAzure(t *testing.T) {
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	p := serve(t, good)
	o := client(t, p, func(c *embed.Config) {
		c.BaseURL, c.Model = "https://example.openai.azure.com", "our-deployment"
		c.Transport = elsewhere{strings.TrimPrefix(p.URL, "http://")}
	})
	if _, err := o.Embed(t.Context(), []string{"a"}); err != nil {
		t.Fatal(err)
	}
	r := p.seen[0]
	if r.path != "/openai/deployments/our-deployment/embeddings?api-version=2024-10-21" || r.header.Get("Api-Key") != key || r.header.Get("Authorization") != "" {
		t.Errorf("request %+v", r)
	}
}

func TestConcurrentUse(t *testing.T) {
	p := serve(t, reset(""), status(502, ""), good)
	o := client(t, p, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			text := strings.Repeat("x", i+1)
			got, err := o.Embed(t.Context(), []string{text})
			if d := cmp.Diff(want(text), got); err != nil || d != "" {
				t.Error(err, d)
			}
			o.Limits()
		})
	}
	wg.Wait()
}
