package replication

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"payload-cdc/internal/wal"
)

// Config says what to read and from where.
type Config struct {
	URI         string // of the primary itself, not of a pooler
	Slot        string
	Publication string
	// From is the checkpoint to resume from. Zero resumes where the slot was last confirmed.
	From wal.LSN
	// Near is a 64-bit transaction id of about now (Server.Next): 32-bit ids are widened to the nearest.
	Near wal.XID
	// ApplicationName defaults to ApplicationName. It must not be listed in synchronous_standby_names.
	ApplicationName string
	// StatusEvery is the longest time between two status updates. It defaults to 10 s, and is never more than a third
	// of the server's wal_sender_timeout.
	StatusEvery time.Duration
	// StallTimeout is how long one call of the Receiver may take before the connection is closed. It defaults to 60 s.
	StallTimeout time.Duration
	Logger       *slog.Logger // nil discards
}

const (
	defaultStatusEvery  = 10 * time.Second
	defaultStallTimeout = 60 * time.Second
	// stopPatience is how long a server that shuts down may go on asking before it is let go. While it asks it accepts
	// no other connection, so a checkpoint kept in that same server cannot be saved any more.
	stopPatience = 2 * time.Second
)

// Stream is one replication connection that reads a slot.
type Stream struct {
	conn   *pgconn.PgConn
	config Config
	log    *slog.Logger
	every  time.Duration // between status updates

	confirmed atomic.Uint64 // what a status claims to be durable; never falls, never above reported, never zero
	reported  atomic.Uint64 // end of the last commit or idle keepalive the server sent, or where the slot stood before
	server    atomic.Uint64 // largest WAL end the server has mentioned
	wake      chan struct{} // capacity 1: a status is wanted now

	turn atomic.Uint64 // odd while the Receiver is in a call; owned by the reader

	// Owned by the reader.
	decoder    *decoder
	askedSince time.Time // the server has been asking without a pause since then
	askedLast  time.Time
	asks       int
	started    bool
	broken     bool // Run ended, and not because of its context
}

// Open connects, makes sure that the slot can be resumed at config.From without a gap, and starts streaming. Call Run
// soon after it: until then no status goes out. Errors: ErrActive, ErrMissing, ErrLost, ErrGap, ErrAhead,
// ErrPublicationMissing, ErrSynchronous, else whatever kept it from connecting.
func Open(ctx context.Context, config Config) (*Stream, error) {
	if err := checkSlotName(config.Slot); err != nil {
		return nil, err
	}
	conn, err := dial(ctx, config.URI, config.ApplicationName)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, conn, config)
	if err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, conn *pgx.Conn, config Config) (*Stream, error) {
	slot, err := InspectSlot(ctx, conn, config.Slot)
	if err != nil {
		return nil, err
	}
	if err := slot.usable(); err != nil {
		return nil, err
	}
	var timeout int64 // milliseconds
	var flushed, standbys, application string
	var published, standby bool
	err = conn.QueryRow(ctx, `
		SELECT (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'),
		       pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN '0/0' ELSE pg_current_wal_flush_lsn() END::text,
		       current_setting('synchronous_standby_names'), current_setting('application_name'),
		       EXISTS (SELECT FROM pg_publication WHERE pubname = $1)`,
		config.Publication).Scan(&timeout, &standby, &flushed, &standbys, &application, &published)
	if err != nil {
		return nil, fmt.Errorf("inspect the server: %w", err)
	}
	end, err := wal.ParseLSN(flushed)
	if err != nil {
		return nil, err
	}
	switch {
	case standby:
		return nil, refused(errors.New("this server is a standby, and nothing can be confirmed on it"),
			"point DATABASE_URI (or CDC_REPLICATION_URI) at the primary")
	case config.From > end:
		return nil, fmt.Errorf("resume from %s, where the log ends at %s: %w", config.From, end, ErrAhead)
	case config.From != 0 && config.From < slot.ConfirmedLSN:
		return nil, fmt.Errorf("resume from %s, where the slot stands at %s: %w", config.From, slot.ConfirmedLSN, ErrGap)
	case !published:
		return nil, fmt.Errorf("read publication %q: %w", config.Publication, ErrPublicationMissing)
	case listed(standbys, application):
		return nil, refused(fmt.Errorf("synchronous_standby_names = '%s' includes %q: %w", standbys, application, ErrSynchronous),
			"name the real standbys there instead of '*', so that no commit waits for us")
	}

	err = pglogrepl.StartReplication(ctx, conn.PgConn(), quoteName(config.Slot), pglogrepl.LSN(config.From),
		pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: []string{
			"proto_version '1'", "publication_names " + quoteText(quoteName(config.Publication)), "messages 'true'",
		}})
	if err != nil {
		return nil, explainStart(err, slot)
	}

	s := &Stream{
		conn: conn.PgConn(), config: config, log: config.Logger, wake: make(chan struct{}, 1),
		every: statusEvery(config.StatusEvery, time.Duration(timeout)*time.Millisecond),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.config.StallTimeout <= 0 {
		s.config.StallTimeout = defaultStallTimeout
	}
	// The checkpoint is durable on our side, so it may be confirmed; the slot's own position is confirmed already.
	from := max(config.From, slot.ConfirmedLSN)
	s.confirmed.Store(uint64(from))
	s.reported.Store(uint64(from))
	s.server.Store(uint64(end))
	return s, nil
}

