package payload

import "slices"

// selection is what Rules make of the text of one collection. The zero value takes what is text by default.
type selection struct {
	include, exclude []path
	passes           []path // Order's, or FirstOf's
	first            bool   // the passes are FirstOf's: the first that has text is the text
	title            *path
}

// out is the rank of what is no text.
const out = -1

// rank says in which pass the field at a place is text: out for none. named says that a rule names the very field, so
// that it is text whatever its name and type say.
func (s *selection) rank(place []element, isText bool) (rank int, named bool) {
	if s == nil {
		if isText {
			return 0, false
		}
		return out, false
	}
	if s.among(s.exclude, place) != apart {
		return out, false
	}
	if len(s.include) > 0 && !s.first {
		switch s.among(s.include, place) {
		case apart:
			return out, false
		case same:
			named = true
		}
	}
	i := slices.IndexFunc(s.passes, func(p path) bool {
		c := p.covers(place)
		named = named || s.first && c == same
		return c != apart
	})
	switch {
	case !isText && !named, s.first && i < 0:
		return out, named
	case i < 0:
		return len(s.passes), named
	}
	return i, named
}

// among says how a place stands to the nearest of the paths.
func (s *selection) among(paths []path, place []element) covered {
	best := apart
	for i := range paths {
		best = max(best, paths[i].covers(place))
	}
	return best
}

// count is how many passes there are.
func (s *selection) count() int {
	switch {
	case s == nil:
		return 1
	case s.first:
		return len(s.passes)
	}
	return len(s.passes) + 1
}

// reaches says whether a path of the selection goes on below a place, so that what is there has to be told apart.
func (s *selection) reaches(place []element) bool {
	if s == nil {
		return false
	}
	for _, list := range [][]path{s.include, s.exclude, s.passes} {
		for i := range list {
			if list[i].goesBelow(place) {
				return true
			}
		}
	}
	return false
}

// goesBelow says whether the path names something below a place.
func (p *path) goesBelow(place []element) bool {
	rest := p.names
	for _, e := range place {
		n := take(rest, e)
		if n == 0 {
			return false
		}
		rest = rest[n:]
	}
	return len(rest) > 0
}
