package local

import (
	"context"
	"hash/fnv"
	"math"
	"strings"
	"unicode"
)

// Model turns texts into vectors. Safe for concurrent use.
type Model interface {
	// Embed returns one unit vector of that many dimensions for each text, in order; the same for the same text.
	Embed(ctx context.Context, texts []string, dimensions int) ([][]float32, error)
}

// Hashed is a Model without weights: each word and each pair of neighbouring words adds or subtracts one at a place
// its hash decides. Texts that share words are near each other; words that mean the same are not. It is deterministic
// and takes microseconds, which is what tests need.
type Hashed struct{}

// Embed implements Model.
func (Hashed) Embed(ctx context.Context, texts []string, dimensions int) ([][]float32, error) {
	vectors := make([][]float32, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		vectors[i] = hashed(text, dimensions)
	}
	return vectors, nil
}

func hashed(text string, dimensions int) []float32 {
	sums := make([]float64, dimensions)
	add := func(feature string, weight float64) {
		h := fnv.New64a()
		h.Write([]byte(feature))
		n := h.Sum64()
		// FNV's high bits mix poorly for short words; fold before use.
		n ^= n >> 29
		n *= 0xbf58476d1ce4e5b9
		n ^= n >> 32
		if n>>63 == 1 {
			weight = -weight
		}
		sums[n%uint64(dimensions)] += weight
	}
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	for i, w := range words {
		add(w, 1)
		if i > 0 {
			add(words[i-1]+" "+w, 0.5)
		}
	}
	norm := 0.0
	for _, s := range sums {
		norm += s * s
	}
	if norm == 0 {
		// No words, or sums that cancel: any fixed unit vector will do, as long as it depends on the text.
		add("\x00"+text, 1)
		norm = 0
		for _, s := range sums {
			norm += s * s
		}
		if norm == 0 {
			sums[0], norm = 1, 1
		}
	}
	norm = math.Sqrt(norm)
	values := make([]float32, dimensions)
	for i, s := range sums {
		values[i] = float32(s / norm)
	}
	return values
}
