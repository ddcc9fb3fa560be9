// Command bench measures how fast cdc is, and what it costs, beside the least that any client could do.
//
//	go run ./test/bench             everything, in about six minutes
//	go run ./test/bench -short      the same on a tenth of the data: does it work at all
//	go run ./test/bench -only latency
//
// Two figures, on a private Postgres with the tables that Payload made:
//
//   - backlog: a log full of changes to drafts, of which nothing is to be embedded, read by the built binary
//     (cdc run --until caught-up) and by pg_recvlogical, which writes the same stream to /dev/null. They take turns on
//     slots that were made before the changes, so each reads the same log.
//   - latency: from the moment a publish's COMMIT returned until the vector index has applied its vectors, with
//     providers on loopback that answer at once. Their own time is told apart.
//
// What it prints are figures, not a verdict: it ends with 0 whatever they are, and with 1 only when something did not
// work. On a shared machine trust the ratios: who is compared was measured in turns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
)

// options is what the command line says.
type options struct {
	pairs     int    // how often cdc and pg_recvlogical take turns
	changes   int    // one-row transactions in the backlog
	documents int    // that they change
	publishes int    // measured one by one
	only      string // "backlog", "latency" or everything
	drain     bool   // a third in turn: internal/replication alone
	json      bool
	short     bool
	binary    string // of cdc; built when empty
	profile   string // folder for profiles of one more reading of the backlog; empty for none
	against   string // another binary of cdc that takes turns too; empty for none
	verbose   bool
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.pairs, "pairs", 5, "how often cdc and pg_recvlogical take turns")
	f.IntVar(&o.changes, "changes", 200_000, "transactions in the backlog")
	f.IntVar(&o.documents, "documents", 5_000, "documents that they change")
	f.IntVar(&o.publishes, "publishes", 100, "publishes to time")
	f.StringVar(&o.only, "only", "", "measure only this: backlog or latency")
	f.BoolVar(&o.drain, "drain", false, "let the stream of internal/replication, which keeps nothing, take turns too")
	f.BoolVar(&o.json, "json", false, "print the figures as JSON")
	f.BoolVar(&o.short, "short", false, "a tenth of the data, two pairs")
	f.StringVar(&o.binary, "cdc", "", "measure this binary instead of building one")
	f.StringVar(&o.profile, "profile", "", "read the backlog once more and write cpu.prof and heap.prof to this folder")
	f.StringVar(&o.against, "against", "", "let this other binary of cdc take turns too, e.g. the last release")
	f.BoolVar(&o.verbose, "v", false, "show what cdc logs")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.short {
		given := map[string]bool{}
		f.Visit(func(f *flag.Flag) { given[f.Name] = true })
		lessen := func(name string, n *int, to int) {
			if !given[name] {
				*n = to
			}
		}
		lessen("pairs", &o.pairs, 2)
		lessen("changes", &o.changes, o.changes/10)
		lessen("documents", &o.documents, o.documents/10)
		lessen("publishes", &o.publishes, o.publishes/5)
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.only != "" && o.only != "backlog" && o.only != "latency":
		return o, fmt.Errorf("-only %s: want backlog or latency", o.only)
	case o.pairs < 1 || o.changes < 1 || o.documents < 1 || o.publishes < 1:
		return o, errors.New("-pairs, -changes, -documents and -publishes must be positive")
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case drainCommand:
			os.Exit(exit(drainSlot(ctx, os.Args[2:])))
		case profileCommand:
			os.Exit(exit(profileDaemon(ctx, os.Args[2:])))
		}
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o, os.Stdout, os.Stderr)
	}
	os.Exit(exit(err))
}

func exit(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// run measures and prints.
func run(ctx context.Context, o options, out, progress io.Writer) error {
	began := time.Now()
	log := slog.New(tint.NewTextHandler(progress, &tint.Options{TimeFormat: time.TimeOnly, NoColor: true}))
	w, err := newWorld(ctx, o, log)
	if err != nil {
		return err
	}
	defer w.close()
	r := report{Method: w.method()}
	if o.only != "latency" {
		b, err := measureBacklog(ctx, w)
		if err != nil {
			return fmt.Errorf("backlog: %w", err)
		}
		r.Backlog = &b
	}
	if o.only != "backlog" {
		l, err := measureLatency(ctx, w)
		if err != nil {
			return fmt.Errorf("latency: %w", err)
		}
		r.Latency = &l
	}
	r.Seconds = time.Since(began).Seconds()
	r.figure()
	if o.json {
		return r.writeJSON(out)
	}
	return r.writeTable(out)
}
