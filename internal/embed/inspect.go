package embed

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"

	openai "github.com/sashabaranov/go-openai"

	"payload-cdc/internal/failure"
)

// damage is a response that says it is good and is not. The first is tried again; class is what the second means.
type damage struct {
	class  failure.Class
	text   string
	remedy string
}

func (d *damage) Error() string { return d.text }

func permanent(format string, args ...any) *damage {
	return &damage{class: failure.Permanent, text: fmt.Sprintf(format, args...)}
}

// inspect looks for what the client library lets pass: an error in a good response, garbage after it, missing or doubled
// vectors, vectors of another dimension, nulls (which become zeros), a number of bytes that makes no whole number of
// floats. It says whether the vectors are arrays of numbers instead of base64.
func inspect(body []byte, texts, dimensions int) (arrays bool, bad *damage) {
	var r struct {
		Data []struct {
			Index     *int            `json:"index"`
			Embedding json.RawMessage `json:"embedding"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		// A proxy's page, or a response cut short: nothing a document could do about it.
		return false, &damage{class: failure.Transient, text: "response is not of the protocol: " + err.Error()}
	}
	if len(r.Data) == 0 {
		text := "no vectors"
		if why := reasonOf(body); why.message != "" {
			text = "an error with status 200: " + why.message
		}
		return false, &damage{class: failure.Transient, text: text}
	}
	if len(r.Data) != texts {
		return false, permanent("%d vectors for %d texts", len(r.Data), texts)
	}
	seen := make([]bool, texts)
	other, size := 0, 0 // vectors of another dimension, and that of the last
	for i, d := range r.Data {
		if d.Index == nil || *d.Index < 0 || *d.Index >= texts || seen[*d.Index] {
			return false, permanent("vector %d of %d has an index that is missing, doubled or none of ours", i, texts)
		}
		seen[*d.Index] = true
		var n int
		switch {
		case len(d.Embedding) > 0 && d.Embedding[0] == '[':
			arrays = true
			var numbers []*float64
			if err := json.Unmarshal(d.Embedding, &numbers); err != nil {
				return false, permanent("vector %d: %v", i, err)
			}
			for _, v := range numbers {
				if v == nil {
					return false, permanent("vector %d holds null", i)
				}
			}
			n = len(numbers)
		case len(d.Embedding) > 0 && d.Embedding[0] == '"':
			var text string
			if err := json.Unmarshal(d.Embedding, &text); err != nil {
				return false, permanent("vector %d: %v", i, err)
			}
			bytes, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return false, permanent("vector %d: %v", i, err)
			}
			if len(bytes)%4 != 0 {
				return false, permanent("vector %d has %d bytes, no whole number of floats", i, len(bytes))
			}
			n = len(bytes) / 4
		default:
			return false, permanent("vector %d is missing", i)
		}
		if n != dimensions {
			other, size = other+1, n
		}
	}
	switch {
	case other == texts:
		return arrays, &damage{
			class: failure.Systemic, text: fmt.Sprintf("the vectors have %d dimensions, not %d", size, dimensions),
			remedy: "make CDC_EMBED_DIMENSIONS, the model and the index agree",
		}
	case other > 0:
		return arrays, permanent("%d of %d vectors have another dimension than %d", other, texts, dimensions)
	}
	return arrays, nil
}

// place returns the vectors by their index, which inspect has seen to be a permutation; finite and of length one.
func place(data []openai.Embedding, normalize bool) ([][]float32, error) {
	out := make([][]float32, len(data))
	for _, d := range data {
		var sum float64
		for _, v := range d.Embedding {
			sum += float64(v) * float64(v)
		}
		norm := math.Sqrt(sum) // NaN or Inf if any number is
		switch {
		case math.IsNaN(norm) || math.IsInf(norm, 0):
			return nil, permanent("vector %d is not finite", d.Index)
		case norm == 0:
			return nil, permanent("vector %d is all zeros", d.Index)
		case normalize:
			for i := range d.Embedding {
				d.Embedding[i] = float32(float64(d.Embedding[i]) / norm)
			}
		case math.Abs(norm-1) > 1e-2:
			return nil, permanent("vector %d has length %.3f, not 1", d.Index, norm)
		}
		out[d.Index] = d.Embedding
	}
	return out, nil
}
