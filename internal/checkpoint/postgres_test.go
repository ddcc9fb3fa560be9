package checkpoint_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/checkpoint/checkpointtest"
	"payload-cdc/internal/pgtest"
)

// TestConformance runs the suite on every version, by turns with pgx's named statements and with what a pooler allows.
func TestConformance(t *testing.T) {
	pgtest.Each(t, func(t *testing.T, version int) {
		t.Parallel()
		db := pgtest.NewVersion(t, version)
		cfg, err := pgxpool.ParseConfig(db.URI)
		if err != nil {
			t.Fatal(err)
		}
		if version%2 == 0 {
			cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		}
		cfg.MaxConns = 6
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		checkpointtest.Exercise(t, func(t testing.TB, name string) checkpointtest.Store {
			s, err := checkpoint.Open(t.Context(), checkpoint.Config{Pool: pool, Schema: name, MaxOwed: checkpointtest.MaxOwed})
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
}
