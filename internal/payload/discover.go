package payload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"payload-cdc/internal/spell"
)

// Config says what to discover and how to read it.
type Config struct {
	Schema string // Payload's schemaName; public when empty
	// Collections are slugs of collections or globals, spelled as in the Payload project. Empty means every
	// collection with drafts.
	Collections []string
	Rules       map[string]Rules // by slug of an indexed collection
	MaxDocument int              // bytes of all that is read of a document; beyond, it is parked. 8 MiB when zero
	MaxBatch    int              // bytes of all that is read for one batch; beyond, it is read in parts. 16 MiB when zero
	Logger      *slog.Logger     // nil discards
}

func (c Config) withDefaults() Config {
	if c.Schema == "" {
		c.Schema = "public"
	}
	if c.MaxDocument == 0 {
		c.MaxDocument = 8 << 20
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = 16 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// ErrNotPayload says that the schema holds none of Payload's tables, for now or for good.
var ErrNotPayload = errors.New("no Payload tables")

// ErrUnknownCollection says that a named collection does not exist; the text lists those that do.
var ErrUnknownCollection = errors.New("unknown collection")

// Discover reads the catalog and returns what there is to index. It needs no right to read any table.
func Discover(ctx context.Context, q Querier, cfg Config) (*Model, error) {
	cfg = cfg.withDefaults()
	c, err := readCatalog(ctx, q, cfg.Schema)
	if err != nil {
		return nil, classify(err, cfg.Schema, "")
	}
	return newModel(ctx, q, c, cfg)
}

// newModel makes a Model of a catalog. What it reads of q is only the spelling of names.
func newModel(ctx context.Context, q Querier, c *catalog, cfg Config) (*Model, error) {
	c.link()
	if !slices.ContainsFunc(c.tables, func(t *table) bool { return t.kind == system }) {
		return nil, fmt.Errorf("discover collections in schema %s: %w: is it the project's own database, migrated, and its schemaName (CDC_PAYLOAD_SCHEMA)?", cfg.Schema, ErrNotPayload)
	}
	all := c.collections()
	chosen, err := choose(all, cfg.Collections)
	if err != nil {
		return nil, err
	}
	rules, err := rulesOf(all, chosen, cfg.Rules)
	if err != nil {
		return nil, err
	}
	m := &Model{schema: cfg.Schema, bySlug: map[string]*collection{}, byOID: map[uint32]*table{}, byName: c.byName, keys: c.keys, shown: map[*table][]shower{}}
	for _, t := range c.tables {
		m.byOID[t.oid] = t
	}
	for _, one := range chosen {
		one.ids, one.codes = idTypeOf(one.IDType), c.locales
		unproved, err := one.plan(rules[one], sampleNames(ctx, q, one), all, c.keys)
		if err != nil {
			return nil, err
		}
		if len(unproved) > 0 {
			cfg.Logger.Warn("rules name fields that the catalog does not show, and too few rows are there to tell", "collection", one.Slug, "rules", unproved)
		}
		one.sql = one.statements()
		one.own(one.root)
		m.collections = append(m.collections, one)
		m.bySlug[one.Slug] = one
		for _, s := range one.shown {
			for _, t := range s.tables() {
				m.shown[t] = append(m.shown[t], shower{one, s})
			}
		}
	}
	slices.SortFunc(m.collections, func(a, b *collection) int { return strings.Compare(a.Slug, b.Slug) })
	for _, one := range m.collections {
		if one.SlugGuessed {
			cfg.Logger.Warn("the database does not tell this collection's slug; it is a guess until you name it", "collection", one.Slug, "table", one.Table)
		}
	}
	return m, nil
}

// own marks t and everything below it as the collection's.
func (c *collection) own(t *table) {
	t.collection = c
	for _, child := range t.children {
		c.own(child)
	}
}

// candidate is a collection or global that could be indexed.
type candidate struct {
	*collection
	snake string // of the slug; ends in "…" when it is cut short, empty when only the table is known
	auth  bool
}

// collections lists every collection and global of the schema, with the best slug that the database gives.
func (c *catalog) collections() []candidate {
	locked := c.locked()
	var out []candidate
	for _, t := range c.tables {
		id := t.column("id")
		if t.kind != root || id == nil {
			continue
		}
		one := &collection{root: t, Collection: Collection{Schema: c.schema, Table: t.name, IDType: id.typ}}
		for _, child := range t.children {
			if child.kind == locales && one.locales == nil {
				one.locales = child
			}
		}
		onRoot := isStatus(t.column("_status"))
		one.StatusPerLocale = !onRoot && one.locales != nil && isStatus(one.locales.column("_status"))
		one.Drafts = onRoot || one.StatusPerLocale
		one.Trash = t.has("deleted_at")
		snake := locked[t]
		one.Global = snake == "" && c.isGlobal(t, len(locked) > 0)
		one.Slug, one.SlugGuessed = c.slug(t, snake)
		auth := t.has("salt", "hash") || t.has("reset_password_token") || t.has("enable_a_p_i_key") || t.has("api_key_index")
		out = append(out, candidate{one, snake, auth})
	}
	return out
}

func isStatus(c *column) bool { return c != nil && c.enum }

// isGlobal says whether a root that cannot be locked is a global: its versions have no parent, as there is only one
// document. Without versions, it is one if other tables can be locked.
func (c *catalog) isGlobal(t *table, anyLocked bool) bool {
	for _, k := range c.keys {
		if k.to == t && k.from.kind == versions && k.column == "parent_id" {
			return false
		}
	}
	return anyLocked
}

// slug returns the slug of a root. Only a snake-case name of several words is ambiguous: blogPosts, blog-posts and
// blog_posts all give blog_posts. Kebab-case is the commonest.
func (c *catalog) slug(t *table, snake string) (slug string, guessed bool) {
	if snake == "" || strings.HasSuffix(snake, "…") {
		snake = t.name
	}
	if i := slices.IndexFunc(c.slugs, func(s string) bool { return toSnakeCase(s) == snake }); i >= 0 {
		return c.slugs[i], false
	}
	return strings.ReplaceAll(snake, "_", "-"), strings.Contains(snake, "_")
}

// choose returns the named candidates, or every collection with drafts.
func choose(all []candidate, names []string) ([]*collection, error) {
	var out []*collection
	if len(names) == 0 {
		for _, c := range all {
			if c.Drafts && !c.auth && !c.Global {
				out = append(out, c.collection)
			}
		}
		return out, nil
	}
	for _, name := range names {
		c, ok := find(all, name)
		switch {
		case !ok:
			return nil, unknownCollection(all, name)
		case c.auth:
			return nil, fmt.Errorf("collection %q holds accounts and their secrets: it is never indexed", name)
		case slices.Contains(out, c.collection) && c.Slug != name:
			return nil, fmt.Errorf("collections %q and %q are the same table, %s", c.Slug, name, c.Table)
		case slices.Contains(out, c.collection):
			continue
		}
		c.Slug, c.SlugGuessed = name, false
		out = append(out, c.collection)
	}
	return out, nil
}

// find returns the candidate that a user's slug names: by the slug that the database has, else by the table.
func find(all []candidate, slug string) (candidate, bool) {
	snake := toSnakeCase(slug)
	for _, same := range []func(candidate) bool{
		func(c candidate) bool { return c.snake == snake },
		func(c candidate) bool {
			cut, ok := strings.CutSuffix(c.snake, "…")
			return ok && (c.Table == snake || strings.HasPrefix(snake, cut))
		},
		func(c candidate) bool { return c.snake == "" && (c.Table == snake || c.Table == slug) },
	} {
		if i := slices.IndexFunc(all, same); i >= 0 {
			return all[i], true
		}
	}
	return candidate{}, false
}

// rulesOf gives every collection its rules. A slug there is as exact as one that is named, so it settles a guess.
func rulesOf(all []candidate, chosen []*collection, rules map[string]Rules) (map[*collection]Rules, error) {
	out := map[*collection]Rules{}
	for _, slug := range slices.Sorted(maps.Keys(rules)) {
		c, ok := find(all, slug)
		if !ok {
			return nil, fmt.Errorf("rules: %w", unknownCollection(all, slug))
		}
		_, twice := out[c.collection]
		switch {
		case !slices.Contains(chosen, c.collection):
			return nil, fmt.Errorf("%w: collection %q is not indexed; name it among the collections, or leave its rules out", ErrRules, slug)
		case twice || c.Slug != slug && !c.SlugGuessed:
			return nil, fmt.Errorf("%w: collection %q is called %q", ErrRules, slug, c.Slug)
		case c.Slug != slug:
			c.Slug, c.SlugGuessed = slug, false
		}
		out[c.collection] = rules[slug]
	}
	return out, nil
}

func unknownCollection(all []candidate, name string) error {
	var slugs, lower []string
	spelled := map[string]string{} // slugs by their lower-case spelling
	nearest := ""
	for _, c := range all {
		if c.auth {
			continue
		}
		slugs = append(slugs, c.Slug)
		l := strings.ToLower(c.Slug)
		lower, spelled[l] = append(lower, l), c.Slug
		if c.Table == name || c.Table == toSnakeCase(name) { // the table of a collection with another slug
			nearest = c.Slug
		}
	}
	if nearest == "" {
		nearest = spelled[spell.Nearest(strings.ToLower(name), lower, len(name)/2+1)]
	}
	slices.Sort(slugs)
	hint := "."
	if nearest != "" {
		hint = fmt.Sprintf("; did you mean %q?", nearest)
	}
	return fmt.Errorf("%w %q%s There are: %s", ErrUnknownCollection, name, hint, strings.Join(slugs, ", "))
}
