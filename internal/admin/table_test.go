package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/admin"
)

func TestTable(t *testing.T) {
	catchingUp := streaming()
	catchingUp.State = admin.CatchingUp
	catchingUp.Checkpoint.LagBytes, catchingUp.Checkpoint.LagSeconds = new(int64(13_002_342)), new(247.0)
	catchingUp.Owed = admin.Owed{}
	for name, s := range map[string]admin.Status{
		"streaming": streaming(), "troubled": troubled(), "catching_up": catchingUp, "empty": {At: before(0)},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name+".txt", table(t, s)) })
	}
}

func TestTableHasNoControlCharacters(t *testing.T) {
	s := troubled()
	s.Reason, s.Collections[0].Slug, s.Slot.Name = "\x1b]0;x\x07", "a\tb\u202ec", "\x9b31m"
	if text := string(table(t, s)); strings.ContainsAny(text, "\x1b\x07\t\u202e\u009b") {
		t.Errorf("%q", text)
	}
}

func TestTableSaysThatWritingFailed(t *testing.T) {
	full := errors.New("disk full")
	if err := admin.WriteTable(failing{full}, streaming()); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestSentence(t *testing.T) {
	tests := []struct {
		status admin.Status
		want   string
	}{
		{admin.Status{State: admin.Standby, Reason: "web-1 reads the slot"}, "Standing by: web-1 reads the slot; nothing owed."},
		{admin.Status{State: admin.Lost, Reason: "the slot is gone.", Parked: 2}, "Lost: the slot is gone; nothing owed; 2 documents parked."},
		{admin.Status{State: admin.Streaming}, "Streaming; nothing owed."},
		{admin.Status{State: "dancing"}, "dancing; nothing owed."},
		{
			admin.Status{State: admin.Streaming, Checkpoint: admin.Checkpoint{LagBytes: new(int64(2 << 20)), LagSeconds: new(0.2)}},
			"Streaming, 2.0 MiB behind; nothing owed.",
		},
		{
			admin.Status{State: admin.CatchingUp, Checkpoint: admin.Checkpoint{LagSeconds: new(61.0)}, Owed: admin.Owed{Documents: 12345, Sweeps: []admin.Sweep{{}}}},
			"Catching up, 1m1s behind; 12,345 documents and 1 sweep owed.",
		},
		{admin.Status{State: admin.Held, Reason: "80 of 88 documents\nare gone", Owed: admin.Owed{Documents: 1}}, "Held: 80 of 88 documents are gone; 1 document owed."},
	}
	for _, test := range tests {
		if got := test.status.Sentence(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestAgesWithoutAMoment(t *testing.T) {
	s := admin.Status{State: admin.Starting, Since: admin.Time{Time: time.Now().Add(-90 * time.Minute)}}
	if text := string(table(t, s)); !strings.Contains(text, "starting, for 1h30m") {
		t.Errorf("%s", text)
	}
}
