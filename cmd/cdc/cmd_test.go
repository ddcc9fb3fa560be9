package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asCommand makes the test binary be cdc: what it prints and how it exits are a process's own.
const asCommand = "CDC_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// result is what a command left.
type result struct {
	code     int
	out, err string
}

// cdc runs a command to its end, with nothing in its environment but environ.
func cdc(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append([]string{asCommand + "=1", "HOME=" + t.TempDir()}, environ...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); ctx.Err() != nil {
		t.Fatalf("cdc %q did not end:\n%s", args, errs.String())
	} else if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// want fails the test unless the command exited with code and its errors hold every text.
func (r result) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.err)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Errorf("%q is not in what was said:\n%s%s", text, r.out, r.err)
		}
	}
}

// nowhere is a database that refuses the connection, with a password that must not be seen.
const (
	secret  = "s3kr1t-w0rd"
	nowhere = "DATABASE_URI=postgres://payload:" + secret + "@127.0.0.1:1/payload"
)

// A mistake at the keyboard or in the environment exits with 2, and says what was meant.
func TestMistakes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		environ []string
		args    []string
		says    string
	}{
		"unknown command":  {nil, []string{"stauts"}, "did you mean status?"},
		"unknown flag":     {nil, []string{"run", "--catch-up"}, "--catch-up"},
		"further argument": {nil, []string{"status", "posts"}, "posts"},
		"until":            {[]string{nowhere}, []string{"run", "--until", "nonsense"}, "want caught-up"},
		"no database":      {nil, []string{"status"}, "DATABASE_URI is not set"},
		"unknown variable": {[]string{nowhere, "CDC_SLTO=x"}, []string{"status"}, "did you mean CDC_SLOT?"},
		"strange variable": {[]string{nowhere, "CDC_NOTHING_LIKE_IT=x"}, []string{"status"}, "CDC_NOTHING_LIKE_IT is not a variable of cdc: see cdc env"},
		"both":             {[]string{nowhere, "DATABASE_URI_FILE=x"}, []string{"status"}, "DATABASE_URI and DATABASE_URI_FILE are both set"},
		"no such file":     {[]string{"DATABASE_URI_FILE=no-such-file"}, []string{"status"}, "DATABASE_URI_FILE"},
		"number":           {[]string{nowhere, "CDC_EMBED_DIMENSIONS=many"}, []string{"status"}, "CDC_EMBED_DIMENSIONS"},
		"duration":         {[]string{nowhere, "CDC_INDEX_TIMEOUT=5"}, []string{"status"}, "CDC_INDEX_TIMEOUT"},
		"index":            {[]string{nowhere, "CDC_INDEX=pinecone"}, []string{"status"}, "this version knows upstash only"},
		"Payload's schema": {[]string{nowhere, "CDC_STATE_SCHEMA=public"}, []string{"status"}, "Payload's own schema"},
		"on gap":           {[]string{nowhere, "CDC_ON_GAP=ignore"}, []string{"status"}, "want repair or stop"},
		"level":            {[]string{nowhere, "CDC_LOG_LEVEL=loud"}, []string{"status"}, "want debug, info, warn or error"},
		"no index":         {[]string{nowhere}, []string{"run"}, "UPSTASH_VECTOR_REST_URL is not set"},
		"no key":           {[]string{nowhere, "UPSTASH_VECTOR_REST_URL=http://127.0.0.1:1", "UPSTASH_VECTOR_REST_TOKEN=t"}, []string{"run"}, "OPENAI_API_KEY is not set"},
		"slash in password": {
			[]string{"DATABASE_URI=postgres://payload:12/" + secret + "@db/payload"},
			[]string{"status"},
			"write / as %2F",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := cdc(t, c.environ, c.args...)
			got.want(t, exitUsage, c.says)
			if strings.Contains(got.out+got.err, secret) {
				t.Errorf("the password is in what was said:\n%s%s", got.out, got.err)
			}
		})
	}
}

