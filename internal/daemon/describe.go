package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"payload-cdc/internal/chunk"
	"payload-cdc/internal/payload"
)

// Described is how one collection is indexed: what the database has and what the user decided, together.
type Described struct {
	Slug      string   `json:"slug"`
	Guessed   bool     `json:"slugGuessed,omitempty"` // the database does not tell the slug
	Table     string   `json:"table"`
	Published []string `json:"published"`         // what makes a document published: all of these
	Locales   []string `json:"locales,omitempty"` // only these; all when empty
	Localized bool     `json:"localized"`
	Namespace string   `json:"namespace"` // of the index; empty is its default one
	Chunks    Chunks   `json:"chunks"`
	Title     string   `json:"title,omitempty"` // where it is taken from, if the user decided
	FirstOf   []string `json:"firstOf,omitempty"`
	Embeds    []string `json:"embeds"` // fields, in order
	Exclude   []string `json:"exclude,omitempty"`
	Metadata  []string `json:"metadata,omitempty"`
	Include   []string `json:"include,omitempty"` // text of other documents
}

// Chunks are sizes in tokens.
type Chunks struct {
	Target int `json:"target"`
	Max    int `json:"max"`
	Min    int `json:"min"`
	Prefix int `json:"prefix"`
}

// UnreachableError says that the database does not answer; the configuration may be right all the same.
type UnreachableError struct{ Err error }

func (e *UnreachableError) Error() string { return e.Err.Error() }
func (e *UnreachableError) Unwrap() error { return e.Err }

// reachIn is how long Describe waits for the database.
const reachIn = 5 * time.Second

// Describe asks the database how each collection would be indexed. It changes nothing.
func Describe(ctx context.Context, cfg Config) ([]Described, error) {
	cfg = cfg.withDefaults()
	d := &Daemon{cfg: cfg, log: cfg.Logger}
	defer d.close()
	reaching, cancel := context.WithTimeout(ctx, reachIn)
	defer cancel()
	var err error
	if d.source, err = connect(reaching, cfg.DatabaseURI, "payload_cdc_config", "DATABASE_URI"); err != nil {
		return nil, &UnreachableError{err}
	}
	model, err := d.discover(ctx, d.cfg.Collections)
	if err != nil {
		return nil, err
	}
	var list []Described
	for _, c := range model.Collections() {
		list = append(list, cfg.describe(c))
	}
	return list, nil
}

func (c Config) describe(found payload.Collection) Described {
	one := c.Settings[found.Slug]
	sizes, _ := one.Chunks.Complete() // was checked when it was configured
	namespace := one.Namespace
	if namespace == "" {
		namespace = c.UpstashNamespace
	}
	return Described{
		Slug: found.Slug, Guessed: found.SlugGuessed, Table: found.Table, Localized: found.Localized,
		Published: publishedRule(found, one.Rules), Locales: one.Rules.Locales, Namespace: namespace,
		Chunks: Chunks{Target: sizes.Target, Max: sizes.Max, Min: max(sizes.Min, 0), Prefix: sizes.PrefixMax},
		Title:  one.Rules.Title, FirstOf: one.Rules.FirstOf, Embeds: found.Fields, Exclude: one.Rules.Exclude,
		Metadata: one.Rules.Metadata, Include: one.Rules.Related,
	}
}

// publishedRule says in words which documents are published.
func publishedRule(c payload.Collection, r payload.Rules) []string {
	var rule []string
	switch {
	case c.StatusPerLocale:
		rule = append(rule, "status is published, each locale by itself")
	case c.Drafts:
		rule = append(rule, "status is published")
	default:
		rule = append(rule, "every document")
	}
	if c.Trash {
		rule = append(rule, "not in the trash")
	}
	return append(rule, conditions(r.Where)...)
}

// conditions are a filter in words.
func conditions(where map[string]any) []string {
	var list []string
	for _, field := range slices.Sorted(maps.Keys(where)) {
		value, err := json.Marshal(where[field])
		if err != nil {
			value = []byte(fmt.Sprint(where[field]))
		}
		list = append(list, field+" = "+string(value))
	}
	return list
}

// decided are the settings of a collection that are not the defaults, for the log.
func (c Config) decided(slug string) []any {
	one := c.Settings[slug]
	r := one.Rules
	var list []any
	add := func(key string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			list = append(list, key, values)
		}
	}
	add("exclude", r.Exclude...)
	add("title", r.Title)
	add("first_of", r.FirstOf...)
	add("locales", r.Locales...)
	add("metadata", r.Metadata...)
	add("where", conditions(r.Where)...)
	add("include", r.Related...)
	add("namespace", c.namespace(slug))
	if one.Chunks != (chunk.Sizes{}) {
		sizes, _ := one.Chunks.Complete()
		list = append(list, "chunks", fmt.Sprintf("target %d, max %d, min %d, prefix %d", sizes.Target, sizes.Max, max(sizes.Min, 0), sizes.PrefixMax))
	}
	return list
}
