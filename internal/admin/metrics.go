package admin

import (
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Names and units follow https://prometheus.io/docs/practices/naming/.
const namespace = "cdc"

// answered is the outcome of a request without an error.
const answered = "ok"

// MetricsConfig says what metrics show besides what they count.
type MetricsConfig struct {
	Version string // of cdc
	// Gauges is called once a scrape and must be cheap: no network, no database. Nil shows none.
	Gauges func() Gauges
	// Counters of these begin at zero, not with their first increment, which rate() and increase() would not see.
	Collections []string // slugs
	Outcomes    []string // of documents
	Providers   []string
	Classes     []string // of errors
}

// Metrics counts. Safe for concurrent use.
type Metrics struct {
	transactions, rows prometheus.Counter

	reconciled       *prometheus.CounterVec   // outcome, collection
	reconcile        *prometheus.HistogramVec // outcome
	written, deleted prometheus.Counter
	tokens, inputs   prometheus.Counter
	requests         *prometheus.CounterVec   // provider, outcome
	request          *prometheus.HistogramVec // provider
}

// NewMetrics registers all metrics of cdc. It panics if reg has them already.
func NewMetrics(reg prometheus.Registerer, cfg MetricsConfig) *Metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	}
	m := &Metrics{
		transactions: counter("transactions_total", "Committed transactions read from the log."),
		rows:         counter("rows_total", "Changed rows read from the log."),
		reconciled: f.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "reconciled_documents_total",
			Help: "Documents that owed and were looked at, by what became of them.",
		}, []string{"outcome", "collection"}),
		reconcile: f.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "reconcile_seconds",
			Help: "Time from the oldest mark of a document to the index having it.",
			// A publish takes milliseconds; after an outage of its provider a document has waited for days.
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400},
		}, []string{"outcome"}),
		written: counter("vectors_written_total", "Vectors written to the index."),
		deleted: counter("vectors_deleted_total", "Vectors deleted from the index."),
		tokens:  counter("embed_tokens_total", "Tokens of the chunks that were embedded and written."),
		inputs:  counter("embed_inputs_total", "Texts sent to be embedded, those of failed requests included."),
		requests: f.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "provider_requests_total",
			Help: "Requests to a provider, by their outcome: " + answered + ", or the class of the error.",
		}, []string{"provider", "outcome"}),
		request: f.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "provider_request_seconds",
			Help:    "Time that requests to a provider took, failed ones included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"provider"}),
	}
	f.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": cfg.Version, "go_version": runtime.Version()},
	}).Set(1)
	if cfg.Gauges != nil {
		reg.MustRegister(gaugeCollector{cfg.Gauges})
	}
	m.begin(cfg)
	return m
}

func (m *Metrics) begin(cfg MetricsConfig) {
	for _, outcome := range cfg.Outcomes {
		m.reconcile.WithLabelValues(outcome)
		for _, collection := range cfg.Collections {
			m.reconciled.WithLabelValues(outcome, strings.ToValidUTF8(collection, "?"))
		}
	}
	for _, provider := range cfg.Providers {
		m.request.WithLabelValues(provider)
		m.requests.WithLabelValues(provider, answered)
		for _, class := range cfg.Classes {
			m.requests.WithLabelValues(provider, class)
		}
	}
}

// Read counts what was read from the log.
func (m *Metrics) Read(transactions, rows int) {
	m.transactions.Add(float64(transactions))
	m.rows.Add(float64(rows))
}

// Outcome counts one document that owed: what became of it, the time since its oldest mark, the vectors written and
// deleted, and the tokens of those that had to be embedded.
func (m *Metrics) Outcome(collection, outcome string, took time.Duration, written, deleted, tokens int) {
	// The name of a table need not be UTF-8 in every database, and a label must.
	m.reconciled.WithLabelValues(outcome, strings.ToValidUTF8(collection, "?")).Inc()
	m.reconcile.WithLabelValues(outcome).Observe(took.Seconds())
	m.written.Add(float64(written))
	m.deleted.Add(float64(deleted))
	m.tokens.Add(float64(tokens))
}

// Request counts one request to a provider: how long it took, the class of its error (empty when it had none), and the
// texts it sent to be embedded (0 for all other requests).
func (m *Metrics) Request(provider string, took time.Duration, class string, inputs int) {
	if class == "" {
		class = answered
	}
	m.requests.WithLabelValues(provider, class).Inc()
	m.request.WithLabelValues(provider).Observe(took.Seconds())
	m.inputs.Add(float64(inputs))
}
