package local_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"payload-cdc/internal/local"
)

// BenchmarkServer is what the servers themselves take of a test's or a demo's time, 1024 dimensions.
func BenchmarkServer(b *testing.B) {
	const dimensions = 1024
	s := local.New(local.Config{Dimensions: dimensions})
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	send := func(b *testing.B, path, body string) {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, web.URL+path, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer local")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
	}
	defer http.DefaultClient.CloseIdleConnections()
	text := strings.Repeat("How do I return an order that never arrived? ", 30)
	values, err := local.Hashed{}.Embed(context.Background(), []string{text}, dimensions)
	if err != nil {
		b.Fatal(err)
	}
	vector := strings.ReplaceAll(fmt.Sprint(values[0]), " ", ",")
	one := func(i int) string { return fmt.Sprintf(`{"id":"posts-%d","vector":%s,"data":%q}`, i, vector, text) }
	many := make([]string, 200)
	for i := range many {
		many[i] = one(i)
	}
	for name, request := range map[string][2]string{
		"upsert 1":        {"/upsert", one(0)},
		"upsert 200":      {"/upsert", "[" + strings.Join(many, ",") + "]"},
		"query":           {"/query", `{"vector":` + vector + `,"topK":10}`},
		"embed 1":         {"/v1/embeddings", fmt.Sprintf(`{"model":"m","input":%q,"encoding_format":"base64"}`, text)},
		"embed 64":        {"/v1/embeddings", fmt.Sprintf(`{"model":"m","input":[%s],"encoding_format":"base64"}`, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%q,", text), 64), ","))},
		"delete nothing":  {"/delete", `{"ids":["nothing"]}`},
		"info of 200":     {"/info", ""},
		"range 200 by id": {"/range", `{"cursor":"0","limit":1000,"includeMetadata":true}`},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				send(b, request[0], request[1])
			}
		})
	}
}
