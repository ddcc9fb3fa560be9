package admin

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Gauges is what metrics show of this moment. A nil number is not known and is left out; a map that should show a zero
// has an entry for it.
type Gauges struct {
	LagBytes             *float64        // of log that is not read
	LagSeconds           *float64        // age of the oldest change that is not read
	OldestDebtSeconds    float64         // age of the oldest debt; 0 when nothing is owed
	CheckpointAgeSeconds *float64        // since the last checkpoint was saved
	SlotRetainedBytes    *float64        // of log that the server keeps because of the slot
	Owed                 map[string]int  // documents, by collection
	Parked               map[string]int  // documents, by collection
	Paused               map[string]bool // by provider
}

// gaugeCollector asks for the Gauges once a scrape and shows them all, so that they fit together.
type gaugeCollector struct{ read func() Gauges }

func gauge(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

// Metrics have names of their own, and descriptions of them never change.
var (
	lagBytes          = gauge("lag_bytes", "Bytes of log that the server has written and that are not read yet.")
	lagSeconds        = gauge("lag_seconds", "Age of the oldest change that is not read yet.")
	oldestDebtSeconds = gauge("oldest_debt_seconds", "Age of the oldest debt, 0 when nothing is owed.")
	checkpointAge     = gauge("checkpoint_age_seconds", "Time since the last checkpoint was saved.")
	slotRetainedBytes = gauge("slot_retained_bytes", "Bytes of log that the server keeps because of the slot.")
	owedDocuments     = gauge("owed_documents", "Documents whose chunks the index may not have yet.", "collection")
	parkedDocuments   = gauge("parked_documents", "Documents set aside because they cannot be indexed as they are.", "collection")
	pausedProviders   = gauge("paused", "1 while the provider is not asked because it fails or refuses.", "provider")
)

// Describe tells the registry all metrics that Collect may send.
func (gaugeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		lagBytes, lagSeconds, oldestDebtSeconds, checkpointAge, slotRetainedBytes, owedDocuments, parkedDocuments, pausedProviders,
	} {
		ch <- desc
	}
}

// Collect is called for each scrape.
func (c gaugeCollector) Collect(ch chan<- prometheus.Metric) {
	g := c.read()
	send := func(desc *prometheus.Desc, value float64, labels ...string) {
		metric, err := prometheus.NewConstMetric(desc, prometheus.GaugeValue, value, labels...)
		if err != nil {
			metric = prometheus.NewInvalidMetric(desc, err) // spoils this one, not the scrape
		}
		ch <- metric
	}
	known := func(desc *prometheus.Desc, value *float64) {
		if value != nil {
			send(desc, *value)
		}
	}
	known(lagBytes, g.LagBytes)
	known(lagSeconds, g.LagSeconds)
	send(oldestDebtSeconds, g.OldestDebtSeconds)
	known(checkpointAge, g.CheckpointAgeSeconds)
	known(slotRetainedBytes, g.SlotRetainedBytes)
	for collection, n := range g.Owed {
		send(owedDocuments, float64(n), strings.ToValidUTF8(collection, "?"))
	}
	for collection, n := range g.Parked {
		send(parkedDocuments, float64(n), strings.ToValidUTF8(collection, "?"))
	}
	for provider, paused := range g.Paused {
		value := 0.0
		if paused {
			value = 1
		}
		send(pausedProviders, value, provider)
	}
}
