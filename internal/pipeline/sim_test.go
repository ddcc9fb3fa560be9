package pipeline_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/pipeline"
	"payload-cdc/internal/wal"
)

var (
	seeds = flag.Int("seeds", 60, "how many simulations to run")
	seed  = flag.Uint64("seed", 0, "run only this simulation, with its log")
)

// TestSimulation runs whole lives of the pipeline, crashes included, in a world that lies, and checks that it always
// converges, that no checkpoint ever claims too much, and that the ledger is never smaller than the index.
func TestSimulation(t *testing.T) {
	if *seed != 0 {
		simulate(t, *seed, os.Stderr)
		return
	}
	n := *seeds
	if testing.Short() {
		n = min(n, 20)
	}
	for s := range n {
		simulate(t, uint64(s+1), io.Discard)
	}
}

func simulate(t *testing.T, seed uint64, log io.Writer) {
	t.Helper()
	defer func() {
		if t.Failed() { // what fails inside ends the test on its way out
			t.Logf("again: go test ./internal/pipeline -run TestSimulation -seed %d", seed)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed)
		w.faults = true
		if w.random.IntN(2) == 0 {
			w.few = 4 + w.random.IntN(8)
		}
		logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		populate(w)

		for range 1 + w.random.IntN(4) {
			live(t, w, logger, false)
			if t.Failed() {
				return
			}
		}
		live(t, w, logger, true)
	})
}

// populate publishes some documents before the slot exists, and leaves in the index what the old recipe left there.
func populate(w *world) {
	for n := range 15 {
		c := []string{"a", "b"}[n%2]
		w.commit(map[document.Key]version{{Collection: c, ID: fmt.Sprint("d", n)}: {published: n%3 > 0, text: words(w), shows: []string{"r1", "r2"}[n%2]}}, 0, false)
	}
	w.commitRow("r2", words(w), 0)
	for n := range 8 {
		id := fmt.Sprint("b-old", n)
		w.vectors[id] = document.Vector{ID: id, Metadata: document.Metadata{DocID: fmt.Sprint("old", n), Collection: "b"}, Data: "left behind"}
	}
	w.vectors["a-gone"] = document.Vector{ID: "a-gone", Metadata: document.Metadata{DocID: "gone", Collection: "a"}, Data: "left behind"}
	w.vectors["a-d0"] = document.Vector{ID: "a-d0", Metadata: document.Metadata{DocID: "d0", Collection: "a"}, Data: "old recipe"}
	w.vectors["else"] = document.Vector{ID: "else", Data: "not ours"}
	w.position = wal.LSN(len(w.log)) * 100
	if w.random.IntN(3) == 0 {
		w.poison[document.Key{Collection: "a", ID: "d4"}] = true
	}
	if w.random.IntN(3) == 0 {
		w.cursed = document.Key{Collection: "b", ID: "d5"}
	}
}

func words(w *world) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.random.IntN(6)
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint("w", w.random.IntN(40))
	}
	return strings.Join(list, " ")
}

// live is one life of the process: it starts from the store, works while documents change, and ends in a crash, in an
// orderly stop, or, when last, when everything has converged.
func live(t *testing.T, w *world, logger *slog.Logger, last bool) {
	t.Helper()
	me, state := w.claim()
	for _, old := range w.frozen {
		defer old() // it lives on for a while, and does not know that it was replaced
	}
	w.frozen = nil
	every := time.Hour
	w.mu.Lock()
	if !last && w.random.IntN(8) == 0 {
		every = 7 * time.Second
	}
	freeze := !last && w.random.IntN(4) == 0
	if w.random.IntN(4) == 0 {
		me.space = []string{"", "n", "m"}[w.random.IntN(3)] // it was configured anew
	}
	moved := me.space != w.space
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	end := cancel
	defer func() { end() }()
	confirmed := wal.LSN(0)
	p := pipeline.New(pipeline.Config{
		Source: me, Chunker: me, Embedder: me, Index: me, Ledger: me, Store: me, Logger: logger,
		Saved: func(lsn wal.LSN, err error) {
			if err == nil {
				confirmed = max(confirmed, lsn)
				checkSaved(t, w)
				if w.savedPosition() < lsn {
					t.Errorf("%v may be confirmed and is not saved", lsn)
				}
			}
		},
		WriteTimeout: writeTimeout, SweepEvery: every, SweepPage: 4, ListPage: 5, SweepRoom: 6, ReadDocuments: 4,
		InFlight: 16, HandBytes: 100 << 10, EmbedInputs: 3, WriteDocuments: 4, WriteVectors: 7, Debounce: time.Second, HoldFor: time.Second,
		IdleEvery: 5 * time.Second, Grace: 3 * time.Second, MaxOwed: w.few,
	}, state)
	if state.Fresh {
		p.Dirty.Sweep(pipeline.SweepMark{Strength: owed.Prove, Reason: "first start"})
	} else if moved {
		p.Dirty.Sweep(pipeline.SweepMark{Collection: "b", Reason: "another namespace"})
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	reading, stopReading := context.WithCancel(ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		feed(reading, w, p, state.Position.LSN)
	}()

	if !last {
		disturb(w)
		w.mu.Lock()
		crash := w.random.IntN(3) > 0
		pause := time.Duration(w.random.IntN(4000)) * time.Millisecond
		w.mu.Unlock()
		time.Sleep(pause)
		if crash {
			w.mu.Lock()
			me.dead = true
			w.mu.Unlock()
		}
	} else {
		disturb(w)
		w.mu.Lock()
		w.faults = false
		w.mu.Unlock()
		converge(t, w, p)
	}
	stop := func() {
		stopReading()
		<-read
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errNet) && !errors.Is(err, owed.ErrFenced) {
			t.Errorf("the pipeline ended with %v", err)
		}
		if n := p.InHand(); n != 0 {
			t.Errorf("%d documents are in hand for ever", n)
		}
	}
	if freeze {
		end = func() {}
		w.frozen = append(w.frozen, stop)
		return
	}
	stop()
	if last {
		check(t, w)
	} else {
		checkSaved(t, w)
	}
}

