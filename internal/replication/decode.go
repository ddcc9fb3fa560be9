package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"payload-cdc/internal/wal"
)

// decoder turns pgoutput's messages (protocol version 1) into calls of a Receiver. It is pure: no connection, no
// clock. Rows cost no allocation: tuples are walked where they are. Any byte that does not fit is an error, because
// after a misread message nothing that follows can be trusted, and what is not understood must not be confirmed.
//
// Formats: PostgreSQL documentation, "Logical Replication Message Formats".
type decoder struct {
	receiver  Receiver
	near      wal.XID                  // a 64-bit id seen lately; 32-bit ids are widened to the nearest
	relations map[uint32]*wal.Relation // by OID; replaced, never changed, by each RELATION message
	open      bool                     // between BEGIN and COMMIT
	final     wal.LSN                  // of the open transaction, as BEGIN announced it
	row       wal.Row                  // reused by every row
}

func newDecoder(receiver Receiver, near wal.XID) *decoder {
	return &decoder{receiver: receiver, near: near, relations: make(map[uint32]*wal.Relation)}
}

// errShort is met when a message ends before its parts do.
var errShort = errors.New("it is cut short")

// epoch is where Postgres counts microseconds from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// commitEnd returns the end LSN if message is a COMMIT, else zero. The stream has to know it before the Receiver does.
func commitEnd(message []byte) wal.LSN {
	if len(message) < 26 || message[0] != 'C' {
		return 0
	}
	return wal.LSN(binary.BigEndian.Uint64(message[10:]))
}

// decode reads one message.
func (d *decoder) decode(message []byte) error {
	if len(message) == 0 {
		return errors.New("read the log: an empty pgoutput message")
	}
	kind, c := message[0], cursor{rest: message[1:]}
	var err error
	switch kind {
	case 'I', 'U', 'D':
		err = d.decodeRow(wal.Op(kind), &c)
	case 'B':
		err = d.decodeBegin(&c)
	case 'C':
		err = d.decodeCommit(&c)
	case 'R':
		err = d.decodeRelation(&c)
	case 'T':
		err = d.decodeTruncate(&c)
	case 'M':
		err = d.decodeMessage(&c)
	case 'O': // origin: where a transaction that was itself replicated came from
		c.uint64()
		c.text()
		err = c.end()
	case 'Y': // type: its OID, schema and name; ours are only ever compared by column name
		c.uint32()
		c.text()
		c.text()
		err = c.end()
	default:
		return fmt.Errorf("read the log: unknown pgoutput message %q", kind)
	}
	if err != nil {
		return fmt.Errorf("read the log: pgoutput message %q: %w", kind, err)
	}
	return nil
}

func (d *decoder) decodeBegin(c *cursor) error {
	final := wal.LSN(c.uint64())
	c.uint64() // time of commit; COMMIT repeats it
	xid := c.uint32()
	if err := c.end(); err != nil {
		return err
	}
	if d.open {
		return errors.New("a transaction begins inside another one")
	}
	d.open, d.final = true, final
	d.near = wal.Widen(xid, d.near)
	d.receiver.Begin(d.near)
	return nil
}

func (d *decoder) decodeCommit(c *cursor) error {
	c.byte() // flags, none defined
	commit, end := wal.LSN(c.uint64()), wal.LSN(c.uint64())
	at := epoch.Add(time.Duration(c.uint64()) * time.Microsecond)
	if err := c.end(); err != nil {
		return err
	}
	switch {
	case !d.open:
		return errors.New("a transaction ends that did not begin")
	case commit != d.final:
		return fmt.Errorf("it ends the transaction of %s, but the one of %s is open", commit, d.final)
	case end < commit || end == 0:
		return fmt.Errorf("its end %s lies before its commit %s", end, commit)
	}
	d.open = false
	return d.receiver.Commit(end, at)
}

