package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"payload-cdc/internal/admin"
	"payload-cdc/internal/daemon"
)

func newStatus() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how far the index is, what is owed, and how the slot does",
		Long:  `Status looks at the database and at the saved checkpoint; the running cdc need not be reachable from here.`,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		status, err := daemon.Status(c.Context(), s.daemon(c.ErrOrStderr()))
		if err != nil {
			return err
		}
		if !asJSON {
			return admin.WriteTable(c.OutOrStdout(), status)
		}
		out := json.NewEncoder(c.OutOrStdout())
		out.SetIndent("", "  ")
		return out.Encode(status)
	}
	return c
}
