package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"payload-cdc/internal/payload"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// prepared is what has been found and made in the database.
type prepared struct {
	server  replication.Server
	model   *payload.Model
	change  replication.PublicationChange
	slot    replication.Slot
	created bool // the slot is new
	point   wal.LSN
	shape   string // of the schema, when the model was discovered or before
	members members
	gone    []string // collections that are missing and that no configuration has taken away
}

// acquire stands by until nobody reads the slot, prepares, and starts to stream.
func (d *Daemon) acquire(ctx context.Context) (prepared, *replication.Stream, error) {
	told := false
	for {
		if err := d.standBy(ctx, &told); err != nil {
			return prepared{}, nil, err
		}
		ready, err := d.prepare(ctx)
		if err != nil {
			return prepared{}, nil, err
		}
		stream, err := replication.Open(ctx, replication.Config{
			URI: d.cfg.ReplicationURI, Slot: d.cfg.Slot, Publication: d.cfg.Publication, Near: ready.server.Next, Logger: d.log,
		})
		switch {
		case err == nil:
			return ready, stream, nil
		case errors.Is(err, replication.ErrActive):
			continue // somebody was faster
		case errors.Is(err, replication.ErrLost), errors.Is(err, replication.ErrPublicationMissing):
			d.log.Warn("the slot is of no use any more; making a new one", "slot", d.cfg.Slot, "err", err)
			d.renew = err
		default:
			return prepared{}, nil, err
		}
	}
}

// standBy returns once nobody reads the slot.
func (d *Daemon) standBy(ctx context.Context, told *bool) error {
	for {
		slot, err := replication.InspectSlot(ctx, d.source, d.cfg.Slot)
		if err != nil {
			return fmt.Errorf("look at the slot: %w", err)
		}
		d.setSlot(slot)
		if !slot.Active {
			return nil
		}
		if !*told {
			d.log.Info("another instance reads the slot; standing by", "slot", slot.Name, "pid", slot.ActivePID)
			d.set(standby, "another instance reads the slot "+slot.Name)
			*told = true
		}
		if !pause(ctx, time.Second) {
			return ctx.Err()
		}
	}
}

// prepare looks at the database and makes what is missing: the publication before the slot, for a slot cannot decode
// what was written before its publication existed.
func (d *Daemon) prepare(ctx context.Context) (prepared, error) {
	server, err := replication.InspectServer(ctx, d.source)
	if err != nil {
		return prepared{}, fmt.Errorf("look at the database: %w", err)
	}
	d.setServer(server)
	if err := d.askIndex(ctx); err != nil {
		return prepared{}, err
	}
	ready := prepared{server: server}
	if ready.shape, err = d.shape(ctx); err != nil {
		return prepared{}, err
	}
	if ready.model, ready.gone, err = d.present(ctx); err != nil {
		return prepared{}, err
	}
	d.announce(ready.model)
	if err := d.mayMend(ctx); err != nil {
		return prepared{}, err
	}
	if err := d.dropUseless(ctx); err != nil {
		return prepared{}, err
	}
	plan := d.cfg.plan(published(ready.model))
	if err := replication.Preflight(ctx, d.source, plan); err != nil {
		return prepared{}, err
	}
	if ready.change, err = replication.EnsurePublication(ctx, d.source, plan.Publication, plan.Tables); err != nil {
		return prepared{}, err
	}
	if ready.change.Changed() {
		d.log.Info("publication prepared", "publication", plan.Publication, "created", ready.change.Created,
			"added", tableNames(ready.change.Added), "removed", tableNames(ready.change.Removed))
	}
	if ready.members, err = d.members(ctx); err != nil {
		return prepared{}, err
	}
	covered, err := d.cover(ctx, ready.model, server.Role, ready.gone)
	if err != nil {
		return prepared{}, err
	}
	d.setCoverage(covered)
	if ready.slot, err = replication.InspectSlot(ctx, d.source, plan.Slot); err != nil {
		return prepared{}, fmt.Errorf("look at the slot: %w", err)
	}
	if !ready.slot.Exists {
		if err := d.createSlot(ctx, &ready); err != nil {
			return prepared{}, err
		}
	}
	d.setSlot(ready.slot)
	return ready, nil
}

