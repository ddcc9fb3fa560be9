// Package wal is the vocabulary of Postgres' write-ahead log: positions in it, the transactions that wrote it, and
// the snapshots that say which of them a session can see. Every type is a value; nothing here opens a connection.
package wal

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// LSN is a byte position in the write-ahead log. Zero means unknown, and is never confirmed.
type LSN uint64

// ParseLSN reads the form that Postgres prints, "16/B374D848".
func ParseLSN(text string) (LSN, error) {
	high, low, ok := strings.Cut(text, "/")
	if !ok {
		return 0, fmt.Errorf("parse LSN %q: want two hexadecimal numbers joined by a slash", text)
	}
	h, err := strconv.ParseUint(high, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", text, err)
	}
	l, err := strconv.ParseUint(low, 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse LSN %q: %w", text, err)
	}
	return LSN(h<<32 | l), nil
}

// String prints the LSN as Postgres does.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint64(l)>>32, uint32(l)) }

// XID is a transaction id widened to 64 bits (Postgres' xid8): it never wraps. Zero means none.
type XID uint64

// Widen gives the 32-bit xid of a replication message the epoch that puts it nearest to near, a 64-bit id seen lately.
// pgoutput sends 32 bits only; ids in flight are always within 2^31 of each other.
func Widen(xid uint32, near XID) XID {
	// The signed distance from near's low half wraps exactly as transaction ids do.
	wide := int64(near) + int64(int32(xid-uint32(near)))
	if wide < 0 {
		wide += 1 << 32
	}
	return XID(wide)
}

// Snapshot is what one session can see, as pg_current_snapshot() prints it. The zero Snapshot sees nothing.
type Snapshot struct {
	Xmin    XID   // every transaction below has ended
	Xmax    XID   // no transaction from here on has ended
	Running []XID // in between and not yet visible, ascending
}

// ParseSnapshot reads the form "xmin:xmax:xip,xip,…".
func ParseSnapshot(text string) (Snapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Snapshot{}, fmt.Errorf("parse snapshot %q: want xmin:xmax:list", text)
	}
	number := func(s string) (XID, error) {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("parse snapshot %q: %w", text, err)
		}
		return XID(n), nil
	}
	var s Snapshot
	var err error
	if s.Xmin, err = number(parts[0]); err != nil {
		return Snapshot{}, err
	}
	if s.Xmax, err = number(parts[1]); err != nil {
		return Snapshot{}, err
	}
	if parts[2] != "" {
		for one := range strings.SplitSeq(parts[2], ",") {
			x, err := number(one)
			if err != nil {
				return Snapshot{}, err
			}
			s.Running = append(s.Running, x)
		}
	}
	slices.Sort(s.Running)
	return s, nil
}

// Sees says whether the effects of xid are visible in the snapshot, as pg_visible_in_snapshot does.
func (s Snapshot) Sees(xid XID) bool {
	if xid < s.Xmin {
		return true
	}
	if xid >= s.Xmax {
		return false
	}
	_, running := slices.BinarySearch(s.Running, xid)
	return !running
}

// Position is a place in one particular log: an LSN means nothing without the system, timeline and slot it belongs to.
type Position struct {
	LSN       LSN
	Slot      string
	System    string // system identifier of the cluster
	Timeline  int32
	SlotPoint LSN // consistent point at which the slot was created
}
