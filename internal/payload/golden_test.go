package payload

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/document"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestWholePost is a post of the lab, in the order in which it is embedded.
func TestWholePost(t *testing.T) {
	pool := lab(t, 0)
	r := NewReader(pool, discover(t, pool, Config{Collections: []string{"posts", "blog-posts"}}), Config{})
	var got strings.Builder
	for _, d := range []document.Document{read(t, r, "posts", "1")[0], read(t, r, "blog-posts", "1")[0]} {
		for _, e := range d.Entries {
			fmt.Fprintf(&got, "== %v %s: %s\n", d.Key, e.Locale, e.Title)
			for _, b := range e.Blocks {
				fmt.Fprintf(&got, "%s %q\n", [...]string{"prose  ", "heading", "item   ", "code   ", "table  ", "quote  "}[b.Kind], b.Text)
			}
		}
	}
	const file = "testdata/whole.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
