package local

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// accepts says whether a vector's metadata fits the filter. No metadata is as good as {}.
func (f filter) accepts(v *Vector) bool {
	if f.test == nil {
		return true
	}
	var metadata any
	if v.Metadata != nil && json.Unmarshal(v.Metadata, &metadata) != nil {
		return false
	}
	return f.test(metadata)
}

// fieldPath is an identifier taken apart: keys of objects and positions in arrays.
type fieldPath []step

type step struct {
	key      string
	position int
	array    bool
	fromEnd  bool // position counts back from the end: 1 is the last
}

// parsePath reads a.b, a[0] and a[#-1].
func parsePath(ident string) (fieldPath, bool) {
	var path fieldPath
	for rest := ident; rest != ""; {
		switch rest[0] {
		case '.':
			if rest = rest[1:]; rest == "" || len(path) == 0 || rest[0] == '.' || rest[0] == '[' {
				return nil, false
			}
		case '[':
			inside, after, ok := strings.Cut(rest[1:], "]")
			s := step{array: true}
			if back, from := strings.CutPrefix(inside, "#-"); from {
				s.fromEnd, inside = true, back
			}
			n, err := strconv.Atoi(inside)
			if !ok || err != nil || n < 0 || len(path) == 0 {
				return nil, false
			}
			s.position = n
			path, rest = append(path, s), after
			if rest != "" && rest[0] != '.' && rest[0] != '[' {
				return nil, false
			}
		default:
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if strings.Contains(rest[:end], "]") {
				return nil, false
			}
			path, rest = append(path, step{key: rest[:end]}), rest[end:]
		}
	}
	return path, len(path) > 0
}

// in follows the path. A null is as good as absent.
func (path fieldPath) in(value any) (any, bool) {
	for _, s := range path {
		if s.array {
			list, ok := value.([]any)
			i := s.position
			if s.fromEnd {
				i = len(list) - i
			}
			if !ok || i < 0 || i >= len(list) {
				return nil, false
			}
			value = list[i]
			continue
		}
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[s.key]; !ok {
			return nil, false
		}
	}
	return value, value != nil
}

// comparison returns the test of an operator. Order is of numbers only; what cannot be compared fits nothing.
func comparison(op string, want any) (func(any) bool, bool) {
	number, isNumber := want.(float64)
	ordered := func(fits func(a, b float64) bool) (func(any) bool, bool) {
		return func(v any) bool { n, ok := v.(float64); return ok && fits(n, number) }, isNumber
	}
	switch op {
	case "=":
		return func(v any) bool { return equal(v, want) }, true
	case "!=":
		return func(v any) bool { return !equal(v, want) }, true
	case "<":
		return ordered(func(a, b float64) bool { return a < b })
	case "<=":
		return ordered(func(a, b float64) bool { return a <= b })
	case ">":
		return ordered(func(a, b float64) bool { return a > b })
	case ">=":
		return ordered(func(a, b float64) bool { return a >= b })
	default:
		return nil, false
	}
}

// equal compares texts, numbers and booleans; true and false are also written 1 and 0.
func equal(a, b any) bool {
	if x, ok := a.(bool); ok {
		a = bit(x)
	}
	if x, ok := b.(bool); ok {
		b = bit(x)
	}
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return ok && x == y
	case float64:
		y, ok := b.(float64)
		return ok && x == y
	default:
		return false
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func contains(list []any, v any) bool {
	return slices.ContainsFunc(list, func(one any) bool { return equal(one, v) })
}

// glob matches a UNIX pattern against a whole text, in time proportional to their product: * ? [abc] [a-z] [^abc].
func glob(pattern, s string) bool {
	star, retry := -1, 0
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, retry = p, i
			p++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if width, ok := globOne(pattern[p:], r); ok {
			p += width
			i += size
			continue
		}
		if star < 0 {
			return false
		}
		// Give the last star one more.
		_, size = utf8.DecodeRuneInString(s[retry:])
		retry += size
		p, i = star+1, retry
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// globOne matches the pattern's first element, not a star, against one rune.
func globOne(pattern string, r rune) (width int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	want, size := utf8.DecodeRuneInString(pattern)
	switch want {
	case '?':
		return size, true
	case '[':
		rest := pattern[1:]
		rest, negated := strings.CutPrefix(rest, "^")
		fits := false
		for first := true; rest != ""; first = false {
			low, n := utf8.DecodeRuneInString(rest)
			rest = rest[n:]
			if low == ']' && !first {
				return len(pattern) - len(rest), fits != negated
			}
			high := low
			if strings.HasPrefix(rest, "-") && len(rest) > 1 && rest[1] != ']' {
				high, n = utf8.DecodeRuneInString(rest[1:])
				rest = rest[1+n:]
			}
			fits = fits || low <= r && r <= high
		}
		return 0, false // never closed
	default:
		return size, want == r
	}
}