func statusEvery(wanted, senderTimeout time.Duration) time.Duration {
	if wanted <= 0 {
		wanted = defaultStatusEvery
	}
	if senderTimeout > 0 { // zero is never
		wanted = min(wanted, senderTimeout/3)
	}
	return max(wanted, 10*time.Millisecond)
}

// explainStart says what START_REPLICATION's refusal means for a slot that looked usable a moment ago.
func explainStart(err error, slot Slot) error {
	switch code(err) {
	case stateInUse:
		return fmt.Errorf("start replication: %w", &ActiveError{Slot: slot.Name, PID: slot.ActivePID})
	case stateUndefined:
		return fmt.Errorf("start replication: %w: %w", ErrMissing, err)
	case stateNotReady:
		return fmt.Errorf("start replication: %w: %w", ErrLost, err)
	}
	return fmt.Errorf("start replication: %w", err)
}

// PID is that of the server's walsender, for SyncState.
func (s *Stream) PID() int { return int(s.conn.PID()) }

// Server is the furthest WAL end that the server has mentioned, for lag.
func (s *Stream) Server() wal.LSN { return wal.LSN(s.server.Load()) }

// Confirmed is the position that a status claims now, whether or not it has been sent yet.
func (s *Stream) Confirmed() wal.LSN { return wal.LSN(s.confirmed.Load()) }

// Confirm says that all before lsn is durable on our side: the server may forget it. lsn comes from Receiver.Commit or
// Idle. It does not wait, may be called from any goroutine, and ignores what lies behind an earlier call; what the
// server has not sent yet is never confirmed.
func (s *Stream) Confirm(lsn wal.LSN) {
	lsn = min(lsn, wal.LSN(s.reported.Load()))
	for {
		old := s.confirmed.Load()
		if uint64(lsn) <= old {
			return
		}
		if s.confirmed.CompareAndSwap(old, uint64(lsn)) {
			s.wantStatus()
			return
		}
	}
}

// Run reads into receiver until ctx ends, and then returns its error, or until something breaks. It is called once. It
// returns while receiver is in a call only after that call does. Unless it was ctx that ended, the connection is closed
// then.
func (s *Stream) Run(ctx context.Context, receiver Receiver) error {
	if s.started {
		return errors.New("read the log: a stream runs once")
	}
	s.started = true
	s.decoder = newDecoder(receiver, s.config.Near)

	done, tended := make(chan struct{}), make(chan error, 1)
	go func() { tended <- s.tend(ctx, done) }()
	err := s.read()
	close(done)
	// Whoever closed the connection knows why; the read that broke because of it does not. But a server that hung up has
	// perhaps said its reason before the tender found it gone.
	if cause := <-tended; cause != nil && (errors.Is(cause, ErrStalled) || errors.Is(err, net.ErrClosed)) {
		s.broken = true
		return cause
	}
	var network net.Error
	if ctx.Err() != nil && errors.As(err, &network) && network.Timeout() {
		return ctx.Err()
	}
	// Nobody drains the socket from here on.
	s.broken = true
	s.conn.Conn().Close()
	return err
}

