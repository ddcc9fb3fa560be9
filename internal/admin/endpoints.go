package admin

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const maxScrapes = 4 // at once

// handler has one line for each address. The mux answers HEAD where it answers GET, 405 to other methods and 404 to
// other paths.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", s.live)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /api/status", s.status)
	mux.HandleFunc("POST /api/parked/retry", s.retry)
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /page.css", s.style)
	if s.cfg.Gatherer != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Gatherer, promhttp.HandlerOpts{
			ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelWarn),
			// One collector that fails must not blind the operator to all others.
			ErrorHandling:       promhttp.ContinueOnError,
			MaxRequestsInFlight: maxScrapes,
		}))
	}
	return guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard sets what every answer carries: what is shown here is of this moment, for nobody to keep, guess at or frame.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy",
			"default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}

// live asks nothing: a process that answers lives, however its providers do.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	writeText(w, http.StatusOK, "ok")
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ok, reason := s.cfg.Ready()
	code := http.StatusOK
	if !ok {
		code = http.StatusServiceUnavailable
	}
	if wantsJSON(r) {
		writeJSON(w, code, struct {
			Ready  bool   `json:"ready"`
			Reason string `json:"reason"` // empty when there is nothing to say
		}{ok, reason})
		return
	}
	switch {
	case reason != "":
	case ok:
		reason = "ok"
	default:
		reason = "not ready"
	}
	writeText(w, code, reason)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	status, err := s.latest.get(r.Context())
	if err != nil {
		writeJSON(w, http.StatusServiceUnavailable, struct {
			Error string `json:"error"`
		}{err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, status)
}

func wantsJSON(r *http.Request) bool {
	if format := r.URL.Query().Get("format"); format != "" {
		return format == "json"
	}
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}

// That the client left before it had read everything is nobody's concern.

func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, oneLine(text)+"\n")
}

func writeJSON(w http.ResponseWriter, code int, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil { // a number that is no number
		code, body = http.StatusInternalServerError, []byte(`{"error": "the status cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}
