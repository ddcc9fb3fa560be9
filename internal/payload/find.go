package payload

import (
	"fmt"
	"slices"
	"strings"
)

// hidden are columns that no path names.
var hidden = set("_uuid _order _parent_id parent_id _path path _locale locale order block_name")

// find looks for what the names of a path say below a part. up is the place of the part as the sample has it.
func (c *compiler) find(p *part, names []string, up string) (target, error) {
	for k := len(names); k > 0; k-- {
		key, rest := joined(names[:k]...), names[k:]
		if t, ok := c.field(p, key, up); ok {
			switch {
			case len(rest) == 0:
				return t, nil
			case t.kind == aColumn && t.column.typ == "jsonb":
				t.kind = inJSON
				return t, nil
			case t.kind != aColumn && t.kind != aList:
				return c.inside(t, key, rest, up)
			}
			return target{}, fmt.Errorf("%s has no fields", strings.Join(names[:k], "."))
		}
	}
	key := joined(names...)
	if c.isGroup(p, key, up) {
		return target{kind: aGroup, part: p}, nil
	}
	// The name of a blocks field, or of a hasMany one, is only in rows.
	for k := 1; k < len(names); k++ {
		if b := c.block(names[k]); b != nil && (c.rules.Proved || !c.tells(p)) {
			return c.inside(target{kind: aBlocksField, part: p}, joined(names[:k]...), names[k:], up)
		}
	}
	if c.rules.Proved || !c.tells(p) {
		return target{kind: untold, part: p}, nil
	}
	known := c.known(p, up)
	return target{}, fmt.Errorf("there is no such field%s There are: %s", near(strings.Join(names, "."), known), strings.Join(known, ", "))
}

func near(name string, known []string) string {
	if s := nearest(name, known); s != "" {
		return s
	}
	return "."
}

// inside goes on in an array or a blocks field.
func (c *compiler) inside(t target, key string, rest []string, up string) (target, error) {
	if t.kind == anArray {
		return c.find(t.part, rest, up+key+"/")
	}
	b := c.block(rest[0])
	if b == nil {
		var known []string
		for _, p := range c.parts {
			if p.kind == block && !slices.Contains(known, p.key) {
				known = append(known, p.key)
			}
		}
		return target{}, fmt.Errorf("there is no block %q%s There are: %s", rest[0], near(rest[0], known), strings.Join(known, ", "))
	}
	if len(rest) == 1 {
		return target{kind: aBlock, part: b}, nil
	}
	return c.find(b, rest[1:], up+key+"/")
}

// block finds a type of block by its slug, or by its table when dbName hides that.
func (c *compiler) block(slug string) *part {
	for _, p := range c.parts {
		if p.kind == block && take([]string{joined(slug)}, p.element()) > 0 {
			return p
		}
	}
	return nil
}

// field returns the field of a part that has a key: a column, of its locales too, an array, a list, or a blocks field.
func (c *compiler) field(p *part, key, up string) (target, bool) {
	for _, from := range []*part{p, p.locales()} {
		if from == nil {
			continue
		}
		for i := range from.columns {
			col := &from.columns[i]
			if hidden[col.name] || from != p && col.name == "id" {
				continue
			}
			if plain(col.name) == key || col.ref && plain(col.name) == key+"_id" {
				return target{kind: aColumn, part: from, column: col, localized: from != p}, true
			}
		}
	}
	for _, b := range p.below {
		switch {
		case b.key != key:
		case b.kind == array:
			return target{kind: anArray, part: b}, true
		case b.kind == selects:
			return target{kind: aList, part: b, list: selects}, true
		}
	}
	for _, l := range c.names.lists[up] {
		if l.key == key {
			return target{kind: aList, part: p, list: l.kind}, true
		}
	}
	for _, b := range c.names.blocks[up] {
		if b.key == key {
			return target{kind: aBlocksField, part: p}, true
		}
	}
	return target{}, false
}

// isGroup says whether fields of a part are in a group of that key.
func (c *compiler) isGroup(p *part, key, up string) bool {
	return slices.ContainsFunc(c.keys(p, up), func(k string) bool { return strings.HasPrefix(k, key+"_") })
}

// keys lists the fields of a part.
func (c *compiler) keys(p *part, up string) (keys []string) {
	for _, from := range []*part{p, p.locales()} {
		if from == nil {
			continue
		}
		for i := range from.columns {
			if col := &from.columns[i]; !hidden[col.name] && (from == p || col.name != "id") {
				keys = append(keys, plain(col.name))
			}
		}
	}
	for _, b := range p.below {
		if b.kind == array || b.kind == selects {
			keys = append(keys, b.key)
		}
	}
	for _, l := range c.names.lists[up] {
		keys = append(keys, l.key)
	}
	for _, b := range c.names.blocks[up] {
		keys = append(keys, b.key)
	}
	return keys
}

// known lists the fields of a part for people, secrets left out.
func (c *compiler) known(p *part, up string) (known []string) {
	for _, key := range c.keys(p, up) {
		if name := c.names.spell(key); !isSecret(key) && !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	return known
}

// tells says whether the rows tell of every blocks and hasMany field that there can be below the root: then a name that
// is not among them is wrong.
func (c *compiler) tells(p *part) bool {
	for _, t := range c.root.children {
		switch t.kind {
		case block, texts, numbers:
			if c.names.partly[t.name] || c.names.empty[t.name] {
				return false
			}
		}
	}
	return true
}
