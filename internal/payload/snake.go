package payload

import (
	"strings"
	"unicode"
)

// toSnakeCase is what Payload makes of slugs and field names: the npm package to-snake-case 1.0.0, quirks included.
// Every capital gets its own underscore (extraJSON, extra_j_s_o_n), unless the name has a separator: then capitals
// are only lowered (blog-postItems, blog_postitems). Letters outside ASCII are separators.
func toSnakeCase(name string) string {
	switch {
	case strings.ContainsFunc(name, isSpace):
		name = lower(name)
	case strings.ContainsAny(name, "_-.:"):
		if spaced := words(name); spaced != "" {
			name = spaced
		}
		name = lower(name)
	case isCamel(name):
		name = lower(splitCapitals(name))
	default:
		name = lower(name)
	}
	return strings.ReplaceAll(strings.Trim(words(name), " "), " ", "_")
}

// words replaces every run of non-word characters by one space, and drops the last one.
func words(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range s {
		if !isWord(r) {
			gap = true
			continue
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		b.WriteRune(r)
	}
	return b.String()
}

// splitCapitals puts a space before each capital, except one that begins the name.
func splitCapitals(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && isCapital(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func isCamel(s string) bool {
	for i := 1; i < len(s); i++ {
		a, b := rune(s[i-1]), rune(s[i])
		if isSmall(a) && isCapital(b) || isCapital(a) && isSmall(b) {
			return true
		}
	}
	return false
}

// lower is JavaScript's toLowerCase, which differs from Go's in one letter that matters here.
func lower(s string) string { return strings.ToLower(strings.ReplaceAll(s, "İ", "i\u0307")) }

func isCapital(r rune) bool { return 'A' <= r && r <= 'Z' }
func isSmall(r rune) bool   { return 'a' <= r && r <= 'z' }
func isWord(r rune) bool {
	return isSmall(r) || isCapital(r) || '0' <= r && r <= '9'
}
func isSpace(r rune) bool { return unicode.IsSpace(r) && r != '\u0085' || r == '\ufeff' }
