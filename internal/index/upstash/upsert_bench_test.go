package upstash_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"

	"payload-cdc/internal/document"
	"payload-cdc/internal/index/upstash"
)

// BenchmarkUpsert is 200 vectors of 1024 dimensions to a server that answers at once: encoding and sending.
func BenchmarkUpsert(b *testing.B) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		b.SetBytes(n)
		_, _ = io.WriteString(w, `{"result":"Success"}`)
	}))
	defer web.Close()
	x, err := upstash.New(upstash.Config{URL: web.URL, Token: token, Dimensions: 1024, MaxBytes: 8 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	all := make([]document.Vector, 200)
	for i := range all {
		all[i] = vector("posts-" + string(rune('a'+i%26)))
		all[i].Values = make([]float32, 1024)
		for j := range all[i].Values {
			all[i].Values[j] = float32(rand.NormFloat64() / 32)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := x.Upsert(b.Context(), all); err != nil {
			b.Fatal(err)
		}
	}
}
