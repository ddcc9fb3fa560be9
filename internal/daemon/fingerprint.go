package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"payload-cdc/internal/owed"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/replication"
)

// fingerprints says, by collection, all that decides which chunks it has and where: when one changes, a sweep is owed.
// It has three parts with dots between them: what decides where vectors are, what decides what they say, and the tables
// that the log tells of.
func (d *Daemon) fingerprints(model *payload.Model, published members) map[string]string {
	where := short("upstash", d.cfg.UpstashURL, d.cfg.UpstashNamespace)
	prints := map[string]string{}
	for _, c := range model.Collections() {
		what := short(d.cfg.EmbedModel, fmt.Sprint(d.cfg.EmbedDimensions), d.splitter.Fingerprint(), model.Fingerprint(c.Slug))
		var tables []string
		for _, t := range model.TablesOf(c.Slug) {
			tables = append(tables, fmt.Sprint(t.Name, " ", published[replication.Table{Schema: t.Schema, Name: t.Name}]))
		}
		slices.Sort(tables)
		prints[c.Slug] = strings.Join([]string{where, what, short(tables...)}, ".")
	}
	return prints
}

// rejoined is why a collection is compared with the index whose tables were not in the log all the time.
const rejoined = "tables joined the publication, or were replaced"

func short(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// changes lists the sweeps that changed fingerprints owe. A collection that is no longer indexed leaves.
func changes(old, now map[string]string) []pipeline.SweepMark {
	var marks []pipeline.SweepMark
	for slug, print := range now {
		was, known := old[slug]
		whereWas, rest, _ := strings.Cut(was, ".")
		_, tablesWere, _ := strings.Cut(rest, ".")
		where, rest, _ := strings.Cut(print, ".")
		_, tables, _ := strings.Cut(rest, ".")
		switch {
		case was == print:
		case !known:
			marks = append(marks, pipeline.SweepMark{Collection: slug, Reason: "the collection is new"})
		case whereWas != where:
			marks = append(marks, pipeline.SweepMark{Collection: slug, Strength: owed.Prove, Reason: "the index is another one"})
		case tablesWere != tables:
			marks = append(marks, pipeline.SweepMark{Collection: slug, Strength: owed.Prove, Reason: rejoined})
		default:
			marks = append(marks, pipeline.SweepMark{Collection: slug, Reason: "model, fields or chunking changed"})
		}
	}
	for slug := range old {
		if _, kept := now[slug]; !kept {
			marks = append(marks, pipeline.SweepMark{Collection: slug, Reason: "the collection is no longer indexed", Force: true})
		}
	}
	return marks
}
