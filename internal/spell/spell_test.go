package spell_test

import (
	"testing"

	"payload-cdc/internal/spell"
)

func TestNearest(t *testing.T) {
	known := []string{"posts", "pages", "blog-posts", "events"}
	for name, want := range map[string]string{
		"post": "posts", "psots": "posts", "pagse": "pages", "blogposts": "blog-posts", "": "", "unrelated": "", "xxxxx": "",
	} {
		if got := spell.Nearest(name, known, 4); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	if got := spell.Nearest("b", []string{"c", "a"}, 4); got != "a" {
		t.Errorf("of two equally near, %q", got)
	}
}
