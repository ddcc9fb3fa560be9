package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"payload-cdc/internal/daemon"
	kept "payload-cdc/internal/secret"
	"payload-cdc/internal/spell"
)

// settings is the environment: every variable, its default and what it is for. A secret can also come from the file
// that NAME_FILE names.
type settings struct {
	DatabaseURI    string   `env:"DATABASE_URI" secret:"uri" help:"Payload's own database, postgres://… (also DATABASE_URL, POSTGRES_URL)"`
	ReplicationURI string   `env:"CDC_REPLICATION_URI" secret:"uri" help:"direct connection to the same database, when DATABASE_URI goes through a pooler"`
	StateURI       string   `env:"CDC_STATE_URI" secret:"uri" help:"where checkpoint and ledger live, postgres://…; DATABASE_URI by default"`
	StateSchema    string   `env:"CDC_STATE_SCHEMA" envDefault:"payload_cdc" help:"schema for checkpoint and ledger; never Payload's own"`
	PayloadSchema  string   `env:"CDC_PAYLOAD_SCHEMA" envDefault:"public" help:"Payload's schemaName"`
	Slot           string   `env:"CDC_SLOT" envDefault:"payload_cdc" help:"replication slot"`
	Publication    string   `env:"CDC_PUBLICATION" envDefault:"payload_cdc" help:"publication"`
	Collections    []string `env:"CDC_COLLECTIONS" help:"slugs to index, as in the Payload project, joined by commas; every collection with drafts by default"`
	File           string   `env:"CDC_CONFIG" help:"YAML file that says, by collection, what is embedded and how; none by default"`
	OnGap          string   `env:"CDC_ON_GAP" envDefault:"repair" help:"when changes may have been missed: repair compares everything and makes it right, stop ends instead"`

	OpenAIKey       string `env:"OPENAI_API_KEY" secret:"all" help:"key of the embedding provider"`
	OpenAIBaseURL   string `env:"OPENAI_BASE_URL" secret:"uri" help:"any OpenAI-compatible server, with its /v1; OpenAI by default"`
	EmbedModel      string `env:"CDC_EMBED_MODEL" envDefault:"text-embedding-3-small" help:"embedding model"`
	EmbedDimensions int    `env:"CDC_EMBED_DIMENSIONS" envDefault:"1024" help:"dimensions of the vectors; the index must have as many"`

	Index            string        `env:"CDC_INDEX" envDefault:"upstash" help:"vector index: upstash"`
	UpstashURL       string        `env:"UPSTASH_VECTOR_REST_URL" secret:"uri" help:"URL of the Upstash Vector index"`
	UpstashToken     string        `env:"UPSTASH_VECTOR_REST_TOKEN" secret:"all" help:"a token that may write"`
	UpstashNamespace string        `env:"CDC_UPSTASH_NAMESPACE" help:"namespace; the default one by default"`
	IndexTimeout     time.Duration `env:"CDC_INDEX_TIMEOUT" envDefault:"30s" help:"of one request to the index; a write without an answer is in doubt for three times as long"`

	MemoryLimit string `env:"CDC_MEMORY_LIMIT" envDefault:"256MiB" help:"memory to stay within, whatever is owed and however large documents are; at least 64MiB"`

	Heartbeat       time.Duration `env:"CDC_HEARTBEAT" help:"writes a message into the log this often and expects it back, as a probe of the whole way, e.g. 30s; off by default"`
	RetainedWarning string        `env:"CDC_RETAINED_WARNING" envDefault:"1GiB" help:"how much log the slot may hold back on the server before cdc warns"`

	AdminToken string `env:"CDC_ADMIN_TOKEN" secret:"all" help:"lets its bearer have parked documents tried again over HTTP; without it HTTP changes nothing"`
	HTTPAddr   string `env:"CDC_HTTP_ADDR" envDefault:"127.0.0.1:8090" help:"address of health, metrics and status; off serves none"`
	LogLevel   string `env:"CDC_LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	LogFormat  string `env:"CDC_LOG_FORMAT" help:"text or json; text on a terminal and json elsewhere by default"`

	ByCollection map[string]daemon.Collection `env:"-"` // what File says
}

// aliases are other names that a Payload project may have given the same thing; the first that is set counts.
var aliases = map[string][]string{"DATABASE_URI": {"DATABASE_URL", "POSTGRES_URL"}}

// load reads the environment. Unknown CDC_ variables are mistakes.
func load() (settings, error) {
	environ := env.ToMap(os.Environ())
	for name, others := range aliases {
		for _, other := range others {
			if environ[name] == "" {
				environ[name] = environ[other]
			}
		}
	}
	known := map[string]bool{}
	for _, f := range fields() {
		known[f.name] = true
		if f.secret == "" {
			continue
		}
		known[f.name+"_FILE"] = true
		if path := environ[f.name+"_FILE"]; path != "" {
			if environ[f.name] != "" {
				return settings{}, &usageError{fmt.Errorf("%s and %s_FILE are both set: keep one", f.name, f.name)}
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return settings{}, &usageError{fmt.Errorf("%s_FILE: %w", f.name, err)}
			}
			environ[f.name] = strings.TrimSpace(string(content))
		}
	}
	hide(environ)
	for name := range environ {
		if strings.HasPrefix(name, "CDC_") && !known[name] && !strings.HasPrefix(name, "CDC_TEST_") && !strings.HasPrefix(name, "CDC_E2E_") {
			return settings{}, &usageError{fmt.Errorf("%s is not a variable of cdc%s: see cdc env", name, nearest(name, known))}
		}
	}
	var s settings
	if err := env.ParseWithOptions(&s, env.Options{Environment: environ}); err != nil {
		return settings{}, &usageError{named(err)}
	}
	s.Collections = words(s.Collections)
	if err := s.readFile(); err != nil {
		return settings{}, &usageError{err}
	}
	if err := s.check(); err != nil {
		return settings{}, &usageError{err}
	}
	return s, nil
}

// readFile reads the file. Naming collections there is the same as naming them in the environment, where both do, the
// environment decides which there are.
func (s *settings) readFile() error {
	if s.File == "" {
		return nil
	}
	f, list, err := readConfigFile(s.File)
	if err != nil {
		return err
	}
	fromFile := len(s.Collections) == 0
	s.ByCollection = make(map[string]daemon.Collection, len(list))
	for _, one := range list {
		switch {
		case fromFile:
			s.Collections = append(s.Collections, one.slug)
		case !slices.Contains(s.Collections, one.slug):
			return fmt.Errorf("CDC_CONFIG: %w", f.errorAt(one.at, "CDC_COLLECTIONS does not name %s%s: name it there too, or nowhere",
				one.slug, didYouMean(one.slug, s.Collections)))
		}
		s.ByCollection[one.slug] = one.Collection
	}
	return nil
}

// named says which variable could not be read, where the library names our struct's field.
func named(err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	t := reflect.TypeFor[settings]()
	var found []error
	for _, one := range all.Errors {
		if bad, ok := errors.AsType[env.ParseError](one); ok {
			if f, ok := t.FieldByName(bad.Name); ok {
				one = fmt.Errorf("%s: %w", f.Tag.Get("env"), bad.Err)
			}
		}
		found = append(found, one)
	}
	return errors.Join(found...)
}

// words are the elements of a list without the blanks that people write around commas.
func words(list []string) []string {
	var out []string
	for _, w := range list {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// check says what no command could work with.
func (s settings) check() error {
	switch {
	case s.DatabaseURI == "":
		return errors.New("DATABASE_URI is not set: give Payload's own database, e.g. postgres://user:password@host:5432/database")
	case strayPassword(s.DatabaseURI), strayPassword(s.ReplicationURI), strayPassword(s.StateURI):
		return errors.New("the password in a postgres:// address has a character that ends it early: write / as %2F, ? as %3F, # as %23, @ as %40")
	case s.Index != "upstash":
		return fmt.Errorf("CDC_INDEX=%s: this version knows upstash only", s.Index)
	case s.StateSchema == s.PayloadSchema:
		return fmt.Errorf("CDC_STATE_SCHEMA=%s is Payload's own schema: Payload's dev push drops tables there that it does not know; give another", s.StateSchema)
	case !slices.Contains([]string{daemon.Mend, daemon.Stop}, s.OnGap):
		return fmt.Errorf("CDC_ON_GAP=%s: want repair or stop", s.OnGap)
	case s.EmbedDimensions < 1:
		return fmt.Errorf("CDC_EMBED_DIMENSIONS=%d: must be positive", s.EmbedDimensions)
	case s.IndexTimeout < 100*time.Millisecond:
		return fmt.Errorf("CDC_INDEX_TIMEOUT=%s: must be at least 100ms", s.IndexTimeout)
	case bytesOf(s.MemoryLimit) < 64<<20:
		return fmt.Errorf("CDC_MEMORY_LIMIT=%s: want at least 64MiB, as 256MiB or 1GiB", s.MemoryLimit)
	case s.Heartbeat != 0 && s.Heartbeat < time.Second:
		return fmt.Errorf("CDC_HEARTBEAT=%s: want at least 1s, or 0 for none", s.Heartbeat)
	case bytesOf(s.RetainedWarning) < 1<<20:
		return fmt.Errorf("CDC_RETAINED_WARNING=%s: want at least 1MiB, as 512MiB or 1GiB", s.RetainedWarning)
	case strings.ContainsFunc(s.AdminToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("CDC_ADMIN_TOKEN holds blanks or characters that a header cannot carry: use letters and digits")
	case s.AdminToken != "" && len(s.AdminToken) < 16:
		return errors.New("CDC_ADMIN_TOKEN is short enough to be guessed: want at least 16 characters, e.g. of openssl rand -hex 32")
	case !slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(s.LogLevel)):
		return fmt.Errorf("CDC_LOG_LEVEL=%s: want debug, info, warn or error", s.LogLevel)
	case !slices.Contains([]string{"", "text", "json"}, s.LogFormat):
		return fmt.Errorf("CDC_LOG_FORMAT=%s: want text or json", s.LogFormat)
	}
	return nil
}

// strayPassword says whether an @ comes only after the host: then part of a password was read as host, port and path,
// and would be shown as such.
func strayPassword(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && u.Host != "" && u.User == nil && strings.Contains(u.Path+u.RawQuery+u.Fragment, "@")
}

// bytesOf reads a size; 0 when it cannot be read.
func bytesOf(text string) int64 {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return 0
	}
	return int64(n)
}

// providers says what is missing for commands that embed or write vectors.
func (s settings) providers() error {
	switch {
	case s.UpstashURL == "":
		return &usageError{errors.New("UPSTASH_VECTOR_REST_URL is not set: copy it from the index's page, with UPSTASH_VECTOR_REST_TOKEN")}
	case s.UpstashToken == "":
		return &usageError{errors.New("UPSTASH_VECTOR_REST_TOKEN is not set: copy it from the index's page; it must be the one that may write")}
	case s.OpenAIKey == "" && s.OpenAIBaseURL == "":
		return &usageError{errors.New("OPENAI_API_KEY is not set; for another OpenAI-compatible server set OPENAI_BASE_URL")}
	}
	return nil
}

// daemon maps the environment to what a daemon is told.
func (s settings) daemon(logs io.Writer) daemon.Config {
	addr := s.HTTPAddr
	if addr == "off" {
		addr = ""
	}
	return daemon.Config{
		DatabaseURI: s.DatabaseURI, ReplicationURI: s.ReplicationURI, StateURI: s.StateURI, PayloadSchema: s.PayloadSchema,
		StateSchema: s.StateSchema, Slot: s.Slot, Publication: s.Publication, Collections: s.Collections, Settings: s.ByCollection,
		OpenAIKey: s.OpenAIKey, OpenAIBaseURL: s.OpenAIBaseURL, EmbedModel: s.EmbedModel, EmbedDimensions: s.EmbedDimensions,
		UpstashURL: s.UpstashURL, UpstashToken: s.UpstashToken, UpstashNamespace: s.UpstashNamespace, IndexTimeout: s.IndexTimeout,
		Heartbeat: s.Heartbeat, RetainedWarning: bytesOf(s.RetainedWarning), AdminToken: s.AdminToken, Hide: hider.Hide,
		OnGap: s.OnGap, MemoryLimit: bytesOf(s.MemoryLimit), HTTPAddr: addr, Version: version, Logger: s.logger(logs),
	}
}

// logger writes for people on a terminal and for machines elsewhere. Secrets are taken out of everything it writes.
func (s settings) logger(to io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // checked by check
	file, isFile := to.(*os.File)
	terminal := isFile && term.IsTerminal(int(file.Fd()))
	to = &redactor{to}
	if s.LogFormat == "text" || s.LogFormat == "" && terminal {
		return slog.New(tint.NewTextHandler(to, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !terminal}))
	}
	return slog.New(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level}))
}

// field is one variable.
type field struct{ name, byDefault, secret, help, value string }

func fields() []field { return fieldsOf(settings{}) }

func fieldsOf(s settings) []field {
	v := reflect.ValueOf(s)
	list := make([]field, 0, v.NumField())
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if tag.Get("env") == "-" {
			continue
		}
		value := fmt.Sprint(v.Field(i).Interface())
		if words, ok := reflect.TypeAssert[[]string](v.Field(i)); ok {
			value = strings.Join(words, ",")
		}
		list = append(list, field{tag.Get("env"), tag.Get("envDefault"), tag.Get("secret"), tag.Get("help"), value})
	}
	return list
}

func newEnv() *cobra.Command {
	return &cobra.Command{
		Use: "env", Short: "List the environment variables, their defaults and what they are for",
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, f := range fields() {
				fmt.Fprintf(w, "%s\t%s\t%s\n", f.name, f.byDefault, f.help)
			}
			return w.Flush()
		},
	}
}

// nearest suggests a known name for an unknown one.
func nearest(name string, known map[string]bool) string {
	best := spell.Nearest(name, slices.Collect(maps.Keys(known)), 4)
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// hider knows the secrets that appear in nothing we print. It is set once, by load, before anything can fail.
var hider *kept.Hider

// hide has the secrets of the environment appear in nothing.
func hide(environ map[string]string) {
	var secrets, public []string
	for _, f := range fields() {
		switch value := environ[f.name]; {
		case value == "":
		case f.secret == "all":
			secrets = append(secrets, value)
		case f.secret == "uri":
			hidden, shown := kept.InAddress(value)
			if dsn, err := pgconn.ParseConfig(value); err == nil && dsn.Password != "" {
				hidden = append(hidden, dsn.Password) // also what a passfile or PGPASSWORD adds
			}
			secrets, public = append(secrets, hidden...), append(public, shown...)
		}
	}
	hider = kept.New(secrets, public)
}

// redact takes the secrets out of a text.
func redact(text string) string { return hider.Hide(text) }

// redactor is a writer whose text is redacted. slog writes one line at a time.
type redactor struct{ to io.Writer }

func (r *redactor) Write(p []byte) (int, error) {
	if _, err := io.WriteString(r.to, redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
