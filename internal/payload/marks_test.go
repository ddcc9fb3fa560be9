package payload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// posts is a catalog as Payload makes it: "name < parent.column: columns", all FKs cascading.
const posts = `payload_migrations: id
posts: id title _status
posts_texts < posts.parent_id: id order path text
posts_rels < posts.parent_id: id order path categories_id
posts_blocks_hero < posts._parent_id: id _order _path heading
posts_blocks_hero_cta_links < posts_blocks_hero._parent_id: id _order label
posts_blocks_hero_cta_links_sub_links < posts_blocks_hero_cta_links._parent_id: id _order label
posts_faq_items < posts._parent_id: id _order question
posts_faq_items_sources < posts_faq_items._parent_id: id _order title
_posts_v: id parent_id version_title version__status latest
events: id title _status deleted_at
events_agenda < events._parent_id: id _order item
categories: id name
categories_rels < categories.parent_id: id order path posts_id`

func modelOf(t testing.TB, spec string) *Model {
	t.Helper()
	c := &catalog{schema: "public", byName: map[string]*table{}}
	for i, line := range strings.Split(spec, "\n") {
		head, columns, _ := strings.Cut(line, ": ")
		name, up, nested := strings.Cut(head, " < ")
		one := &table{oid: uint32(1000 + i), name: name}
		for col := range strings.FieldsSeq(columns) {
			one.columns = append(one.columns, column{name: col, typ: "character varying", enum: col == "_status"})
		}
		c.tables = append(c.tables, one)
		c.byName[name] = one
		if nested {
			parent, via, _ := strings.Cut(up, ".")
			one.columns = append(one.columns, column{name: via, typ: "integer", ref: true})
			c.keys = append(c.keys, foreignKey{from: one, to: c.byName[parent], column: via, cascades: true})
		}
	}
	m, err := newModel(context.Background(), nil, c, Config{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// log writes rows as pgoutput does for a model's tables.
type log struct {
	model     *Model
	relations map[string]*wal.Relation
}

func newLog(m *Model) *log { return &log{m, map[string]*wal.Relation{}} }

func (l *log) relation(name string) *wal.Relation {
	if l.relations[name] == nil {
		r := &wal.Relation{OID: 1, Schema: "public", Table: name, Identity: 'd'}
		if t := l.model.byName[name]; t != nil {
			r.OID = t.oid
			for _, c := range t.columns {
				r.Columns = append(r.Columns, wal.Column{Name: c.name, Key: c.name == "id"})
			}
		}
		l.relations[name] = r
	}
	return l.relations[name]
}

// tuple encodes the given columns; the others are NULL, or an unchanged TOAST value for "u".
func (l *log) tuple(r *wal.Relation, values map[string]string) wal.Tuple {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(r.Columns)))
	for _, c := range r.Columns {
		v, ok := values[c.Name]
		switch {
		case !ok:
			b = append(b, wal.Null)
		case v == "u":
			b = append(b, wal.Unchanged)
		default:
			b = append(binary.BigEndian.AppendUint32(append(b, wal.Text), uint32(len(v))), v...)
		}
	}
	return b
}

// row reads "I posts id=1 title=x", "D posts_rels id=4", "U posts id=2 old.id=1".
func (l *log) row(text string) *wal.Row {
	f := strings.Fields(text)
	r := l.relation(f[1])
	before, after := map[string]string{}, map[string]string{}
	for _, kv := range f[2:] {
		k, v, _ := strings.Cut(kv, "=")
		if old, ok := strings.CutPrefix(k, "old."); ok {
			before[old] = v
		} else if f[0] == "D" {
			before[k] = v
		} else {
			after[k] = v
		}
	}
	row := &wal.Row{Op: wal.Op(f[0][0]), Relation: r}
	if len(before) > 0 {
		row.Old = l.tuple(r, before)
	}
	if len(after) > 0 {
		row.New = l.tuple(r, after)
	}
	return row
}

// named returns what a transaction names, as text: keys, "sweep x", "truncated x".
func (l *log) named(t testing.TB, m *Marks, rows ...string) []string {
	t.Helper()
	for _, text := range rows {
		if tables, ok := strings.CutPrefix(text, "T "); ok {
			var relations []*wal.Relation
			for name := range strings.SplitSeq(tables, ",") {
				relations = append(relations, l.relation(name))
			}
			if err := m.Truncate(relations); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := m.Row(l.row(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	keys, sweeps, truncated := m.End()
	out := []string{}
	for _, k := range keys {
		out = append(out, k.String())
	}
	for _, s := range sweeps {
		out = append(out, "sweep "+s)
	}
	for _, s := range truncated {
		out = append(out, "truncated "+s)
	}
	return out
}

// TestMarks drives the operations recorded from Payload: the numbers are those of its log.
func TestMarks(t *testing.T) {
	model := modelOf(t, posts)
	l := newLog(model)
	m := model.Marks()
	full := []string{
		"I posts_rels id=11 parent_id=7 order=1 path=categories", "I posts_texts id=12 parent_id=7", "I posts_blocks_hero id=h1 _parent_id=7",
		"I posts_blocks_hero_cta_links id=c1 _parent_id=h1", "I posts_blocks_hero_cta_links id=c2 _parent_id=h1",
		"I posts_blocks_hero_cta_links_sub_links id=s1 _parent_id=c1", "I posts_faq_items id=f1 _parent_id=7", "I posts_faq_items_sources id=x1 _parent_id=f1",
	}
	gone := []string{
		"D posts_rels id=1", "D posts_texts id=2", "D posts_blocks_hero id=h1", "D posts_blocks_hero_cta_links id=c1", "D posts_faq_items id=f1",
	}
	for _, c := range []struct {
		name string
		rows []string
		want []string
	}{
		{"08 create", append([]string{"I posts id=7 title=x"}, full...), []string{"posts/7"}},
		{"11 publish", slices.Concat([]string{"U posts id=7 title=x"}, gone, full), []string{"posts/7"}},
		{"09 autosave", []string{"I _posts_v id=1 parent_id=7"}, nil},
		{"22 texts emptied", []string{"U posts id=7", "D posts_texts id=2"}, []string{"posts/7"}},
		{"34 bulk", []string{"U posts id=1", "U posts id=2", "D posts_rels id=5", "U posts id=1"}, []string{"posts/1", "posts/2"}},
		{"36 a child's delete alone", []string{"D posts_rels id=1", "D posts_rels id=2"}, []string{"sweep posts"}},
		{"36 nested deletes alone", []string{"D posts_blocks_hero id=h1", "D posts_blocks_hero_cta_links id=c1"}, []string{"sweep posts"}},
		{
			"36 a nested insert alone",
			[]string{"I posts_blocks_hero_cta_links id=c1 _parent_id=h1", "I posts_blocks_hero_cta_links id=c2 _parent_id=h1"},
			[]string{"posts_blocks_hero:h1 in posts"},
		},
		{"36 the deepest insert alone", []string{"I posts_blocks_hero_cta_links_sub_links id=s1 _parent_id=c1"}, []string{"posts_blocks_hero_cta_links:c1 in posts"}},
		{"41 $push", []string{"I posts_faq_items id=f9 _parent_id=7"}, []string{"posts/7"}},
		{"41 $push with its children", full, []string{"posts/7"}},
		{"43 $remove", []string{"D posts_rels id=1"}, []string{"sweep posts"}},
		{
			"44 a category is deleted",
			[]string{"D categories id=1", "U posts_blocks_hero id=h1 _parent_id=7", "U posts id=8 title=u", "D posts_rels id=3"},
			[]string{"posts/7", "posts/8"},
		},
		{"44 a category only in rels", []string{"D categories id=1", "D posts_rels id=3", "D posts_rels id=4"}, []string{"sweep posts"}},
		{"45 delete", append([]string{"D _posts_v id=1", "D posts id=7"}, gone...), []string{"posts/7"}},
		{"37 two collections", []string{"U posts id=1", "U events id=2", "D events_agenda id=a1"}, []string{"posts/1", "events/2"}},
		{"a delete hidden by another collection", []string{"U posts id=1", "D events_agenda id=a1"}, []string{"posts/1", "sweep events"}},
		{"08 truncate", []string{"T events,events_agenda,_posts_v"}, []string{"truncated events"}},
		{"a changed key", []string{"U posts id=9 old.id=7"}, []string{"posts/9", "posts/7"}},
		{"FULL identity", []string{"D posts_rels id=1 parent_id=7", "U posts_faq_items id=f1 _parent_id=8 old._parent_id=7"}, []string{"posts/7", "posts/8"}},
		{"a row seen later", []string{"I posts_faq_items_sources id=x _parent_id=f2", "U posts_faq_items id=f2 _parent_id=5"}, []string{"posts/5"}},
		{"a hint hides no delete", []string{"I posts_faq_items_sources id=x _parent_id=f3", "D posts_rels id=1"}, []string{"posts_faq_items:f3 in posts", "sweep posts"}},
		{"a root without its key", []string{"U posts title=x"}, []string{"sweep posts"}},
		{"not indexed", []string{"I categories id=1", "D categories_rels id=1", "I payload_migrations id=1"}, nil},
		{"nothing", nil, nil},
	} {
		got := l.named(t, m, c.rows...)
		if diff := cmp.Diff(append([]string{}, c.want...), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestMarksOfOtherTables(t *testing.T) {
	model := modelOf(t, posts)
	m := model.Marks()
	l := newLog(model)
	strange := &wal.Relation{OID: 9, Schema: "public", Table: "posts_new_block", Columns: []wal.Column{{Name: "id"}}}
	row := &wal.Row{Op: wal.Insert, Relation: strange, New: l.tuple(strange, map[string]string{"id": "1"})}
	if err := m.Row(row); !errors.Is(err, ErrUnknownTable) || !strings.Contains(err.Error(), "posts_new_block") {
		t.Errorf("unknown: %v", err)
	}
	if err := m.Truncate([]*wal.Relation{strange}); !errors.Is(err, ErrUnknownTable) {
		t.Errorf("unknown, truncated: %v", err)
	}
	m.Ignore(strange)
	if err := m.Row(row); err != nil {
		t.Errorf("ignored: %v", err)
	}
	elsewhere := &wal.Relation{OID: 10, Schema: "cron", Table: "posts_new_block"}
	if err := m.Row(&wal.Row{Op: wal.Insert, Relation: elsewhere}); err != nil {
		t.Errorf("another schema's: %v", err)
	}
	// A renamed table is known by its OID, and a relation that changes is looked at again.
	renamed := &wal.Relation{OID: model.byName["posts"].oid, Schema: "public", Table: "articles", Columns: []wal.Column{{Name: "title"}, {Name: "id"}}}
	if err := m.Row(&wal.Row{Op: wal.Update, Relation: renamed, New: l.tuple(renamed, map[string]string{"id": "5", "title": "1"})}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"posts/4", "posts/5"}, sorted(l.named(t, m, "U posts id=4"))); diff != "" {
		t.Error(diff)
	}
	if keys, _, _ := m.End(); len(keys) != 0 {
		t.Errorf("the next transaction begins with %v", keys)
	}
}

func sorted(s []string) []string { slices.Sort(s); return s }

// TestMarksNameEverything: whatever a transaction writes, and however often keys are taken out of the middle of it,
// every document whose rows it touched is named, or is below a hinted row, or its collection is swept.
func TestMarksNameEverything(t *testing.T) {
	model := modelOf(t, posts)
	l := newLog(model)
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := model.Marks()
		for range 3 { // transactions, one collector
			owner := map[string]string{} // hero or link → document; ids encode it, so that the truth is known
			var rows []string
			touched := map[string]bool{}
			deletes := false
			for range rng.IntN(12) {
				doc := fmt.Sprint(1 + rng.IntN(4))
				hero, link := "h"+doc, "c"+doc
				owner[hero], owner[link] = doc, doc
				row := []string{
					"U posts id=" + doc, "I posts id=" + doc, "D posts id=" + doc, "I posts_texts id=1 parent_id=" + doc,
					"I posts_blocks_hero id=" + hero + " _parent_id=" + doc, "I posts_blocks_hero_cta_links id=" + link + " _parent_id=" + hero,
					"I posts_blocks_hero_cta_links_sub_links id=s _parent_id=" + link, "D posts_rels id=1",
				}[rng.IntN(8)]
				rows = append(rows, row)
				if strings.HasPrefix(row, "D posts_rels") {
					deletes = true
				} else {
					touched[doc] = true
				}
			}
			named := map[string]bool{}
			roots := false
			learn := func(keys []document.Key) {
				for _, k := range keys {
					if k.Hint() {
						named[owner[k.ID]] = true
						continue
					}
					named[k.ID], roots = true, true
				}
			}
			for _, row := range rows {
				if err := m.Row(l.row(row)); err != nil {
					t.Fatal(err)
				}
				if rng.IntN(4) == 0 {
					learn(m.Take())
				}
			}
			keys, sweeps, _ := m.End()
			learn(keys)
			for doc := range touched {
				if !named[doc] {
					t.Fatalf("seed %d: %q does not name posts/%s", seed, rows, doc)
				}
			}
			for doc := range named {
				if !touched[doc] {
					t.Fatalf("seed %d: %q names posts/%s", seed, rows, doc)
				}
			}
			if want := deletes && !roots; want != (len(sweeps) == 1) {
				t.Fatalf("seed %d: %q sweeps %q", seed, rows, sweeps)
			}
		}
	}
}

func publish(l *log) []*wal.Row {
	var rows []*wal.Row
	for _, text := range []string{
		"U posts id=7 title=x", "D posts_rels id=1", "I posts_rels id=11 parent_id=7", "I posts_texts id=12 parent_id=7", "I posts_blocks_hero id=h1 _parent_id=7",
		"I posts_blocks_hero_cta_links id=c1 _parent_id=h1", "I posts_blocks_hero_cta_links_sub_links id=s1 _parent_id=c1", "I _posts_v id=9 parent_id=7",
	} {
		rows = append(rows, l.row(text))
	}
	return rows
}

func TestMarksAllocateNothingForWhatTheyKnow(t *testing.T) {
	model := modelOf(t, posts)
	m := model.Marks()
	rows := publish(newLog(model))
	all := func() {
		for _, row := range rows {
			if err := m.Row(row); err != nil {
				t.Fatal(err)
			}
		}
	}
	all()
	if n := testing.AllocsPerRun(100, all); n != 0 {
		t.Errorf("%v allocations for rows of a known document", n)
	}
}

func BenchmarkMarks(b *testing.B) {
	model := modelOf(b, posts)
	rows := publish(newLog(model))
	b.Run("row", func(b *testing.B) {
		m := model.Marks()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := m.Row(rows[i%len(rows)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("transaction", func(b *testing.B) {
		m := model.Marks()
		b.ReportAllocs()
		for b.Loop() {
			for _, row := range rows {
				if err := m.Row(row); err != nil {
					b.Fatal(err)
				}
			}
			m.End()
		}
	})
}

func FuzzMarks(f *testing.F) {
	model := modelOf(f, posts)
	l := newLog(model)
	for _, row := range publish(l) {
		f.Add(uint8(0), []byte(row.New), []byte(row.Old))
	}
	names := []string{"posts", "posts_rels", "posts_blocks_hero", "posts_blocks_hero_cta_links", "posts_blocks_hero_cta_links_sub_links"}
	f.Fuzz(func(t *testing.T, which uint8, after, before []byte) {
		m := model.Marks()
		row := &wal.Row{Op: wal.Update, Relation: l.relation(names[int(which)%len(names)]), New: after, Old: before}
		if err := m.Row(row); err != nil {
			t.Fatal(err)
		}
		if keys, sweeps, _ := m.End(); len(keys)+len(sweeps) == 0 {
			t.Fatal("a row of an indexed table owes nothing")
		}
	})
}
