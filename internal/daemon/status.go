package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"payload-cdc/internal/admin"
	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// Status looks at the database and the saved state, without a running daemon: what cdc status shows.
func Status(ctx context.Context, cfg Config) (admin.Status, error) {
	cfg = cfg.withDefaults()
	d := &Daemon{cfg: cfg, log: cfg.Logger}
	defer d.close()
	var err error
	if d.source, err = connect(ctx, cfg.DatabaseURI, "payload_cdc_status", "DATABASE_URI"); err != nil {
		return admin.Status{}, err
	}
	if d.state, err = d.stateOf(ctx); err != nil {
		return admin.Status{}, err
	}
	model, _, gone, err := d.known(ctx)
	if err != nil {
		return admin.Status{}, err
	}
	d.model = model
	server, err := replication.InspectServer(ctx, d.source)
	if err != nil {
		return admin.Status{}, fmt.Errorf("look at the database: %w", err)
	}
	if d.covered, err = d.cover(ctx, model, server.Role, gone); err != nil {
		return admin.Status{}, err
	}
	if d.covered.change { // cdc run may be another role, which may not do what we may
		d.covered.find(fmt.Sprintf("publication %s is not as cdc run wants it", cfg.Publication),
			"cdc run changes it within ten seconds if its role may; else run what cdc setup --print-sql prints")
	}
	s, err := d.look(ctx)
	s.Hide(d.cfg.Hide)
	return s, err
}

// look asks the database and the saved state.
func (d *Daemon) look(ctx context.Context) (admin.Status, error) {
	server, err := replication.InspectServer(ctx, d.source)
	if err != nil {
		return admin.Status{}, fmt.Errorf("look at the database: %w", err)
	}
	slot, err := replication.InspectSlot(ctx, d.source, d.cfg.Slot)
	if err != nil {
		return admin.Status{}, fmt.Errorf("look at the slot: %w", err)
	}
	overview, err := checkpoint.Peek(ctx, d.state, d.cfg.StateSchema)
	if err != nil && !errors.Is(err, checkpoint.ErrNoState) {
		return admin.Status{}, err
	}
	d.mu.Lock()
	model, covered := d.model, d.covered
	d.mu.Unlock()
	now := time.Now()
	s := admin.Status{
		Version: d.cfg.Version,
		At:      admin.Time{Time: now},
		Source: admin.Source{
			ServerVersion: fmt.Sprintf("%d.%d", server.Version/10000, server.Version%100), SystemIdentifier: server.System, Database: server.Database,
		},
		Checkpoint: admin.Checkpoint{
			LSN: lsnText(overview.Position.LSN), SavedAt: admin.Time{Time: overview.SavedAt}, CommitAt: admin.Time{Time: overview.CommitAt},
			ServerLSN: server.Flushed.String(),
		},
		Owed:   admin.Owed{Documents: overview.Owed},
		Parked: overview.Parked,
		Slot:   slotStatus(slot, d.cfg.Publication),
		Owner:  admin.Owner{Instance: overview.Instance, Epoch: overview.Epoch},

		Findings: slices.Concat(covered.findings, d.alarms(slot)),
	}
	if overview.Position.LSN > 0 {
		bytes := int64(max(server.Flushed, overview.Position.LSN) - overview.Position.LSN)
		seconds := lagSeconds(bytes, overview.CommitAt, overview.SavedAt, now)
		s.Checkpoint.LagBytes, s.Checkpoint.LagSeconds = &bytes, &seconds
	}
	if !overview.OldestOwed.IsZero() {
		s.Owed.OldestSeconds = now.Sub(overview.OldestOwed).Seconds()
	}
	held := 0
	for _, sweep := range overview.Sweeps {
		if sweep.Since.After(now) {
			continue // only scheduled
		}
		held += sweep.Held
		s.Owed.Sweeps = append(s.Owed.Sweeps, admin.Sweep{
			Collection: sweep.Collection, Strength: sweep.Strength.String(), Reason: sweep.Reason, Stage: sweep.Stage.String(),
			Held: sweep.Held, Since: admin.Time{Time: sweep.Since},
		})
	}
	s.State, s.Reason = stateOfSlot(slot, overview, held)
	if err := d.collections(ctx, &s, model, covered, overview); err != nil {
		return admin.Status{}, err
	}
	return s, nil
}

