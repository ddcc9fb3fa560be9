package payload

import (
	"slices"
	"strings"
)

// plan decides what is read of a collection: which tables and columns, in which order. names is what rows tell of the
// spelling of its fields, all and keys what its relations can lead to. The warnings are rules that nothing proves or disproves.
func (c *collection) plan(rules Rules, names *names, all []candidate, keys []foreignKey) (warnings []string, err error) {
	c.rules = rules
	upload := c.root.has("filename", "mime_type", "filesize")
	c.parts = newParts(c.root)
	for _, p := range c.parts {
		p.chooseFields(upload && p.kind == root)
	}
	rulebook := &compiler{collection: c, names: names, all: all, foreign: keys}
	if err := rulebook.compile(rules); err != nil {
		return nil, err
	}
	c.describeSkipped(upload)
	c.prune(rulebook)
	for i, p := range c.parts {
		p.n = i
		p.lay()
	}
	if c.locales != nil && !slices.ContainsFunc(c.parts, func(p *part) bool { return p.table == c.locales }) {
		c.locales = nil
	}
	c.Localized = slices.ContainsFunc(c.parts, func(p *part) bool { return p.localized })
	c.chooseTitles()
	c.placeMetas()
	c.placeRelations(all)
	for _, p := range c.parts {
		p.sql = c.selects(p)
	}
	c.describe(names)
	return rulebook.warnings, nil
}

// prune leaves out the columns that the rules make no text of, and the tables that can neither hold text nor lead to it:
// any array or block can be around other blocks. What the role may not read, and all below it, is left out too: a new
// block that nobody has granted yet must not keep the documents around it from the index.
func (c *collection) prune(rules *compiler) {
	for _, p := range c.parts {
		p.fields = slices.DeleteFunc(p.fields, func(f field) bool {
			switch {
			case rules.needs(p, f.column), p.kind == texts, p.kind == numbers:
				return false
			case !p.static: // which rules hold there is told by rows
				return p.kind == selects
			case p.kind == selects:
				rank, _ := c.sel.rank(p.place, false)
				return rank == out
			}
			place := append(slices.Clip(p.place), element{name: plain(f.name)})
			rank, _ := c.sel.rank(place, f.text)
			inside, title := f.json && c.sel.reaches(place), len(place) == 1 && c.isTitle(f.column, f.text)
			return rank == out && !inside && !title
		})
	}
	blocks := rules.dynamic && slices.ContainsFunc(c.parts, func(p *part) bool { return !p.static && len(p.fields) > 0 })
	lists := map[kind]bool{}
	for _, p := range c.parts {
		lists[p.kind] = lists[p.kind] || p.kind == texts && rules.texts || p.kind == numbers && rules.numbers
	}
	// What is in a block, or told by a path, can be below any array and any block.
	around := blocks || lists[texts] || lists[numbers] || rules.around
	keep := map[*part]bool{}
	var visit func(p *part) bool
	visit = func(p *part) bool {
		if p.above != nil && !p.readable && p.table != c.locales {
			return false
		}
		needed := p.above == nil
		switch p.kind {
		case texts, numbers:
			needed = lists[p.kind]
		case rels:
			needed = len(p.fields) > 0
		case block:
			needed = around
		case array:
			needed = len(p.fields) > 0 && p.static || around
		case locales, selects:
			needed = len(p.fields) > 0 && (p.static || blocks)
		}
		if c.StatusPerLocale && p.table == c.locales {
			needed = true
		}
		for _, b := range p.below {
			needed = visit(b) || needed
		}
		keep[p] = needed
		return needed
	}
	visit(c.parts[0])
	c.parts = slices.DeleteFunc(c.parts, func(p *part) bool { return !keep[p] })
	for _, p := range c.parts {
		p.below = slices.DeleteFunc(p.below, func(b *part) bool { return !keep[b] })
	}
}

