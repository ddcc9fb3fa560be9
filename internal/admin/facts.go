package admin

import (
	"fmt"
	"strings"
	"time"
)

// facts is a Status in words. The table of cdc status and the page show the same ones.
type facts struct {
	Sentence    string
	State       State
	Lines       []fact
	Paused      []string
	Findings    []fact // what, and its remedy
	Sweeps      *grid  // nil when there are none
	Collections *grid
	Notes       []string // below Collections
}

type fact struct{ Name, Text string }

type grid struct {
	Head []string
	Rows [][]string
}

var stateWords = map[State]string{
	Streaming: "Streaming", CatchingUp: "Catching up", Standby: "Standing by", Starting: "Starting",
	Paused: "Paused", Held: "Held", Lost: "Lost",
}

// Sentence says the status in one line: "Streaming, 0 B behind; 3 documents owed."
func (s Status) Sentence() string {
	text := stateWords[s.State]
	if text == "" {
		text = string(s.State)
	}
	if text == "" {
		return "Unknown."
	}
	if behind := s.Checkpoint.behind(); behind != "" && (s.State == Streaming || s.State == CatchingUp) {
		text += ", " + behind + " behind"
	}
	if s.Reason != "" {
		text += ": " + strings.TrimRight(s.Reason, ". ")
	}
	var owes []string
	if n := s.Owed.Documents; n > 0 {
		owes = append(owes, countOf(n, "document"))
	}
	if n := len(s.Owed.Sweeps); n > 0 {
		owes = append(owes, countOf(n, "sweep"))
	}
	if len(owes) == 0 {
		owes = append(owes, "nothing")
	}
	text += "; " + strings.Join(owes, " and ") + " owed"
	if s.Parked > 0 {
		text += "; " + countOf(s.Parked, "document") + " parked"
	}
	return oneLine(text) + "."
}

// behind is the lag in bytes, and in time once it is noticeable; empty when it is not known.
func (c Checkpoint) behind() string {
	seconds := ""
	if c.LagSeconds != nil && *c.LagSeconds >= 1 {
		seconds = secondsText(*c.LagSeconds)
	}
	switch {
	case c.LagBytes == nil:
		return seconds
	case seconds == "":
		return bytesText(*c.LagBytes)
	default:
		return bytesText(*c.LagBytes) + " (" + seconds + ")"
	}
}

func (s Status) facts() facts {
	now := s.At.Time
	if now.IsZero() {
		now = time.Now()
	}
	f := facts{Sentence: s.Sentence(), State: s.State}
	line := func(name string, parts ...string) {
		known := parts[:0]
		for _, part := range parts {
			if part = oneLine(part); part != "" {
				known = append(known, part)
			}
		}
		if len(known) > 0 {
			f.Lines = append(f.Lines, fact{name, strings.Join(known, ", ")})
		}
	}
	ago := func(what string, t Time) string {
		if t.IsZero() {
			return ""
		}
		return what + ageText(now, t) + " ago"
	}
	with := func(what, text string) string {
		if text == "" {
			return ""
		}
		return what + text
	}

	line("state", string(s.State), forText(now, s.Since))
	line("source", with("Postgres ", s.Source.ServerVersion), with("database ", s.Source.Database), with("system ", s.Source.SystemIdentifier))
	line("checkpoint", s.Checkpoint.LSN, ago("saved ", s.Checkpoint.SavedAt), ago("of a commit ", s.Checkpoint.CommitAt))
	line("server", s.Checkpoint.ServerLSN, with("checkpoint is behind by ", s.Checkpoint.behind()))
	line("owed", s.Owed.words()...)
	line("parked", countOf(s.Parked, "document"))
	line("slot", s.Slot.words()...)
	line("owner", s.Owner.words()...)
	line("version", with("cdc ", s.Version))

	for _, p := range s.Paused {
		f.Paused = append(f.Paused, p.words(now))
	}
	for _, one := range s.Findings {
		f.Findings = append(f.Findings, fact{oneLine(one.What), oneLine(one.Remedy)})
	}
	f.Sweeps = sweepGrid(s.Owed.Sweeps, now)
	f.Collections, f.Notes = collectionGrid(s.Collections)
	return f
}

func (o Owed) words() []string {
	if o.Documents == 0 {
		return []string{countOf(0, "document")}
	}
	return []string{countOf(o.Documents, "document"), "the oldest for " + secondsText(o.OldestSeconds)}
}

func (s Slot) words() []string {
	if s.Name == "" {
		return nil
	}
	words := []string{s.Name, s.State}
	if s.WALStatus != "" {
		words = append(words, "WAL "+s.WALStatus)
	}
	words = append(words, "retains "+bytesText(s.RetainedBytes))
	if s.SafeBytes != nil {
		words = append(words, "in danger after "+bytesText(max(*s.SafeBytes, 0))+" more")
	}
	if s.ConfirmedLSN != "" {
		words = append(words, "confirmed "+s.ConfirmedLSN)
	}
	if s.Failover {
		words = append(words, "failover")
	}
	if s.Publication != "" {
		words = append(words, "publication "+s.Publication)
	}
	return words
}

func (o Owner) words() []string {
	if o.Instance == "" {
		return nil
	}
	return []string{o.Instance, fmt.Sprintf("epoch %d", o.Epoch)}
}

func (p Pause) words(now time.Time) string {
	text := p.Provider
	if since := forText(now, p.Since); since != "" {
		text += ", " + since
	}
	text += ", " + countOf(p.Waiting, "document") + " waiting"
	if p.Systemic {
		text += ", needs a person"
	}
	return oneLine(text + ": " + p.Reason)
}

func sweepGrid(sweeps []Sweep, now time.Time) *grid {
	if len(sweeps) == 0 {
		return nil
	}
	g := &grid{Head: []string{"sweep of", "strength", "stage", "for", "reason"}}
	for _, s := range sweeps {
		reason := s.Reason
		if s.Held > 0 {
			reason += fmt.Sprintf("; held: %s would be deleted (cdc verify --repair --force allows it)", countOf(s.Held, "document"))
		}
		g.add(s.Collection, s.Strength, s.Stage, ageText(now, s.Since), reason)
	}
	return g
}

func collectionGrid(collections []Collection) (g *grid, notes []string) {
	g = &grid{Head: []string{"collection", "table", "published", "indexed", "chunks", "owed", "parked"}}
	guessed, unstreamed := false, false
	for _, c := range collections {
		slug, published := c.Slug, "-"
		if c.SlugGuessed {
			slug, guessed = slug+" ?", true
		}
		if !c.Streamed {
			slug, unstreamed = slug+" (not streamed)", true
		}
		if c.Published != nil {
			published = countText(*c.Published)
		}
		g.add(slug, c.Table, published, countText(c.Indexed), countText(c.Chunks), countText(c.Owed), countText(c.Parked))
	}
	if guessed {
		notes = append(notes, "? the slug is guessed from the name of the table")
	}
	if unstreamed {
		notes = append(notes, "not streamed: its changes reach the index by sweeps only, when cdc starts and once a day")
	}
	return g, notes
}

// add appends a row; a cell without text is a dash, so that columns can be counted.
func (g *grid) add(cells ...string) {
	for i, cell := range cells {
		if cells[i] = oneLine(cell); cells[i] == "" {
			cells[i] = "-"
		}
	}
	g.Rows = append(g.Rows, cells)
}
