package payload

import (
	"slices"
	"strings"
)

// place is where rows stand, and what of them is text there: the rules of layout.hero are not those of sidebar.hero.
// Places are made as rows of a batch need them.
type place struct {
	part   *part
	path   []element
	spots  []choice // as the part's spots
	arrays []*place // as the part's arrays; nil until needed
	lists  map[string]choice
	blocks map[placed]*place

	refers   []referring // columns of its rows that relations are; not before referred
	referred bool
}

// placed names a block below a place: its field and its type.
type placed struct {
	key  string
	part *part
}

// choice is what the rules say of one field.
type choice struct {
	rank  int // the pass in which it is text; out when it is none
	named bool
	deep  bool // rules go on inside: what is there is told apart value by value
}

func (s *selection) place(p *part, path []element) *place {
	at := &place{part: p, path: path, spots: make([]choice, len(p.spots))}
	step := append(slices.Clip(path), element{})
	for i, spot := range p.spots {
		step[len(path)] = element{name: plain(spot.name)}
		at.spots[i].rank, at.spots[i].named = s.rank(step, spot.text)
		at.spots[i].deep = spot.json && s.reaches(step)
	}
	return at
}

// array is the place of the part's array i.
func (s *selection) array(at *place, i int) *place {
	arrays := at.part.arrays()
	if at.arrays == nil {
		at.arrays = make([]*place, len(arrays))
	}
	if at.arrays[i] == nil {
		at.arrays[i] = s.place(arrays[i], append(slices.Clip(at.path), element{name: arrays[i].key}))
	}
	return at.arrays[i]
}

// block is the place of a type of block in a field.
func (s *selection) block(at *place, key string, p *part) *place {
	one := at.blocks[placed{key, p}]
	if one == nil {
		one = s.place(p, append(slices.Clip(at.path), element{name: key}, p.element()))
		if at.blocks == nil {
			at.blocks = map[placed]*place{}
		}
		at.blocks[placed{key, p}] = one
	}
	return one
}

// element is a block's step in a path.
func (p *part) element() element { return element{name: p.key, alt: plain(p.name)} }

// list is what the rules say of a hasMany field. By default texts are text, if their name is not a machine's.
func (s *selection) list(at *place, l *list) choice {
	one, known := at.lists[l.key]
	if !known {
		one.rank, one.named = s.rank(append(slices.Clip(at.path), element{name: l.key}), l.kind == texts && isTextName(l.key))
		if at.lists == nil {
			at.lists = map[string]choice{}
		}
		at.lists[strings.Clone(l.key)] = one
	}
	return one
}