// feed reads the log from a position, as the daemon does.
func feed(ctx context.Context, w *world, p *pipeline.Pipeline, from wal.LSN) {
	for {
		w.mu.Lock()
		var next *transaction
		for n := range w.log {
			if w.log[n].lsn > from {
				next = &w.log[n]
				break
			}
		}
		lag := len(w.log) - int(from/100)
		pause := time.Duration(w.random.IntN(20)) * time.Millisecond
		w.mu.Unlock()
		if next == nil {
			p.Dirty.Idle(from)
			pause = 10 * time.Millisecond
		} else {
			p.Dirty.SetBehind(lag > 20)
			m := pipeline.Marks{Keys: append(slices.Clone(next.keys), next.hints...), XID: next.xid, End: next.lsn, At: time.Now()}
			for _, c := range next.sweeps {
				m.Sweeps = append(m.Sweeps, pipeline.SweepMark{Collection: c, Reason: "child DELETE", Delay: p.Debounce(), Force: next.force})
			}
			p.Dirty.Mark(m)
			_ = p.MakeRoom(ctx) // as for the saver: what is not saved is saved again
			from = next.lsn
		}
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// row picks one of the rows that documents show, or none. w.mu is held.
func (w *world) row() string {
	return []string{"", "r1", "r2", "r2"}[w.random.IntN(4)]
}

// rivals are two documents that want the same vector ids.
var rivals = []document.Key{{Collection: "a", ID: "x-1"}, {Collection: "a-x", ID: "1"}}

const rivalID = "a-x-1"

// disturb changes documents for a while, with outages of the providers.
func disturb(w *world) {
	w.mu.Lock()
	n := 10 + w.random.IntN(40)
	w.mu.Unlock()
	for range n {
		w.mu.Lock()
		keys := []document.Key{{Collection: []string{"a", "b"}[w.random.IntN(2)], ID: fmt.Sprint("d", w.random.IntN(20))}}
		for w.random.IntN(6) == 0 {
			keys = append(keys, document.Key{Collection: "a", ID: fmt.Sprint("d", w.random.IntN(20))})
		}
		if w.random.IntN(8) == 0 {
			keys = append(keys, rivals[w.random.IntN(len(rivals))])
		}
		truncated := w.random.IntN(120) == 0
		row := ""
		if w.random.IntN(5) == 0 {
			row = w.row()
		}
		var hide time.Duration
		if w.random.IntN(6) == 0 {
			hide = time.Duration(w.random.IntN(3000)) * time.Millisecond
		}
		switch w.random.IntN(40) {
		case 0:
			w.indexDown = time.Now().Add(time.Duration(w.random.IntN(5)) * time.Second)
		case 1:
			w.embedDown = time.Now().Add(time.Duration(w.random.IntN(5)) * time.Second)
		case 2:
			w.indexMute = time.Now().Add(time.Duration(w.random.IntN(15)) * time.Second)
		case 3:
			w.writeDown = time.Now().Add(time.Duration(w.random.IntN(15)) * time.Second)
		}
		hint := w.random.IntN(8) == 0
		pause := time.Duration(w.random.IntN(300)) * time.Millisecond
		w.mu.Unlock()
		changes := map[document.Key]version{}
		for _, key := range keys {
			text := words(w)
			w.mu.Lock()
			v := version{published: w.random.IntN(4) > 0, text: text, extra: w.random.IntN(3), shows: w.row()}
			if before := w.current(key); before.published && w.random.IntN(2) == 0 {
				v.text = before.text // other metadata alone
				if first, _, _ := strings.Cut(text, " "); w.random.IntN(3) > 0 && len(before.text) < 30 {
					v.text = first + " " + before.text // and a section before the others
				}
			}
			changes[key] = v
			w.mu.Unlock()
		}
		if row != "" {
			w.commitRow(row, words(w), hide)
		} else {
			w.commit(changes, hide, hint)
		}
		if truncated {
			w.truncate("b")
		}
		time.Sleep(pause)
	}
}

// converge waits until nothing is owed any more and nothing is on its way.
func converge(t *testing.T, w *world, p *pipeline.Pipeline) {
	t.Helper()
	for range 240 {
		time.Sleep(time.Second)
		w.mu.Lock()
		end := wal.LSN(len(w.log)) * 100
		quiet := w.inFlight == 0 && len(w.hidden) == 0
		w.mu.Unlock()
		if quiet && p.Dirty.ReadTo() >= end && !p.Dirty.OwedSince(time.Now()) {
			time.Sleep(time.Second)
			return
		}
	}
	t.Errorf("not converged after four minutes: %+v", p.Stats())
}

// check compares the index with the source, exactly, and the ledger with the index.
func check(t *testing.T, w *world) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := map[string]string{}
	for id, v := range w.vectors {
		if id != "else" {
			got[id] = told(v)
		}
	}
	want := w.expected()
	for key := range w.poison {
		// A parked document keeps what it had.
		maps.DeleteFunc(got, func(id, _ string) bool { return w.ledger[id].key == key })
	}
	maps.DeleteFunc(got, func(id, _ string) bool { return w.refuses(id) })
	if !maps.Equal(got, want) {
		for id, text := range want {
			if got[id] != text {
				t.Errorf("index holds %q under %s, want %q", got[id], id, text)
			}
		}
		for id, text := range got {
			if _, ok := want[id]; !ok {
				t.Errorf("index holds %q under %s, which is no published chunk", text, id)
			}
		}
	}
	for id := range w.vectors {
		if _, ok := w.ledger[id]; !ok && id != "else" {
			t.Errorf("the ledger does not know %s", id)
		}
	}
	for id, l := range w.ledger {
		if _, ok := w.vectors[id]; !ok && !w.refuses(id) {
			t.Errorf("the ledger keeps %s of %v, which the index does not hold", id, l.key)
		}
	}
	for key, p := range w.parked {
		if p.Blocker != (document.Key{}) {
			if !w.current(p.Blocker).published || w.current(p.Blocker).text == "" {
				t.Errorf("%v is parked because of %v, which holds nothing", key, p.Blocker)
			}
			continue
		}
		if !w.poison[key] && key != w.cursed {
			t.Errorf("%v is parked and is nobody's poison", key)
		}
	}
	firsts := map[string]int{}
	for id, v := range w.vectors {
		if id == "else" || w.poison[w.ledger[id].key] || w.refuses(id) {
			continue
		}
		if text := w.ledger[id].key.String() + " " + v.Data; !slices.Equal(v.Values, vectorOf(text)) {
			t.Errorf("%s carries another text's vector", id)
		}
		base, _, _ := strings.Cut(id, "#")
		firsts[base]++
		if !strings.Contains(id, "#") {
			firsts[base] += 1000 * v.Metadata.Chunks
		}
	}
	for base, n := range firsts {
		if n/1000 != n%1000 {
			t.Errorf("%s says it has %d chunks and has %d", base, n/1000, n%1000)
		}
	}
}

// checkSaved is the definition of a checkpoint: of every document, the index is as the source is now; or the document
// is owed, parked or swept in the store; or the log after the saved position names it. And the ledger knows every
// vector of ours.
func checkSaved(t *testing.T, w *world) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	named := map[document.Key]bool{}
	swept := map[string]bool{}
	for _, tx := range w.log {
		if tx.lsn > w.position {
			for _, key := range append(slices.Clone(tx.keys), tx.hints...) {
				w.named(key, named)
			}
			for _, c := range tx.sweeps {
				swept[c] = true
			}
		}
	}
	for key := range w.debts {
		w.named(key, named)
	}
	for key := range w.parked {
		named[key] = true
	}
	for c, s := range w.sweeps {
		swept[c] = swept[c] || !s.Since.After(time.Now())
	}
	for _, l := range w.ledger {
		if !l.doubt.IsZero() {
			named[l.key] = true
		}
	}
	if len(w.sweeps) == 0 || swept[""] {
		return // the first sweep is not done, or nothing was ever saved
	}
	want := w.expected()
	for id, v := range w.vectors {
		if _, ok := w.ledger[id]; !ok && id != "else" {
			t.Errorf("the ledger does not know %s", id)
		}
		key := w.ledger[id].key
		if named[key] || swept[key.Collection] || id == "else" || w.refuses(id) {
			continue
		}
		if text, ok := want[id]; !ok || text != told(v) {
			t.Errorf("at LSN %v the index holds %q under %s, want %q, and nothing is owed for it", w.position, told(v), id, text)
		}
	}
	for id, text := range want {
		_, name := document.SplitID(id)
		c, rest, _ := strings.Cut(name, "-")
		rest, _, _ = strings.Cut(rest, "#")
		if rest == "x-1" && (named[rivals[1]] || swept[rivals[1].Collection]) {
			continue // either of them
		}
		if named[document.Key{Collection: c, ID: rest}] || swept[c] {
			continue
		}
		if v, ok := w.vectors[id]; !ok || told(v) != text {
			t.Errorf("at LSN %v the index lacks %s %q, and nothing is owed for it", w.position, id, text)
		}
	}
}
