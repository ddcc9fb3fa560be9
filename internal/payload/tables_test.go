package payload

import (
	"encoding/json"
	"fmt"
	"testing"

	"payload-cdc/internal/document"
	"payload-cdc/internal/wal"
)

// TestEveryTableNamesItsDocuments: a row of any table below a root, alone in its transaction, leads to its document:
// localized arrays, choices below array rows, and the locales of nested rows too.
func TestEveryTableNamesItsDocuments(t *testing.T) {
	pool := lab(t, 0)
	m := discover(t, pool, Config{Collections: append([]string{"site-settings", "footer"}, named...)})
	r := NewReader(pool, m, Config{})
	l := newLog(m)

	rows := map[string][]map[string]string{}
	for _, table := range m.Tables() {
		list, err := pool.Query(t.Context(), "select to_jsonb(t)::text from "+quoted(table.Name)+" t")
		if err != nil {
			t.Fatal(err)
		}
		for list.Next() {
			var values map[string]any
			if err := json.Unmarshal(list.RawValues()[0], &values); err != nil {
				t.Fatal(err)
			}
			row := map[string]string{}
			for name, v := range values {
				row[name] = fmt.Sprint(v)
			}
			rows[table.Name] = append(rows[table.Name], row)
		}
	}
	// documentOf climbs by the rows themselves.
	var documentOf func(of *table, row map[string]string) string
	documentOf = func(of *table, row map[string]string) string {
		if of.parent == nil {
			return row["id"]
		}
		for _, up := range rows[of.parent.name] {
			if up["id"] == row[of.via] {
				return documentOf(of.parent, up)
			}
		}
		t.Fatalf("%s: %v has no parent", of.name, row)
		return ""
	}
	marks, seen := m.Marks(), map[kind]int{}
	for name, list := range rows {
		of := m.byName[name]
		for _, row := range list {
			relation := l.relation(name)
			if err := marks.Row(&wal.Row{Op: wal.Update, Relation: relation, New: l.tuple(relation, row)}); err != nil {
				t.Fatal(err)
			}
			keys, sweeps, _ := marks.End()
			if len(keys) != 1 || len(sweeps) != 0 {
				t.Fatalf("%s: %v names %v and sweeps %v", name, row, keys, sweeps)
			}
			key := keys[0]
			if key.Hint() {
				found, _, err := r.Resolve(t.Context(), []document.Key{key})
				if err != nil {
					t.Fatal(err)
				}
				key = found[0]
			}
			if want := (document.Key{Collection: of.collection.Slug, ID: documentOf(of, row)}); key != want {
				t.Errorf("%s: %v leads to %v, want %v", name, row, key, want)
			}
			seen[of.kind]++
		}
	}
	for _, k := range []kind{root, block, array, locales, texts, numbers, rels, selects} {
		if seen[k] == 0 {
			t.Errorf("the lab has no rows of kind %d", k)
		}
	}
}