// isTitle says whether a column of the document can be its title. A title is one even where it is not among the text.
func (c *collection) isTitle(col *column, text bool) bool {
	return text && col.typ != "jsonb" && titleRank(col.name) >= 0 && (c.sel == nil || c.sel.among(c.sel.exclude, []element{{name: plain(col.name)}}) == apart)
}

// chooseTitles lists the root's title-like fields, the one that the rules name first.
func (c *collection) chooseTitles() {
	top := c.parts[0]
	for i := range top.spots {
		s := &top.spots[i]
		place := []element{{name: plain(s.name)}}
		switch {
		case c.sel != nil && c.sel.title != nil && c.sel.title.covers(place) == same:
			c.titles = slices.Insert(c.titles, 0, s)
		case c.isTitle(s.column, s.text):
			c.titles = append(c.titles, s)
		}
	}
}

// describe lists what is embedded, in the order in which it is written.
func (c *collection) describe(names *names) {
	type line struct {
		rank int
		text string
	}
	var lines []line
	add := func(rank int, path string) {
		if rank != out {
			lines = append(lines, line{rank, path})
		}
	}
	var walk func(at *place, up, path string, depth int)
	walk = func(at *place, up, path string, depth int) {
		for i := range at.spots {
			name := path + at.part.spots[i].name
			add(at.spots[i].rank, name)
			if at.spots[i].deep && at.spots[i].rank == out {
				add(0, name+".…")
			}
		}
		for _, key := range names.lists[up] {
			add(c.sel.list(at, &list{key: key.key, kind: key.kind}).rank, path+names.spell(key.key))
		}
		for _, p := range at.part.below {
			if p.kind == selects {
				add(c.sel.list(at, &list{key: p.key, kind: selects}).rank, path+names.spell(p.key))
			}
		}
		if depth > maxNested {
			return
		}
		for i, p := range at.part.arrays() {
			walk(c.sel.array(at, i), up+p.key+"/", path+names.spell(p.key)+".", depth+1)
		}
		for _, b := range names.blocks[up] {
			for _, p := range c.parts {
				if p.kind == block && b.tables[p.name] {
					walk(c.sel.block(at, b.key, p), up+b.key+"/", path+names.spell(b.key)+"."+p.key+".", depth+1)
				}
			}
		}
	}
	top := c.sel.place(c.parts[0], nil)
	walk(top, "", "", 0)
	for _, p := range c.parts {
		if p.kind == block && !names.seen[p.name] { // of which the field is not known, for there are no rows
			walk(c.sel.block(top, "*", p), "*/", "*."+p.key+".", maxNested)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.rank - b.rank })
	for _, l := range lines {
		if !slices.Contains(c.Fields, l.text) {
			c.Fields = append(c.Fields, l.text)
		}
	}
	c.Fields = append(c.Fields, c.Related...)
}

// maxNested bounds how deep blocks in blocks are listed.
const maxNested = 12

// describeSkipped lists the fields of the document and its arrays and blocks that are no text, with the reason.
func (c *collection) describeSkipped(upload bool) {
	for _, p := range c.parts {
		if p.kind != root && p.kind != locales && p.kind != array && p.kind != block {
			continue
		}
		for i := range p.columns {
			col := &p.columns[i]
			why := whyNot(p, col, upload && p.kind == root)
			place := append(p.steps(), element{name: plain(col.name)})
			if rank, _ := c.sel.rank(place, why == ""); p.static && rank == out && why == "" {
				why = "left out by the rules"
			} else if rank != out {
				why = ""
			}
			if why == "" || why == "structure" || why == "no text" {
				continue
			}
			c.Skipped = append(c.Skipped, pathText(place)+": "+why)
		}
	}
}

// steps is the path of a part from the document, or from the block around it.
func (p *part) steps() (steps []element) {
	for ; p.above != nil; p = p.above {
		if p.kind != locales {
			steps = append([]element{{name: p.key}}, steps...)
		}
	}
	return steps
}

func pathText(place []element) string {
	names := make([]string, len(place))
	for i, e := range place {
		names[i] = e.name
	}
	return strings.Join(names, ".")
}
