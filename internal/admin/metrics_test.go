package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"payload-cdc/internal/admin"
)

func full() admin.Gauges {
	return admin.Gauges{
		LagBytes: new(2048.0), LagSeconds: new(0.5), OldestDebtSeconds: 3, CheckpointAgeSeconds: new(1.0), SlotRetainedBytes: new(4096.0),
		Owed: map[string]int{"posts": 2, "pages": 0}, Parked: map[string]int{"posts": 1}, Paused: map[string]bool{"openai": true, "upstash": false},
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := admin.NewMetrics(registry, admin.MetricsConfig{Version: "v0.1.0", Gauges: full})
	m.Read(1, 3)
	m.Outcome("posts", "entered", time.Second, 2, 1, 800)
	m.Request("openai", time.Second, "", 2)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "cdc_") || !strings.HasSuffix(family.GetHelp(), ".") {
			t.Errorf("%s: %s", family.GetName(), family.GetHelp())
		}
	}
	if len(families) != 19 {
		t.Errorf("%d metrics", len(families))
	}
}

func TestMetricsCount(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	m := admin.NewMetrics(registry, admin.MetricsConfig{
		Collections: []string{"posts", "pages"}, Outcomes: []string{"entered", "parked"},
		Providers: []string{"openai"}, Classes: []string{"transient"},
	})
	m.Read(2, 7)
	m.Read(1, 1)
	m.Outcome("posts", "entered", 30*time.Millisecond, 2, 1, 800)
	m.Outcome("posts", "entered", time.Hour, 3, 0, 200)
	m.Outcome("p\xffsts", "parked", 0, 0, 0, 0)
	m.Request("openai", time.Second, "", 5)
	m.Request("openai", time.Second, "systemic", 3)
	want := `
# HELP cdc_embed_inputs_total Texts sent to be embedded, those of failed requests included.
# TYPE cdc_embed_inputs_total counter
cdc_embed_inputs_total 8
# HELP cdc_embed_tokens_total Tokens of the chunks that were embedded and written.
# TYPE cdc_embed_tokens_total counter
cdc_embed_tokens_total 1000
# HELP cdc_provider_requests_total Requests to a provider, by their outcome: ok, or the class of the error.
# TYPE cdc_provider_requests_total counter
cdc_provider_requests_total{outcome="ok",provider="openai"} 1
cdc_provider_requests_total{outcome="systemic",provider="openai"} 1
cdc_provider_requests_total{outcome="transient",provider="openai"} 0
# HELP cdc_reconciled_documents_total Documents that owed and were looked at, by what became of them.
# TYPE cdc_reconciled_documents_total counter
cdc_reconciled_documents_total{collection="p?sts",outcome="parked"} 1
cdc_reconciled_documents_total{collection="pages",outcome="entered"} 0
cdc_reconciled_documents_total{collection="pages",outcome="parked"} 0
cdc_reconciled_documents_total{collection="posts",outcome="entered"} 2
cdc_reconciled_documents_total{collection="posts",outcome="parked"} 0
# HELP cdc_rows_total Changed rows read from the log.
# TYPE cdc_rows_total counter
cdc_rows_total 8
# HELP cdc_transactions_total Committed transactions read from the log.
# TYPE cdc_transactions_total counter
cdc_transactions_total 3
# HELP cdc_vectors_deleted_total Vectors deleted from the index.
# TYPE cdc_vectors_deleted_total counter
cdc_vectors_deleted_total 1
# HELP cdc_vectors_written_total Vectors written to the index.
# TYPE cdc_vectors_written_total counter
cdc_vectors_written_total 5
`
	err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"cdc_embed_inputs_total", "cdc_embed_tokens_total", "cdc_provider_requests_total", "cdc_reconciled_documents_total",
		"cdc_rows_total", "cdc_transactions_total", "cdc_vectors_deleted_total", "cdc_vectors_written_total")
	if err != nil {
		t.Error(err)
	}
}

// A scrape looks once, so that the gauges of one scrape fit together, and what is not known is not shown as zero.
func TestScrape(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	looks, now := 0, admin.Gauges{}
	admin.NewMetrics(registry, admin.MetricsConfig{Version: "v0.1.0", Gauges: func() admin.Gauges { looks++; return now }})
	url := serve(t, admin.Config{Gatherer: registry})

	body := ask(t, "GET", url+"/metrics").body
	if strings.Contains(body, "cdc_lag") || strings.Contains(body, "cdc_slot") || !strings.Contains(body, "\ncdc_oldest_debt_seconds 0\n") {
		t.Errorf("when nothing is known:\n%s", body)
	}
	now = full()
	body = ask(t, "GET", url+"/metrics").body
	for _, line := range []string{
		"cdc_lag_bytes 2048", "cdc_lag_seconds 0.5", "cdc_oldest_debt_seconds 3", "cdc_checkpoint_age_seconds 1",
		"cdc_slot_retained_bytes 4096", `cdc_owed_documents{collection="pages"} 0`, `cdc_owed_documents{collection="posts"} 2`,
		`cdc_parked_documents{collection="posts"} 1`, `cdc_paused{provider="openai"} 1`, `cdc_paused{provider="upstash"} 0`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("lacks %s", line)
		}
	}
	if !strings.Contains(body, `version="v0.1.0"} 1`) {
		t.Errorf("lacks the version:\n%s", body)
	}
	if looks != 2 {
		t.Errorf("looked %d times for two scrapes", looks)
	}
}
