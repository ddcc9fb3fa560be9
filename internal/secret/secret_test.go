package secret_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"payload-cdc/internal/secret"
)

func TestHide(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name         string
		secrets      []string
		public       []string
		text, hidden string
	}{
		{"anywhere when long", []string{"sk-4711abcd"}, nil, "keysk-4711abcdX and sk-4711abcd.", "key***X and ***."},
		{"alone when short", []string{"abc12"}, nil, "abc12, 'abc12' xabc12 abc123 abc12", "***, '***' xabc12 abc123 ***"},
		{"no part of words", []string{"cat"}, nil, "category concat cat", "category concat ***"},
		{"accented letters are letters", []string{"cat"}, nil, "écat caté", "écat caté"},
		{"what is documented for local servers", []string{"local"}, nil, "locales of the local index", "locales of the local index"},
		{"the user's own name", []string{"postgres"}, []string{"postgres"}, "postgres 17 at postgres://postgres:postgres@db", "postgres 17 at postgres://postgres:***@db"},
		{"one within another", []string{"secret-word", "secret-word-and-more"}, nil, "secret-word-and-more secret-word", "*** ***"},
		{"encoded", []string{"p@ss/wörd?"}, nil, "p%40ss%2Fw%C3%B6rd%3F p@ss/wörd?", "*** ***"},
		{"as JSON", []string{`quo"te<\x`}, nil, `{"a":"quo\"te<\\x"} {"a":"quo\"te\u003c\\x"}`, `{"a":"***"} {"a":"***"}`},
		{"in a page", []string{`a<b&c"def`}, nil, "a&lt;b&amp;c&#34;def", "***"},
		{"unknown in an address", nil, nil, "dial postgres://me:who knows; redis://u:pw@h/1 https://h:443/x@y", "dial postgres://me:who knows; redis://u:***@h/1 https://h:443/x@y"},
		{"unknown keyword", nil, nil, `host=db password='a \' b' user=x password=y?sslpassword=z&a`, `host=db password=*** user=x password=***&a`},
		{"unknown token", nil, nil, "Authorization: Bearer abcdef0123456789", "Authorization: Bearer ***"},
		{"our own example", nil, nil, "want postgres://user:password@host:5432/database", "want postgres://user:password@host:5432/database"},
		{"bearer as a word", nil, nil, "the bearer of this", "the bearer of this"},
		{"nothing", nil, nil, "", ""},
		{"blank", []string{"", " "}, nil, "a  b", "a  b"},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			if got := secret.New(one.secrets, one.public).Hide(one.text); got != one.hidden {
				t.Errorf("got  %s\nwant %s", got, one.hidden)
			}
		})
	}
	if got := (*secret.Hider)(nil).Hide("a://b:c@d"); got != "a://b:***@d" {
		t.Errorf("without secrets: %s", got)
	}
}

func TestInAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][]string{
		"postgres://u:s3cret-word@h/db":                      {"s3cret-word"},
		"postgres://u:s3%40cr%2Fet@h/db":                     {"s3@cr/et", "s3%40cr%2Fet"},
		"postgres://u@h/db?password=s3%26cret&sslpassword=k": {"s3&cret", "k"},
		`host=h user=u password='s3\'cr et' dbname=d`:        {`s3'cr et`},
		"host=h password=s3cret":                             {"s3cret"},
		"https://index.example":                              nil,
		"":                                                   nil,
	} {
		got, public := secret.InAddress(address)
		for _, w := range want {
			found := false
			for _, g := range got {
				found = found || g == w
			}
			if !found {
				t.Errorf("%s: %q is not among %q", address, w, got)
			}
		}
		for _, p := range public {
			for _, w := range want {
				if p == w {
					t.Errorf("%s: %q is public", address, p)
				}
			}
		}
	}
}

// FuzzHide looks for a password that is left in a text, whatever it is and however it is written there.
func FuzzHide(f *testing.F) {
	for _, seed := range []string{"correct horse", `p@ss"w\ord<>`, "%41%zz+ +&", "ünïcödé-pass", "12345678", "::::////@@@@", "a'b'c'd'e'"} {
		f.Add(seed, "payload", "connect to %s: refused")
	}
	f.Fuzz(func(t *testing.T, password, user, around string) {
		if len(password) < 8 || strings.TrimSpace(password) != password || len(around) > 1000 || strings.Contains(mask+user+around, password) {
			return
		}
		u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: "db.example", Path: "/app"}
		secrets, public := secret.InAddress(u.String())
		h := secret.New(secrets, public)
		inJSON, err := json.Marshal(password)
		if err != nil {
			t.Fatal(err)
		}
		for _, written := range []string{password, u.String(), string(inJSON), fmt.Sprintf("%q", password), url.QueryEscape(password), "?password=" + url.QueryEscape(password)} {
			hidden := h.Hide(around + " " + written + " " + around)
			if strings.Contains(hidden, password) && !strings.EqualFold(password, user) && password != "db.example" && !placeholder(password) {
				t.Fatalf("%q is left in %q", password, hidden)
			}
		}
	})
}

const mask = "***"

func placeholder(s string) bool {
	return strings.EqualFold(s, "lm-studio") || strings.EqualFold(s, "no-key-required") || strings.EqualFold(s, "not-needed")
}
