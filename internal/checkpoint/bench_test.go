package checkpoint_test

import (
	"fmt"
	"testing"
	"time"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/wal"
)

// BenchmarkWrites measures each write with one document of four chunks and with a thousand, on a server that flushes.
func BenchmarkWrites(b *testing.B) {
	c := pgtest.Start(b, pgtest.Options{Settings: map[string]string{"fsync": "on"}})
	s, err := checkpoint.Open(b.Context(), checkpoint.Config{URI: c.URI("postgres")})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Claim(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 1000} {
		delta := owed.Delta{}
		var keys []document.Key
		var intents []owed.Intent
		var settled []owed.Holding
		for i := range n {
			k := document.Key{Collection: "posts", ID: fmt.Sprint(i)}
			keys = append(keys, k)
			delta.Owe = append(delta.Owe, owed.Debt{Key: k, Strength: owed.Look, XIDs: []wal.XID{7}, Since: time.Now()})
			intent, holding := owed.Intent{Key: k}, owed.Holding{Key: k}
			for chunk := range 4 {
				id := fmt.Sprintf("posts-%d#%d", i, chunk)
				intent.IDs = append(intent.IDs, id)
				holding.Held = append(holding.Held, document.Held{ID: id, Hash: fmt.Sprintf("%032d", i)})
			}
			intents, settled = append(intents, intent), append(settled, holding)
		}
		for _, one := range []struct {
			name  string
			write func() error
		}{
			{"Save", func() error {
				delta.LSN++
				return s.Save(b.Context(), delta)
			}},
			{"Intend", func() error {
				_, err := s.Intend(b.Context(), intents, time.Minute)
				return err
			}},
			{"Intend+Settle", func() error {
				if _, err := s.Intend(b.Context(), intents, time.Minute); err != nil {
					return err
				}
				return s.Settle(b.Context(), settled)
			}},
			{"Held", func() error {
				_, err := s.Held(b.Context(), keys)
				return err
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d", one.name, n), func(b *testing.B) {
				for b.Loop() {
					if err := one.write(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
