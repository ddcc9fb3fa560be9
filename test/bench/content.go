package main

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
)

// contentSize is how long a document's rich text is as Postgres prints it, bytes: the size that a page or two of
// Payload's editor has, and enough to be stored out of line.
const contentSize = 4_400

// content writes the rich text of one document as Payload's editor saves it (Lexical's state). The words are made up
// of syllables, so that it compresses about as badly as prose does.
func content(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	blocks := []any{heading(words(r, 4))}
	for size := 0; size < contentSize-600; {
		p := paragraph(words(r, 40+r.IntN(40)))
		text, _ := json.Marshal(p)
		size += len(text) + len(text)/20 // jsonb prints a space after each colon and comma
		blocks = append(blocks, p)
	}
	state, err := json.Marshal(map[string]any{"root": map[string]any{
		"type": "root", "format": "", "indent": 0, "version": 1, "children": blocks, "direction": "ltr",
	}})
	if err != nil {
		panic(err) // maps of strings and numbers
	}
	return state
}

func heading(text string) map[string]any {
	return map[string]any{
		"tag": "h2", "type": "heading", "format": "", "indent": 0, "version": 1, "direction": "ltr", "children": []any{leaf(text)},
	}
}

func paragraph(text string) map[string]any {
	return map[string]any{
		"type": "paragraph", "format": "", "indent": 0, "version": 1, "direction": "ltr", "textStyle": "", "textFormat": 0,
		"children": []any{leaf(text)},
	}
}

func leaf(text string) map[string]any {
	return map[string]any{"mode": "normal", "text": text, "type": "text", "style": "", "detail": 0, "format": 0, "version": 1}
}

var syllables = strings.Fields("an be cor da el fi gre ha in jo ka lum mi nor ol pra qui ra sen ti ur vel wo xi yan zer sta che bri ple")

func words(r *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		for range 1 + r.IntN(4) {
			b.WriteString(syllables[r.IntN(len(syllables))])
		}
	}
	return b.String()
}
