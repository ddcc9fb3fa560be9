package admin

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS []byte

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// page shows the facts, without a script. It asks the browser to come again.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	code, f := http.StatusOK, facts{}
	if status, err := s.latest.get(r.Context()); err != nil {
		code, f.Sentence = http.StatusServiceUnavailable, oneLine("Unknown: "+err.Error()+".")
	} else {
		f = status.facts()
	}
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, f); err != nil {
		s.cfg.Logger.Error("the page cannot be written", "err", err)
		http.Error(w, "the page cannot be written; the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(body.Bytes())
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(pageCSS)
}
