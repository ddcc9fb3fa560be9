package replication

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"payload-cdc/internal/wal"
)

const plugin = "pgoutput"

// Slot is a replication slot as the server describes it.
type Slot struct {
	Name         string
	Exists       bool   // false leaves all but Name empty
	Plugin       string // empty for a physical slot
	Database     string
	Ours         bool // belongs to the database that was asked
	Temporary    bool
	Active       bool
	ActivePID    int
	WALStatus    string // "reserved", "extended", "unreserved" or "lost"
	RestartLSN   wal.LSN
	ConfirmedLSN wal.LSN
	// RetainedBytes is how much log the server keeps that it could remove were it not for this slot (other slots may
	// hold it too).
	RetainedBytes int64
	// SafeBytes is how much more may be written before the slot is in danger of being lost; -1 when there is no limit.
	SafeBytes          int64
	Failover           bool   // Postgres 17 and newer
	InvalidationReason string // Postgres 17 and newer; empty when none
}

// Lost says that the server has thrown away log that the slot needs.
func (s Slot) Lost() bool { return s.WALStatus == "lost" || s.InvalidationReason != "" }

const slotColumns = `slot_name, plugin, coalesce(database::text, ''), coalesce(database = current_database(), false), temporary, active,
	coalesce(active_pid, 0), coalesce(wal_status, ''), coalesce(restart_lsn::text, ''), coalesce(confirmed_flush_lsn::text, ''),
	CASE WHEN pg_is_in_recovery() THEN 0
	     ELSE coalesce(greatest(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn), 0), 0)::bigint END,
	coalesce(safe_wal_size, -1),
	coalesce((to_jsonb(s)->>'failover')::boolean, false), coalesce(to_jsonb(s)->>'invalidation_reason', '')`

// InspectSlot describes the slot of that name. That it does not exist is no error.
func InspectSlot(ctx context.Context, q Querier, name string) (Slot, error) {
	rows, err := q.Query(ctx, "SELECT "+slotColumns+" FROM pg_replication_slots s WHERE slot_name = $1", name)
	if err != nil {
		return Slot{}, fmt.Errorf("inspect slot %s: %w", name, err)
	}
	slots, err := pgx.CollectRows(rows, scanSlot)
	if err != nil {
		return Slot{}, fmt.Errorf("inspect slot %s: %w", name, err)
	}
	if len(slots) == 0 {
		return Slot{Name: name}, nil
	}
	return slots[0], nil
}

// ForgottenSlots lists the slots of this database whose names begin with prefix, other than keep, that nobody reads
// from: left behind under an older name they hold back the log until the disk is full.
func ForgottenSlots(ctx context.Context, q Querier, prefix, keep string) ([]Slot, error) {
	rows, err := q.Query(ctx, "SELECT "+slotColumns+` FROM pg_replication_slots s
		WHERE plugin = '`+plugin+`' AND database = current_database() AND NOT active AND starts_with(slot_name::text, $1) AND slot_name <> $2
		ORDER BY slot_name`, prefix, keep)
	if err != nil {
		return nil, fmt.Errorf("look for forgotten slots: %w", err)
	}
	slots, err := pgx.CollectRows(rows, scanSlot)
	if err != nil {
		return nil, fmt.Errorf("look for forgotten slots: %w", err)
	}
	return slots, nil
}

func scanSlot(row pgx.CollectableRow) (Slot, error) {
	s := Slot{Exists: true}
	var decoder *string
	var restart, confirmed string
	err := row.Scan(&s.Name, &decoder, &s.Database, &s.Ours, &s.Temporary, &s.Active, &s.ActivePID, &s.WALStatus,
		&restart, &confirmed, &s.RetainedBytes, &s.SafeBytes, &s.Failover, &s.InvalidationReason)
	if err != nil {
		return Slot{}, err
	}
	if decoder != nil {
		s.Plugin = *decoder
	}
	if s.RestartLSN, err = optionalLSN(restart); err != nil {
		return Slot{}, err
	}
	if s.ConfirmedLSN, err = optionalLSN(confirmed); err != nil {
		return Slot{}, err
	}
	return s, nil
}

// optionalLSN reads an LSN that is empty when the server has none.
func optionalLSN(text string) (wal.LSN, error) {
	if text == "" {
		return 0, nil
	}
	return wal.ParseLSN(text)
}

// usable says why the slot cannot be read from, other than that somebody does already.
func (s Slot) usable() error {
	switch {
	case !s.Exists:
		return fmt.Errorf("slot %s: %w", s.Name, ErrMissing)
	case s.Plugin != plugin:
		return refused(fmt.Errorf("slot %s belongs to something else: its plugin is %q, not %s", s.Name, s.Plugin, plugin),
			"set CDC_SLOT to a name of its own")
	case !s.Ours:
		return refused(fmt.Errorf("slot %s belongs to database %q", s.Name, s.Database), "set CDC_SLOT to a name of its own")
	case s.Lost():
		reason := s.InvalidationReason
		if reason == "" {
			reason = "wal_status is lost"
		}
		return fmt.Errorf("slot %s: %w: %s", s.Name, ErrLost, reason)
	}
	return nil
}

