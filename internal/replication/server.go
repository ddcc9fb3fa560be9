package replication

import (
	"context"
	"fmt"
	"time"

	"payload-cdc/internal/wal"
)

// Server is what a Postgres server says of itself and of the role that asks.
type Server struct {
	Version   int    // server_version_num, e.g. 170010
	System    string // system identifier: which cluster this is
	Timeline  int32
	Flushed   wal.LSN // end of the log that is on disk; of what was received, on a standby
	Next      wal.XID // the next transaction id; Config.Near
	Database  string
	Role      string
	WALLevel  string
	Standby   bool          // in recovery: nothing can be created here
	Timeout   time.Duration // wal_sender_timeout; zero is never
	KeepBytes int64         // max_slot_wal_keep_size; -1 is no limit

	SynchronousStandbyNames string

	Replication bool // the role may use replication slots
	Superuser   bool

	Slots, MaxSlots     int
	Senders, MaxSenders int
}

// Major is the major version, e.g. 17.
func (s Server) Major() int { return s.Version / 10000 }

// InspectServer asks the server. It changes nothing and needs no privilege.
func InspectServer(ctx context.Context, q Querier) (Server, error) {
	var s Server
	var flushed string
	var next, timeout, keep int64
	// Amazon RDS lets members of rds_replication replicate; the attribute itself is out of reach there.
	err := q.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, (SELECT system_identifier::text FROM pg_control_system()),
		       CASE WHEN pg_is_in_recovery() THEN (SELECT timeline_id FROM pg_control_checkpoint())
		            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
		       CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
		            ELSE pg_current_wal_flush_lsn() END::text,
		       pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
		       current_database()::text, current_user::text, current_setting('wal_level'), pg_is_in_recovery(),
		       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'),
		       (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
		       current_setting('synchronous_standby_names'),
		       r.rolreplication OR r.rolsuper OR EXISTS (SELECT FROM pg_roles g WHERE g.rolname = 'rds_replication' AND pg_has_role(g.oid, 'MEMBER')),
		       r.rolsuper,
		       (SELECT count(*)::int FROM pg_replication_slots), current_setting('max_replication_slots')::int,
		       (SELECT count(*)::int FROM pg_stat_replication), current_setting('max_wal_senders')::int
		FROM pg_roles r WHERE r.rolname = current_user`).Scan(
		&s.Version, &s.System, &s.Timeline, &flushed, &next, &s.Database, &s.Role, &s.WALLevel, &s.Standby, &timeout, &keep,
		&s.SynchronousStandbyNames, &s.Replication, &s.Superuser, &s.Slots, &s.MaxSlots, &s.Senders, &s.MaxSenders)
	if err != nil {
		return Server{}, fmt.Errorf("inspect the server: %w", err)
	}
	if s.Flushed, err = wal.ParseLSN(flushed); err != nil {
		return Server{}, fmt.Errorf("inspect the server: %w", err)
	}
	s.Next, s.Timeout, s.KeepBytes = wal.XID(next), time.Duration(timeout)*time.Millisecond, keep
	if keep > 0 {
		s.KeepBytes = keep << 20 // the setting's unit is a megabyte
	}
	return s, nil
}

// Synchronous says whether commits would wait for a replication client that calls itself application.
func (s Server) Synchronous(application string) bool {
	if application == "" {
		application = ApplicationName
	}
	return listed(s.SynchronousStandbyNames, application)
}
