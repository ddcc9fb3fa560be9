package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"payload-cdc/internal/local"
	"payload-cdc/internal/pgtest"
	"payload-cdc/test/payloadtest"
)

// The README's first command, as a newcomer runs it.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds cdc and boots Payload")
	}
	var said strings.Builder
	out := &Screen{to: &said}
	stage := &Stage{out: out}
	err := show(t.Context(), out, stage)
	if closed := stage.Close(false); closed != nil {
		t.Error(closed)
	}
	installed := !errors.Is(err, payloadtest.ErrNotInstalled) && !errors.Is(err, pgtest.ErrNotInstalled) && !errors.Is(err, errNoNode)
	if !installed && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	for _, want := range []string{"can be found", "old text out", "exactly what Payload has published", "posts-4 ", "everything is stopped"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, said.String())
		}
	}
	if _, err := os.Stat(stage.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it leaves %s behind: %v", stage.dir, err)
	}
}

// Whenever a signal comes, everything that was started is stopped, and it is no failure.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var said strings.Builder
	if code := run(ctx, &Screen{to: &said}, true); code != exitInterrupted {
		t.Errorf("exit code %d, want %d:\n%s", code, exitInterrupted, said.String())
	}
	if strings.Contains(said.String(), "✗") {
		t.Errorf("it calls a signal a failure:\n%s", said.String())
	}
}

func TestExpectationIsMetByTheWriteThatMakesItTrue(t *testing.T) {
	ctx := t.Context()
	index := Watch(local.NewMemory(local.Cosine))
	write := func(id, text string) {
		t.Helper()
		v := local.Vector{ID: id, Values: []float32{1}, Data: &text, Metadata: []byte(`{"docId":"1","collection":"posts"}`)}
		if err := index.Upsert(ctx, "", []local.Vector{v}); err != nil {
			t.Fatal(err)
		}
	}
	write("posts-1", "old text")
	edited, forget := index.Expect(func(v []local.Vector) bool {
		return says(v, "posts", "1", "new") && !says(v, "posts", "1", "old")
	})
	defer forget()
	never, forgetNever := index.Expect(func(v []local.Vector) bool { return says(v, "posts", "2", "") })
	write("posts-1#1", "new text")
	if len(edited) != 0 {
		t.Error("an edit has arrived while the old text can still be found")
	}
	if _, err := index.Delete(ctx, "", []string{"posts-1"}); err != nil {
		t.Fatal(err)
	}
	if len(edited) != 1 || len(never) != 0 {
		t.Errorf("%d and %d expectations are met, want 1 and 0", len(edited), len(never))
	}
	forgetNever()
	if len(index.expected) != 0 {
		t.Errorf("%d expectations are left", len(index.expected))
	}
}

func TestStepSaysHowItEnded(t *testing.T) {
	var said strings.Builder
	out := &Screen{to: &said}
	if err := out.Step("trying", func(func(string)) (string, error) { return "done", nil }); err != nil {
		t.Fatal(err)
	}
	if got := said.String(); !strings.HasPrefix(got, "  ✓ done ") || strings.Contains(got, "\x1b") {
		t.Errorf("a step that is done says %q", got)
	}
	said.Reset()
	err := out.Step("trying", func(func(string)) (string, error) { return "", errors.New("no") })
	if err == nil || err.Error() != "trying: no" || said.String() != "" {
		t.Errorf("a step that is not done says %q and returns %v", said.String(), err)
	}
}

// What the demo starts ends even when the demo cannot end it any more.
func TestLeash(t *testing.T) {
	dir := t.TempDir()
	start := func() (*exec.Cmd, *leash) {
		t.Helper()
		cmd := exec.Command("cat")
		if _, err := cmd.StdinPipe(); err != nil { // open as long as cmd is
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		l, err := newLeash(cmd.Process.Pid, dir)
		if err != nil {
			t.Fatal(err)
		}
		return cmd, l
	}
	kept, l := start()
	if err := l.release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error("a released leash removed the folder")
	}
	if err := kept.Process.Kill(); err != nil {
		t.Errorf("a released leash ended the process: %v", err)
	}
	_ = kept.Wait()

	left, l := start()
	l.pipe.Close() // as when we are gone
	if err := left.Wait(); err == nil {
		t.Error("the process ended well, and not by a signal")
	}
	if err := l.watcher.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}
