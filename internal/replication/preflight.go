package replication

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Plan is what is about to be set up.
type Plan struct {
	Slot            string
	Publication     string
	Tables          []Table
	ApplicationName string // defaults to ApplicationName
}

// Preflight says everything that stands in the plan's way, each with its remedy, before anything is created or
// connected. nil means that the plan should work as far as SQL can tell; pg_hba.conf and poolers show only when a
// replication connection is opened.
func Preflight(ctx context.Context, q Querier, plan Plan) error {
	server, err := InspectServer(ctx, q)
	if err != nil {
		return err
	}
	var found []error
	add := func(remedy, format string, values ...any) {
		found = append(found, refused(fmt.Errorf(format, values...), remedy))
	}
	if err := checkSlotName(plan.Slot); err != nil {
		found = append(found, err)
	}
	if server.Major() < 14 {
		add("use Postgres 14 or newer", "Postgres %d is too old", server.Major())
	}
	if server.Standby {
		add("point DATABASE_URI (or CDC_REPLICATION_URI) at the primary", "this server is a standby: nothing can be created on it")
	}
	if server.WALLevel != "logical" {
		add("ALTER SYSTEM SET wal_level = 'logical' and restart Postgres; on a hosted Postgres turn on logical replication in its settings",
			"wal_level is %s, so the log does not say which rows changed", server.WALLevel)
	}
	if !server.Replication {
		add("ALTER ROLE "+quoteName(server.Role)+" REPLICATION, as an administrator: cdc setup --print-sql shows all that is needed",
			"role %q has not the REPLICATION attribute", server.Role)
	}
	if server.Synchronous(plan.ApplicationName) {
		add("name the real standbys there instead of '*'",
			"commits would wait for us: synchronous_standby_names = '%s'", server.SynchronousStandbyNames)
	}
	slot, err := InspectSlot(ctx, q, plan.Slot)
	if err != nil {
		return err
	}
	if slot.Exists {
		if err := slot.usable(); err != nil {
			found = append(found, err)
		}
	} else if server.Slots >= server.MaxSlots {
		add("drop an unused one with SELECT pg_drop_replication_slot('name'), or raise max_replication_slots and restart Postgres",
			"all %d replication slots are in use", server.MaxSlots)
	}
	if !slot.Active && server.Senders >= server.MaxSenders {
		add("raise max_wal_senders and restart Postgres, or stop an unused replication client",
			"all %d walsenders are in use", server.MaxSenders)
	}
	if err := mayPublish(ctx, q, plan); err != nil {
		found = append(found, err)
	}
	return errors.Join(found...)
}

// mayPublish says whether EnsurePublication would be refused.
func mayPublish(ctx context.Context, q Querier, plan Plan) error {
	current, err := readPublication(ctx, q, plan.Publication)
	if err != nil {
		return err
	}
	if err := current.acceptable(); err != nil {
		return fmt.Errorf("publication %q: %w", plan.Publication, err)
	}
	wanted, err := readTables(ctx, q, plan.Tables)
	if err != nil {
		return err
	}
	if current.exists {
		return nil // what may not be changed in it is a finding, and no reason to stop
	}
	var reasons []string
	var create bool
	if err := q.QueryRow(ctx, "SELECT has_database_privilege(current_database(), 'CREATE')").Scan(&create); err != nil {
		return fmt.Errorf("ask for privileges: %w", err)
	}
	if !create {
		reasons = append(reasons, "CREATE on the database")
	}
	added, _ := current.difference(plan.Tables)
	var foreign []string
	for _, t := range added {
		if !wanted[t].owned {
			foreign = append(foreign, t.String())
		}
	}
	if len(foreign) > 0 {
		reasons = append(reasons, "ownership of "+strings.Join(foreign, ", "))
	}
	if len(reasons) == 0 {
		return nil
	}
	return refused(fmt.Errorf("this role may not create publication %q: it lacks %s", plan.Publication, strings.Join(reasons, " and ")),
		"the owner of the tables, or an administrator, runs: "+strings.Join(publicationSQL(plan.Publication, false, added, nil), "; "))
}
