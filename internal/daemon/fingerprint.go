package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"payload-cdc/internal/owed"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/pipeline"
)

// fingerprints says, by collection, all that decides which chunks it has and where: when one changes, a sweep is owed.
// Before the dot is what decides where vectors are, after it what decides what they say.
func (d *Daemon) fingerprints(model *payload.Model) map[string]string {
	where := short("upstash", d.cfg.UpstashURL, d.cfg.UpstashNamespace)
	prints := map[string]string{}
	for _, c := range model.Collections() {
		what := short(d.cfg.EmbedModel, fmt.Sprint(d.cfg.EmbedDimensions), d.splitter.Fingerprint(), model.Fingerprint(c.Slug))
		prints[c.Slug] = where + "." + what
	}
	return prints
}

func short(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// changes lists the sweeps that changed fingerprints owe. A collection that is no longer indexed leaves.
func changes(old, now map[string]string) []pipeline.SweepMark {
	var marks []pipeline.SweepMark
	for slug, print := range now {
		was, known := old[slug]
		whereWas, _, _ := strings.Cut(was, ".")
		where, _, _ := strings.Cut(print, ".")
		switch {
		case was == print:
		case !known:
			marks = append(marks, pipeline.SweepMark{Collection: slug, Reason: "the collection is new"})
		case whereWas != where:
			marks = append(marks, pipeline.SweepMark{Collection: slug, Strength: owed.Prove, Reason: "the index is another one"})
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
