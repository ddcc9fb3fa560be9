package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"payload-cdc/internal/daemon"
)

func newVerify() *cobra.Command {
	var repair, force bool
	var collection string
	c := &cobra.Command{
		Use:   "verify --repair",
		Short: "Have the running cdc compare database and index, and make the index right",
		Long: `Verify asks the running cdc (or the next one that starts) to look at every published document, at everything it knows to be
in the index, and at the index's own listing, and to make them agree. This version compares only to repair.

A comparison that finds much of a collection gone removes nothing and says so; --force removes it.`,
	}
	c.Flags().BoolVar(&repair, "repair", false, "make the index right")
	c.Flags().BoolVar(&force, "force", false, "remove documents that are gone however many they are")
	c.Flags().StringVar(&collection, "collection", "", "only this collection; everything by default")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !repair {
			return &usageError{errors.New("verify needs --repair: this version compares only to repair")}
		}
		s, err := load()
		if err != nil {
			return err
		}
		done, err := daemon.Repair(c.Context(), s.daemon(c.ErrOrStderr()), collection, force)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), done)
		return err
	}
	return c
}
