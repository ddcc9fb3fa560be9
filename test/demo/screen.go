package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Screen writes what the demo says: calm on a terminal, where a line that waits counts its seconds, and plain
// elsewhere. Safe for concurrent use.
type Screen struct {
	to       io.Writer
	terminal bool // lines may be rewritten
	colour   bool

	mu   sync.Mutex
	wait string // the line that waits, "" when none does
}

// NewScreen writes to a file, with colours if that is a terminal and NO_COLOR is not set.
func NewScreen(f *os.File) *Screen {
	terminal := term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
	return &Screen{to: f, terminal: terminal, colour: terminal && os.Getenv("NO_COLOR") == ""}
}

const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	widest = 68 // of the text of a line, before its seconds
)

// paint colours a text, if there are colours.
func (s *Screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Title begins a part.
func (s *Screen) Title(text string) { s.print("\n" + s.paint(bold, text) + "\n") }

// Text prints a sentence.
func (s *Screen) Text(text string) { s.print(text + "\n") }

// Block prints lines that somebody else wrote, set off from ours.
func (s *Screen) Block(text string) {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		if line != "\n" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	s.print("\n" + b.String())
}

// Pairs prints names and what they stand for, alternating.
func (s *Screen) Pairs(pairs ...string) {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "  %s  %s\n", pad(pairs[i], 20), pairs[i+1])
	}
	s.print(b.String())
}

// Failure prints why it ends.
func (s *Screen) Failure(err error) {
	s.print("\n" + s.paint(red, "✗ ") + strings.TrimSpace(err.Error()) + "\n")
}

func (s *Screen) print(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	_, _ = io.WriteString(s.to, text)
}

// erase removes the line that waits.
func (s *Screen) erase() {
	if s.wait != "" && s.terminal {
		_, _ = io.WriteString(s.to, "\r\x1b[K")
	}
}

// Step does something that takes a while, and shows that it goes on. do may say how far it is; what it returns is
// printed in the end, beside the seconds it took.
func (s *Screen) Step(text string, do func(progress func(string)) (string, error)) error {
	began := time.Now()
	err := s.During(text, func(progress func(string)) (string, error) {
		done, err := do(progress)
		return pad(done, widest) + s.paint(faint, seconds(time.Since(began))), err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

// During is Step with a last line of the caller's own, which an error has none of.
func (s *Screen) During(text string, do func(progress func(string)) (line string, err error)) error {
	began := time.Now()
	s.mu.Lock()
	s.wait = text
	s.mu.Unlock()
	ended, shown := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(shown)
		s.tick(began, ended)
	}()
	line, err := do(func(now string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wait = now
	})
	close(ended)
	<-shown
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.wait = ""
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(s.to, "  %s %s\n", s.paint(green, "✓"), line)
	return nil
}

// tick rewrites the line that waits, or where lines cannot be rewritten, says every ten seconds that it still does.
func (s *Screen) tick(began time.Time, ended <-chan struct{}) {
	every := 10 * time.Second
	if s.terminal {
		every = 100 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		line := "  · " + pad(s.wait, widest) + s.paint(faint, seconds(time.Since(began).Truncate(time.Second)))
		if s.terminal {
			_, _ = io.WriteString(s.to, "\r\x1b[K"+line)
		} else {
			_, _ = io.WriteString(s.to, line+"\n")
		}
		s.mu.Unlock()
	}
}

// pad fills a text up, counting letters and not bytes; a longer one keeps its length.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(1, width-utf8.RuneCountInString(text)))
}

// cut shortens a text.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return strings.TrimRight(string([]rune(text)[:width-1]), " ,.;:") + "…"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%5.1f s", d.Seconds()) }

// millis shows what took less than can be told apart as such.
func millis(d time.Duration) string {
	if d < time.Millisecond {
		return "< 1 ms"
	}
	return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
}
