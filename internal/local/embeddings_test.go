package local_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"payload-cdc/internal/local"
)

type embedded struct {
	Object string
	Data   []struct {
		Index     int
		Embedding json.RawMessage
	}
	Model string
	Usage struct {
		Prompt int `json:"prompt_tokens"`
		Total  int `json:"total_tokens"`
	}
}

func (c *client) embed(t *testing.T, body string) embedded {
	t.Helper()
	status, answer, _, err := c.send(t, "/v1/embeddings", body)
	var e embedded
	if err != nil || status != 200 || json.Unmarshal([]byte(answer), &e) != nil {
		t.Fatalf("%s: %d %s %v", body, status, answer, err)
	}
	return e
}

func (e embedded) values(t *testing.T, i int) []float32 {
	t.Helper()
	var encoded string
	if json.Unmarshal(e.Data[i].Embedding, &encoded) != nil {
		var values []float32
		if err := json.Unmarshal(e.Data[i].Embedding, &values); err != nil {
			t.Fatal(err)
		}
		return values
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw)%4 != 0 {
		t.Fatal(err)
	}
	values := make([]float32, len(raw)/4)
	for j := range values {
		values[j] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*j:]))
	}
	return values
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestEmbeddings(t *testing.T) {
	var told []string
	s, c := serve(t, local.Config{Dimensions: 64, OnEmbed: func(texts []string) { told = append(told, texts...) }})
	floats := c.embed(t, `{"model":"m","input":["hello world","hello there world","something else"]}`)
	if floats.Model != "m" || floats.Usage.Prompt != 7 || floats.Usage.Total != 7 || len(floats.Data) != 3 {
		t.Errorf("%+v", floats)
	}
	bytes := c.embed(t, `{"model":"m","input":["hello world","hello there world","something else"],"encoding_format":"base64"}`)
	for i := range 3 {
		a, b := floats.values(t, i), bytes.values(t, i)
		if len(a) != 64 || fmt.Sprint(a) != fmt.Sprint(b) || math.Abs(dot(a, a)-1) > 1e-6 || floats.Data[i].Index != i {
			t.Errorf("%d: %v %v", i, a, b)
		}
	}
	if near, far := dot(floats.values(t, 0), floats.values(t, 1)), dot(floats.values(t, 0), floats.values(t, 2)); near < far+0.3 {
		t.Errorf("near %v, far %v", near, far)
	}
	if len(told) != 6 || told[0] != "hello world" {
		t.Errorf("told %q", told)
	}
	if n := s.Counts(); n.Inputs != 6 || n.Tokens != 14 || n.Requests["embeddings"] != 2 {
		t.Errorf("%+v", n)
	}
}

func TestEmbeddingLimits(t *testing.T) {
	s, c := serve(t, local.Config{})
	repeat := func(one string, n int) string {
		return `{"model":"m","input":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`
	}
	long := `"` + strings.Repeat(" a", 8000) + `"`
	for body, want := range map[string]string{
		`{"model":"m","input":""}`:                    `'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.`,
		`{"model":"m"}`:                               `'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.`,
		`{"model":"m","input":[[9999999]]}`:           `'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.`,
		repeat(`"a"`, 2049):                           `Invalid 'input': array too long. Expected an array with maximum length 2048, but got an array with length 2049 instead.`,
		repeat(long, 38):                              `Requested 304000 tokens, max 300000 tokens per request`,
		repeat(`"`+strings.Repeat("x", 99999), 1):     `We could not parse the JSON body of your request.`,
		repeat(`"`+strings.Repeat(" b", 8193)+`"`, 1): `This model's maximum context length is 8192 tokens, however you requested 8193 tokens (8193 in your prompt; 0 for the completion). Please reduce your prompt; or completion length.`,
	} {
		status, answer, _, err := c.send(t, "/v1/embeddings", body)
		var e struct {
			Error struct{ Message, Type string }
		}
		if err != nil || status != 400 || json.Unmarshal([]byte(answer), &e) != nil || e.Error.Message != want || e.Error.Type == "" {
			t.Errorf("%.60s: %d %s %v", body, status, answer, err)
		}
	}
	if n := s.Counts().Inputs; n != 0 {
		t.Errorf("%d inputs of refused requests were embedded", n)
	}
}

func TestEmbeddingFaults(t *testing.T) {
	s, c := serve(t, local.Config{})
	const body = `{"model":"m","input":["a","b"],"encoding_format":"base64"}`
	next := func(f local.Fault) { s.EmbeddingFaults().Next(1, "embeddings", f) }
	next(local.ShortData)
	if e := c.embed(t, body); len(e.Data) != 1 {
		t.Errorf("%+v", e)
	}
	next(local.WrongIndex)
	if e := c.embed(t, body); e.Data[0].Index != 0 || e.Data[1].Index != 0 {
		t.Errorf("%+v", e)
	}
	next(local.OutOfOrder)
	if e := c.embed(t, body); e.Data[0].Index != 1 || e.Data[1].Index != 0 {
		t.Errorf("%+v", e)
	}
	next(local.NotANumber)
	if e := c.embed(t, body); !math.IsNaN(float64(e.values(t, 1)[0])) {
		t.Errorf("%+v", e)
	}
	next(local.NotANumber)
	if _, answer, _, _ := c.send(t, "/v1/embeddings", `{"model":"m","input":"a"}`); !strings.Contains(answer, "[NaN,") {
		t.Error(answer)
	}
	next(local.Quota)
	if status, answer, _, _ := c.send(t, "/v1/embeddings", body); status != 429 || !strings.Contains(answer, `"code":"insufficient_quota"`) {
		t.Error(answer)
	}
	next(local.CutBody)
	if _, _, _, err := c.send(t, "/v1/embeddings", body); err == nil {
		t.Error("the body came whole")
	}
	c.embed(t, body)
}
