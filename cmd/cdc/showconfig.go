package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"payload-cdc/internal/daemon"
)

func newConfig() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "config", Short: "Print the configuration in force, secrets removed, and how each collection is indexed",
		Long: `Config prints every variable, and, if the database answers, how each collection is indexed: what counts as published,
which fields are embedded in which order, where the vectors go. It changes nothing.`,
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		collections, err := daemon.Describe(c.Context(), s.daemon(io.Discard))
		if away, ok := errors.AsType[*daemon.UnreachableError](err); ok {
			fmt.Fprintf(c.ErrOrStderr(), "cdc: how collections are indexed is not known: %s\n", redact(oneLine(away.Error())))
		} else if err != nil {
			return err
		}
		if asJSON {
			return writeConfigJSON(c.OutOrStdout(), s, collections)
		}
		return writeConfig(c.OutOrStdout(), s, collections)
	}
	return c
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// shown is a variable's value as it may be seen.
func (f field) shown() string {
	if f.secret == "all" && f.value != "" {
		return "(set)"
	}
	return redact(f.value)
}

func writeConfigJSON(to io.Writer, s settings, collections []daemon.Described) error {
	variables := map[string]string{}
	for _, f := range fieldsOf(s) {
		variables[f.name] = f.shown()
	}
	out := json.NewEncoder(to)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(struct {
		Variables   map[string]string  `json:"variables"`
		Collections []daemon.Described `json:"collections"` // null when the database did not answer
	}{variables, collections})
}

func writeConfig(to io.Writer, s settings, collections []daemon.Described) error {
	w := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	for _, f := range fieldsOf(s) {
		fmt.Fprintf(w, "%s\t%s\n", f.name, f.shown())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, c := range collections {
		fmt.Fprintf(to, "\n%s\n", c.Slug)
		line := func(name string, values ...string) {
			if text := strings.Join(values, ", "); text != "" {
				fmt.Fprintf(w, "  %s\t%s\n", name, text)
			}
		}
		table := c.Table
		if c.Guessed {
			table += " (the slug is a guess: name it to be sure)"
		}
		line("table", table)
		line("published", c.Published...)
		switch {
		case len(c.Locales) > 0:
			line("locales", c.Locales...)
		case c.Localized:
			line("locales", "all")
		}
		if c.Namespace == "" {
			c.Namespace = "the index's default"
		}
		line("namespace", c.Namespace)
		line("chunks", fmt.Sprintf("%d tokens, at most %d, at least %d, title and headings at most %d", c.Chunks.Target, c.Chunks.Max, c.Chunks.Min, c.Chunks.Prefix))
		line("title", c.Title)
		line("first of", c.FirstOf...)
		line("embeds", c.Embeds...)
		line("excludes", c.Exclude...)
		line("metadata", c.Metadata...)
		line("includes", c.Include...)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}
