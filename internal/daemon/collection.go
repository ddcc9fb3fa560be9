package daemon

import (
	"fmt"
	"maps"
	"slices"

	"payload-cdc/internal/chunk"
	"payload-cdc/internal/document"
	"payload-cdc/internal/index/upstash"
	"payload-cdc/internal/payload"
)

// Collection is what a user decides about one collection. The zero value decides nothing.
type Collection struct {
	Rules     payload.Rules
	Chunks    chunk.Sizes
	Namespace string // of the index; its own (Config.UpstashNamespace) when empty
}

// CheckSizes says whether chunks can have these sizes.
func CheckSizes(s chunk.Sizes) error {
	_, err := s.Complete()
	return err
}

// CheckNamespace says whether an index could have the namespace.
func CheckNamespace(name string) error { return upstash.CheckNamespace(name) }

// namespace is where a collection's vectors are; empty is the index's own.
func (c Config) namespace(slug string) string {
	if name := c.Settings[slug].Namespace; name != c.UpstashNamespace {
		return name
	}
	return ""
}

// namespaces are those of all collections, without the index's own.
func (c Config) namespaces() []string {
	names := map[string]bool{}
	for slug := range c.Settings {
		if name := c.namespace(slug); name != "" {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// cutter is the chunker of all collections: each has its own sizes and namespace, and all of them one model.
type cutter struct {
	whole      *chunk.Splitter            // of the default sizes
	splitters  map[string]*chunk.Splitter // by slug, of other sizes
	namespaces map[string]string          // by slug
}

func newCutter(cfg Config) (*cutter, error) {
	whole, err := chunk.New(cfg.chunks())
	if err != nil {
		return nil, err
	}
	c := &cutter{whole: whole, splitters: map[string]*chunk.Splitter{}, namespaces: map[string]string{}}
	for slug, one := range cfg.Settings {
		c.namespaces[slug] = cfg.namespace(slug)
		if c.splitters[slug], err = whole.With(one.Chunks); err != nil {
			return nil, fmt.Errorf("collection %s: %w", slug, err)
		}
	}
	return c, nil
}

func (c *cutter) of(slug string) *chunk.Splitter {
	if s := c.splitters[slug]; s != nil {
		return s
	}
	return c.whole
}

// Split implements pipeline.Chunker.
func (c *cutter) Split(slug string, e document.Entry) ([]document.Chunk, error) {
	chunks, err := c.of(slug).Split(e)
	for i := range chunks {
		chunks[i].Namespace = c.namespaces[slug]
	}
	return chunks, err
}

// Model implements pipeline.Chunker.
func (c *cutter) Model() string { return c.whole.Model() }