var slotName = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

func checkSlotName(name string) error {
	if !slotName.MatchString(name) {
		return refused(fmt.Errorf("%q cannot name a slot", name),
			"set CDC_SLOT to at most 63 lower-case letters, digits and underscores")
	}
	return nil
}

// SlotConfig says which slot to create.
type SlotConfig struct {
	URI             string // of the primary itself, not of a pooler
	Slot            string
	ApplicationName string // defaults to ApplicationName
	// Failover asks for a slot that is copied to standbys, on Postgres 17 and newer. Where that is refused the slot is
	// created without it.
	Failover bool
	// Waiting, if not nil, is told every few seconds which transactions the creation waits for.
	Waiting func([]Waiting)
	// Patience is how long one transaction may be waited for. It defaults to 5 minutes; then the error is errors.Is
	// ErrPatience.
	Patience time.Duration
	Logger   *slog.Logger // nil discards
}

// ErrPatience means that an open transaction kept a slot from being created for longer than SlotConfig.Patience.
var ErrPatience = errors.New("a transaction has been open for too long")

// Created is a new slot.
type Created struct {
	Point    wal.LSN // every transaction that commits after it is in the stream
	Failover bool
}

// CreateSlot creates a permanent logical slot. The publication has to exist before. It waits for every transaction of
// the cluster that runs now. If it fails the slot may exist all the same, when only the answer was lost. Errors:
// ErrExists, ErrPatience, else with a remedy.
func CreateSlot(ctx context.Context, config SlotConfig) (Created, error) {
	if err := checkSlotName(config.Slot); err != nil {
		return Created{}, err
	}
	log := config.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	conn, err := dial(ctx, config.URI, config.ApplicationName)
	if err != nil {
		return Created{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	patience := config.Patience
	if patience <= 0 {
		patience = 5 * time.Minute
	}
	// Without it an abandoned transaction would hold us for ever, unable to say so.
	if _, err := conn.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", patience.Milliseconds())); err != nil {
		return Created{}, fmt.Errorf("create slot %s: %w", config.Slot, err)
	}
	var version int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return Created{}, fmt.Errorf("create slot %s: %w", config.Slot, err)
	}

	if config.Waiting != nil {
		watching, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			watchWaiting(watching, config.URI, config.Waiting)
		}()
		defer func() { stop(); <-ended }()
	}

	command := "CREATE_REPLICATION_SLOT " + quoteName(config.Slot) + " LOGICAL " + plugin
	created := Created{Failover: config.Failover && version >= 170000}
	if created.Failover {
		created.Point, err = createSlot(ctx, conn, command+" (SNAPSHOT 'nothing', FAILOVER true)")
		switch code(err) {
		case stateDuplicate, stateLockTimeout, stateLimit, stateNoPrivilege, "":
		default:
			log.Warn("the slot is created without failover", "slot", config.Slot, "reason", err)
			created.Failover = false
		}
	}
	if !created.Failover {
		created.Point, err = createSlot(ctx, conn, command+" NOEXPORT_SNAPSHOT")
	}
	if err != nil {
		return Created{}, explainCreate(err, config.Slot, patience)
	}
	return created, nil
}

func createSlot(ctx context.Context, conn *pgx.Conn, command string) (wal.LSN, error) {
	results, err := conn.PgConn().Exec(ctx, command).ReadAll()
	if err != nil {
		return 0, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) < 2 {
		return 0, errors.New("the answer to CREATE_REPLICATION_SLOT is not one row")
	}
	return wal.ParseLSN(string(results[0].Rows[0][1]))
}

func explainCreate(err error, name string, patience time.Duration) error {
	wrapped := fmt.Errorf("create slot %s: %w", name, err)
	switch code(err) {
	case stateDuplicate:
		return fmt.Errorf("create slot %s: %w", name, ErrExists)
	case stateLockTimeout:
		return refused(fmt.Errorf("create slot %s: %w than %s", name, ErrPatience, patience),
			"end the oldest transactions in pg_stat_activity and pg_prepared_xacts, or wait")
	case stateLimit:
		return refused(wrapped, "drop an unused slot with SELECT pg_drop_replication_slot('name'), "+
			"or raise max_replication_slots and restart Postgres")
	case stateNoPrivilege:
		return refused(wrapped, "the role needs the REPLICATION attribute: cdc setup --print-sql shows the statements")
	case stateNotReady:
		return refused(wrapped, "ALTER SYSTEM SET wal_level = 'logical' and restart Postgres")
	}
	return wrapped
}

// watchWaiting reports from an ordinary connection, because the one that creates the slot is busy waiting. It is a
// courtesy: when it cannot look it says nothing.
func watchWaiting(ctx context.Context, uri string, report func([]Waiting)) {
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	ticker := time.NewTicker(waitingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		near, err := oldestRunning(ctx, conn)
		if err != nil {
			return
		}
		waiting, err := blockers(ctx, conn, near)
		if err != nil {
			return
		}
		if len(waiting) > 0 {
			report(waiting)
		}
	}
}
