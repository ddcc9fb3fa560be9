package payload

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// tape is a JSON text and where each of its values stands: one flat list, so that no document makes a tree of
// allocations. A value is named by its place in the list; what is inside an array or object follows it.
type tape struct {
	src  []byte
	list []value
}

type value struct {
	from, to int32 // in src
	next     int32 // the place after this value and all that is inside it
	kind     byte  // '{' '[' '"' 't' 'f' 'n' or '0' for a number
}

// newTape reads one JSON value. ok is false when src is not one, or is nested deeper than 10,000 levels.
func newTape(src []byte) (t *tape, ok bool) {
	if !json.Valid(src) {
		return nil, false
	}
	t = &tape{src: src}
	var open []int32
	for i := 0; i < len(src); {
		at, c := i, src[i]
		switch c {
		case ' ', '\t', '\r', '\n', ',', ':':
			i++
			continue
		case ']', '}':
			i++
			last := open[len(open)-1]
			open = open[:len(open)-1]
			t.list[last].to, t.list[last].next = int32(i), int32(len(t.list))
			continue
		case '{', '[':
			i++
			open = append(open, int32(len(t.list)))
		case '"':
			for i++; src[i] != '"'; i++ {
				if src[i] == '\\' {
					i++
				}
			}
			i++
		case 't', 'f', 'n':
			for i < len(src) && 'a' <= src[i] && src[i] <= 'z' {
				i++
			}
		default:
			for c = '0'; i < len(src) && strings.IndexByte("+-.0123456789eE", src[i]) >= 0; {
				i++
			}
		}
		t.list = append(t.list, value{from: int32(at), to: int32(i), next: int32(len(t.list) + 1), kind: c})
	}
	return t, true
}

func (t *tape) kind(v int32) byte { return t.list[v].kind }

// inside calls each with every element of the array v, or every key and value of the object v, until it returns false.
func (t *tape) inside(v int32, each func(key, v int32) bool) {
	end := t.list[v].next
	for at := v + 1; at < end; {
		key := at
		if t.list[v].kind == '{' {
			at++
		}
		if !each(key, at) {
			return
		}
		at = t.list[at].next
	}
}

// get returns the member of the object v, or -1.
func (t *tape) get(v int32, name string) int32 {
	if v < 0 || t.list[v].kind != '{' {
		return -1
	}
	end := t.list[v].next
	for at := v + 1; at < end; at = t.list[at+1].next {
		if k := t.list[at]; string(t.src[k.from+1:k.to-1]) == name {
			return at + 1
		}
	}
	return -1
}

// of returns v if it is of that kind, else -1.
func (t *tape) of(v int32, kind byte) int32 {
	if v < 0 || t.list[v].kind != kind {
		return -1
	}
	return v
}

// text returns the string v as valid UTF-8 without NUL; empty when v is not a string.
func (t *tape) text(v int32) string {
	if t.of(v, '"') < 0 {
		return ""
	}
	raw := t.src[t.list[v].from:t.list[v].to]
	var s string
	plain := utf8.Valid(raw)
	for _, c := range raw {
		plain = plain && c != '\\'
	}
	if plain {
		return string(raw[1 : len(raw)-1])
	}
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return strings.ReplaceAll(s, "\x00", "")
}

// string returns the string member of the object v; empty when there is none.
func (t *tape) string(v int32, name string) string { return t.text(t.get(v, name)) }

// number returns the digits of the number v; empty when v is not one.
func (t *tape) number(v int32) string {
	if t.of(v, '0') < 0 {
		return ""
	}
	return string(t.src[t.list[v].from:t.list[v].to])
}