// Settings come from the environment, under the names that a Payload project may have for them, or from files.
func TestSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "uri")
	if err := os.WriteFile(file, []byte("postgres://payload:"+secret+"@db.example/payload\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, environ := range map[string][]string{
		"file":         {"DATABASE_URI_FILE=" + file},
		"DATABASE_URL": {"DATABASE_URL=postgres://payload:" + secret + "@db.example/payload"},
		"POSTGRES_URL": {"POSTGRES_URL=postgres://payload:" + secret + "@db.example/payload"},
		"empty":        {"DATABASE_URI=", "DATABASE_URL=postgres://payload:" + secret + "@db.example/payload", "CDC_EMBED_DIMENSIONS="},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ := append(environ, "CDC_COLLECTIONS= posts, blog-posts,")
			got := cdc(t, environ, "config")
			got.want(t, exitDone, "postgres://payload:***@db.example/payload", "CDC_SLOT", "1024", "posts,blog-posts\n")
		})
	}
}

// cdc config prints every variable and none of the secrets, however they are written.
func TestConfigKeepsSecrets(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{
		"postgres://payload:" + secret + "@db.example/payload",
		"postgres://payload@db.example/payload?password=" + secret,
		"host=db.example user=payload password=" + secret,
		`host=db.example user=payload password='` + secret + ` \' ` + secret + `'`,
		"postgres://payload:" + secret + "@one.example:5432,two.example:5432/payload",
		"postgres://payload:" + secret + "%zz@db.example/payload", // cannot be parsed
	} {
		got := cdc(t, []string{
			"DATABASE_URI=" + uri, "CDC_REPLICATION_URI=" + uri, "CDC_STATE_URI=" + uri, "OPENAI_API_KEY=" + secret,
			"UPSTASH_VECTOR_REST_TOKEN=" + secret, "UPSTASH_VECTOR_REST_URL=https://user:" + secret + "@index.example",
		}, "config")
		got.want(t, exitDone, "(set)", "***", "index.example")
		if strings.Contains(got.out+got.err, secret) {
			t.Errorf("with %s the secret is shown:\n%s", uri, got.out)
		}
		for _, f := range fields() {
			if !strings.Contains(got.out, f.name+" ") {
				t.Errorf("cdc config leaves out %s:\n%s", f.name, got.out)
			}
		}
	}
}

// A database that does not answer is named without its password, and exits with 1: it may answer later.
func TestUnreachableDatabase(t *testing.T) {
	t.Parallel()
	providers := []string{"UPSTASH_VECTOR_REST_URL=http://127.0.0.1:1", "UPSTASH_VECTOR_REST_TOKEN=" + secret, "OPENAI_API_KEY=" + secret}
	for _, args := range [][]string{{"run"}, {"status"}, {"setup"}, {"setup", "--print-sql"}, {"teardown"}, {"adopt"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			got := cdc(t, append([]string{nowhere, "CDC_HTTP_ADDR=off", "CDC_LOG_LEVEL=debug"}, providers...), args...)
			got.want(t, exitFailed, "connect to the database of DATABASE_URI (127.0.0.1:1)")
			if strings.Contains(got.out+got.err, secret) {
				t.Errorf("a secret is in what was said:\n%s%s", got.out, got.err)
			}
		})
	}
}

// What needs no configuration works without.
func TestWithoutConfiguration(t *testing.T) {
	t.Parallel()
	cdc(t, nil, "version").want(t, exitDone, "cdc "+version)
	cdc(t, nil, "--version").want(t, exitDone, "cdc "+version)
	cdc(t, nil).want(t, exitDone, "Usage:")
	got := cdc(t, nil, "env")
	got.want(t, exitDone)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if len(lines) != len(fields()) {
		t.Fatalf("cdc env has %d lines, want one for each of %d variables", len(lines), len(fields()))
	}
	for i, f := range fields() {
		if !strings.HasPrefix(lines[i], f.name+" ") || !strings.Contains(lines[i], f.byDefault) || !strings.HasSuffix(lines[i], f.help) {
			t.Errorf("cdc env says %q of %s", lines[i], f.name)
		}
	}
}
