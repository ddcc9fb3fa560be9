package replication

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"payload-cdc/internal/wal"
)

const (
	statusBytes = 1 + 4 + 1 + 8 + 8 + 8 + 8 + 1
	// statusGap is the least time between two status updates: a server that shuts down asks again after each answer.
	statusGap = 5 * time.Millisecond
	// writeTimeout is how long a status may take to leave. It fits any socket buffer, so that it does not leave means
	// that the connection is gone.
	writeTimeout = 10 * time.Second
	// closeTimeout bounds the farewell.
	closeTimeout = 3 * time.Second
)

// appendStatus appends a whole CopyData frame with a standby status update. All three positions are the durable one:
// written or applied but not durable means nothing to us, and a zero would be read as "up to what was written".
func appendStatus(b []byte, durable wal.LSN, now time.Time, reply bool) []byte {
	b = append(b, 'd')
	b = binary.BigEndian.AppendUint32(b, statusBytes-1)
	b = append(b, 'r')
	for range 3 { // written, flushed, applied
		b = binary.BigEndian.AppendUint64(b, uint64(durable))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(now.Sub(epoch).Microseconds()))
	if reply {
		return append(b, 1)
	}
	return append(b, 0)
}

func (s *Stream) wantStatus() {
	select {
	case s.wake <- struct{}{}:
	default: // one is wanted already
	}
}

// tend sends status updates on its own timer, so that neither a backlog nor a slow Receiver keeps them back, and makes
// the reader's blocked read return: softly when ctx ends, by closing the connection when the Receiver hangs or a write
// fails. It ends when done closes. Its error is why it closed the connection.
func (s *Stream) tend(ctx context.Context, done <-chan struct{}) error {
	ticker := time.NewTicker(min(s.every, max(s.config.StallTimeout/4, time.Millisecond)))
	defer ticker.Stop()
	ended := ctx.Done()
	var turn uint64
	var since time.Time // turn has not moved since then
	buffer := make([]byte, 0, statusBytes)
	for {
		select {
		case <-done:
			return nil
		case <-ended:
			ended = nil
			// A deadline in the past leaves the connection whole, so that Close can still say goodbye.
			_ = s.conn.Conn().SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection, which has the same effect
		case <-s.wake:
		case <-ticker.C:
		}
		// Whole frames, by nobody but us: pgconn only reads meanwhile.
		buffer = appendStatus(buffer[:0], s.Confirmed(), time.Now(), false)
		if err := s.write(buffer); err != nil {
			s.conn.Conn().Close()
			return fmt.Errorf("send status: %w", err)
		}
		switch now := s.turn.Load(); {
		case now%2 == 0 || now != turn:
			turn, since = now, time.Now()
		case time.Since(since) > s.config.StallTimeout:
			s.conn.Conn().Close()
			return fmt.Errorf("read the log: %w for %s", ErrStalled, s.config.StallTimeout)
		}
		select {
		case <-done:
			return nil
		case <-time.After(statusGap):
		}
	}
}

func (s *Stream) write(frame []byte) error {
	if err := s.conn.Conn().SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Conn().Write(frame)
	return err
}

// Close sends what was last confirmed, waits shortly until the server has taken it, and closes the connection; the slot
// is then free. Call it once Run has returned, whatever Run returned. If it fails, the server may or may not have heard.
func (s *Stream) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if s.broken || s.conn.IsClosed() {
		s.conn.Close(ctx) // there is nobody to say anything to
		select {
		case <-s.conn.CleanupDone(): // pgconn may be telling the server to give up
		case <-ctx.Done():
		}
		return nil
	}
	if err := s.goodbye(ctx); err != nil {
		s.conn.Conn().Close()
		s.conn.Close(ctx)
		return fmt.Errorf("close the stream: %w", err)
	}
	if err := s.conn.Close(ctx); err != nil {
		return fmt.Errorf("close the stream: %w", err)
	}
	return nil
}

// goodbye ends the copy. The server answers CopyDone only after it has read the status before it.
func (s *Stream) goodbye(ctx context.Context) error {
	if err := s.conn.Conn().SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	frame := appendStatus(nil, s.Confirmed(), time.Now(), true)
	frame = append(frame, 'c', 0, 0, 0, 4) // CopyDone
	if err := s.write(frame); err != nil {
		return err
	}
	if err := s.conn.Conn().SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	for {
		message, err := s.conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch message.(type) {
		case *pgproto3.CopyData: // still on its way; it will be sent again
		case *pgproto3.ReadyForQuery, *pgproto3.ErrorResponse:
			return nil
		}
	}
}
