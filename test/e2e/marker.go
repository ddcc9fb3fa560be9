package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// marker is a published document that is changed to see how far cdc has read: the log has its change after all that was
// committed before.
type marker struct {
	pool *pgxpool.Pool
	id   string
	n    int
}

// WaitRead waits until cdc has read everything that was committed before the call, and owes nothing for it. A change that
// it has read and that did not name its document may still have a sweep ahead of it: that one waits five seconds for more.
func (w *World) WaitRead(t testing.TB, p *Process) {
	t.Helper()
	ctx := t.Context()
	if w.marker.id == "" {
		id, err := w.Payload.Create(ctx, "news", map[string]any{"title": "Marker", "_status": "published"})
		if err != nil {
			t.Fatal(err)
		}
		w.marker = marker{pool: w.DB.Pool(t), id: id}
	}
	w.marker.n++
	title := fmt.Sprint("Marker ", w.marker.n)
	schema := w.Env["CDC_PAYLOAD_SCHEMA"]
	if schema == "" {
		schema = "public"
	}
	tag, err := w.marker.pool.Exec(ctx, "UPDATE "+pgx.Identifier{schema, "news"}.Sanitize()+" SET title = $1 WHERE id::text = $2", title, w.marker.id)
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("change the marker: %s, %v", tag, err)
	}
	Eventually(t, "cdc has read everything", func() []string {
		v, ok := w.Vectors(t)["news-"+w.marker.id]
		if !ok || v.Data == nil || *v.Data != title {
			return []string{"the marker has not arrived"}
		}
		return p.owingNow(t)
	})
}

// owing is what the status says that cdc owes. A status may be a second old.
func (w *World) owing(t testing.TB, p *Process) []string {
	t.Helper()
	s, err := p.Status(t)
	if err != nil {
		return []string{err.Error()}
	}
	if s.Owed.Documents > 0 || len(s.Owed.Sweeps) > 0 || s.Parked > 0 {
		return []string{fmt.Sprintf("%s: %d documents and %d sweeps owed, %d parked", s.State, s.Owed.Documents, len(s.Owed.Sweeps), s.Parked)}
	}
	return nil
}

// owingNow is what the metrics say that cdc owes: they are of this moment, and know nothing of sweeps.
func (p *Process) owingNow(t testing.TB) []string {
	t.Helper()
	code, body, err := p.Get(t.Context(), "/metrics")
	if err != nil || code != http.StatusOK {
		return []string{fmt.Sprintf("/metrics answers %d, %v", code, err)}
	}
	var owing []string
	collections := 0
	for line := range strings.Lines(string(body)) {
		metric, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(metric, "cdc_owed_documents{") || strings.HasPrefix(metric, "cdc_parked_documents{") {
			collections++
			if value != "0" {
				owing = append(owing, line)
			}
		}
	}
	if collections == 0 {
		return []string{"the metrics do not tell what is owed"}
	}
	return owing
}
