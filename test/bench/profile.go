package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	"payload-cdc/internal/daemon"
)

// profileCommand makes this program a cdc run --until caught-up that profiles itself: the same daemon as the binary's,
// in a process of its own, so that nothing of the measuring is in the profile.
const profileCommand = "profile"

// profileDaemon is that cdc. It writes cpu.prof and heap.prof, the latter as of the end: what is in use then, and all
// that was ever allocated.
func profileDaemon(ctx context.Context, args []string) (err error) {
	var cfg daemon.Config
	f := flag.NewFlagSet(profileCommand, flag.ContinueOnError)
	f.StringVar(&cfg.DatabaseURI, "uri", "", "")
	f.StringVar(&cfg.Slot, "lane", "", "")
	f.StringVar(&cfg.UpstashURL, "providers", "", "")
	folder := f.String("to", ".", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	cfg.StateSchema, cfg.Publication, cfg.Collections = cfg.Slot, publication, []string{"posts"}
	cfg.UpstashToken, cfg.OpenAIKey, cfg.OpenAIBaseURL = "local", "local", cfg.UpstashURL+"/v1"
	cfg.UntilCaughtUp = true
	cpu, err := os.Create(filepath.Join(*folder, "cpu.prof"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cpu.Close()) }()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	err = daemon.Run(ctx, cfg)
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	heap, err := os.Create(filepath.Join(*folder, "heap.prof"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, heap.Close()) }()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(os.Stderr, "heap: %d MiB in use, %d MiB of system memory, %d MiB and %d objects allocated in all, %d collections\n",
		m.HeapInuse>>20, m.Sys>>20, m.TotalAlloc>>20, m.Mallocs, m.NumGC)
	return pprof.WriteHeapProfile(heap)
}

// profileBacklog lets the profiled cdc read the log on a lane of its own.
func (l *lane) profileBacklog(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.w.profile, 0o755); err != nil {
		return err
	}
	var c *child
	u, err := l.w.measured(ctx, func() (_ *child, err error) {
		c, err = start(ctx, nil, self, profileCommand, "-uri", l.w.uri(), "-lane", l.name, "-providers", l.server.URL, "-to", l.w.profile)
		return c, err
	})
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	l.w.log.Info("backlog profiled", "to", l.w.profile, "wall", seconds(u.Wall), "cpu", seconds(u.cpu()), "peak_rss_mib", mebi(u.RSS),
		"said", c.output.String())
	return nil
}
