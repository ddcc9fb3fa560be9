package replication

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"payload-cdc/internal/wal"
)

// unconnected is a stream without a server, which stood at 100.
func unconnected(r Receiver) *Stream {
	s := &Stream{wake: make(chan struct{}, 1), decoder: newDecoder(r, 0)}
	s.confirmed.Store(100)
	s.reported.Store(100)
	return s
}

func data(message []byte) []byte {
	return append(build('w', uint64(1<<40), uint64(1<<40), uint64(0)), message...) // record positions say nothing about commits
}

func alive(end uint64, asked byte) []byte { return build('k', end, uint64(0), asked) }

// At any point of the stream, only the end of what is whole can be confirmed.
func TestOnlyWholeTransactionsCanBeConfirmed(t *testing.T) {
	var got script
	s := unconnected(&got)
	begin, commit := build('B', uint64(300), uint64(0), uint32(5)), build('C', byte(0), uint64(300), uint64(310), uint64(0))
	for i, step := range []struct {
		frame []byte
		want  wal.LSN // confirmed, after trying to confirm everything
	}{
		{alive(150, 0), 150},
		{data(begin), 150},
		{alive(900, 1), 150}, // inside a transaction the end of the log says nothing
		{data(build('M', byte(1), uint64(1<<40), "p\x00", uint32(0))), 150},
		{data(commit), 310},
		{alive(200, 0), 310}, // never back
		{alive(0, 0), 310},
		{alive(400, 1), 400},
	} {
		if err := s.frame(step.frame); err != nil {
			t.Fatal(err)
		}
		s.Confirm(0)
		s.Confirm(1 << 62)
		if s.Confirmed() != step.want {
			t.Errorf("step %d: confirmed %d, want %d", i, s.Confirmed(), step.want)
		}
	}
	if want := "idle 0/96 false\nbegin\nmessage \"p\" \"\"\ncommit\nidle 0/C8 false\nidle 0/190 true\n"; got.String() != want {
		t.Errorf("delivered:\n%s", got.String())
	}
	select {
	case <-s.wake:
	default:
		t.Error("the server asked, and no status is wanted")
	}
}

// A COMMIT that does not belong there opens no way to confirm what was never received.
func TestFrameRefuses(t *testing.T) {
	for name, frame := range map[string][]byte{
		"empty":             {},
		"unknown":           {'x'},
		"XLogData cut":      bytes.Repeat([]byte{'w'}, 24),
		"XLogData empty":    data(nil),
		"keepalive cut":     alive(5, 0)[:17],
		"keepalive too big": append(alive(5, 0), 0),
		"stray commit":      data(build('C', byte(0), uint64(300), uint64(310), uint64(0))),
	} {
		s := unconnected(&Discard{})
		if err := s.frame(frame); err == nil {
			t.Errorf("%s: accepted", name)
		}
		s.Confirm(1 << 62)
		if s.Confirmed() != 100 {
			t.Errorf("%s: confirmed %s", name, s.Confirmed())
		}
	}
}

// A commit that its receiver refuses is not on our side; whoever refused it does not confirm it either.
func TestFramePassesTheReceiversErrorOn(t *testing.T) {
	no := errors.New("no")
	s := unconnected(&refusingCommit{err: no})
	if err := s.frame(data(build('B', uint64(300), uint64(0), uint32(5)))); err != nil {
		t.Fatal(err)
	}
	if err := s.frame(data(build('C', byte(0), uint64(300), uint64(310), uint64(0)))); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
}

type refusingCommit struct {
	Discard
	err error
}

func (r *refusingCommit) Commit(wal.LSN, time.Time) error { return r.err }
