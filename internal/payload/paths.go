package payload

import (
	"strconv"
	"strings"
)

// Payload names a place by the names of fields with the positions of rows between them: "layout.2.columns.0.content".
// Tables and columns have the same names in snake case, those of groups and tabs joined: "seoMeta.metaTitle" is
// seo_meta_meta_title.

// element is one step of a place: the field or array of one table, a blocks field, or a block by its slug.
type element struct {
	name string // plain snake case
	alt  string // what a block may also be called: its whole table's name
}

// plain drops the underscores that do not separate words, so that a name has one spelling.
func plain(snake string) string {
	if !strings.HasPrefix(snake, "_") && !strings.HasSuffix(snake, "_") && !strings.Contains(snake, "__") {
		return snake
	}
	return strings.Join(strings.FieldsFunc(snake, func(r rune) bool { return r == '_' }), "_")
}

// joined is the snake-case name of a field below groups: each part by itself, as Payload makes columns.
func joined(names ...string) string {
	if len(names) == 1 {
		return plain(toSnakeCase(names[0]))
	}
	snake := make([]string, len(names))
	for i, n := range names {
		snake[i] = toSnakeCase(n)
	}
	return plain(strings.Join(snake, "_"))
}

// route is a path as the rows below a document have it, taken apart at its last position.
type route struct {
	text     string
	up       string // the row that the field belongs to, "layout.2.columns.0"; empty for the document
	position int    // of that row, from 0
	within   string // the field that the row is in, "layout.2.columns"
	name     string // of the field, groups included, "content"
	key      string // the name in snake case
	depth    int    // how many rows are around
}

// maxRoute bounds the length of paths, and with it the rows around one.
const maxRoute = 2000

// newRoute takes a path apart; ok is false when it names no field.
func newRoute(path string) (r route, ok bool) {
	if path == "" || len(path) > maxRoute {
		return r, false
	}
	names := strings.Split(path, ".")
	from := 0 // after the last position
	for i, n := range names {
		switch {
		case n == "":
			return r, false
		case !isPosition(n):
		case i == from, len(n) > 9: // no field before it, or no row can be there
			return r, false
		default:
			r.depth++
			from = i + 1
		}
	}
	if from == len(names) {
		return r, false
	}
	if from > 0 {
		r.up = strings.Join(names[:from], ".")
		r.within = strings.Join(names[:from-1], ".")
		r.position, _ = strconv.Atoi(names[from-1])
	}
	r.text = path
	r.name, r.key = strings.Join(names[from:], "."), joined(names[from:]...)
	return r, true
}

func isPosition(name string) bool {
	for i := range len(name) {
		if name[i] < '0' || name[i] > '9' {
			return false
		}
	}
	return true
}

// path is a user's path, "layout.hero.heading", taken apart.
type path struct {
	text  string
	names []string // in snake case, each by itself
	// exact says that it names one field or block, so that it stands for no group of that name.
	exact bool
}

func newPath(text string) path {
	p := path{text: text}
	for n := range strings.SplitSeq(text, ".") {
		p.names = append(p.names, joined(n))
	}
	return p
}

// covered is how a path stands to a place.
type covered uint8

const (
	apart  covered = iota
	around         // the place is below the path
	same
)

// covers says how a place stands to the path: each step of it takes one or more of the path's names.
func (p *path) covers(place []element) covered {
	rest := p.names
	for _, e := range place {
		if len(rest) == 0 {
			return around
		}
		n := take(rest, e)
		switch {
		case n > 0:
			rest = rest[n:]
		case !p.exact && strings.HasPrefix(e.name, strings.Join(rest, "_")+"_"):
			return around // a group
		default:
			return apart
		}
	}
	if len(rest) == 0 {
		return same
	}
	return apart
}

// take says how many of names make the step e; 0 when they do not.
func take(names []string, e element) int {
	for i := range names {
		made := strings.Join(names[:i+1], "_")
		if made == e.name || e.alt != "" && made == e.alt {
			return i + 1
		}
		if len(made) > len(e.name) && len(made) > len(e.alt) {
			break
		}
	}
	return 0
}
