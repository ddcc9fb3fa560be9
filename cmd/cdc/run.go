package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"payload-cdc/internal/daemon"
)

func newRun() *cobra.Command {
	var until string
	c := &cobra.Command{
		Use:   "run",
		Short: "Keep the index equal to what is published, until stopped",
		Long: `Run reads Payload's database and keeps the index equal to what is published.

The first start creates a publication and a replication slot, embeds every published document, and looks through what
is in the index already. From then on changes are streamed. Stop it at any time, with SIGTERM or with kill -9: it goes
on from its checkpoint and loses nothing. A second instance waits and takes over when the first ends.`,
	}
	c.Flags().StringVar(&until, "until", "", "caught-up: end with 0 once everything that is committed now is in the index")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if until != "" && until != "caught-up" {
			return &usageError{fmt.Errorf("--until %s: want caught-up", until)}
		}
		s, err := load()
		if err != nil {
			return err
		}
		if err := s.providers(); err != nil {
			return err
		}
		cfg := s.daemon(c.ErrOrStderr())
		cfg.UntilCaughtUp = until != ""
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(cfg.MemoryLimit / 5 * 4) // the rest is what Go does not count, and a margin
		}
		return daemon.Run(c.Context(), cfg)
	}
	return c
}
