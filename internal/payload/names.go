package payload

import "strings"

// titles are the names of fields that say what a document is called, best first.
var titles = []string{"title", "name", "heading", "headline", "subject", "label", "question"}

// never are the last words of names whose values are for machines.
var never = set("id ids uuid guid slug slugs email emails mail url urls uri href permalink filename filenames path pathname " +
	"mimetype hash salt token key keys checksum otp ip username")

// secret are words that make a name secret-looking wherever they stand.
var secret = set("password passwd passphrase secret secrets token tokens apikey credential credentials hash")

// keyOf are words that make a secret with "key" after them, secretEnd those that make one at the end.
var (
	keyOf     = set("api private secret access encryption signing auth")
	secretEnd = set("salt otp apikeys tokens pin")
)

// choices are the names of selects, which inside rich text cannot be told from text but by their short values.
var choices = set("tone variant style size layout align alignment color colour theme type kind position width height icon " +
	"target rel language lang locale appearance format level status mode direction columns background class classname")

func set(words string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(words) {
		m[w] = true
	}
	return m
}

// isSecret says whether a snake-case name looks like that of a secret: then nothing of it is ever text, and no rule can
// make it.
func isSecret(column string) bool {
	w := wordsOf(column)
	for i, one := range w {
		if secret[one] {
			return true
		}
		if one == "key" && i > 0 && keyOf[w[i-1]] {
			return true
		}
	}
	return len(w) > 0 && secretEnd[w[len(w)-1]]
}

// wordsOf splits a snake-case name. Runs of single letters are one word: Payload writes thumbnailURL thumbnail_u_r_l.
func wordsOf(column string) []string {
	var out []string
	run := false
	for w := range strings.SplitSeq(column, "_") {
		switch {
		case w == "":
			continue
		case len(w) == 1 && run:
			out[len(out)-1] += w
		default:
			out = append(out, w)
		}
		run = len(w) == 1
	}
	return out
}

// isTextName says whether a field of that snake-case name can be text for readers: not an identifier, an address, a
// file name or something secret-looking. A leading underscore is Payload's and the projects' sign for internal.
func isTextName(column string) bool {
	if strings.HasPrefix(column, "_") || column == "block_name" || column == "path" || column == "locale" {
		return false
	}
	w := wordsOf(column)
	if len(w) == 0 || never[w[len(w)-1]] || isSecret(column) {
		return false
	}
	for i := range w {
		if i > 0 && w[i-1] == "mime" && w[i] == "type" {
			return false
		}
	}
	return true
}

// titleRank orders title-like names, best first; -1 for others.
func titleRank(column string) int {
	for i, t := range titles {
		if column == t {
			return i
		}
	}
	w := wordsOf(column)
	if len(w) < 2 {
		return -1
	}
	for _, one := range w[:len(w)-1] {
		switch one {
		case "meta", "seo", "og", "twitter", "author", "file", "user", "first", "last", "block", "sub":
			return -1
		}
	}
	for i, t := range titles[:4] {
		if w[len(w)-1] == t {
			return len(titles) + i
		}
	}
	return -1
}
