package payload

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestMarksOfShown: rows that documents show lead to those, and name none of them.
func TestMarksOfShown(t *testing.T) {
	pool := build(t, "public", journal...)
	cfg := rulesFor(Rules{Related: []string{"author.name", "topics.title", "topics.label", "metaPlace.country"}})
	cfg.Collections = []string{"posts", "topics"}
	model := discover(t, pool, cfg)
	want := []Table{
		{"public", "authors"},
		{"public", "places"},
		{"public", "places_locales"},
		{"public", "posts"},
		{"public", "posts_blocks_hero"},
		{"public", "posts_blocks_hero_2"},
		{"public", "posts_locales"},
		{"public", "posts_rels"},
		{"public", "topics"},
		{"public", "topics_locales"},
	}
	if diff := cmp.Diff(want, model.Tables()); diff != "" {
		t.Error(diff)
	}
	l := newLog(model)
	m := model.Marks()
	for _, c := range []struct {
		name string
		rows []string
		want []string
	}{
		{"changed", []string{"U authors id=1 name=x"}, []string{"authors:1 shown in posts"}},
		{"changed twice", []string{"U authors id=1 name=x", "U authors id=1 name=y", "U authors id=2"}, []string{"authors:1 shown in posts", "authors:2 shown in posts"}},
		{"inserted", []string{"I authors id=3"}, []string{"authors:3 shown in posts"}},
		{"another id", []string{"U authors id=3 old.id=1"}, []string{"authors:3 shown in posts", "authors:1 shown in posts"}},
		{"deleted", []string{"D authors id=1"}, []string{"sweep posts"}},
		{"deleted, and a document named", []string{"D authors id=1", "U posts id=5", "D posts_rels id=1"}, []string{"posts/5", "sweep posts"}},
		{"changed, and a child of somebody deleted", []string{"U authors id=1", "D posts_rels id=1"}, []string{"authors:1 shown in posts", "sweep posts"}},
		{"indexed itself", []string{"U topics id=a"}, []string{"topics:a shown in posts", "topics/a"}},
		{"as Payload writes it", []string{"U topics id=a", "D topics_locales id=1", "I topics_locales id=9 _parent_id=a"}, []string{"topics:a shown in posts", "topics/a"}},
		{"its locale alone", []string{"I topics_locales id=9 _parent_id=a"}, []string{"topics:a shown in posts", "topics/a"}},
		{"a locale deleted alone", []string{"D topics_locales id=1"}, []string{"sweep posts", "sweep topics"}},
		{"another's locale deleted", []string{"U authors id=1", "D places_locales id=1"}, []string{"authors:1 shown in posts", "sweep posts"}},
		{"deleted, indexed itself", []string{"D topics id=a"}, []string{"topics/a", "sweep posts"}},
		{"emptied", []string{"T authors"}, []string{"sweep posts"}},
		{"emptied with what it refers to", []string{"T topics,topics_locales,posts_rels"}, []string{"sweep posts", "truncated topics", "truncated posts"}},
		{"nothing", nil, nil},
		{"not shown", []string{"U posts_blocks_hero id=1 _parent_id=4"}, []string{"posts/4"}},
	} {
		got := l.named(t, m, c.rows...)
		if diff := cmp.Diff(append([]string{}, c.want...), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	// A huge transaction is taken in parts: a hint may come again, and a sweep is not forgotten.
	for _, row := range []string{"U authors id=1", "D authors id=2"} {
		if err := m.Row(l.row(row)); err != nil {
			t.Fatal(err)
		}
	}
	if keys := m.Take(); len(keys) != 1 || !keys[0].Shown() {
		t.Errorf("taken: %v", keys)
	}
	if diff := cmp.Diff([]string{"authors:1 shown in posts", "sweep posts"}, l.named(t, m, "U authors id=1")); diff != "" {
		t.Error(diff)
	}
	// A column more is a change of the schema, for what is only shown too.
	authors := *l.relation("authors")
	authors.Columns = authors.Columns[1:]
	if model.Agrees(&authors) || !model.Agrees(l.relation("authors")) {
		t.Error("a changed table that is shown is not noticed")
	}
}

// TestShowingOnlyWhatIsShown: a reference that no rule shows leads nowhere.
func TestShowingOnlyWhatIsShown(t *testing.T) {
	pool := build(t, "public", journal...)
	const sea, air = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000004"
	cfg := rulesFor(Rules{Related: []string{"layout.about.title"}})
	r := NewReader(pool, discover(t, pool, cfg), Config{})
	exec(t, pool, `delete from posts_rels where path = 'layout.5.about'`)
	for row, want := range map[string][]string{"topics:" + sea: {"1"}, "topics:" + air: nil, "authors:1": nil, "places:oslo": nil} {
		table, id, _ := strings.Cut(row, ":")
		if diff := cmp.Diff(want, showing(t, r, "posts", table, id, 10)); diff != "" {
			t.Errorf("%s: %s", row, diff)
		}
		if got := showing(t, r, "topics", table, id, 10); got != nil {
			t.Errorf("a collection that shows nothing shows %s in %v", row, got)
		}
	}
}
