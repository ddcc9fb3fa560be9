package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/document"
	"payload-cdc/internal/spell"
)

// The keys of a collection, of its fields, and of its chunks.
var (
	collectionKeys = []string{"fields", "title", "text", "locales", "metadata", "where", "include", "chunk", "namespace"}
	fieldKeys      = []string{"include", "exclude", "order"}
	chunkKeys      = []string{"target", "max", "min", "prefix"}
)

// dotted is the path of a field in Payload. Whether there is such a field only the database knows.
var dotted = regexp.MustCompile(`^[^\s.,]+(\.[^\s.,]+)*$`)

// collection reads the settings of one collection.
func (f *configFile) collection(n ast.Node, slug string, c *daemon.Collection) error {
	r := &c.Rules
	return f.mapping(n, slug, collectionKeys, func(key string, at *token.Token, value ast.Node) (err error) {
		switch key {
		case "fields":
			return f.fields(value, c)
		case "title":
			r.Title, err = f.fieldPath(value, key)
		case "text":
			err = f.mapping(value, key, []string{"first_of"}, func(key string, _ *token.Token, value ast.Node) (err error) {
				r.FirstOf, err = f.fieldPaths(value, key)
				return err
			})
			if err == nil && r.FirstOf == nil {
				err = f.errorAt(at, "text says nothing: write text: {first_of: [content, description]}, or leave it out")
			}
		case "locales":
			r.Locales, err = f.list(value, key, nil)
		case "metadata":
			r.Metadata, err = f.list(value, key, func(at *token.Token, name string) error {
				if document.Reserved(name) {
					return f.errorAt(at, "metadata: every vector has a %q of its own: leave it out", name)
				}
				return f.checkPath(at, key, name)
			})
		case "where":
			err = f.where(value, c)
		case "include":
			r.Related, err = f.list(value, key, func(at *token.Token, name string) error {
				if !strings.Contains(name, ".") {
					return f.errorAt(at, "include: %q names no field of another document: write the relation and the field, such as author.name", name)
				}
				return f.checkPath(at, key, name)
			})
		case "chunk":
			err = f.chunk(value, at, c)
		case "namespace":
			if c.Namespace, err = f.text(value, key); err == nil {
				if bad := daemon.CheckNamespace(c.Namespace); bad != nil {
					err = f.errorAt(value.GetToken(), "%s", bad)
				}
			}
		}
		return err
	})
}

// fields reads which are text: a list, or what to include, to exclude, and in which order.
func (f *configFile) fields(n ast.Node, c *daemon.Collection) (err error) {
	r := &c.Rules
	if _, list := n.(*ast.SequenceNode); list {
		r.Include, err = f.fieldPaths(n, "fields")
		return err
	}
	return f.mapping(n, "fields", fieldKeys, func(key string, at *token.Token, value ast.Node) (err error) {
		switch key {
		case "include":
			r.Include, err = f.fieldPaths(value, key)
		case "exclude":
			r.Exclude, err = f.fieldPaths(value, key)
		case "order":
			r.Order, err = f.fieldPaths(value, key)
		}
		for _, name := range r.Include {
			if err == nil && slices.Contains(r.Exclude, name) {
				err = f.errorAt(at, "fields: %q is both included and excluded: keep one", name)
			}
		}
		return err
	})
}

// where reads the filter: fields and the values they must have.
func (f *configFile) where(n ast.Node, c *daemon.Collection) error {
	where := map[string]any{}
	err := f.mapping(n, "where", nil, func(key string, at *token.Token, value ast.Node) error {
		if err := f.checkPath(at, "where", key); err != nil {
			return err
		}
		switch v := value.(type) {
		case *ast.NullNode:
			where[key] = nil
		case *ast.BoolNode:
			where[key] = v.Value
		case *ast.IntegerNode:
			n, ok := v.Value.(int64)
			if u, unsigned := v.Value.(uint64); unsigned {
				n, ok = int64(u), u <= 1<<63-1
			}
			if !ok {
				return f.errorAt(v.Token, "where: %s is too large a number: write it in quotes", v.Token.Value)
			}
			where[key] = n
		case *ast.FloatNode:
			where[key] = v.Value
		default:
			text, err := f.text(value, "where "+key)
			if err != nil {
				return f.errorAt(value.GetToken(), "where: want one value for %s, text, number, true, false or null: it compares for equality only", key)
			}
			where[key] = text
		}
		return nil
	})
	if err == nil && len(where) == 0 {
		err = f.errorAt(n.GetToken(), "where is empty: leave it out")
	}
	c.Rules.Where = where
	return err
}

// chunk reads the sizes of chunks; at is where the key stands.
func (f *configFile) chunk(n ast.Node, at *token.Token, c *daemon.Collection) error {
	sizes := map[string]*int{"target": &c.Chunks.Target, "max": &c.Chunks.Max, "min": &c.Chunks.Min, "prefix": &c.Chunks.PrefixMax}
	err := f.mapping(n, "chunk", chunkKeys, func(key string, _ *token.Token, value ast.Node) error {
		whole, ok := value.(*ast.IntegerNode)
		if !ok {
			return f.wrong(value, "chunk "+key, "a number of tokens")
		}
		size := int64(-1)
		switch v := whole.Value.(type) {
		case int64:
			size = v
		case uint64:
			size = int64(min(v, 1<<30))
		}
		if size < 0 && (key != "min" || size != -1) || size == 0 && key != "min" || size > 1<<30 {
			return f.errorAt(whole.Token, "chunk %s: %s tokens cannot be", key, whole.Token.Value)
		}
		if size == 0 {
			size = -1 // zero of our own means the default
		}
		*sizes[key] = int(size)
		return nil
	})
	if err != nil {
		return err
	}
	if bad := daemon.CheckSizes(c.Chunks); bad != nil {
		return f.errorAt(at, "%s", bad)
	}
	return nil
}

