// Package daemon builds the parts and runs them until the context ends. The command line, the demo and the tests all
// run this one assembly.
//
// The life of a daemon: it stands by until the slot is free, takes over the state (own), and then reads, reconciles
// and saves until its context ends or a newer instance takes over; then it stands by again. The invariant is the
// order in which things are prepared: publication, slot, debts, position; dying between any two of them repeats work
// and loses nothing.
package daemon

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"payload-cdc/internal/chunk"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/secret"
)

// Config is everything a daemon can be told. URIs and tokens are secrets and appear in no log.
type Config struct {
	DatabaseURI    string // Payload's own database; required
	ReplicationURI string // a direct connection, when DatabaseURI goes through a pooler; DatabaseURI when empty
	StateURI       string // where checkpoint and ledger live; DatabaseURI when empty
	PayloadSchema  string // "public" when empty
	StateSchema    string // "payload_cdc" when empty
	Slot           string // "payload_cdc" when empty
	Publication    string // "payload_cdc" when empty
	Collections    []string
	Settings       map[string]Collection // by slug; a collection without any has the defaults

	OpenAIKey       string
	OpenAIBaseURL   string
	EmbedModel      string // text-embedding-3-small when empty
	EmbedDimensions int    // 1024 when zero

	UpstashURL       string
	UpstashToken     string
	UpstashNamespace string
	IndexTimeout     time.Duration // of one index request; 30 s when zero

	MemoryLimit int64 // bytes that the process should stay within, whatever is owed; 256 MiB when zero

	HTTPAddr string // of health, metrics and status; empty serves none
	// AdminToken lets its bearer have parked documents tried again over HTTP. Without one HTTP changes nothing.
	AdminToken string
	// Hide takes secrets out of what is said. Nil knows those of this Config.
	Hide func(text string) string

	Instance string // names this process for people; host and process id when empty
	Version  string
	Logger   *slog.Logger // nil discards

	// Heartbeat is how often a message is written into the log and expected back; zero is never.
	Heartbeat time.Duration
	// RetainedWarning is how much log the slot may hold back before we say so, bytes; 1 GiB when zero.
	RetainedWarning int64
	// UntilCaughtUp ends Run once everything that had been committed before it began is in the index.
	UntilCaughtUp bool
	// Listening is called with the address once HTTP is served. Nil ignores it.
	Listening func(addr string)
	// OnGap says what to do when changes may have been missed: Mend when empty, or Stop.
	OnGap string
	// CountEvery is the time between looks at whether the index still holds as much as it was given; 24 h when zero.
	CountEvery time.Duration
	// LookEvery is the time between looks at the slot, the publication and the tables; 10 s when zero.
	LookEvery time.Duration
	// GoneAfter is how long the tables of a collection may be missing before it counts as gone; 1 min when zero.
	GoneAfter time.Duration
	// Tick is the time between checkpoints; 1 s when zero.
	Tick time.Duration
}

func (c Config) withDefaults() Config {
	word := func(s *string, otherwise string) {
		if *s == "" {
			*s = otherwise
		}
	}
	word(&c.ReplicationURI, c.DatabaseURI)
	word(&c.StateURI, c.DatabaseURI)
	word(&c.PayloadSchema, "public")
	word(&c.StateSchema, "payload_cdc")
	word(&c.Slot, "payload_cdc")
	word(&c.Publication, "payload_cdc")
	word(&c.EmbedModel, "text-embedding-3-small")
	if c.EmbedDimensions == 0 {
		c.EmbedDimensions = 1024
	}
	if c.MemoryLimit == 0 {
		c.MemoryLimit = 256 << 20
	}
	if c.IndexTimeout == 0 {
		c.IndexTimeout = 30 * time.Second
	}
	word(&c.OnGap, Mend)
	if c.RetainedWarning == 0 {
		c.RetainedWarning = 1 << 30
	}
	if c.Hide == nil {
		c.Hide = c.hider().Hide
	}
	if c.CountEvery == 0 {
		c.CountEvery = 24 * time.Hour
	}
	if c.LookEvery == 0 {
		c.LookEvery = 10 * time.Second
	}
	if c.GoneAfter == 0 {
		c.GoneAfter = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// hider knows the secrets of the Config.
func (c Config) hider() *secret.Hider {
	secrets := []string{c.OpenAIKey, c.UpstashToken, c.AdminToken}
	var public []string
	for _, address := range []string{c.DatabaseURI, c.ReplicationURI, c.StateURI, c.OpenAIBaseURL, c.UpstashURL} {
		hidden, shown := secret.InAddress(address)
		secrets, public = append(secrets, hidden...), append(public, shown...)
	}
	return secret.New(secrets, public)
}

// maxOwed is how many documents that owe are kept in memory: a quarter of it, at the two kilobytes that each was measured
// to take while it is saved.
func (c Config) maxOwed() int { return max(int(c.MemoryLimit/4/2048), 1000) }

func (c Config) chunks() chunk.Config {
	return chunk.Config{Model: c.EmbedModel, Dimensions: c.EmbedDimensions}
}

// payload is what to discover: these collections, every one with drafts when there are none. prints are the fingerprints
// that were saved.
func (c Config) payload(collections []string, prints map[string]string) payload.Config {
	rules := make(map[string]payload.Rules, len(c.Settings))
	for slug, one := range c.Settings {
		if len(collections) == 0 || slices.Contains(collections, slug) {
			one.Rules.Proved = prints[slug] != "" && parts(prints[slug])[3] == rulesPrint(one.Rules)
			rules[slug] = one.Rules
		}
	}
	return payload.Config{Schema: c.PayloadSchema, Collections: collections, Rules: rules, Logger: c.Logger}
}

// Misconfigured says whether an error is the configuration's: it names what the database does not have.
func Misconfigured(err error) bool {
	return errors.Is(err, payload.ErrUnknownCollection) || errors.Is(err, payload.ErrRules)
}

func (c Config) plan(tables []replication.Table) replication.Plan {
	return replication.Plan{Slot: c.Slot, Publication: c.Publication, Tables: tables}
}
