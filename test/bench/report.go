package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// report is everything that was measured.
type report struct {
	Figures []figure `json:"figures"`
	Method  []string `json:"method"`
	Seconds float64  `json:"seconds"`
	Backlog *backlog `json:"backlog,omitempty"`
	Latency *latency `json:"latency,omitempty"`
}

// figure is one line of the table.
type figure struct {
	Name     string  `json:"figure"`
	Unit     string  `json:"unit"`
	Measured float64 `json:"measured"`
	Beside   float64 `json:"beside"`
	BesideIs string  `json:"beside_is"`
	Ratio    float64 `json:"ratio"` // zero when there is none
	Aim      string  `json:"aim"`   // empty when there is none
	Met      bool    `json:"met"`
}

// The aims.
const (
	aimWall = 1.3      // times pg_recvlogical's
	aimRSS  = 64 << 20 // bytes
	aimP50  = 25       // milliseconds above the servers' own time
	aimP99  = 100
)

// figure makes the table's lines of what was measured.
func (r *report) figure() {
	if b := r.Backlog; b != nil {
		const recv = "pg_recvlogical"
		r.Method = append(r.Method, fmt.Sprintf(
			"backlog: %d one-row transactions on %d drafts, %d MiB of log; %d turns, who begins changes; medians, and the ratio is the median of the turns' ratios; cdc from exec to exit, with its start and its checkpoints",
			b.Changes, b.Documents, b.WALBytes>>20, len(b.CDC)))
		wall := func(u usage) float64 { return u.Wall }
		cpu := func(u usage) float64 { return u.cpu() }
		user := func(u usage) float64 { return u.User }
		server := func(u usage) float64 { return u.ServerCPU }
		rss := func(u usage) float64 { return float64(u.RSS) / (1 << 20) }
		line := versus("backlog, wall", "s", wall, b.CDC, b.Recv, recv)
		line.Aim, line.Met = fmt.Sprintf("≤ %.1f×", aimWall), line.Ratio <= aimWall
		r.Figures = append(r.Figures, line,
			versus("backlog, client CPU", "s", cpu, b.CDC, b.Recv, recv),
			versus("  of it in user mode", "s", user, b.CDC, b.Recv, recv),
			versus("backlog, server CPU", "s", server, b.CDC, b.Recv, recv))
		line = versus("backlog, peak RSS", "MiB", rss, b.CDC, b.Recv, recv)
		line.Measured = rss(slices.MaxFunc(b.CDC, func(a, b usage) int { return cmp.Compare(a.RSS, b.RSS) })) // a peak is a peak
		line.Ratio = line.Measured / line.Beside
		line.Aim, line.Met = fmt.Sprintf("≤ %d MiB", aimRSS>>20), line.Measured <= aimRSS>>20
		r.Figures = append(r.Figures, line)
		if len(b.Against) > 0 {
			const other = "the other cdc"
			r.Figures = append(r.Figures,
				versus("against, wall", "s", wall, b.CDC, b.Against, other),
				versus("against, client CPU", "s", cpu, b.CDC, b.Against, other),
				versus("against, server CPU", "s", server, b.CDC, b.Against, other),
				versus("against, peak RSS", "MiB", rss, b.CDC, b.Against, other))
		}
		if len(b.Drain) > 0 {
			r.Figures = append(r.Figures,
				versus("stream alone, wall", "s", wall, b.Drain, b.Recv, recv),
				versus("stream alone, client CPU", "s", cpu, b.Drain, b.Recv, recv))
		}
		r.Figures = append(r.Figures,
			figure{Name: "nothing to read, wall", Unit: "s", Measured: b.Idle.Wall},
			figure{Name: "nothing to read, peak RSS", Unit: "MiB", Measured: rss(b.Idle)})
	}
	if l := r.Latency; l != nil {
		r.Method = append(r.Method, fmt.Sprintf(
			"latency: %d publishes one by one, each one transaction; from the return of COMMIT until the index applied the first chunk; providers on loopback that answer at once",
			l.Publishes))
		for _, p := range []struct {
			name string
			at   float64
			aim  float64
		}{{"p50", 0.50, aimP50}, {"p99", 0.99, aimP99}} {
			above := percentile(l.Above, p.at)
			r.Figures = append(r.Figures,
				figure{Name: "publish → applied, " + p.name, Unit: "ms", Measured: percentile(l.Total, p.at), Beside: percentile(l.Servers, p.at), BesideIs: "servers' own"},
				figure{Name: "  above the servers', " + p.name, Unit: "ms", Measured: above, Aim: fmt.Sprintf("≤ %.0f ms", p.aim), Met: above <= p.aim})
		}
	}
}

// versus compares medians; its ratio is the median of the ratios turn by turn, which a slow minute of the machine
// disturbs least.
func versus(name, unit string, of func(usage) float64, ours, theirs []usage, them string) figure {
	f := figure{Name: name, Unit: unit, Measured: median(apply(ours, of)), Beside: median(apply(theirs, of)), BesideIs: them}
	var ratios []float64
	for i := range min(len(ours), len(theirs)) {
		if t := of(theirs[i]); t > 0 {
			ratios = append(ratios, of(ours[i])/t)
		}
	}
	f.Ratio = median(ratios)
	return f
}

func apply(all []usage, of func(usage) float64) []float64 {
	out := make([]float64, len(all))
	for i, u := range all {
		out[i] = of(u)
	}
	return out
}

func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile is the smallest value that at least that share of all values does not exceed.
func percentile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}

func (r *report) writeJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

func (r *report) writeTable(out io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tmeasured\tbeside\tratio\taim\tmet")
	for _, f := range r.Figures {
		beside, ratio, met := "–", "–", "–"
		if f.BesideIs != "" {
			beside = f.quantity(f.Beside) + " " + f.BesideIs
		}
		if f.Ratio > 0 {
			ratio = strconv.FormatFloat(f.Ratio, 'f', 2, 64) + "×"
		}
		if f.Aim != "" {
			met = map[bool]string{true: "yes", false: "no"}[f.Met]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.quantity(f.Measured), beside, ratio, cmp.Or(f.Aim, "–"), met)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteByte('\n')
	for _, line := range r.Method {
		b.WriteString(line + "\n")
	}
	fmt.Fprintf(&b, "the whole run took %s\n", seconds(r.Seconds))
	_, err := io.WriteString(out, b.String())
	return err
}

func (f figure) quantity(v float64) string {
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + f.Unit
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 1, 64) + " s" }

func mebi(bytes int64) int64 { return bytes >> 20 }