func (d *decoder) decodeRow(op wal.Op, c *cursor) error {
	if !d.open {
		return errors.New("a row comes outside any transaction")
	}
	relation := d.relations[c.uint32()]
	if c.short {
		return errShort
	}
	if relation == nil {
		return errors.New("a row comes before its relation")
	}
	d.row = wal.Row{Op: op, Relation: relation}
	part := c.byte()
	if op != wal.Insert && (part == 'K' || part == 'O') {
		var err error
		if d.row.Old, err = c.tuple(len(relation.Columns)); err != nil {
			return fmt.Errorf("old row of %s.%s: %w", relation.Schema, relation.Table, err)
		}
		part = 'N'
		if op == wal.Update {
			part = c.byte()
		}
	} else if op == wal.Delete {
		return fmt.Errorf("row of %s.%s: part %q", relation.Schema, relation.Table, part)
	}
	if op != wal.Delete {
		if part != 'N' {
			return fmt.Errorf("row of %s.%s: part %q instead of the new row", relation.Schema, relation.Table, part)
		}
		var err error
		if d.row.New, err = c.tuple(len(relation.Columns)); err != nil {
			return fmt.Errorf("new row of %s.%s: %w", relation.Schema, relation.Table, err)
		}
	}
	if err := c.end(); err != nil {
		return err
	}
	return d.receiver.Row(&d.row)
}

func (d *decoder) decodeRelation(c *cursor) error {
	r := &wal.Relation{OID: c.uint32(), Schema: c.text(), Table: c.text(), Identity: c.byte()}
	if r.Schema == "" {
		r.Schema = "pg_catalog" // the protocol's abbreviation
	}
	n := int(c.uint16())
	if n > len(c.rest) { // each column takes more than a byte; do not believe a count that cannot be
		return errShort
	}
	r.Columns = make([]wal.Column, n)
	for i := range r.Columns {
		r.Columns[i] = wal.Column{Key: c.byte()&1 != 0, Name: c.text(), Type: c.uint32()}
		c.uint32() // type modifier
	}
	if err := c.end(); err != nil {
		return err
	}
	d.relations[r.OID] = r
	return nil
}

func (d *decoder) decodeTruncate(c *cursor) error {
	n := int(c.uint32())
	c.byte() // CASCADE, RESTART IDENTITY
	if c.short || n < 0 || n > len(c.rest)/4 {
		return errShort
	}
	relations := make([]*wal.Relation, n)
	for i := range relations {
		if relations[i] = d.relations[c.uint32()]; relations[i] == nil {
			return errors.New("a relation is emptied that was not announced")
		}
	}
	if err := c.end(); err != nil {
		return err
	}
	if !d.open {
		return errors.New("a relation is emptied outside any transaction")
	}
	return d.receiver.Truncate(relations)
}

func (d *decoder) decodeMessage(c *cursor) error {
	transactional := c.byte()&1 != 0
	c.uint64() // its own LSN; not a place to resume from
	prefix := c.text()
	content := c.bytes(int(int32(c.uint32())))
	if err := c.end(); err != nil {
		return err
	}
	if transactional && !d.open {
		return errors.New("a transactional message comes outside any transaction")
	}
	return d.receiver.Message(prefix, content)
}

// cursor walks a message. Past its end everything reads as zero and short is set; end says so once, for all.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > len(c.rest) {
		c.rest, c.short = nil, true
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) byte() byte {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// text reads a string that ends with a zero byte.
func (c *cursor) text() string {
	i := bytes.IndexByte(c.rest, 0)
	if i < 0 {
		c.rest, c.short = nil, true
		return ""
	}
	s := string(c.rest[:i])
	c.rest = c.rest[i+1:]
	return s
}

// tuple takes a TupleData of exactly columns columns, every length of it checked.
func (c *cursor) tuple(columns int) (wal.Tuple, error) {
	start := c.rest
	if n := int(c.uint16()); n != columns {
		return nil, fmt.Errorf("%d columns where the relation has %d", n, columns)
	}
	for range columns {
		switch kind := c.byte(); kind {
		case wal.Null, wal.Unchanged:
		case wal.Text, wal.Binary:
			c.bytes(int(int32(c.uint32())))
		default:
			if c.short {
				return nil, errShort
			}
			return nil, fmt.Errorf("unknown kind of column %q", kind)
		}
	}
	if c.short {
		return nil, errShort
	}
	return wal.Tuple(start[:len(start)-len(c.rest)]), nil
}

func (c *cursor) end() error {
	if c.short {
		return errShort
	}
	if len(c.rest) > 0 {
		return fmt.Errorf("%d bytes are left over", len(c.rest))
	}
	return nil
}
