// Command cdc keeps a vector index equal to the published content of a Payload CMS database.
//
// It is configured by the environment (cdc env), needs no change to the Payload project, and runs as one process
// beside the database: cdc run. It creates a publication and a replication slot there, keeps its state in a schema of
// its own, and streams what changes through an embedding model into the index. A crash at any moment loses nothing:
// it goes on from its checkpoint.
//
// Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 problems found.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"payload-cdc/internal/daemon"
)

// version is set by the build.
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends us at once
	}()
	os.Exit(execute(ctx, os.Args[1:]))
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a mistake of the person at the keyboard, or in the configuration.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(root.ErrOrStderr(), "cdc: %v\n", redact(err.Error()))
	if _, ok := errors.AsType[*usageError](err); ok || daemon.Misconfigured(err) {
		return exitUsage
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "cdc",
		Short:         "Keep a vector index equal to what a Payload CMS has published",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,

		SuggestionsMinimumDistance: 2,
	}
	// A command that does not exist must not look like one that worked.
	root.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		hint := ""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = " (did you mean " + near[0] + "?)"
		}
		return &usageError{fmt.Errorf("%s is not a command of cdc%s: see cdc help", args[0], hint)}
	}
	root.SetVersionTemplate("cdc {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(newRun(), newStatus(), newSetup(), newTeardown(), newAdopt(), newVerify(), newParked(), newConfig(), newEnv(), newVersion())
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = none
		}
	}
	return root
}

// none refuses arguments.
func none(c *cobra.Command, args []string) error {
	if err := cobra.NoArgs(c, args); err != nil {
		return &usageError{err}
	}
	return nil
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version",
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "cdc %s\n", version)
			return err
		},
	}
}
