package wal_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"payload-cdc/internal/wal"
)

func TestLSN(t *testing.T) {
	for text, want := range map[string]wal.LSN{
		"0/0": 0, "0/1": 1, "16/B374D848": 0x16B374D848, "FFFFFFFF/FFFFFFFF": math.MaxUint64, "1/0": 1 << 32,
	} {
		got, err := wal.ParseLSN(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("ParseLSN(%q) = %v, %v, want %X", text, got, err, uint64(want))
		}
	}
	for _, text := range []string{"", "/", "1", "1/", "/1", "x/1", "1/100000000", "1/1/1", "-1/1"} {
		if got, err := wal.ParseLSN(text); err == nil {
			t.Errorf("ParseLSN(%q) = %v, want an error", text, got)
		}
	}
}

// Whatever the epochs, 32 bits and an id nearby are enough to know an id.
func TestWiden(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Near the turn of an epoch, and anywhere.
		turn := rapid.Int64Range(0, 1<<8).Draw(t, "epoch") << 32
		xid := turn + rapid.OneOf(rapid.Int64Range(-100, 100), rapid.Int64Range(3, 1<<32)).Draw(t, "xid")
		near := xid + rapid.OneOf(rapid.Int64Range(-300, 300), rapid.Int64Range(-(1<<31)+1, 1<<31-1)).Draw(t, "distance")
		if xid < 3 {
			return
		}
		if near < 0 {
			return
		}
		if got := wal.Widen(uint32(xid), wal.XID(near)); got != wal.XID(xid) {
			t.Fatalf("Widen(%d, %d) = %d, want %d", uint32(xid), near, got, xid)
		}
	})
}

func TestSnapshot(t *testing.T) {
	s, err := wal.ParseSnapshot("10:20:12,10,15")
	if err != nil {
		t.Fatal(err)
	}
	var seen []wal.XID
	for xid := wal.XID(8); xid < 22; xid++ {
		if s.Sees(xid) {
			seen = append(seen, xid)
		}
	}
	if want := []wal.XID{8, 9, 11, 13, 14, 16, 17, 18, 19}; !slices.Equal(seen, want) {
		t.Errorf("it sees %v, want %v", seen, want)
	}
	if (wal.Snapshot{}).Sees(3) {
		t.Error("the zero snapshot sees something")
	}
	if s, err = wal.ParseSnapshot("7:7:"); err != nil || !s.Sees(6) || s.Sees(7) {
		t.Errorf("7:7: is %+v, %v", s, err)
	}
	for _, text := range []string{"", "1:2", "1:2:3:4", "a:2:", "1:b:", "1:2:x"} {
		if _, err := wal.ParseSnapshot(text); err == nil {
			t.Errorf("ParseSnapshot(%q) succeeds", text)
		}
	}
}

func tuple(columns ...string) wal.Tuple {
	t := binary.BigEndian.AppendUint16(nil, uint16(len(columns)))
	for _, c := range columns {
		t = append(t, c[0])
		if c[0] == wal.Text || c[0] == wal.Binary {
			t = binary.BigEndian.AppendUint32(t, uint32(len(c)-1))
			t = append(t, c[1:]...)
		}
	}
	return t
}

func TestTuple(t *testing.T) {
	row := tuple("tone", "n", "u", "bxy", "t")
	for i, want := range []struct {
		kind  byte
		value string
	}{{wal.Text, "one"}, {wal.Null, ""}, {wal.Unchanged, ""}, {wal.Binary, "xy"}, {wal.Text, ""}} {
		kind, value, ok := row.Column(i)
		if !ok || kind != want.kind || string(value) != want.value {
			t.Errorf("column %d is %c %q %t, want %c %q", i, kind, value, ok, want.kind, want.value)
		}
	}
	for _, i := range []int{-1, 5, 1000} {
		if _, _, ok := row.Column(i); ok {
			t.Errorf("there is a column %d", i)
		}
	}
	// Cut short anywhere, a column is either whole or not there.
	for n := range row {
		for i := range 5 {
			if _, value, ok := row[:n].Column(i); ok && len(value) > 0 && string(value) != "one" && string(value) != "xy" {
				t.Errorf("cut at %d, column %d is %q", n, i, value)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { row.Column(4) }); n > 0 {
		t.Errorf("%v allocations to look at a column", n)
	}
}