// read drains the socket. There is no deadline and no context per message (they cost more than decoding): the tender
// makes a blocked read return.
func (s *Stream) read() error {
	for {
		message, err := s.conn.ReceiveMessage(context.Background())
		if err != nil {
			return s.explainRead(err)
		}
		switch m := message.(type) {
		case *pgproto3.CopyData:
			s.turn.Add(1)
			err := s.frame(m.Data)
			s.turn.Add(1)
			if err != nil {
				return err
			}
		case *pgproto3.ErrorResponse:
			return s.explainRead(pgconn.ErrorResponseToPgError(m))
		case *pgproto3.NoticeResponse:
			// Since Postgres 18 a missing publication is a warning, and then nothing at all is sent.
			if m.Code == stateNotReady {
				return fmt.Errorf("read publication %q: %w: %s", s.config.Publication, ErrPublicationMissing, m.Message)
			}
			s.log.Warn("postgres says", "notice", m.Message, "code", m.Code)
		case *pgproto3.ParameterStatus:
		case *pgproto3.CopyDone, *pgproto3.CommandComplete:
			return fmt.Errorf("read the log: %w", ErrStopping)
		default:
			return fmt.Errorf("read the log: unexpected %T", message)
		}
	}
}

// frame reads one CopyData of the streaming protocol: XLogData, whose payload is a message of pgoutput, or a keepalive.
func (s *Stream) frame(data []byte) error {
	if len(data) == 0 {
		return errors.New("read the log: an empty frame")
	}
	switch data[0] {
	case 'w': // XLogData: start, end, time, payload
		if len(data) < 1+8+8+8 {
			return errors.New("read the log: XLogData is cut short")
		}
		payload := data[25:]
		// Noted first: a checkpoint may be saved and confirmed by another goroutine before Commit returns.
		if end := commitEnd(payload); end != 0 && s.decoder.open {
			s.report(end)
		}
		return s.decoder.decode(payload)
	case 'k': // keepalive: end, time, whether an answer is wanted
		if len(data) != 1+8+8+1 {
			return fmt.Errorf("read the log: a keepalive of %d bytes", len(data))
		}
		return s.keepalive(wal.LSN(binary.BigEndian.Uint64(data[1:])), data[17] != 0)
	default:
		return fmt.Errorf("read the log: unknown frame %q", data[0])
	}
}

func (s *Stream) keepalive(end wal.LSN, asked bool) error {
	if uint64(end) > s.server.Load() {
		s.server.Store(uint64(end))
	}
	if asked {
		defer s.wantStatus()
	}
	// Inside a transaction the end may lie beyond rows that we have not been sent.
	if s.decoder.open || end == 0 {
		return nil
	}
	s.report(end)
	s.decoder.receiver.Idle(end, asked)
	if asked {
		return s.stopping(end)
	}
	return nil
}

// stopping lets a server go that shuts down. It then waits until we have confirmed all there is, asking again after
// each answer; if our checkpoint lives in that very server it cannot be saved any more, and the two would wait for each
// other for ever. A server that is not shutting down asks at most twice per wal_sender_timeout.
func (s *Stream) stopping(end wal.LSN) error {
	now := time.Now()
	if now.Sub(s.askedLast) > stopPatience/2 {
		s.askedSince, s.asks = now, 0
	}
	s.askedLast = now
	s.asks++
	if s.asks > 10 && now.Sub(s.askedSince) > stopPatience && s.Confirmed() < end {
		return fmt.Errorf("read the log: %w, and %s could not be confirmed in time", ErrStopping, end)
	}
	return nil
}

// report notes a position that the server has sent and that may be confirmed.
func (s *Stream) report(end wal.LSN) {
	if uint64(end) > s.reported.Load() {
		s.reported.Store(uint64(end))
	}
	if uint64(end) > s.server.Load() {
		s.server.Store(uint64(end))
	}
}

// explainRead says what an error in the stream means.
func (s *Stream) explainRead(err error) error {
	switch code(err) {
	case "":
		return fmt.Errorf("read the log: %w", err)
	case stateUndefined:
		return fmt.Errorf("read publication %q: %w: %w", s.config.Publication, ErrPublicationMissing, err)
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return fmt.Errorf("read the log: %w: %w", ErrStopping, err)
	}
	return fmt.Errorf("read the log: %w", err)
}

// quoteName quotes an identifier, for SQL and for the replication commands.
func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteText quotes a literal for the replication commands, which know no backslash escapes.
func quoteText(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }
