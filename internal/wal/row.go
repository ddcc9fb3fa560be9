package wal

import "encoding/binary"

// Op is what happened to a row. The values are pgoutput's message bytes.
type Op byte

// The row changes that pgoutput sends one by one. TRUNCATE is not among them: it names relations, not rows.
const (
	Insert Op = 'I'
	Update Op = 'U'
	Delete Op = 'D'
)

// Column is one column of a Relation.
type Column struct {
	Name string
	Type uint32 // type OID
	Key  bool   // part of the replica identity
}

// Relation is the shape of a published table at one point of the log.
type Relation struct {
	OID      uint32
	Schema   string
	Table    string
	Identity byte // replica identity: 'd' default, 'n' nothing, 'f' full, 'i' index
	Columns  []Column
}

// Index returns the position of the named column, or -1.
func (r *Relation) Index(name string) int {
	for i := range r.Columns {
		if r.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Row is one change of one row. It and its tuples are valid only during the call that delivers it: they point into
// the connection's read buffer. Copy what is kept.
type Row struct {
	Op       Op
	Relation *Relation
	Old      Tuple // empty unless the key changed, the row was deleted, or the identity is FULL
	New      Tuple // empty on delete
}

// Tuple is a pgoutput TupleData, walked in place. The zero Tuple has no columns.
type Tuple []byte

// Kinds of a tuple's column, pgoutput's bytes.
const (
	Null      = 'n'
	Unchanged = 'u' // a TOASTed value that the change did not touch; its text is not in the log
	Text      = 't'
	Binary    = 'b'
)

// Column returns the kind and bytes of column i, counted from zero. The bytes alias the tuple. ok is false when the
// tuple has no such column or is cut short.
func (t Tuple) Column(i int) (kind byte, value []byte, ok bool) {
	if len(t) < 2 || i < 0 || i >= int(binary.BigEndian.Uint16(t)) {
		return 0, nil, false
	}
	rest := t[2:]
	for ; ; i-- {
		if len(rest) < 1 {
			return 0, nil, false
		}
		kind, rest = rest[0], rest[1:]
		value = nil
		if kind == Text || kind == Binary {
			if len(rest) < 4 {
				return 0, nil, false
			}
			n := int(binary.BigEndian.Uint32(rest))
			if n < 0 || n > len(rest)-4 {
				return 0, nil, false
			}
			value, rest = rest[4:4+n], rest[4+n:]
		}
		if i == 0 {
			return kind, value, true
		}
	}
}
