package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"payload-cdc/internal/admin"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/replication"
)

// coverage is how far the log tells of what is indexed, and what a person could do about the rest.
type coverage struct {
	findings   []admin.Finding
	unstreamed map[string]bool // slugs of collections whose root is not in the publication
	blind      map[string]bool // slugs of collections that show rows of tables that are not
	change     bool            // this role could make it better by itself
}

// cover compares the publication with the model. Roots are what matters: Payload's own operations write the document's
// row whatever they change, so a child table that is missing costs only what plain SQL does to it alone. A collection
// whose root is missing is kept right by sweeps.
func (d *Daemon) cover(ctx context.Context, model *payload.Model, role string, gone []string) (coverage, error) {
	c := coverage{unstreamed: map[string]bool{}, blind: map[string]bool{}}
	may, exists, err := replication.InspectPublication(ctx, d.source, d.cfg.Publication, published(model))
	if err != nil {
		return coverage{}, err
	}
	if !exists { // it is made, or refused, before anything runs
		for _, one := range model.Collections() {
			c.unstreamed[one.Slug] = true
		}
		return c, nil
	}
	c.change = may.Changed()
	add := "its owner, or an administrator, runs: " + may.Lacking.Add + "; it is noticed within ten seconds"
	children := may.Lacking.Missing
	var others []replication.Table // that are none of the collections' own
	for _, one := range model.Collections() {
		root := replication.Table{Schema: one.Schema, Name: one.Table}
		lacking := slices.Contains(may.Lacking.Missing, root)
		c.unstreamed[one.Slug] = lacking || slices.Contains(may.Added, root)
		var shown []replication.Table
		for _, t := range model.ShownBy(one.Slug) {
			if t := replication.Table(t); slices.Contains(may.Lacking.Missing, t) {
				shown = append(shown, t)
			}
		}
		if len(shown) > 0 {
			others, c.blind[one.Slug] = append(others, shown...), true
			c.find(fmt.Sprintf("what documents of %q show of others is not streamed: %s is not in publication %s, and role %q lacks %s; its changes reach the index by sweeps only, when cdc starts and once a day",
				one.Slug, tableNames(shown), d.cfg.Publication, role, may.Lacking.Rights), add)
		}
		if !lacking {
			continue
		}
		children = slices.DeleteFunc(slices.Clone(children), func(t replication.Table) bool {
			return slices.Contains(model.TablesOf(one.Slug), payload.Table(t))
		})
		c.find(fmt.Sprintf("collection %q is not streamed: %s is not in publication %s, and role %q lacks %s; its changes reach the index by sweeps only, when cdc starts and once a day",
			one.Slug, root, d.cfg.Publication, role, may.Lacking.Rights), add)
	}
	children = slices.DeleteFunc(slices.Clone(children), func(t replication.Table) bool { return slices.Contains(others, t) })
	if len(children) > 0 {
		c.find(fmt.Sprintf("publication %s is without %s, and role %q lacks %s; what Payload does is seen all the same, because it writes the document's own row too, but plain SQL on these tables alone is not",
			d.cfg.Publication, tableNames(children), role, may.Lacking.Rights), add)
	}
	if len(may.Lacking.Surplus) > 0 {
		c.find(fmt.Sprintf("publication %s has tables that are not indexed, and role %q lacks %s: %s; their rows are read and ignored",
			d.cfg.Publication, role, may.Lacking.Rights, tableNames(may.Lacking.Surplus)), "its owner, or an administrator, runs: "+may.Lacking.Drop)
	}
	hidden, err := d.unreadable(ctx, published(model))
	if err != nil {
		return coverage{}, err
	}
	if len(hidden) > 0 {
		c.find(fmt.Sprintf("role %q may not read %s", role, tableNames(hidden)),
			"the owner of the tables, or an administrator, runs: "+replication.GrantSQL(role, hidden))
	}
	for _, slug := range gone {
		c.find(fmt.Sprintf("collection %q is indexed no longer: it has no table in schema %s any more, or no drafts", slug, d.cfg.PayloadSchema),
			"if it really is gone, take it out of CDC_COLLECTIONS; if its removal from the index is held, run: cdc verify --repair --force. To keep one without drafts, name it in CDC_COLLECTIONS")
	}
	return c, nil
}

func (c *coverage) find(what, remedy string) {
	c.findings = append(c.findings, admin.Finding{What: what, Remedy: remedy})
}

// unreadable lists those of the tables that the role may not read.
func (d *Daemon) unreadable(ctx context.Context, tables []replication.Table) ([]replication.Table, error) {
	schemas, names := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		schemas[i], names[i] = t.Schema, t.Name
	}
	var hidden []string
	err := d.source.QueryRow(ctx, `
		SELECT coalesce(array_agg(w.s || chr(1) || w.t ORDER BY w.s, w.t), '{}') FROM unnest($1::text[], $2::text[]) AS w(s, t)
		JOIN pg_namespace n ON n.nspname = w.s JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.t
		WHERE NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))`, schemas, names).Scan(&hidden)
	if err != nil {
		return nil, fmt.Errorf("ask what may be read: %w", err)
	}
	list := make([]replication.Table, len(hidden))
	for i, name := range hidden {
		list[i].Schema, list[i].Name, _ = strings.Cut(name, "\x01")
	}
	return list, nil
}

// unstreamed owes each collection that the log does not tell of a sweep, once for each start.
func (d *Daemon) unstreamed() []pipeline.SweepMark {
	d.mu.Lock()
	defer d.mu.Unlock()
	var marks []pipeline.SweepMark
	for slug, root := range d.covered.unstreamed {
		if (root || d.covered.blind[slug]) && !d.looked[slug] {
			d.looked[slug] = true
			reason := "it is not streamed"
			if !root {
				reason = "what it shows is not streamed"
			}
			marks = append(marks, pipeline.SweepMark{Collection: slug, Reason: reason})
		}
	}
	return marks
}

// setCoverage keeps what was found, and says what is new and what is over.
func (d *Daemon) setCoverage(c coverage) {
	d.mu.Lock()
	before := d.covered.findings
	d.covered = c
	d.mu.Unlock()
	for _, f := range c.findings {
		if !slices.Contains(before, f) {
			d.log.Warn("cdc goes on, but not with everything", "finding", f.What, "remedy", f.Remedy)
		}
	}
	for _, f := range before {
		if !slices.Contains(c.findings, f) {
			d.log.Info("a finding is over", "finding", f.What)
		}
	}
}
