package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/index"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/replication"
)

// inspect is attach, and what there is to index.
func inspect(ctx context.Context, cfg Config) (*Daemon, *payload.Model, error) {
	d, err := attach(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	model, _, _, err := d.known(ctx)
	if err != nil { // the state may be closed to whoever sets up
		model, err = d.discover(ctx, cfg.Collections)
	}
	if err != nil {
		d.close()
		return nil, nil, err
	}
	d.model = model
	return d, model, nil
}

// SetupSQL is what an owner or administrator runs once for role (that of DatabaseURI when empty). It changes nothing.
func SetupSQL(ctx context.Context, cfg Config, role string) (string, error) {
	d, model, err := inspect(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer d.close()
	server, err := replication.InspectServer(ctx, d.source)
	if err != nil {
		return "", fmt.Errorf("look at the database: %w", err)
	}
	if role == "" {
		role = server.Role
	}
	setup := replication.Setup{
		Role: role, Database: server.Database, Publication: d.cfg.Publication, Tables: published(model), WALLevel: server.WALLevel,
	}
	if setup.Published, err = d.alreadyPublished(ctx); err != nil {
		return "", err
	}
	if d.cfg.StateURI == d.cfg.DatabaseURI {
		setup.State = checkpoint.SetupSQL(d.cfg.StateSchema, role)
	}
	return replication.SetupSQL(setup), nil
}

// alreadyPublished lists the publication's tables; nil when there is no publication.
func (d *Daemon) alreadyPublished(ctx context.Context) ([]replication.Table, error) {
	var exists bool
	if err := d.source.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)", d.cfg.Publication).Scan(&exists); err != nil || !exists {
		return nil, err
	}
	rows, err := d.source.Query(ctx, "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1", d.cfg.Publication)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[replication.Table])
	if err != nil {
		return nil, fmt.Errorf("list the publication's tables: %w", err)
	}
	return append([]replication.Table{}, tables...), nil
}

// Setup creates the publication and the state's tables. It says what it did.
func Setup(ctx context.Context, cfg Config) (string, error) {
	d, model, err := inspect(ctx, cfg)
	if err != nil {
		return "", err
	}
	defer d.close()
	change, err := replication.EnsurePublication(ctx, d.source, d.cfg.Publication, published(model))
	if err != nil {
		return "", err
	}
	if d.store, err = checkpoint.Open(ctx, checkpoint.Config{Pool: d.state, Schema: d.cfg.StateSchema, Logger: d.log}); err != nil {
		return "", err
	}
	slugs := make([]string, 0)
	for _, c := range model.Collections() {
		slugs = append(slugs, c.Slug)
	}
	what := "was complete"
	if change.Changed() {
		what = "is prepared"
	}
	return fmt.Sprintf("publication %s %s (%d tables of %d collections: %v), state schema %s is ready; next: cdc run",
		d.cfg.Publication, what, len(published(model)), len(slugs), slices.Sorted(slices.Values(slugs)), d.cfg.StateSchema), nil
}

// TornDown is what a teardown did.
type TornDown struct {
	Slot          bool  `json:"slot"`           // it existed and was dropped
	ReleasedBytes int64 `json:"released_bytes"` // of log that the slot held back
	Publication   bool  `json:"publication"`
	State         bool  `json:"state"`
}

// String is for people.
func (t TornDown) String() string {
	dropped := func(was bool) string {
		if was {
			return "dropped"
		}
		return "was not there"
	}
	s := "slot " + dropped(t.Slot)
	if t.Slot {
		s += fmt.Sprintf(", releasing %.1f MiB of the server's log", float64(t.ReleasedBytes)/(1<<20))
	}
	s += "; publication " + dropped(t.Publication)
	if t.State {
		s += "; state dropped"
	}
	return s
}

// Teardown drops slot and publication, and with state the state schema. force ends a cdc that is still running.
func Teardown(ctx context.Context, cfg Config, state, force bool) (TornDown, error) {
	d, err := attach(ctx, cfg)
	if err != nil {
		return TornDown{}, err
	}
	defer d.close()
	cfg = d.cfg
	released, err := replication.Teardown{Slot: cfg.Slot, Publication: cfg.Publication, Force: force}.Run(ctx, d.source)
	done := TornDown{Slot: released.Slot, ReleasedBytes: released.Bytes, Publication: released.Publication}
	if errors.Is(err, replication.ErrActive) {
		return done, fmt.Errorf("%w: stop cdc run first, or give --force", err)
	}
	if err != nil {
		return done, err
	}
	if !state {
		return done, nil
	}
	switch err := checkpoint.Drop(ctx, d.state, cfg.StateSchema); {
	case errors.Is(err, checkpoint.ErrNoState):
	case err != nil:
		return done, err
	default:
		done.State = true
	}
	return done, nil
}

// Adopt makes the database the index's owner. It says who was it before.
func Adopt(ctx context.Context, cfg Config) (string, error) {
	cfg = cfg.withDefaults()
	d := &Daemon{cfg: cfg, log: cfg.Logger}
	defer d.close()
	var err error
	if d.source, err = connect(ctx, cfg.DatabaseURI, "payload_cdc_setup", "DATABASE_URI"); err != nil {
		return "", err
	}
	server, err := replication.InspectServer(ctx, d.source)
	if err != nil {
		return "", fmt.Errorf("look at the database: %w", err)
	}
	idx, err := newIndex(cfg)
	if err != nil {
		return "", err
	}
	defer idx.Close()
	before, found, err := idx.Owner(ctx)
	if err != nil {
		return "", fmt.Errorf("ask the index for its owner: %w", err)
	}
	if found && before.System == server.System {
		return "the index belongs to this database already", nil
	}
	// The LSN is ahead of any checkpoint, so the next start compares everything.
	if err := idx.SetOwner(ctx, index.Owner{System: server.System, Slot: cfg.Slot, LSN: adopted, At: time.Now()}); err != nil {
		return "", fmt.Errorf("write the index's owner: %w", err)
	}
	if !found {
		return "the index belongs to this database now; it had no owner", nil
	}
	return "the index belongs to this database now, before to the system " + before.System + "; the next cdc run compares everything", nil
}