// collections adds each indexed collection's part.
func (d *Daemon) collections(ctx context.Context, s *admin.Status, model *payload.Model, covered coverage, overview checkpoint.Overview) error {
	if model == nil {
		return nil
	}
	reader := payload.NewReader(d.source, model, payload.Config{})
	saved := map[string]checkpoint.CollectionOverview{}
	for _, c := range overview.Collections {
		saved[c.Collection] = c
	}
	for _, c := range model.Collections() {
		var published *int
		switch n, err := reader.Estimate(ctx, c.Slug); {
		case err == nil:
			published = &n
		case ctx.Err() != nil:
			return fmt.Errorf("count the published documents of %s: %w", c.Slug, err)
		default: // it may not be read, which is a finding, or is just being changed
			d.log.Debug("documents not counted", "collection", c.Slug, "err", err)
		}
		one := saved[c.Slug]
		s.Collections = append(s.Collections, admin.Collection{
			Slug: c.Slug, Table: c.Table, Published: published, Indexed: one.Documents, Chunks: one.Chunks,
			Owed: one.Owed, Parked: one.Parked, SlugGuessed: c.SlugGuessed,
			Streamed: !covered.unstreamed[c.Slug],
		})
	}
	return nil
}

// lagSeconds is the age of the oldest change that may not have been read: none when the log is read to its end, or
// nothing but our own and other tables' writes lie behind it.
func lagSeconds(bytes int64, commitAt, savedAt, now time.Time) float64 {
	if bytes < 1<<20 || commitAt.IsZero() {
		return 0
	}
	return now.Sub(savedAt).Seconds()
}

// stateOfSlot says in a word what can be known from outside.
func stateOfSlot(slot replication.Slot, overview checkpoint.Overview, held int) (admin.State, string) {
	switch {
	case !slot.Exists && overview.SavedAt.IsZero():
		return admin.Starting, "cdc has not run here yet: there is no slot and no saved state"
	case !slot.Exists:
		return admin.Lost, "the slot does not exist; cdc run makes a new one and compares everything"
	case slot.Lost():
		return admin.Lost, "the server has thrown away log that the slot needs; cdc run makes a new one and compares everything"
	case held > 0:
		return admin.Held, fmt.Sprintf("the removal of %d documents waits for you: cdc verify --repair --force", held)
	case !slot.Active:
		return admin.Lost, "nobody reads the slot: cdc run is not running, and the server keeps its log for it"
	case overview.Owed > 0 && len(overview.Sweeps) > 0:
		return admin.CatchingUp, ""
	default:
		return admin.Streaming, ""
	}
}

func slotStatus(slot replication.Slot, publication string) admin.Slot {
	s := admin.Slot{
		Name: slot.Name, Publication: publication, Active: slot.Active, WALStatus: slot.WALStatus,
		RetainedBytes: slot.RetainedBytes, ConfirmedLSN: lsnText(slot.ConfirmedLSN), Failover: slot.Failover,
	}
	if slot.SafeBytes >= 0 && slot.Exists {
		s.SafeBytes = &slot.SafeBytes
	}
	switch {
	case !slot.Exists:
		s.State = "missing"
	case slot.Lost():
		s.State = "lost"
	case slot.Active:
		s.State = "streaming"
	default:
		s.State = "inactive"
	}
	return s
}

func lsnText(lsn wal.LSN) string {
	if lsn == 0 {
		return ""
	}
	return lsn.String()
}

// status is Status with what only the running daemon knows.
func (d *Daemon) status(ctx context.Context) (s admin.Status, err error) {
	s, err = d.look(ctx)
	if err != nil {
		return admin.Status{}, err
	}
	d.mu.Lock()
	phase, reason, since, o := d.phase, d.reason, d.since, d.owner
	d.mu.Unlock()
	s.Since = admin.Time{Time: since}
	defer func() { s.Hide(d.cfg.Hide) }()
	if o == nil {
		s.State, s.Reason = admin.State(phase), reason
		return s, nil
	}
	p := o.pipeline.Stats()
	s.Owed.Documents, s.Parked, s.Owed.OldestSeconds, s.Owed.Sweeps = p.Owed, p.Parked, 0, nil
	if !p.Oldest.IsZero() {
		s.Owed.OldestSeconds = time.Since(p.Oldest).Seconds()
	}
	for _, sweep := range p.Sweeps {
		s.Owed.Sweeps = append(s.Owed.Sweeps, admin.Sweep{
			Collection: sweep.Collection, Strength: sweep.Strength.String(), Reason: sweep.Reason, Stage: sweep.Stage.String(),
			Held: sweep.Held, Since: admin.Time{Time: sweep.Since},
		})
	}
	for i := range s.Collections {
		own := p.ByCollection[s.Collections[i].Slug]
		s.Collections[i].Owed, s.Collections[i].Parked = own.Owed, own.Parked
	}
	for _, pause := range p.Paused {
		s.Paused = append(s.Paused, admin.Pause{
			Provider: pause.Provider, Reason: pause.Reason, Since: admin.Time{Time: pause.Since}, Systemic: pause.Systemic, Waiting: pause.Waiting,
		})
	}
	bytes := int64(max(wal.LSN(d.flushed.Load()), p.Read) - p.Read)
	s.Checkpoint.LagBytes = &bytes
	if t := d.index.trouble.Load(); t != nil && len(s.Paused) == 0 {
		s.Paused = append(s.Paused, admin.Pause{
			Provider: "index", Reason: t.err.Error(), Since: admin.Time{Time: t.since}, Systemic: failure.Of(t.err).Class == failure.Systemic,
		})
	}
	s.State, s.Reason = d.standing(phase, reason, p, bytes)
	return s, nil
}

