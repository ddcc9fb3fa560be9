// Package payloadtest holds a database as Payload 3 fills it, for tests: a pg_dump of it, and what Payload itself reads
// back from it.
package payloadtest

import (
	"bytes"
	"context"
	_ "embed" // the fixtures
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"payload-cdc/internal/pgtest"
)

// Dump is the database: users, categories, media, posts, blog-posts (localized), docPages, products (dbName
// shop_items), events (trash), notes, news, numbered, and two globals.
//
//go:embed main.sql
var Dump []byte

//go:embed main.expected.json
var expected []byte

// Expected is what payload.find returned: by collection and locale ("all", "en", "de", "fr"), trash and drafts included.
func Expected(t testing.TB) map[string]map[string][]map[string]any {
	t.Helper()
	var all struct {
		Collections map[string]map[string][]map[string]any `json:"collections"`
	}
	if err := json.Unmarshal(expected, &all); err != nil {
		t.Fatal(err)
	}
	return all.Collections
}

// ExpectedGlobals is what payload.findGlobal returned, by global, with all locales.
func ExpectedGlobals(t testing.TB) map[string]map[string]any {
	t.Helper()
	var all struct {
		Globals map[string]map[string]any `json:"globals"`
	}
	if err := json.Unmarshal(expected, &all); err != nil {
		t.Fatal(err)
	}
	return all.Globals
}

// LoadDump fills an empty database of a test.
func LoadDump(t testing.TB, db *pgtest.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := Load(ctx, db.URI, Dump); err != nil {
		t.Fatal(err)
	}
}

// Load runs a pg_dump in plain format, COPY sections included, as psql would.
func Load(ctx context.Context, uri string, dump []byte) error {
	conn, err := pgconn.Connect(ctx, uri)
	if err != nil {
		return fmt.Errorf("load dump: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))

	var plain strings.Builder // statements not yet run
	run := func() error {
		defer plain.Reset()
		if _, err := conn.Exec(ctx, plain.String()).ReadAll(); err != nil {
			return fmt.Errorf("load dump: %w", err)
		}
		return nil
	}
	for len(dump) > 0 {
		line, rest, _ := bytes.Cut(dump, []byte("\n"))
		dump = rest
		switch {
		case bytes.HasPrefix(line, []byte(`\`)), bytes.HasPrefix(line, []byte("--")):
		case bytes.HasPrefix(line, []byte("COPY ")) && bytes.HasSuffix(line, []byte(" FROM stdin;")):
			if err := run(); err != nil {
				return err
			}
			end := 0
			if !bytes.HasPrefix(dump, []byte("\\.\n")) {
				end = bytes.Index(dump, []byte("\n\\.\n")) + 1
			}
			if _, err := conn.CopyFrom(ctx, bytes.NewReader(dump[:end]), strings.TrimSuffix(string(line), ";")); err != nil {
				return fmt.Errorf("load dump: %s: %w", line, err)
			}
			dump = dump[end+len("\\.\n"):]
		default:
			plain.Write(line)
			plain.WriteByte('\n')
		}
	}
	return run()
}
