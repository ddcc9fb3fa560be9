package daemon

import (
	"cmp"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
)

// What leaves because a person decided so is not held for a person to decide; what leaves with a change of the tables is.
func TestChanges(t *testing.T) {
	old := map[string]string{"a": "w.s.t", "b": "w.s.t.r"}
	for _, c := range []struct {
		name string
		now  map[string]string
		want []pipeline.SweepMark
	}{
		{"nothing", map[string]string{"a": "w.s.t", "b": "w.s.t.r"}, nil},
		{"fields of the database", map[string]string{"a": "w.S.t", "b": "w.s.t.r"}, []pipeline.SweepMark{{Collection: "a"}}},
		{"first rules", map[string]string{"a": "w.S.t.r", "b": "w.s.t.r"}, []pipeline.SweepMark{{Collection: "a", Force: true}}},
		{"other rules", map[string]string{"a": "w.s.t", "b": "w.S.t.R"}, []pipeline.SweepMark{{Collection: "b", Force: true}}},
		{"no rules any more", map[string]string{"a": "w.s.t", "b": "w.s.t"}, []pipeline.SweepMark{{Collection: "b", Force: true}}},
		{"rules and tables", map[string]string{"a": "w.s.T.r", "b": "w.s.t.r"}, []pipeline.SweepMark{{Collection: "a", Strength: owed.Prove, Force: true}}},
		{"tables", map[string]string{"a": "w.s.T", "b": "w.s.t.r"}, []pipeline.SweepMark{{Collection: "a", Strength: owed.Prove}}},
		{"the index", map[string]string{"a": "W.s.t", "b": "W.s.t.r"}, []pipeline.SweepMark{{Collection: "a", Strength: owed.Prove}, {Collection: "b", Strength: owed.Prove}}},
		{"a new collection with rules", map[string]string{"a": "w.s.t", "b": "w.s.t.r", "c": "w.s.t.r"}, []pipeline.SweepMark{{Collection: "c"}}},
		{"a collection less", map[string]string{"a": "w.s.t"}, []pipeline.SweepMark{{Collection: "b", Force: true}}},
	} {
		got := changes(old, c.now)
		slices.SortFunc(got, func(a, b pipeline.SweepMark) int { return cmp.Compare(a.Collection, b.Collection) })
		for i := range got {
			if got[i].Reason == "" {
				t.Errorf("%s: no reason for %s", c.name, got[i].Collection)
			}
			got[i].Reason = ""
		}
		if diff := gocmp.Diff(c.want, got, gocmp.AllowUnexported(pipeline.SweepMark{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
