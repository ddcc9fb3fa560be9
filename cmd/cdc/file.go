package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"payload-cdc/internal/daemon"
)

// Bounds of the file. The parser takes time by the square of the words and of the depth.
const (
	maxFileBytes = 1 << 20
	maxFileWords = 20_000
	maxFileDepth = 32
)

// configFile is the file that CDC_CONFIG names: what the environment has no words for, by collection. It holds no
// secrets, so that it can be kept with the project.
type configFile struct {
	path  string
	lines []string // for errors
}

const theFile = "the file"

// fileCollection is one collection of the file, and where its name stands.
type fileCollection struct {
	slug string
	at   *token.Token
	daemon.Collection
}

// readConfigFile reads the collections of a file in their order.
func readConfigFile(path string) (*configFile, []fileCollection, error) {
	f := &configFile{path: path}
	in, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("CDC_CONFIG: %w: give the path of a file, or unset it", err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxFileBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("CDC_CONFIG: %w: give the path of a file, or unset it", err)
	}
	list, err := f.parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("CDC_CONFIG: %w", err)
	}
	return f, list, nil
}

// parse reads YAML strictly: what is not understood is a mistake.
func (f *configFile) parse(data []byte) ([]fileCollection, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	f.lines = strings.Split(string(data), "\n")
	switch {
	case len(data) > maxFileBytes:
		return nil, fmt.Errorf("%s is larger than %d bytes: it should hold settings of collections and nothing else", f.path, maxFileBytes)
	case !utf8.Valid(data):
		return nil, fmt.Errorf("%s is not text in UTF-8: save it as such", f.path)
	}
	for i, line := range f.lines {
		if n := strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' }); n >= 0 {
			return nil, fmt.Errorf("%s:%d: it holds a control character, %q: take it out", f.path, i+1, line[n])
		}
	}
	words := lexer.Tokenize(string(data))
	if err := f.bounded(words); err != nil {
		return nil, err
	}
	tree, err := parser.Parse(words, 0)
	if err != nil {
		if bad, ok := errors.AsType[yaml.Error](err); ok {
			return nil, f.errorAt(bad.GetToken(), "%s", bad.GetMessage())
		}
		return nil, fmt.Errorf("%s is not YAML: %w", f.path, err)
	}
	docs := slices.DeleteFunc(tree.Docs, func(d *ast.DocumentNode) bool {
		_, comment := d.Body.(*ast.CommentGroupNode)
		return d.Body == nil || comment
	})
	switch {
	case len(docs) == 0:
		return nil, fmt.Errorf("%s is empty: name the collections under the key collections, or unset CDC_CONFIG", f.path)
	case len(docs) > 1:
		return nil, f.errorAt(docs[1].Body.GetToken(), "a second document begins here: keep one")
	}
	var list []fileCollection
	err = f.mapping(docs[0].Body, theFile, []string{"collections"}, func(_ string, at *token.Token, value ast.Node) error {
		return f.mapping(value, "collections", nil, func(slug string, at *token.Token, value ast.Node) error {
			if slug == "" || strings.ContainsAny(slug, " \t\n,") {
				return f.errorAt(at, "%q is not the slug of a collection", slug)
			}
			one := fileCollection{slug: slug, at: at}
			if _, nothing := value.(*ast.NullNode); nothing {
				list = append(list, one) // it is only named
				return nil
			}
			if err := f.collection(value, slug, &one.Collection); err != nil {
				return err
			}
			list = append(list, one)
			return nil
		})
	})
	if err == nil && len(list) == 0 {
		err = f.errorAt(docs[0].Body.GetToken(), "it names no collection: name those that are to be indexed, or unset CDC_CONFIG")
	}
	return list, err
}

// bounded refuses what would keep the parser busy for ever.
func (f *configFile) bounded(words token.Tokens) error {
	if len(words) > maxFileWords {
		return fmt.Errorf("%s has more than %d words: it should hold settings of collections and nothing else", f.path, maxFileWords)
	}
	brackets, dashes, line := 0, 0, 0
	for _, w := range words {
		if w.Position.Line != line {
			dashes, line = 0, w.Position.Line
		}
		switch w.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			dashes++
		default:
		}
		if brackets > maxFileDepth || brackets <= 0 && dashes > maxFileDepth {
			return f.errorAt(w, "nested too deeply")
		}
	}
	return nil
}

// errorAt is a mistake at a place of the file: line, column, and the line itself with a mark below the place.
func (f *configFile) errorAt(at *token.Token, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if at == nil || at.Position == nil || at.Position.Line < 1 || at.Position.Line > len(f.lines) {
		return fmt.Errorf("%s: %s", f.path, text)
	}
	p := at.Position
	line := []rune(strings.TrimRight(f.lines[p.Line-1], "\r"))
	const most = 160
	if len(line) > most {
		return fmt.Errorf("%s:%d:%d: %s", f.path, p.Line, p.Column, text)
	}
	before := slices.Clone(line[:min(max(p.Column-1, 0), len(line))])
	for i, r := range before {
		if r != '\t' {
			before[i] = ' '
		}
	}
	return fmt.Errorf("%s:%d:%d: %s\n%4d | %s\n     | %s^", f.path, p.Line, p.Column, text, p.Line, string(line), string(before))
}
