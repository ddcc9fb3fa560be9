package local

import (
	"strings"
	"testing"
	"time"
)

func TestFilter(t *testing.T) {
	const metadata = `{"s":"it's","n":5,"neg":-0.5,"t":true,"f":false,"null":null,"list":["a",1,true],"o":{"p":{"q":[1,[2,3]]}},"dash-ed":1,"and":1}`
	v := &Vector{Metadata: []byte(metadata)}
	for text, want := range map[string]bool{
		``: true, "  ": true,
		`s = 'it''s'`: true, `s = 'it\'s'`: true, `s = "it's"`: true, `s = 'its'`: false, `s != 'x'`: true, `s > 3`: false, `s = 5`: false,
		`n = 5`: true, `n=5.0`: true, `n = +5e0`: true, `n>4.9`: true, `n<5`: false, `n <= 5`: true, `n >= 6`: false, `n != '5'`: true, `n = '5'`: false,
		`neg < 0`: true, `neg = -.5`: true,
		`t = true`: true, `t = 1`: true, `f = 0`: true, `f = FALSE`: true, `t != false`: true, `t IN (1)`: true,
		`null = 1`: false, `null != 1`: false, `HAS FIELD null`: false, `HAS NOT FIELD null`: true,
		`missing = 1`: false, `missing != 1`: false, `missing NOT IN (1)`: false, `missing NOT GLOB '*'`: false, `HAS NOT FIELD missing`: true, `has field s`: true,
		`list CONTAINS 'a'`: true, `list contains 1`: true, `list NOT CONTAINS 'b'`: true, `s CONTAINS 'i'`: false, `s NOT CONTAINS 'i'`: false, `list = 'a'`: false,
		`list[0] = 'a'`: true, `list[#-1] = true`: true, `list[#-3] = 'a'`: true, `list[#-4] = 'a'`: false, `list[9] = 1`: false,
		`o.p.q[1][0] = 2`: true, `o.p.q[#-1][#-1] = 3`: true, `o.p = 1`: false, `HAS FIELD o.p.q`: true, `s.x = 1`: false,
		`dash-ed = 1`: true, `and = 1`: true,
		`n = 1 OR n = 5 AND s = 'x'`: false, `n = 5 OR n = 1 AND s = 'x'`: true, `(n = 5 OR n = 1) AND s = 'x'`: false, `((n = 5))`: true,
		`s GLOB 'it*'`: true, `s GLOB 'IT*'`: false, `s GLOB '*'`: true, `s GLOB '????'`: true, `s GLOB '???'`: false, `n GLOB '*'`: false, `s NOT GLOB 'x*'`: true,
	} {
		f, err := parseFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := f.accepts(v); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{
		`n`, `n =`, `= 5`, `n = 5 AND`, `n = 5 n = 5`, `n == 5`, `n <> 5`, `n = 5)`, `(n = 5`, `n = x`, `n < 'x'`, `n < true`, `n = 'x`, `n = "x'`, `n IN 5`, `n IN ()`, `n IN (5,)`, `n IN (5`,
		`n NOT = 5`, `NOT n = 5`, `NOT (n = 5)`, `n GLOB 5`, `n BETWEEN 1 AND 2`, `n IS NULL`, `HAS n`, `HAS FIELD`, `HAS FIELD 'n'`, `.n = 5`, `n. = 5`, `n..m = 5`, `n[] = 5`, `n[a] = 5`, `n[1 = 5`,
		`n[1]m = 5`, `n] = 5`, `n[-1] = 5`, `ü = 5`, `n = 5;`, `n = 1.2.3`, `n ! 5`, `n = --5`, strings.Repeat("(", 200) + "n = 5" + strings.Repeat(")", 200),
	} {
		if _, err := parseFilter(text); err == nil {
			t.Errorf("%s is no filter", text)
		}
	}
}

func TestGlob(t *testing.T) {
	for pattern, texts := range map[string]map[string]bool{
		"":           {"": true, "a": false},
		"*":          {"": true, "abc": true},
		"a*c":        {"ac": true, "abbc": true, "abcd": false},
		"*b*":        {"abc": true, "b": true, "ac": false},
		"a?c":        {"abc": true, "aüc": true, "ac": false},
		"[a-c]x":     {"bx": true, "dx": false, "x": false},
		"[^a-c]x":    {"dx": true, "bx": false},
		"[]]":        {"]": true, "x": false},
		"[^]]":       {"x": true, "]": false},
		"[a-]":       {"-": true, "a": true, "b": false},
		"[а-я]*":     {"привет": true, "hello": false},
		"[ab":        {"a": false, "[ab": false},
		"a**b":       {"ab": true, "axb": true},
		"*a*b*c*d*e": {"xaxbxcxdxe": true, "edcba": false},
	} {
		for text, want := range texts {
			if got := glob(pattern, text); got != want {
				t.Errorf("%q on %q: %v", pattern, text, got)
			}
		}
	}
}

// FuzzFilter looks for a panic, a hang, and a filter that means something else between parentheses.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		`a = 'x' AND b.c[0] >= 1.5e3 OR HAS NOT FIELD d`, `t NOT GLOB "[^a-z]*?" and l CONTAINS 3`, `x NOT IN (1,'2',true)`, `((a = 1) OR (b != 'it''s\'')`, `a[#-1].b = false`,
	} {
		f.Add(seed, `{"a":["x",{"b":false}],"b":{"c":[1500]},"t":"title","l":[3],"x":1}`)
	}
	f.Fuzz(func(t *testing.T, text, metadata string) {
		if len(text) > 1000 || len(metadata) > 1000 {
			return
		}
		began := time.Now()
		one, err := parseFilter(text)
		if err != nil || one.test == nil {
			return
		}
		v := &Vector{Metadata: []byte(metadata)}
		got := one.accepts(v)
		if again, err := parseFilter("(" + text + ")"); err == nil && again.accepts(v) != got {
			t.Errorf("%q means something else in parentheses", text)
		}
		if time.Since(began) > 5*time.Second {
			t.Errorf("%q on %q takes too long", text, metadata)
		}
	})
}
