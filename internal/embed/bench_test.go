package embed_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"payload-cdc/internal/embed"
)

// BenchmarkEmbed is the cost of a full request besides the provider's own time: 128 texts of 400 tokens, 1024 numbers each.
func BenchmarkEmbed(b *testing.B) {
	v := make([]float32, 1024)
	v[7] = 1
	rec := httptest.NewRecorder()
	texts := make([]string, embed.DefaultMaxInputs)
	for i := range texts {
		texts[i] = strings.Repeat("word ", 400)
	}
	answer(rec, wire{Input: texts, Format: "base64"}, func(d []datum) []datum {
		for i := range d {
			d[i].Embedding = b64(v)
		}
		return d
	})
	body := rec.Body.Bytes()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	defer srv.Close()
	o, err := embed.NewOpenAI(embed.Config{APIKey: key, BaseURL: srv.URL})
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := o.Embed(b.Context(), texts); err != nil {
			b.Fatal(err)
		}
	}
}
