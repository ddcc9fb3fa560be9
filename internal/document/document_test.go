package document_test

import (
	"testing"

	"payload-cdc/internal/document"
)

func TestKey(t *testing.T) {
	for _, c := range []struct {
		key         document.Key
		hint, shown bool
		says        string
	}{
		{document.Key{Collection: "posts", ID: "42"}, false, false, "posts/42"},
		{document.Key{Collection: "posts", ID: "65f", Via: "posts_blocks_hero"}, true, false, "posts_blocks_hero:65f in posts"},
		{document.Key{Collection: "posts", ID: "5", Via: "*categories"}, true, true, "categories:5 shown in posts"},
	} {
		if c.key.Hint() != c.hint || c.key.Shown() != c.shown || c.key.String() != c.says {
			t.Errorf("%#v: hint %v, shown %v, %q", c.key, c.key.Hint(), c.key.Shown(), c.key.String())
		}
	}
}
