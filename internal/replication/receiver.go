package replication

import (
	"context"
	"time"

	"payload-cdc/internal/wal"
)

// Receiver takes what the stream reads, in order, from one goroutine. It has to return quickly: while it is in a call
// nothing is read. What it is given points into the read buffer and is valid during the call only. An error ends Run,
// and nothing from the transaction at hand on is ever confirmed.
type Receiver interface {
	// Begin starts a transaction that has committed. Every transaction that begins is ended by Commit, unless the
	// stream breaks; the stream then delivers it again from its beginning.
	Begin(xid wal.XID)
	Row(row *wal.Row) error
	// Truncate names every published relation that one TRUNCATE emptied, those reached by CASCADE included.
	Truncate(relations []*wal.Relation) error
	// Message is what pg_logical_emit_message wrote. A transactional one comes between Begin and Commit; another one
	// comes outside, and may belong to a transaction that rolled back.
	Message(prefix string, content []byte) error
	// Commit ends the transaction. end may be saved and confirmed once all that the transaction marked is safe. at is
	// the server's clock.
	Commit(end wal.LSN, at time.Time) error
	// Idle says that there is nothing for us in the log before end. It is called only between transactions, so end may
	// be saved and confirmed like the end of a commit. asked means that the server waits for an answer (it may be
	// shutting down), so a checkpoint should be saved and confirmed soon.
	Idle(end wal.LSN, asked bool)
}

// Discard is a Receiver that counts and keeps nothing. Its fields may be read once Run has returned.
type Discard struct {
	Transactions, Rows, Truncates, Messages int
	End                                     wal.LSN // of the last Commit or Idle
	until                                   wal.LSN
	reached                                 func() // called once End is at until or beyond; nil is nobody
}

// Drain reads the slot up to until, keeps nothing and confirms it. It is for measuring.
func Drain(ctx context.Context, config Config, until wal.LSN) (Discard, error) {
	stream, err := Open(ctx, config)
	if err != nil {
		return Discard{}, err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	seen := Discard{until: until, reached: stop}
	err = stream.Run(reading, &seen)
	stream.Confirm(seen.End)
	if closing := stream.Close(context.WithoutCancel(ctx)); closing != nil {
		return seen, closing
	}
	if seen.End >= until {
		return seen, nil
	}
	return seen, err
}

// Begin does nothing.
func (d *Discard) Begin(wal.XID) {}

// Row counts.
func (d *Discard) Row(*wal.Row) error { d.Rows++; return nil }

// Truncate counts.
func (d *Discard) Truncate([]*wal.Relation) error { d.Truncates++; return nil }

// Message counts.
func (d *Discard) Message(string, []byte) error { d.Messages++; return nil }

// Commit counts and notes the position.
func (d *Discard) Commit(end wal.LSN, _ time.Time) error {
	d.Transactions++
	d.reach(end)
	return nil
}

// Idle notes the position.
func (d *Discard) Idle(end wal.LSN, _ bool) { d.reach(end) }

func (d *Discard) reach(end wal.LSN) {
	d.End = end
	if d.reached != nil && end >= d.until {
		d.reached()
	}
}
