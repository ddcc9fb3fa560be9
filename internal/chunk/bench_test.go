package chunk_test

import (
	"testing"

	"payload-cdc/internal/chunk"
	"payload-cdc/internal/document"
)

func BenchmarkSplit(b *testing.B) {
	s := open(b, chunk.Config{})
	texts := hostile(1 << 18)
	entries := map[string]document.Entry{"article": article(40)}
	for _, name := range []string{"paragraph", "chinese", "x", "emoji", "blanks", "lines", "zero width"} {
		entries[name] = document.Entry{Title: "T", Blocks: []document.Block{{Text: texts[name]}}}
	}
	for name, e := range entries {
		size := 0
		for _, bl := range e.Blocks {
			size += len(bl.Text)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				split(b, s, e)
			}
		})
	}
}
