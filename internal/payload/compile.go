package payload

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"payload-cdc/internal/spell"
)

// ErrRules says that a rule makes no sense for the collection as it is; the text says which, and what would.
var ErrRules = errors.New("rules")

// compiler makes a selection of Rules, looking every path up in the catalog, and in the names that rows have.
type compiler struct {
	*collection
	names    *names
	all      []candidate  // every collection there is
	foreign  []foreignKey // keys of the schema
	warnings []string

	// What has to be read for it:
	dynamic bool // places that only rows tell
	texts   bool
	numbers bool
	around  bool               // the rows around those of relations
	needed  map[*part][]string // columns that are no text by default
}

// target is what a path names.
type target struct {
	path
	kind      targetKind
	part      *part // that has it
	column    *column
	localized bool
	list      kind
}

type targetKind uint8

const (
	aColumn targetKind = iota
	aList              // a hasMany field
	anArray
	aBlocksField
	aBlock
	aGroup
	inJSON // below a column of blocks as JSON
	untold // the catalog does not have it, and too few rows are there to say no
)

func (c *compiler) compile(r Rules) error {
	c.needed = map[*part][]string{}
	c.dynamic, c.texts = true, true
	if len(r.Include) > 0 && len(r.FirstOf) > 0 {
		return c.refuse("include and text: first_of exclude each other")
	}
	s := &selection{first: len(r.FirstOf) > 0}
	restricted := len(r.Include) > 0 || s.first
	if restricted {
		c.dynamic, c.texts = false, false
	}
	for _, one := range []struct {
		rule  string
		paths []string
		to    *[]path
		text  bool // the rule makes text of it
	}{
		{"include", r.Include, &s.include, true},
		{"exclude", r.Exclude, &s.exclude, false},
		{"order", r.Order, &s.passes, false},
		{"first_of", r.FirstOf, &s.passes, true},
	} {
		if one.rule == "order" && s.first {
			continue
		}
		for _, text := range one.paths {
			t, err := c.target(one.rule, text)
			if err != nil {
				return err
			}
			if one.text {
				if err := c.embed(one.rule, t); err != nil {
					return err
				}
			}
			*one.to = append(*one.to, t.path)
		}
	}
	if r.Title != "" {
		t, err := c.target("title", r.Title)
		if err != nil {
			return err
		}
		if t.kind != aColumn || t.part.above != nil && !t.localized || t.column.typ == "jsonb" || t.part.above != nil && t.part.above.above != nil {
			return c.refuse("title %q: it is no field of one text of the document itself", r.Title)
		}
		if err := c.embed("title", t); err != nil {
			return err
		}
		s.title = &t.path
		if s.among(s.exclude, []element{{name: plain(t.column.name)}}) != apart {
			return c.refuse("title %q: exclude names it too", r.Title)
		}
	}
	if len(s.include)+len(s.exclude)+len(s.passes) > 0 || s.title != nil {
		c.sel = s
	}
	if err := c.checkLocales(r.Locales); err != nil {
		return err
	}
	if err := c.compileMetadata(r.Metadata); err != nil {
		return err
	}
	if err := c.compileWhere(r.Where); err != nil {
		return err
	}
	return c.compileRelated(r.Related)
}

// embed makes what a rule names text, whatever it is by default.
func (c *compiler) embed(rule string, t target) error {
	switch t.kind {
	case aColumn:
		if t.column.ref {
			return c.refuse("%s %q: it is a relation; the text of other documents is what related is for", rule, t.text)
		}
		if isSecret(t.column.name) || t.part.secretPlace() {
			return c.refuse("%s %q: it looks like a secret, and those are never embedded", rule, t.text)
		}
		c.need(t.part, t.column.name)
		for i := range t.part.fields {
			if f := &t.part.fields[i]; f.name == t.column.name && f.json {
				f.whole = true
			}
		}
		if !t.part.static {
			c.dynamic = true
		}
	case aList:
		if isSecret(joined(t.names...)) {
			return c.refuse("%s %q: it looks like a secret, and those are never embedded", rule, t.text)
		}
		c.needList(t)
	default:
		c.dynamic, c.texts = true, true
		c.numbers = c.numbers || t.kind == untold
	}
	return nil
}

// need has a column read that is no text by default.
func (c *compiler) need(p *part, name string) {
	c.needed[p] = append(c.needed[p], name)
	if !slices.ContainsFunc(p.fields, func(f field) bool { return f.name == name }) {
		col := p.column(name)
		p.fields = append(p.fields, field{column: col, json: col.typ == "jsonb"})
		place := func(f field) int { return slices.IndexFunc(p.columns, func(c column) bool { return c.name == f.name }) }
		slices.SortStableFunc(p.fields, func(a, b field) int { return place(a) - place(b) })
	}
}

func (c *compiler) needList(t target) {
	switch t.list {
	case texts:
		c.texts = true
	case numbers:
		c.numbers = true
	case selects:
		c.needed[t.part] = append(c.needed[t.part], "value")
		c.dynamic = c.dynamic || !t.part.static
	}
}

func (c *compiler) needs(p *part, col *column) bool { return slices.Contains(c.needed[p], col.name) }

// checkLocales refuses locales that the project does not have.
func (c *compiler) checkLocales(locales []string) error {
	if len(locales) == 0 {
		return nil
	}
	if len(c.codes) == 0 {
		return c.refuse("locales: the project is not localized")
	}
	for _, l := range locales {
		if !slices.Contains(c.codes, l) {
			return c.refuse("locales: %q is none of them%s There are: %s", l, near(l, c.codes), strings.Join(c.codes, ", "))
		}
	}
	return nil
}

// refuse is an error that names the collection.
func (c *collection) refuse(format string, args ...any) error {
	return fmt.Errorf("%w of %s: %s", ErrRules, c.Slug, fmt.Sprintf(format, args...))
}

// nearest is the end of a sentence about a name that there is not.
func nearest(name string, known []string) string {
	lower := make([]string, len(known))
	for i, k := range known {
		lower[i] = strings.ToLower(k)
	}
	if near := spell.Nearest(strings.ToLower(name), lower, len(name)/2+1); near != "" {
		return fmt.Sprintf("; did you mean %q?", known[slices.Index(lower, near)])
	}
	return ""
}

// target finds what a user's path names.
func (c *compiler) target(rule, text string) (target, error) {
	names := strings.Split(text, ".")
	if slices.ContainsFunc(names, func(n string) bool { return joined(n) == "" }) {
		return target{}, c.refuse("%s %q: a path is names of fields with dots between", rule, text)
	}
	t, err := c.find(c.parts[0], names, "")
	if err != nil {
		return t, c.refuse("%s %q: %v", rule, text, err)
	}
	t.path = newPath(text)
	t.exact = t.kind != aGroup && t.kind != untold
	if t.kind == untold {
		c.warnings = append(c.warnings, fmt.Sprintf("%s %q", rule, text))
	}
	return t, nil
}