// mapping calls each for every key of a mapping; what is its name in errors. Known are the keys that it may have, nil if
// they are the user's.
func (f *configFile) mapping(n ast.Node, what string, known []string, each func(key string, at *token.Token, value ast.Node) error) error {
	if err := f.spelledOut(n); err != nil {
		return err
	}
	m, ok := n.(ast.MapNode)
	if !ok {
		return f.wrong(n, what, "keys with values")
	}
	for pair := m.MapRange(); pair.Next(); {
		at, value := pair.Key().GetToken(), pair.Value()
		key, ok := pair.Key().(*ast.StringNode)
		if pair.Key().IsMergeKey() {
			return f.errorAt(at, "keys are not merged here: write them out")
		}
		if !ok {
			return f.errorAt(at, "a key of %s must be text: write it in quotes", what)
		}
		if what == theFile && !slices.Contains(known, key.Value) {
			// Not quoted: it may be a secret that belongs elsewhere.
			return fmt.Errorf("%s:%d: %s is not a key of the file%s: it has only collections; everything else is in the environment, see cdc env",
				f.path, at.Position.Line, key.Value, didYouMean(key.Value, known))
		}
		if known != nil && !slices.Contains(known, key.Value) {
			return f.errorAt(at, "%s is not a key of %s%s: there are %s", key.Value, what, didYouMean(key.Value, known), strings.Join(known, ", "))
		}
		if err := f.spelledOut(value); err != nil {
			return err
		}
		if err := each(key.Value, at, value); err != nil {
			return err
		}
	}
	return nil
}

// spelledOut refuses what stands for something else: a small file has no need of it, and it can stand for very much.
func (f *configFile) spelledOut(n ast.Node) error {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode:
		return f.errorAt(n.GetToken(), "anchors and aliases are not read here: write the value out")
	case *ast.TagNode:
		return f.errorAt(n.GetToken(), "tags are not read here: leave it out")
	}
	return nil
}

// text reads a text.
func (f *configFile) text(n ast.Node, what string) (string, error) {
	if err := f.spelledOut(n); err != nil {
		return "", err
	}
	text := ""
	switch v := n.(type) {
	case *ast.StringNode:
		text = v.Value
	case *ast.LiteralNode:
		text = v.Value.Value
	default:
		return "", f.wrong(n, what, "text, in quotes if it looks like something else")
	}
	if strings.TrimSpace(text) == "" {
		return "", f.errorAt(n.GetToken(), "%s is empty: leave it out", what)
	}
	return text, nil
}

// list reads a list of different texts. Check may refuse one of them; nil takes all.
func (f *configFile) list(n ast.Node, what string, check func(at *token.Token, text string) error) ([]string, error) {
	items, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil, f.wrong(n, what, "a list, such as [one, another]")
	}
	if len(items.Values) == 0 {
		return nil, f.errorAt(n.GetToken(), "%s is empty: leave it out", what)
	}
	list := make([]string, 0, len(items.Values))
	for _, item := range items.Values {
		text, err := f.text(item, what)
		switch {
		case err != nil:
			return nil, err
		case slices.Contains(list, text):
			return nil, f.errorAt(item.GetToken(), "%s: %q is there twice", what, text)
		case check != nil:
			if err := check(item.GetToken(), text); err != nil {
				return nil, err
			}
		}
		list = append(list, text)
	}
	return list, nil
}

func (f *configFile) fieldPath(n ast.Node, what string) (string, error) {
	text, err := f.text(n, what)
	if err != nil {
		return "", err
	}
	return text, f.checkPath(n.GetToken(), what, text)
}

func (f *configFile) fieldPaths(n ast.Node, what string) ([]string, error) {
	return f.list(n, what, func(at *token.Token, text string) error { return f.checkPath(at, what, text) })
}

func (f *configFile) checkPath(at *token.Token, what, text string) error {
	if !dotted.MatchString(text) {
		return f.errorAt(at, "%s: %q is not the path of a field, such as title or seo.description", what, text)
	}
	return nil
}

// wrong is a value of another type than it should have.
func (f *configFile) wrong(n ast.Node, what, want string) error {
	is := map[ast.NodeType]string{
		ast.NullType: "nothing", ast.IntegerType: "a number", ast.FloatType: "a number", ast.BoolType: "true or false",
		ast.StringType: "text", ast.LiteralType: "text", ast.MappingType: "keys with values", ast.MappingValueType: "keys with values",
		ast.SequenceType: "a list", ast.InfinityType: "a number", ast.NanType: "a number",
	}[n.Type()]
	if is == "" {
		is = fmt.Sprint(n.Type())
	}
	return f.errorAt(n.GetToken(), "%s: want %s, found %s", what, want, is)
}

// didYouMean suggests a known word for an unknown one.
func didYouMean(word string, known []string) string {
	if word == "related" && slices.Contains(known, "include") {
		return " (did you mean include?)"
	}
	if best := spell.Nearest(strings.ToLower(word), known, len(word)/2+1); best != "" {
		return " (did you mean " + best + "?)"
	}
	return ""
}
