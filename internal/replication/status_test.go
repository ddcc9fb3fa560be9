package replication

import (
	"encoding/hex"
	"testing"
	"time"
)

// The bytes are those of the documentation's "Standby status update", in a CopyData.
func TestStatusBytes(t *testing.T) {
	at := time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC)
	for _, c := range []struct {
		reply bool
		want  string
	}{
		{false, "64" + "00000026" + "72" + "0000000100000010" + "0000000100000010" + "0000000100000010" + "00000000000f4240" + "00"},
		{true, "64" + "00000026" + "72" + "0000000100000010" + "0000000100000010" + "0000000100000010" + "00000000000f4240" + "01"},
	} {
		if got := hex.EncodeToString(appendStatus(nil, 1<<32+16, at, c.reply)); got != c.want {
			t.Errorf("reply %t: %s, want %s", c.reply, got, c.want)
		}
	}
}

func TestStatusInterval(t *testing.T) {
	for _, c := range []struct{ wanted, timeout, want time.Duration }{
		{0, time.Minute, 10 * time.Second},
		{0, 0, 10 * time.Second}, // wal_sender_timeout = 0 is never
		{0, 6 * time.Second, 2 * time.Second},
		{time.Second, time.Minute, time.Second},
		{time.Minute, 0, time.Minute},
		{0, time.Millisecond, 10 * time.Millisecond},
	} {
		if got := statusEvery(c.wanted, c.timeout); got != c.want {
			t.Errorf("statusEvery(%s, %s) = %s, want %s", c.wanted, c.timeout, got, c.want)
		}
	}
}

func TestListed(t *testing.T) {
	for _, c := range []struct {
		names string
		want  bool
	}{
		{"", false},
		{"*", true},
		{"standby1", false},
		{"payload_cdc", true},
		{"standby1, PAYLOAD_CDC", true},
		{"FIRST 2 (standby1, *)", true},
		{"ANY 1 (standby1,standby2)", false},
		{`2 ("payload_cdc", b)`, true},
		{`"payload_cdc2"`, false},
	} {
		if got := listed(c.names, "payload_cdc"); got != c.want {
			t.Errorf("listed(%q) = %t", c.names, got)
		}
	}
}
