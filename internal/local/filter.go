package local

import (
	"net/http"
	"strconv"
	"strings"
)

// A filter is the vendor's condition on metadata:
//
//	expr    = and { OR and }
//	and     = unary { AND unary }
//	unary   = "(" expr ")" | pred
//	pred    = ident ( = | != | < | <= | > | >= ) literal
//	        | ident [NOT] GLOB string | ident [NOT] IN "(" literal { "," literal } ")"
//	        | ident [NOT] CONTAINS literal | HAS [NOT] FIELD ident
//	ident   = [a-zA-Z_][a-zA-Z_0-9.[\]#-]*     a.b, a[0], a[#-1] from the end
//	literal = number | 'text' | "text" | true | false
//
// Keywords are in any case. In a text the quote may be doubled or follow a backslash: the vendor documents neither, and
// projects in the wild use both.
type filter struct{ test func(metadata any) bool }

// maxDepth bounds nesting, and so the stack.
const maxDepth = 100

// parseFilter reads a filter. The empty one accepts everything.
func parseFilter(text string) (filter, error) {
	if strings.TrimSpace(text) == "" {
		return filter{}, nil
	}
	p := &filterParser{text: text}
	p.next()
	test, ok := p.or(0)
	if !ok || p.kind != ending {
		return filter{}, refusal(http.StatusUnprocessableEntity, "Invalid filter: syntax error at position %d", p.begin) // our guess
	}
	return filter{test}, nil
}

type tokenKind uint8

const (
	broken tokenKind = iota
	ending
	word   // identifier or keyword
	text   // quoted, unescaped
	number // as written
	symbol // = != < <= > >= ( ) ,
)

// filterParser is a recursive descent over tokens, one ahead.
type filterParser struct {
	text  string
	at    int // after the token
	begin int // of the token
	kind  tokenKind
	token string
}

func (p *filterParser) next() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
	p.begin = p.at
	if p.at == len(p.text) {
		p.kind, p.token = ending, ""
		return
	}
	c := p.text[p.at]
	switch {
	case c == '\'' || c == '"':
		p.quoted(c)
	case isLetter(c):
		for p.at < len(p.text) && (isLetter(p.text[p.at]) || isDigit(p.text[p.at]) || strings.IndexByte(".[]#-", p.text[p.at]) >= 0) {
			p.at++
		}
		p.kind, p.token = word, p.text[p.begin:p.at]
	case isDigit(c) || c == '-' || c == '+' || c == '.':
		p.at++
		for p.at < len(p.text) {
			d := p.text[p.at]
			sign := (d == '-' || d == '+') && (p.text[p.at-1] == 'e' || p.text[p.at-1] == 'E')
			if !isDigit(d) && d != '.' && d != 'e' && d != 'E' && !sign {
				break
			}
			p.at++
		}
		p.kind, p.token = number, p.text[p.begin:p.at]
	default:
		n := 1
		if p.at+1 < len(p.text) && p.text[p.at+1] == '=' && strings.IndexByte("!<>", c) >= 0 {
			n = 2
		}
		p.token = p.text[p.at : p.at+n]
		p.at += n
		p.kind = symbol
		if strings.IndexByte("=<>(),", c) < 0 && p.token != "!=" {
			p.kind = broken
		}
	}
}

func (p *filterParser) quoted(quote byte) {
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		c := p.text[p.at]
		follows := p.at+1 < len(p.text)
		switch {
		case c == '\\' && follows && (p.text[p.at+1] == quote || p.text[p.at+1] == '\\'),
			c == quote && follows && p.text[p.at+1] == quote:
			p.at++
			b.WriteByte(p.text[p.at])
		case c == quote:
			p.at++
			p.kind, p.token = text, b.String()
			return
		default:
			b.WriteByte(c)
		}
	}
	p.kind = broken
}

func isLetter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// take consumes a keyword or symbol if it is next.
func (p *filterParser) take(what string) bool {
	if (p.kind == word || p.kind == symbol) && strings.EqualFold(p.token, what) {
		p.next()
		return true
	}
	return false
}

func (p *filterParser) or(depth int) (func(any) bool, bool) {
	left, ok := p.and(depth)
	for ok && p.take("OR") {
		var right func(any) bool
		if right, ok = p.and(depth); ok {
			a := left
			left = func(m any) bool { return a(m) || right(m) }
		}
	}
	return left, ok
}

func (p *filterParser) and(depth int) (func(any) bool, bool) {
	left, ok := p.unary(depth)
	for ok && p.take("AND") {
		var right func(any) bool
		if right, ok = p.unary(depth); ok {
			a := left
			left = func(m any) bool { return a(m) && right(m) }
		}
	}
	return left, ok
}

func (p *filterParser) unary(depth int) (func(any) bool, bool) {
	if depth > maxDepth {
		return nil, false
	}
	if p.take("(") {
		inner, ok := p.or(depth + 1)
		return inner, ok && p.take(")")
	}
	if p.kind != word {
		return nil, false
	}
	name := p.token
	p.next()
	if strings.EqualFold(name, "HAS") && p.kind == word && (strings.EqualFold(p.token, "FIELD") || strings.EqualFold(p.token, "NOT")) {
		not := p.take("NOT")
		if !p.take("FIELD") || p.kind != word {
			return nil, false
		}
		field, ok := parsePath(p.token)
		p.next()
		return func(m any) bool { _, has := field.in(m); return has != not }, ok
	}
	field, ok := parsePath(name)
	if !ok {
		return nil, false
	}
	test, ok := p.predicate()
	// A missing field fits no predicate, not even a negated one; our guess, as SQL has it.
	return func(m any) bool { v, has := field.in(m); return has && test(v) }, ok
}

func (p *filterParser) predicate() (func(any) bool, bool) {
	if p.kind == symbol {
		op := p.token
		p.next()
		want, ok := p.literal()
		if !ok {
			return nil, false
		}
		return comparison(op, want)
	}
	not := p.take("NOT")
	var test func(any) bool
	switch {
	case p.take("GLOB"):
		pattern, isText := p.token, p.kind == text
		p.next()
		if !isText {
			return nil, false
		}
		test = func(v any) bool { s, ok := v.(string); return ok && glob(pattern, s) != not }
	case p.take("IN"):
		if !p.take("(") {
			return nil, false
		}
		var list []any
		for {
			one, ok := p.literal()
			if !ok {
				return nil, false
			}
			list = append(list, one)
			if !p.take(",") {
				break
			}
		}
		if !p.take(")") {
			return nil, false
		}
		test = func(v any) bool { return contains(list, v) != not }
	case p.take("CONTAINS"):
		want, ok := p.literal()
		if !ok {
			return nil, false
		}
		test = func(v any) bool { list, ok := v.([]any); return ok && contains(list, want) != not }
	default:
		return nil, false
	}
	return test, true
}

// literal reads a string, a float64 or a bool.
func (p *filterParser) literal() (any, bool) {
	defer p.next()
	switch {
	case p.kind == text:
		return p.token, true
	case p.kind == number:
		n, err := strconv.ParseFloat(p.token, 64)
		return n, err == nil
	case p.kind == word && strings.EqualFold(p.token, "true"):
		return true, true
	case p.kind == word && strings.EqualFold(p.token, "false"):
		return false, true
	default:
		return nil, false
	}
}
