// Package secret takes passwords, keys and tokens out of texts that people and programs get to see.
//
// The idea: whatever is printed, logged, stored as a reason or answered over HTTP passes a Hider that knows every secret
// of the configuration in each of the ways it may be written. The invariant: a secret of eight characters or more is
// nowhere in Hide's result. Shorter ones are taken out where they stand alone, for "***" in the middle of words helps
// nobody: the key "local" is no reason to write "***es" for "locales". Limits: what is cut off in the middle of a
// secret before it is given to Hide is not found.
package secret

import (
	"cmp"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// mask stands where a secret stood.
const mask = "***"

// long is how many bytes make a word that occurs in no other by accident.
const long = 8

// Hider knows secrets. Nil, and the zero Hider, know none; what stands where a password stands is hidden all the same.
// Safe for concurrent use once made.
type Hider struct {
	long  *strings.Replacer // each anywhere
	short []string          // each where it stands alone
}

// placeholders are what local servers document as their key, because clients insist on one. Everybody knows them.
var placeholders = []string{"local", "ollama", "none", "empty", "lm-studio", "no-key-required", "not-needed"}

// New returns a Hider of these secrets. public are words that are shown anyway, such as the names of users and databases:
// a password that is one of them is hidden where a password stands, and nowhere else, for elsewhere it says nothing.
func New(secrets, public []string) *Hider {
	h := &Hider{}
	var words []string
	for _, one := range secrets {
		lower := strings.ToLower(strings.TrimSpace(one))
		if lower == "" || slices.Contains(placeholders, lower) || slices.ContainsFunc(public, func(p string) bool { return strings.EqualFold(p, one) }) {
			continue
		}
		for _, written := range spellings(one) {
			switch {
			case len(written) >= long:
				words = append(words, written)
			case len(one) > 1:
				h.short = append(h.short, written)
			}
		}
	}
	longer := func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }
	slices.SortFunc(words, longer) // a secret that contains another goes first
	slices.SortFunc(h.short, longer)
	h.short = slices.Compact(h.short)
	pairs := make([]string, 0, 2*len(words))
	for _, w := range slices.Compact(words) {
		pairs = append(pairs, w, mask)
	}
	h.long = strings.NewReplacer(pairs...)
	return h
}

// spellings are the ways in which a secret may be written: as it is, in an address, in JSON, quoted, in a page.
func spellings(one string) []string {
	inJSON, _ := json.Marshal(one) // of a string this does not fail
	list := []string{
		one, strings.TrimSpace(one), url.QueryEscape(one), url.PathEscape(one), url.UserPassword("", one).String()[1:],
		strings.Trim(string(inJSON), `"`), html.EscapeString(one), strings.ToLower(url.QueryEscape(one)),
	}
	if quoted := strconv.Quote(one); len(quoted) > 2 {
		list = append(list, quoted[1:len(quoted)-1])
		again := strconv.Quote(quoted[1 : len(quoted)-1]) // a quoted text within a quoted text
		list = append(list, again[1:len(again)-1])
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}

var (
	// inAddress is a password in an address. It ends at the last @ before a blank or a slash.
	inAddress = regexp.MustCompile("(?i)(\\b[a-z][a-z0-9+.-]*://[^\\s/?#:@\"'`]*:)([^\\s/\"'`]+)(@)")
	// keyword is a password in the other form of a connection string, or in an address's query.
	keyword = regexp.MustCompile(`(?i)\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&"'\x60]+)`)
	// bearer is a token as HTTP carries it.
	bearer = regexp.MustCompile(`(?i)\b(bearer\s+)([A-Za-z0-9._~+/=-]{8,})`)
)

// example is in the address that our own messages show as what is wanted.
const example = "://user:password@"

// Hide returns the text without secrets.
func (h *Hider) Hide(text string) string {
	if h != nil && h.long != nil {
		text = h.long.Replace(text)
		for _, word := range h.short {
			text = alone(text, word)
		}
	}
	if strings.Contains(text, "://") {
		text = inAddress.ReplaceAllStringFunc(text, func(found string) string {
			if strings.HasSuffix(found, example) {
				return found
			}
			return inAddress.ReplaceAllString(found, "${1}"+mask+"${3}")
		})
	}
	text = keyword.ReplaceAllString(text, "${1}"+mask)
	return bearer.ReplaceAllString(text, "${1}"+mask)
}

// alone replaces a word where no letter and no digit is next to it.
func alone(text, word string) string {
	var b strings.Builder
	for begin := 0; ; {
		i := strings.Index(text[begin:], word)
		if i < 0 {
			b.WriteString(text[begin:])
			return b.String()
		}
		at, end := begin+i, begin+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(text[:at])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if at > 0 && partOfWord(before) || end < len(text) && partOfWord(after) {
			_, size := utf8.DecodeRuneInString(text[at:])
			b.WriteString(text[begin : at+size])
			begin = at + size
			continue
		}
		b.WriteString(text[begin:at])
		b.WriteString(mask)
		begin = end
	}
}

func partOfWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// InAddress returns the passwords of a connection string or a URL in either form, and what of it may be seen. One that
// cannot be read is a secret as a whole.
func InAddress(address string) (secrets, public []string) {
	if address == "" {
		return nil, nil
	}
	u, err := url.Parse(address)
	switch m := inAddress.FindStringSubmatch(address); {
	case err == nil && u.Scheme != "":
	case m != nil: // several hosts, or a password that is not encoded as it should be
		decoded, _ := url.PathUnescape(m[2])
		return []string{m[2], decoded}, nil
	case strings.Contains(address, "://"):
		return []string{address}, nil
	default:
		return keywords(address)
	}
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password)
		if raw, _, ok := strings.Cut(strings.TrimPrefix(address, u.Scheme+"://"), "@"); ok {
			if _, written, ok := strings.Cut(raw, ":"); ok {
				secrets = append(secrets, written) // as the user has encoded it
			}
		}
	}
	for name, values := range u.Query() {
		if telling.MatchString(name) {
			secrets = append(secrets, values...)
		}
	}
	return secrets, append(public, u.User.Username(), u.Hostname(), strings.TrimPrefix(u.Path, "/"))
}

// telling are names of parameters that hold a secret; sslkey names a file.
var telling = regexp.MustCompile(`(?i)(password|token|secret|api[-_]?key|^key)$`)

var pair = regexp.MustCompile(`(?i)\b([a-z_]+)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)`)

// keywords reads the form "host=… password=…".
func keywords(text string) (secrets, public []string) {
	for _, m := range pair.FindAllStringSubmatch(text, -1) {
		value := m[2]
		if inner, ok := strings.CutPrefix(value, "'"); ok {
			inner = strings.TrimSuffix(inner, "'")
			value = strings.NewReplacer(`\'`, `'`, `\\`, `\`).Replace(inner)
			if strings.Contains(strings.ToLower(m[1]), "password") {
				secrets = append(secrets, inner)
			}
		}
		switch name := strings.ToLower(m[1]); {
		case strings.HasSuffix(name, "password"):
			secrets = append(secrets, value)
		case name == "user", name == "dbname", name == "host":
			public = append(public, value)
		}
	}
	return secrets, public
}
