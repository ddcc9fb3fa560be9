package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"payload-cdc/internal/daemon"
)

func newSetup() *cobra.Command {
	var print bool
	var role string
	c := &cobra.Command{
		Use:   "setup",
		Short: "Create the publication and the state schema (cdc run does it too, where it may)",
		Long: `Setup creates the publication and the schema for the state, as the role of DATABASE_URI. Where that role may not,
--print-sql prints the SQL for the owner of Payload's tables or an administrator to run once. The replication slot is
created by cdc run alone.`,
	}
	c.Flags().BoolVar(&print, "print-sql", false, "print the SQL and change nothing")
	c.Flags().StringVar(&role, "role", "", "with --print-sql: the role that cdc will connect as; that of DATABASE_URI by default")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		cfg := s.daemon(c.ErrOrStderr())
		if print {
			sql, err := daemon.SetupSQL(c.Context(), cfg, role)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(c.OutOrStdout(), sql)
			return err
		}
		done, err := daemon.Setup(c.Context(), cfg)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), done)
		return err
	}
	return c
}

func newTeardown() *cobra.Command {
	var state, force, asJSON bool
	c := &cobra.Command{
		Use:   "teardown",
		Short: "Drop the replication slot and the publication, so that the server keeps no log for cdc",
	}
	c.Flags().BoolVar(&state, "state", false, "drop the state schema too: the next start begins from nothing")
	c.Flags().BoolVar(&force, "force", false, "end the connection of a cdc that is still running")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		done, err := daemon.Teardown(c.Context(), s.daemon(c.ErrOrStderr()), state, force)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(c.OutOrStdout()).Encode(done)
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), done)
		return err
	}
	return c
}

func newAdopt() *cobra.Command {
	return &cobra.Command{
		Use:   "adopt",
		Short: "Make this database the owner of the index",
		Long: `The index remembers which database feeds it, so that a copy of the database that was started with the same keys stops
instead of overwriting it. Adopt says that this database feeds it from now on; the next cdc run compares everything.`,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := load()
			if err != nil {
				return err
			}
			if err := s.providers(); err != nil {
				return err
			}
			done, err := daemon.Adopt(c.Context(), s.daemon(c.ErrOrStderr()))
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), done)
			return err
		},
	}
}
