package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestPercentileIsAValueThatWasMeasured(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	for _, c := range []struct {
		values []float64
		share  float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.99, 7},
		{[]float64{2, 1}, 0.5, 1},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
	} {
		if got := percentile(c.values, c.share); got != c.want {
			t.Errorf("percentile of %d values at %v is %v, want %v", len(c.values), c.share, got, c.want)
		}
	}
}

// One turn on a slow minute of the machine must not decide.
func TestRatioIsTheMedianOfTheTurns(t *testing.T) {
	ours := []usage{{Wall: 11}, {Wall: 60}, {Wall: 12}}
	theirs := []usage{{Wall: 10}, {Wall: 20}, {Wall: 10}}
	f := versus("wall", "s", func(u usage) float64 { return u.Wall }, ours, theirs, "them")
	if f.Measured != 12 || f.Beside != 10 || f.Ratio != 1.2 {
		t.Errorf("measured %v beside %v, ratio %v; want 12 beside 10, ratio 1.2", f.Measured, f.Beside, f.Ratio)
	}
	if f := versus("cpu", "s", func(u usage) float64 { return u.ServerCPU }, ours, theirs, "them"); f.Ratio != 0 {
		t.Errorf("the ratio to something unknown is %v, want none", f.Ratio)
	}
}

func TestReportSaysWhetherAimsAreMet(t *testing.T) {
	r := report{
		Backlog: &backlog{CDC: []usage{{Wall: 13, RSS: 65 << 20}}, Recv: []usage{{Wall: 10, RSS: 8 << 20}}},
		Latency: &latency{Publishes: 1, Total: []float64{30}, Servers: []float64{10}, Above: []float64{20}},
	}
	r.figure()
	met := map[string]bool{}
	for _, f := range r.Figures {
		if f.Aim != "" {
			met[f.Name] = f.Met
		}
	}
	want := map[string]bool{"backlog, wall": true, "backlog, peak RSS": false, "  above the servers', p50": true, "  above the servers', p99": true}
	for name, is := range want {
		if got, ok := met[name]; !ok || got != is {
			t.Errorf("%s: met %v (has an aim: %v), want %v", name, got, ok, is)
		}
	}
	var table, text bytes.Buffer
	if err := r.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(table.String(), "figure") || !strings.Contains(table.String(), "1.30×") {
		t.Errorf("the table lacks its head or a ratio:\n%s", &table)
	}
	if err := r.writeJSON(&text); err != nil {
		t.Fatal(err)
	}
	var back report
	if err := json.Unmarshal(text.Bytes(), &back); err != nil || len(back.Figures) != len(r.Figures) {
		t.Errorf("read back: %v, %d figures, want %d", err, len(back.Figures), len(r.Figures))
	}
}

// What the backlog is made of has to be what Postgres stores out of line.
func TestContentIsAPageOfRichText(t *testing.T) {
	for seed := range uint64(50) {
		text := content(seed)
		if !json.Valid(text) || len(text) < 3500 || len(text) > 6000 {
			t.Fatalf("seed %d: %d bytes, valid %v", seed, len(text), json.Valid(text))
		}
	}
	if !bytes.Equal(content(1), content(1)) || bytes.Equal(content(1), content(2)) {
		t.Error("the text must be decided by its seed alone")
	}
}
