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
// It has parts with dots between them: what decides where vectors are, what decides what they say, the tables that the
// log tells of, and, if the user has made any, the rules.
func (d *Daemon) fingerprints(model *payload.Model, published members) map[string]string {
	where := short("upstash", d.cfg.UpstashURL, d.cfg.UpstashNamespace)
	prints := map[string]string{}
	for _, c := range model.Collections() {
		said := []string{d.cfg.EmbedModel, fmt.Sprint(d.cfg.EmbedDimensions), d.cutter.of(c.Slug).Fingerprint(), model.Fingerprint(c.Slug)}
		if name := d.cfg.namespace(c.Slug); name != "" {
			// Not among where vectors are: the ledger knows the old namespace's, and they are replaced one by one.
			said = append(said, name)
		}
		var tables []string
		for _, t := range model.TablesOf(c.Slug) {
			tables = append(tables, fmt.Sprint(t.Name, " ", published[replication.Table{Schema: t.Schema, Name: t.Name}]))
		}
		slices.Sort(tables)
		parts := []string{where, short(said...), short(tables...)}
		if rules := rulesPrint(d.cfg.Settings[c.Slug].Rules); rules != "" {
			parts = append(parts, rules)
		}
		prints[c.Slug] = strings.Join(parts, ".")
	}
	return prints
}

// rulesPrint is empty for rules that decide nothing.
func rulesPrint(r payload.Rules) string {
	if rules := fmt.Sprintf("%#v", r); rules != fmt.Sprintf("%#v", payload.Rules{}) {
		return short(rules)
	}
	return ""
}

// rejoined is why a collection is compared with the index whose tables were not in the log all the time.
const rejoined = "tables joined the publication, or were replaced"

func short(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// changes lists the sweeps that changed fingerprints owe. A collection that is no longer indexed leaves, and so do at
// once the documents that a new rule leaves out: that much is gone is then no mistake.
func changes(old, now map[string]string) []pipeline.SweepMark {
	var marks []pipeline.SweepMark
	for slug, print := range now {
		was, known := old[slug]
		before, after := parts(was), parts(print)
		mark := pipeline.SweepMark{Collection: slug, Force: known && before[3] != after[3]}
		switch {
		case was == print:
			continue
		case !known:
			mark.Reason = "the collection is new"
		case before[0] != after[0]:
			mark.Strength, mark.Reason = owed.Prove, "the index is another one"
		case before[2] != after[2]:
			mark.Strength, mark.Reason = owed.Prove, rejoined
		case mark.Force:
			mark.Reason = "the collection's settings changed"
		default:
			mark.Reason = "model, fields, chunking or namespace changed"
		}
		marks = append(marks, mark)
	}
	for slug := range old {
		if _, kept := now[slug]; !kept {
			marks = append(marks, pipeline.SweepMark{Collection: slug, Reason: "the collection is no longer indexed", Force: true})
		}
	}
	return marks
}

// parts are the four of a fingerprint; what is missing is empty.
func parts(print string) (out [4]string) {
	copy(out[:], strings.Split(print, "."))
	return out
}
