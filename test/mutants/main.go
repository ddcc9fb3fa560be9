// Command mutants plants known bugs, one at a time, and shows that the tests catch each. A bug is a replacement of a
// piece of source; it is handed to the compiler as an overlay, so the work tree is never touched.
//
//	go run ./test/mutants            all of them
//	go run ./test/mutants visibility those whose name contains the word
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	word := ""
	if len(os.Args) > 1 {
		word = os.Args[1]
	}
	escaped, tried := 0, 0
	for _, m := range mutants {
		if ctx.Err() != nil {
			os.Exit(1)
		}
		if !strings.Contains(m.name, word) {
			continue
		}
		tried++
		began := time.Now()
		caught, detail, err := m.plant(ctx)
		switch {
		case err != nil:
			escaped++
			fmt.Printf("BROKEN  %-55s %v\n", m.name, err)
		case caught:
			fmt.Printf("caught  %-55s %4.1fs  %s\n", m.name, time.Since(began).Seconds(), detail)
		default:
			escaped++
			fmt.Printf("ESCAPED %-55s %4.1fs\n", m.name, time.Since(began).Seconds())
		}
	}
	fmt.Printf("%d planted, %d caught\n", tried, tried-escaped)
	if escaped > 0 || tried == 0 {
		os.Exit(1)
	}
}

// plant builds and tests with the bug in place. caught means that the tests failed, not that they did not compile.
func (m mutant) plant(ctx context.Context) (caught bool, detail string, err error) {
	source, err := os.ReadFile(m.file)
	if err != nil {
		return false, "", err
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		return false, "", fmt.Errorf("%s holds the text to replace %d times, want once: %q", m.file, n, m.old)
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return false, "", err
	}
	defer os.RemoveAll(dir)
	planted := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(planted, bytes.Replace(source, []byte(m.old), []byte(m.new), 1), 0o600); err != nil {
		return false, "", err
	}
	path, err := filepath.Abs(m.file)
	if err != nil {
		return false, "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: planted}})
	if err != nil {
		return false, "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return false, "", err
	}
	pkg := m.pkg
	if pkg == "" {
		pkg = "./" + filepath.Dir(m.file)
	}
	if out, err := exec.CommandContext(ctx, "go", "test", "-overlay", list, "-run", "^$", pkg).CombinedOutput(); err != nil {
		return false, "", fmt.Errorf("does not compile: %s", firstLine(out, ""))
	}
	args := []string{"test", "-overlay", list, "-timeout", "10m", "-failfast"}
	if m.run != "" {
		args = append(args, "-run", m.run)
	}
	args = append(append(args, pkg), m.flags...)
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	detail = firstLine(out, "--- FAIL")
	if firstLine(out, "panic: test timed out") != "" {
		return false, "", errors.New("the tests did not end in time, which shows nothing")
	}
	return err != nil && detail != "", detail, nil
}

// firstLine finds the first line that has the mark.
func firstLine(out []byte, mark string) string {
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, mark) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
