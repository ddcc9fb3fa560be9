package e2e_test

import (
	"strings"
	"testing"

	"payload-cdc/internal/pgtest"
	"payload-cdc/test/e2e"
)

// Every operation of Payload, one after the other, while cdc streams: once cdc has read it, and owes nothing, the index is
// what Payload reads back. With disableTransaction each statement of an operation is a transaction of its own, and cdc sees
// documents torn: their children deleted and not yet inserted again.
func TestOperations(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name, list, collections string
		disableTransaction      bool
		postgres                int // 0 is the newest
	}{
		{"main", "main", everything, false, 0},
		{"main without transactions", "main", everything, true, 0},
		{"alt", "alt", everythingAlt, false, 14},
		{"alt without transactions", "alt", everythingAlt, true, 14},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			w := e2e.New(t, e2e.Options{
				Cluster: pgtest.NewVersion(t, one.postgres).Cluster, Variation: one.list, Env: map[string]string{"CDC_COLLECTIONS": one.collections},
			})
			ctx := t.Context()
			cdc := w.Start(t)
			cdc.WaitReady(t)
			w.WaitSettled(t, cdc)
			names, err := w.Payload.Steps(ctx, one.list, fields{"disableTransaction": one.disableTransaction})
			if err != nil {
				t.Fatal(err)
			}
			if len(names) == 0 {
				t.Fatal("there are no operations")
			}
			for _, name := range names {
				if err := w.Payload.Step(ctx); err != nil {
					t.Fatal(err)
				}
				w.WaitRead(t, cdc)
				problems := w.Differences(t)
				if len(problems) == 0 {
					continue
				}
				// Without a transaction, and adapter calls have none, a child's DELETE stands alone: it names no document, and a
				// sweep finds it five seconds later.
				if !one.disableTransaction && !strings.HasPrefix(name, "db-") {
					t.Errorf("after %s:\n  %s", name, strings.Join(problems, "\n  "))
				}
				w.WaitConverged(t)
			}
			w.WaitSettled(t, cdc)
			cdc.Stop(t)
		})
	}
}

// All that the project has but its users.
const (
	everything    = "posts,blog-posts,docPages,products,events,notes,news,numbered,categories,media,site-settings,footer"
	everythingAlt = "posts,blog-posts,events,news,categories,media,site-settings,footer"
)
