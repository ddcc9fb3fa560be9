package chunk

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
	"github.com/clipperhouse/uax29/v2/sentences"
	"github.com/clipperhouse/uax29/v2/words"
)

// maxSentence bounds the bytes in which the end of a sentence is looked for, because the rules of UAX #29 look ahead
// without bound: text made for it would take quadratic time. No sentence of that length fits into a chunk anyway.
const maxSentence = 4096

// cutSentences returns the sentences of text as units, those over limit in windows.
func (s *Splitter) cutSentences(text string, limit int) ([]unit, error) {
	var out []unit
	for sentence := range sentencesOf(text) {
		n, err := s.Count(sentence)
		if err != nil {
			return nil, err
		}
		if n <= limit {
			out = append(out, unit{text: sentence, tokens: n})
			continue
		}
		parts, err := s.windows(sentence, limit)
		if err != nil {
			return nil, err
		}
		out = append(out, parts...)
	}
	return out, nil
}

// sentencesOf yields the sentences of text (UAX #29) with the blanks that follow them.
func sentencesOf(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > 0 {
			look := head(text, maxSentence)
			all := len(look) == len(text)
			done := 0
			for it := sentences.FromString(look); it.Next(); {
				v := it.Value()
				if done+len(v) == len(look) && !all { // ends where we stopped looking, so it may be longer
					if done > 0 {
						break
					}
					v = text[:boundary(text, 0, len(look))]
				}
				if !yield(v) {
					return
				}
				done += len(v)
			}
			text = text[done:]
		}
	}
}

// windows cuts text every limit tokens or a little before: after a blank, else between words, else between characters
// as people see them, at the very least between code points.
func (s *Splitter) windows(text string, limit int) ([]unit, error) {
	limit = max(limit, 1)
	_, tokens, err := s.codec.Encode(text)
	if err != nil {
		return nil, fmt.Errorf("encode tokens: %w", err)
	}
	ends := make([]int, len(tokens)) // byte offsets in text
	end := 0
	for i, t := range tokens {
		end += len(t)
		ends[i] = end
	}
	if end != len(text) {
		return nil, fmt.Errorf("encode tokens: %d bytes became %d", len(text), end)
	}
	var out []unit
	for from, first := 0, 0; from < len(text); {
		to, n := len(text), len(ends)-first
		if n > limit {
			to = boundary(text, from, ends[first+limit-1])
			n = limit
		}
		out = append(out, unit{text: text[from:to], tokens: n})
		from = to
		for first < len(ends) && ends[first] <= from {
			first++
		}
	}
	return out, nil
}

// boundary returns the best place to cut in text[from:to], to itself included; after at least one code point. from is
// between code points, to may be within one.
func boundary(text string, from, to int) int {
	half := from + (to-from)/2
	for to > from && to < len(text) && !utf8.RuneStart(text[to]) {
		to--
	}
	if i := strings.LastIndexFunc(text[half:to], unicode.IsSpace); i >= 0 {
		_, n := utf8.DecodeRuneInString(text[half+i:])
		return half + i + n
	}
	look := text[from:min(len(text), to+64)] // enough to know whether to is within a word
	best, at := 0, from
	for it := words.FromString(look); it.Next(); {
		if at += len(it.Value()); at > to {
			break
		}
		best = at
	}
	if best > half {
		return best
	}
	best, at = 0, from
	for it := graphemes.FromString(look); it.Next(); {
		if at += len(it.Value()); at > to {
			break
		}
		best = at
	}
	if best > from {
		return best
	}
	if to > from {
		return to
	}
	_, n := utf8.DecodeRuneInString(text[from:])
	return from + n
}

// shorten returns text in at most limit tokens, its middle left out if need be, and whether it is whole.
func (s *Splitter) shorten(text string, limit int) (short string, whole bool, err error) {
	whole = true
	if bytes := 32 * limit; len(text) > 2*bytes { // bounded first: a huge title costs no more than a long one
		text, whole = head(text, bytes)+" … "+tail(text, bytes), false
	}
	n, err := s.Count(text)
	if err != nil || n <= limit {
		return text, whole, err
	}
	_, tokens, err := s.codec.Encode(text)
	if err != nil {
		return "", false, fmt.Errorf("encode tokens: %w", err)
	}
	for keep := limit - 2; keep > 0; keep-- { // a cut can make its neighbours cost more
		begin, end := strings.Join(tokens[:(keep+1)/2], ""), strings.Join(slices.Clone(tokens[len(tokens)-keep/2:]), "")
		begin, end = strings.TrimRight(validHead(begin), " "), strings.TrimLeft(validTail(end), " ")
		short = begin + " … " + end
		if n, err = s.Count(short); err != nil || n <= limit {
			return short, false, err
		}
	}
	return "", false, nil
}

// validHead drops what a token left of a code point at the end of s, validTail at its beginning.
func validHead(s string) string {
	for len(s) > 0 {
		if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}

func validTail(s string) string {
	for len(s) > 0 && !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	return s
}
