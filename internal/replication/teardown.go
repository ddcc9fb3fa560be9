package replication

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Teardown says what to take down.
type Teardown struct {
	Slot        string
	Publication string
	// Force ends the connection that reads from the slot, if it is one of ours by ApplicationName.
	Force           bool
	ApplicationName string // defaults to ApplicationName
}

// Released is what a teardown did.
type Released struct {
	Slot        bool  // it existed and was dropped
	Bytes       int64 // of log that the slot held back; the server removes it at its next checkpoint, unless another slot needs it
	Publication bool  // it existed and was dropped
}

// Run drops the slot, then the publication; in the other order a slot would be left that can never be read again. What
// is not there is no error, so it can be repeated. ErrActive when somebody reads from the slot.
func (t Teardown) Run(ctx context.Context, q Querier) (Released, error) {
	var released Released
	slot, err := InspectSlot(ctx, q, t.Slot)
	if err != nil {
		return released, err
	}
	if slot.Exists {
		if err := slot.usable(); err != nil && !errors.Is(err, ErrLost) {
			return released, fmt.Errorf("drop slot %s: %w", t.Slot, err)
		}
		if err := t.dropSlot(ctx, q, slot); err != nil {
			return released, fmt.Errorf("drop slot %s: %w", t.Slot, err)
		}
		released.Slot, released.Bytes = true, slot.RetainedBytes
	}
	if t.Publication == "" {
		return released, nil
	}
	p, err := readPublication(ctx, q, t.Publication)
	if err != nil {
		return released, err
	}
	if !p.exists {
		return released, nil
	}
	if err := p.acceptable(); err != nil {
		return released, fmt.Errorf("drop publication %q: it is not ours: %w", t.Publication, err)
	}
	if err := run(ctx, q, "DROP PUBLICATION IF EXISTS "+quoteName(t.Publication)); err != nil {
		if code(err) == stateNoPrivilege {
			err = refused(err, "its owner, or an administrator, runs: DROP PUBLICATION "+quoteName(t.Publication))
		}
		return released, fmt.Errorf("drop publication %q: %w", t.Publication, err)
	}
	released.Publication = true
	return released, nil
}

func (t Teardown) dropSlot(ctx context.Context, q Querier, slot Slot) error {
	if slot.Active && !t.Force {
		return &ActiveError{Slot: slot.Name, PID: slot.ActivePID}
	}
	application := t.ApplicationName
	if application == "" {
		application = ApplicationName
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if t.Force {
			// Whoever it is has to be ours still at the moment it is ended.
			err := run(ctx, q, `
				SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_replication_slots s ON s.active_pid = a.pid
				WHERE s.slot_name = $1 AND a.application_name = $2`, slot.Name, application)
			if err != nil {
				return fmt.Errorf("end the connection that reads from it: %w", err)
			}
		}
		err := run(ctx, q, "SELECT pg_drop_replication_slot($1)", slot.Name)
		switch {
		case err == nil || code(err) == stateUndefined: // somebody else was quicker
			return nil
		case code(err) != stateInUse:
			return err
		case !t.Force || time.Now().After(deadline):
			now, _ := InspectSlot(ctx, q, slot.Name)
			return &ActiveError{Slot: slot.Name, PID: now.ActivePID}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// run executes a statement for its effect.
func run(ctx context.Context, q Querier, sql string, args ...any) error {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}
