// Package clients holds internal/local to the vendors' own npm clients, unmodified: every call they have, errors
// included, and reading back what cdc wrote.
package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/document"
	"payload-cdc/internal/index/upstash"
	"payload-cdc/internal/local"
)

const token, readOnly = "token-of-the-test", "read-only-token-of-the-test"

// need skips where Node or the clients are not installed, and fails where they have to be.
func need(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("node_modules/.package-lock.json")
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("the official clients are needed: run `npm ci` in test/clients: %v", err)
	}
	t.Skipf("the official clients are not installed: run `npm ci` in test/clients: %v", err)
}

// serve starts both protocols on one address.
func serve(t *testing.T, dimensions int) (*local.Server, string) {
	t.Helper()
	s := local.New(local.Config{Dimensions: dimensions, Token: token, ReadOnlyToken: readOnly})
	web := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		_ = s.Close()
		web.Close()
	})
	return s, web.URL
}

// faults are the names by which a script asks for them.
var faults = map[string]local.Fault{
	"Cut": local.Cut, "CutBody": local.CutBody, "AppliedThenCut": local.AppliedThenCut, "RateLimit": local.RateLimit,
	"ServerError": local.ServerError, "BadGateway": local.BadGateway, "BadToken": local.BadToken, "Quota": local.Quota,
	"ShortData": local.ShortData, "WrongIndex": local.WrongIndex, "OutOfOrder": local.OutOfOrder, "NotANumber": local.NotANumber,
}

// control lets a script make requests go wrong, and count them.
func control(t *testing.T, s *local.Server) string {
	t.Helper()
	set := func(f *local.Faults) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var rule struct {
				Fault string
				Next  int
				Delay time.Duration
			}
			if err := json.NewDecoder(r.Body).Decode(&rule); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			f.Set(1)
			if rule.Fault != "" {
				fault, ok := faults[rule.Fault]
				if !ok {
					http.Error(w, "unknown fault", http.StatusBadRequest)
					return
				}
				f.Set(1, local.Rule{Fault: fault, Next: rule.Next, Delay: rule.Delay})
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /vector", set(s.VectorFaults()))
	mux.HandleFunc("POST /embeddings", set(s.EmbeddingFaults()))
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(s.Counts()); err != nil {
			t.Error(err)
		}
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web.URL
}

// node runs a script and returns what it printed.
func node(t *testing.T, script string, env map[string]string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	// Nothing of a developer's own keys and proxies.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "UPSTASH_DISABLE_TELEMETRY=1"}
	for key, value := range env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("node %s: %v\n%s%s", script, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes()
}

// checks runs a script of checks as subtests.
func checks(t *testing.T, script string, env map[string]string) {
	t.Helper()
	out := node(t, script, env)
	ran, done := 0, -1
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Name, Error string
			Done        *int
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("%s printed %q", script, lines.Text())
			continue
		}
		if line.Done != nil {
			done = *line.Done
			continue
		}
		ran++
		t.Run(line.Name, func(t *testing.T) {
			if line.Error != "" {
				t.Error(line.Error)
			}
		})
	}
	if err := lines.Err(); err != nil || ran == 0 || ran != done {
		t.Fatalf("%d checks of %d ran: %v", ran, done, err)
	}
}

func TestVectorClient(t *testing.T) {
	need(t)
	s, url := serve(t, 4)
	checks(t, "vector.mjs", map[string]string{
		"UPSTASH_VECTOR_REST_URL": url, "UPSTASH_VECTOR_REST_TOKEN": token, "READ_ONLY_TOKEN": readOnly, "CONTROL_URL": control(t, s),
	})
}

func TestOpenAIClient(t *testing.T) {
	need(t)
	s, url := serve(t, 1024)
	checks(t, "openai.mjs", map[string]string{
		"OPENAI_BASE_URL": url + "/v1", "OPENAI_API_KEY": token, "CONTROL_URL": control(t, s), "DIMENSIONS": "1024",
	})
}

// What cdc's own adapter wrote is read by a project's unmodified code, and found by a text.
func TestClientsReadWhatWasWritten(t *testing.T) {
	need(t)
	const dimensions = 1024
	_, url := serve(t, dimensions)
	texts := map[string]string{
		"posts-1":       "How to return an order within thirty days",
		"posts-1#1":     "Refunds arrive on the card that paid",
		"posts-7@pt-BR": "Olá <mundo> & \"companhia\" 🇧🇷",
		"pages-a%23b":   "How to return an order is told elsewhere",
	}
	want := map[string]any{}
	var vectors []document.Vector
	for id, text := range texts {
		collection := "posts"
		if id == "pages-a%23b" {
			collection = "pages"
		}
		values, err := local.Hashed{}.Embed(t.Context(), []string{text}, dimensions)
		if err != nil {
			t.Fatal(err)
		}
		v := document.Vector{ID: id, Values: values[0], Data: text, Metadata: document.Metadata{
			DocID: "1", Collection: collection, Title: "Title: " + text, Hash: "h", Model: "text-embedding-3-small", Chunks: 2, UpdatedAt: "2026-01-02T03:04:05Z",
		}}
		vectors = append(vectors, v)
		numbers := []any{}
		for _, f := range v.Values {
			text, _ := json.Marshal(f)
			var n any
			_ = json.Unmarshal(text, &n)
			numbers = append(numbers, n)
		}
		want[id] = map[string]any{
			"id": id, "vector": numbers, "data": text,
			"metadata": map[string]any{
				"docId": "1", "collection": collection, "chunk": 0.0, "title": "Title: " + text, "hash": "h", "model": "text-embedding-3-small",
				"chunks": 2.0, "updatedAt": "2026-01-02T03:04:05Z",
			},
		}
	}
	x, err := upstash.New(upstash.Config{URL: url, Token: token, Namespace: "content", Dimensions: dimensions, MaxBatch: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := x.Upsert(t.Context(), vectors); err != nil {
		t.Fatal(err)
	}

	var got struct {
		Listed, Fetched []map[string]any
		Found           []struct {
			ID       string
			Score    float64
			Data     string
			Metadata map[string]any
		}
	}
	out := node(t, "readback.mjs", map[string]string{
		"UPSTASH_VECTOR_REST_URL": url, "UPSTASH_VECTOR_REST_TOKEN": token, "NAMESPACE": "content",
		"OPENAI_BASE_URL": url + "/v1", "OPENAI_API_KEY": token, "QUERY": "return an order",
	})
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for how, all := range map[string][]map[string]any{"listed": got.Listed, "fetched": got.Fetched} {
		m := map[string]any{}
		for _, one := range all {
			m[one["id"].(string)] = one
		}
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("%s (-want +got):\n%s", how, diff)
		}
	}
	if len(got.Found) != 1 || got.Found[0].ID != "posts-1" || got.Found[0].Data != texts["posts-1"] || got.Found[0].Score < 0.6 {
		t.Errorf("found %+v", got.Found)
	}
	if err := x.Delete(t.Context(), []string{"posts-1"}); err != nil {
		t.Fatal(err)
	}
	stored, err := x.Fetch(t.Context(), slices.Collect(maps.Keys(texts)))
	if err != nil || len(stored) != len(texts)-1 {
		t.Fatalf("after a delete: %v, %v", stored, err)
	}
}