// standing says in a word what the daemon is doing.
func (d *Daemon) standing(phase phase, reason string, p pipeline.Stats, lag int64) (admin.State, string) {
	trouble := d.index.trouble.Load()
	held := 0
	for _, sweep := range p.Sweeps {
		held += sweep.Held
	}
	switch {
	case phase != streaming:
		return admin.State(phase), reason
	case len(p.Paused) > 0:
		return admin.Paused, fmt.Sprintf("%s: %s; %d documents are owed, Postgres is not holding back its log", p.Paused[0].Provider, p.Paused[0].Reason, p.Owed)
	case trouble != nil:
		return admin.Paused, fmt.Sprintf("index: %s; %d documents are owed, Postgres is not holding back its log", trouble.err, p.Owed)
	case held > 0:
		return admin.Held, fmt.Sprintf("the removal of %d documents waits for you: cdc verify --repair --force", held)
	case lag > farBehind || len(p.Sweeps) > 0:
		return admin.CatchingUp, ""
	default:
		return admin.Streaming, ""
	}
}

// ready is what /readyz says: well while confirming, nothing owed, or standing by; not while paused, held or lost.
func (d *Daemon) ready() (ok bool, reason string) {
	d.mu.Lock()
	phase, why, o := d.phase, d.reason, d.owner
	d.mu.Unlock()
	defer func() { reason = d.cfg.Hide(reason) }()
	if o == nil {
		return phase == standby, string(phase) + suffix(why)
	}
	state, why := d.standing(phase, why, o.pipeline.Stats(), 0)
	return state == admin.Streaming || state == admin.CatchingUp || state == admin.Standby, string(state) + suffix(why)
}

func suffix(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// gauges is what metrics show of this moment, without asking anybody.
func (d *Daemon) gauges() admin.Gauges {
	d.mu.Lock()
	o, slot, model := d.owner, d.slot, d.model
	d.mu.Unlock()
	var g admin.Gauges
	if slot.Exists {
		retained := float64(slot.RetainedBytes)
		g.SlotRetainedBytes = &retained
	}
	if o == nil {
		return g
	}
	p := o.pipeline.Stats()
	lag := float64(max(wal.LSN(d.flushed.Load()), p.Read) - p.Read)
	seconds := 0.0
	if lag > farBehind && !p.CommitAt.IsZero() {
		seconds = time.Since(p.CommitAt).Seconds()
	}
	age := time.Since(o.pipeline.SavedAt()).Seconds()
	g.LagBytes, g.LagSeconds, g.CheckpointAgeSeconds = &lag, &seconds, &age
	if !p.Oldest.IsZero() {
		g.OldestDebtSeconds = time.Since(p.Oldest).Seconds()
	}
	g.Owed, g.Parked, g.Paused = map[string]int{}, map[string]int{}, map[string]bool{"embedding": false, "index": false}
	if model != nil {
		for _, c := range model.Collections() {
			g.Owed[c.Slug], g.Parked[c.Slug] = 0, 0
		}
	}
	for slug, own := range p.ByCollection {
		g.Owed[slug], g.Parked[slug] = own.Owed, own.Parked
	}
	for _, pause := range p.Paused {
		g.Paused[pause.Provider] = true
	}
	return g
}

// serve answers over HTTP until ctx ends.
func (d *Daemon) serve(ctx context.Context) error {
	server := admin.New(admin.Config{
		Addr: d.cfg.HTTPAddr, Status: d.status, Ready: d.ready, Gatherer: d.registry, Logger: d.log,
		Retry: d.retryOverHTTP, Token: d.cfg.AdminToken,
	})
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve HTTP on %s: %w", d.cfg.HTTPAddr, err)
	case <-server.Listening():
	}
	d.log.Info("serving health, metrics and status", "addr", "http://"+server.Addr())
	if d.cfg.Listening != nil {
		d.cfg.Listening(server.Addr())
	}
	return <-done
}
