package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/document"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/wal"
)

// source reads documents for one period of owning, and ends the period when the schema is no longer as discovered.
type source struct {
	*payload.Reader
	changed func(error)
	log     *slog.Logger
}

func newSource(pool *pgxpool.Pool, model *payload.Model, bounds payload.Config, log *slog.Logger, changed func(error)) *source {
	return &source{Reader: payload.NewReader(pool, model, bounds), changed: changed, log: log}
}

func (s *source) watch(err error) error {
	if errors.Is(err, payload.ErrSchemaChanged) {
		s.changed(err)
	}
	return err
}

// Read is payload.Reader's.
func (s *source) Read(ctx context.Context, keys []document.Key) ([]document.Document, wal.Snapshot, error) {
	documents, snapshot, err := s.Reader.Read(ctx, keys)
	return documents, snapshot, s.watch(err)
}

// Resolve is payload.Reader's.
func (s *source) Resolve(ctx context.Context, hints []document.Key) ([]document.Key, wal.Snapshot, error) {
	keys, snapshot, err := s.Reader.Resolve(ctx, hints)
	return keys, snapshot, s.watch(err)
}

// Published is payload.Reader's. A collection that is no longer indexed has nothing published.
func (s *source) Published(ctx context.Context, slug, cursor string, n int) ([]document.Key, string, wal.Snapshot, error) {
	if !slices.Contains(s.Collections(), slug) {
		_, snapshot, err := s.Read(ctx, nil)
		return nil, "", snapshot, err
	}
	keys, next, snapshot, err := s.Reader.Published(ctx, slug, cursor, n)
	return keys, next, snapshot, s.watch(err)
}

// Showing is payload.Reader's.
func (s *source) Showing(ctx context.Context, hint document.Key, cursor string, n int) ([]document.Key, string, wal.Snapshot, error) {
	keys, next, snapshot, err := s.Reader.Showing(ctx, hint, cursor, n)
	return keys, next, snapshot, s.watch(err)
}

// Live is payload.Reader's.
func (s *source) Live(ctx context.Context, keys []document.Key) ([]bool, error) {
	live, err := s.Reader.Live(ctx, keys)
	return live, s.watch(err)
}

// estimate is for progress only: unknown is zero.
func (s *source) estimate(ctx context.Context, slug string) int {
	n, err := s.Estimate(ctx, slug)
	if err != nil {
		s.log.Debug("documents not counted", "collection", slug, "err", err)
	}
	return n
}
