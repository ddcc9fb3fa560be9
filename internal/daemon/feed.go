package daemon

import (
	"sync/atomic"
	"time"

	"payload-cdc/internal/payload"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/wal"
)

const (
	// manyKeys is how many documents of one transaction are collected before they are marked: marking early is always
	// safe, and a transaction of any size fits in memory.
	manyKeys = 10_000
	// farBehind is how much unread log makes claims wait for more marks of the same documents, bytes.
	farBehind = 8 << 20
)

// feed turns what the log says into marks: the seam between replication, payload and pipeline.
type feed struct {
	pipeline *pipeline.Pipeline
	makeRoom func() error // the one thing that reading waits for: that memory does not hold ever more of what is owed
	marks    *payload.Marks
	flushed  *atomic.Uint64 // the server's end of the log, as last asked
	reads    func(transactions, rows int)
	unknown  map[string]bool // tables that a discovery after their first row did not find
	heard    func(prefix string, content []byte)
	agree    func(*wal.Relation) error
	last     *wal.Relation            // of the row before: rows of one table come in runs
	agreed   map[uint32]*wal.Relation // that were asked about; the stream makes a new one of each announcement

	xid  wal.XID
	rows int
}

func (f *feed) Begin(xid wal.XID) { f.xid = xid }

func (f *feed) Row(row *wal.Row) error {
	f.rows++
	if row.Relation != f.last {
		if err := f.announced(row.Relation); err != nil {
			return err
		}
		f.last = row.Relation
	}
	if err := f.marks.Row(row); err != nil {
		if err := f.ignore(row.Relation, err); err != nil {
			return err
		}
	}
	if f.marks.Len() >= manyKeys {
		f.pipeline.Dirty.Mark(pipeline.Marks{Keys: f.marks.Take(), XID: f.xid})
		return f.makeRoom()
	}
	return nil
}

// Truncate takes the relations one by one: one that is unknown must not hide the others.
func (f *feed) Truncate(relations []*wal.Relation) error {
	for i := range relations {
		if err := f.announced(relations[i]); err != nil {
			return err
		}
		if err := f.marks.Truncate(relations[i : i+1]); err != nil {
			if err := f.ignore(relations[i], err); err != nil {
				return err
			}
		}
	}
	return nil
}

// announced asks about a relation that was not asked about yet.
func (f *feed) announced(relation *wal.Relation) error {
	if f.agreed[relation.OID] == relation {
		return nil
	}
	if err := f.agree(relation); err != nil {
		return err
	}
	f.agreed[relation.OID] = relation
	return nil
}

// ignore decides what an unknown table means. At first, that the schema has to be discovered again; if it is still
// unknown after that, that it has been dropped since, and what the log says of it names nothing.
func (f *feed) ignore(relation *wal.Relation, err error) error {
	name := relation.Schema + "." + relation.Table
	if !f.unknown[name] {
		f.unknown[name] = true
		return err
	}
	f.marks.Ignore(relation)
	return nil
}

// Message is a heartbeat or another program's: its commit moves the position, and that is all it is to a document.
func (f *feed) Message(prefix string, content []byte) error {
	f.heard(prefix, content)
	return nil
}

func (f *feed) Commit(end wal.LSN, at time.Time) error {
	keys, sweeps, truncated := f.marks.End()
	m := pipeline.Marks{Keys: keys, XID: f.xid, End: end, At: at}
	for _, slug := range sweeps {
		m.Sweeps = append(m.Sweeps, pipeline.SweepMark{
			Collection: slug, Reason: "a row was deleted that named no document", Delay: f.pipeline.Debounce(),
		})
	}
	for _, slug := range truncated {
		m.Sweeps = append(m.Sweeps, pipeline.SweepMark{Collection: slug, Reason: "TRUNCATE", Force: true})
	}
	f.pipeline.Dirty.Mark(m)
	f.pipeline.Dirty.SetBehind(f.flushed.Load() > uint64(end)+farBehind)
	f.reads(1, f.rows)
	f.rows = 0
	return f.makeRoom()
}

func (f *feed) Idle(end wal.LSN, asked bool) {
	f.pipeline.Dirty.Idle(end)
	f.pipeline.Dirty.SetBehind(false)
	if asked {
		f.pipeline.Ask()
	}
}
