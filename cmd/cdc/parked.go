package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/owed"
)

func newParked() *cobra.Command {
	c := &cobra.Command{
		Use:   "parked",
		Short: "List the documents that cannot be indexed as they are, and try them again",
		Long: `A document is parked when the fault is its own: too large, refused by the model for what it says, or sharing its ids with another
one. It holds nobody back, and is tried again by itself when it changes and once a day.`,
	}
	c.AddCommand(newParkedList(), newParkedRetry())
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	return c
}

// parkedRow is a parked document as JSON.
type parkedRow struct {
	Collection string    `json:"collection"`
	ID         string    `json:"id"`
	Reason     string    `json:"reason"`
	Attempts   int       `json:"attempts"`
	Since      time.Time `json:"since"`
	Blocker    string    `json:"blocker,omitempty"` // collection/id of the document that has its ids
}

func rowsOf(list []owed.Parked) []parkedRow {
	rows := make([]parkedRow, len(list))
	for i, p := range list {
		rows[i] = parkedRow{p.Key.Collection, p.Key.ID, redact(p.Reason), p.Attempts, p.Since, ""}
		if p.Blocker.Collection != "" {
			rows[i].Blocker = p.Blocker.String()
		}
	}
	return rows
}

func newParkedList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "list", Short: "List parked documents, the oldest first", Args: none}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		list, err := daemon.Parked(c.Context(), s.daemon(c.ErrOrStderr()))
		if err != nil {
			return err
		}
		if asJSON {
			out := json.NewEncoder(c.OutOrStdout())
			out.SetIndent("", "  ")
			return out.Encode(rowsOf(list))
		}
		if len(list) == 0 {
			_, err := fmt.Fprintln(c.OutOrStdout(), "Nothing is parked.")
			return err
		}
		w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "COLLECTION\tID\tSINCE\tATTEMPTS\tREASON")
		for _, row := range rowsOf(list) {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", row.Collection, row.ID, row.Since.UTC().Format(time.DateTime), row.Attempts, strings.Join(strings.Fields(row.Reason), " "))
		}
		return w.Flush()
	}
	return c
}

func newParkedRetry() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "retry [collection [id]]",
		Short: "Have the running cdc try parked documents again",
		Example: `  cdc parked retry posts 42
  cdc parked retry posts
  cdc parked retry --all`,
		Args: func(c *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(2)(c, args); err != nil {
				return &usageError{err}
			}
			if all == (len(args) > 0) {
				return &usageError{errors.New("name a collection, or a collection and an id, or give --all")}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&all, "all", false, "each parked document")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		args = append(args, "", "")
		chosen, err := daemon.RetryParked(c.Context(), s.daemon(c.ErrOrStderr()), args[0], args[1])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "asked cdc run to try %d parked documents again: cdc parked list shows those that are parked anew\n", len(chosen))
		return err
	}
	return c
}