// dropUseless drops our slot if it can never be read again.
func (d *Daemon) dropUseless(ctx context.Context) error {
	slot, err := replication.InspectSlot(ctx, d.source, d.cfg.Slot)
	if err != nil {
		return fmt.Errorf("look at the slot: %w", err)
	}
	if slot.Exists && slot.Ours && slot.Plugin == "pgoutput" && (d.renew != nil || slot.Lost()) {
		d.log.Warn("dropping a slot that is of no use any more", "slot", slot.Name, "wal_status", slot.WALStatus, "reason", slot.InvalidationReason)
		if _, err := d.source.Exec(ctx, "SELECT pg_drop_replication_slot($1)", slot.Name); err != nil {
			return fmt.Errorf("drop the slot %s: %w", slot.Name, err)
		}
	}
	d.renew = nil
	return nil
}

// askIndex finds out, before anything is created, whether the index is one for us. When it does not answer or does not
// fit, we go on all the same: changes are read and owed, and the first write asks again.
func (d *Daemon) askIndex(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	err := d.index.admit(ctx)
	if errors.Is(err, ErrOwner) {
		return err
	}
	if err != nil {
		d.log.Error("the index cannot be used; nothing is written to it before it can", "err", err)
	}
	return nil
}

// askPatience is how long preparing waits for the index: the slot waits meanwhile.
const askPatience = 10 * time.Second

// createSlot creates the slot, unless one under another name was forgotten: two of them fill the disk twice as fast.
func (d *Daemon) createSlot(ctx context.Context, ready *prepared) error {
	forgotten, err := replication.ForgottenSlots(ctx, d.source, "payload_cdc", d.cfg.Slot)
	if err != nil {
		return fmt.Errorf("look for forgotten slots: %w", err)
	}
	if len(forgotten) > 0 {
		name := forgotten[0].Name
		return fmt.Errorf("the slot %s exists, nobody reads it, and it holds back %d MiB of the server's log: drop it first (CDC_SLOT=%s cdc teardown), or start with CDC_SLOT=%s to go on from it",
			name, forgotten[0].RetainedBytes>>20, name, name)
	}
	created, err := replication.CreateSlot(ctx, replication.SlotConfig{
		URI: d.cfg.ReplicationURI, Slot: d.cfg.Slot, Failover: true, Logger: d.log,
		Waiting: func(waiting []replication.Waiting) {
			d.log.Info("creating the slot waits for open transactions", "open", len(waiting), "first", waiting[0].String())
		},
	})
	if err != nil && !errors.Is(err, replication.ErrExists) {
		return err
	}
	if err == nil {
		ready.created, ready.point = true, created.Point
		d.log.Info("slot created", "slot", d.cfg.Slot, "lsn", created.Point.String(), "failover", created.Failover)
	}
	if ready.slot, err = replication.InspectSlot(ctx, d.source, d.cfg.Slot); err != nil {
		return fmt.Errorf("look at the slot: %w", err)
	}
	return nil
}

// published lists the tables of the model as replication knows tables.
func published(model *payload.Model) []replication.Table {
	tables := model.Tables()
	list := make([]replication.Table, len(tables))
	for i, t := range tables {
		list[i] = replication.Table{Schema: t.Schema, Name: t.Name}
	}
	return list
}

// announce says what will be embedded, when it is new.
func (d *Daemon) announce(model *payload.Model) {
	d.mu.Lock()
	old := d.model
	d.model = model
	d.mu.Unlock()
	for _, c := range model.Collections() {
		if old != nil && slices.ContainsFunc(old.Collections(), func(o payload.Collection) bool {
			return o.Slug == c.Slug && slices.Equal(o.Fields, c.Fields)
		}) {
			continue
		}
		d.log.Info("collection is indexed", append([]any{"collection", c.Slug, "table", c.Table, "embeds", c.Fields}, d.cfg.decided(c.Slug)...)...)
		if c.SlugGuessed {
			d.log.Warn("the slug is a guess; if it is another one, name it in CDC_COLLECTIONS", "collection", c.Slug, "table", c.Table)
		}
	}
}

func (d *Daemon) setSlot(s replication.Slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slot = s
}
