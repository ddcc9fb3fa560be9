// Package chunk cuts an entry into the pieces that are embedded.
//
// The idea: blocks are packed into pieces of about a target size, never across a heading, and each piece is embedded
// behind its "title > headings", so that it can be understood alone. What fits is left whole. A block that does not is
// cut at the best place there is: lines for code and tables (whose fence or header row is repeated on each piece),
// sentences for prose, then words, then characters.
//
// The invariant: a chunk never exceeds [Config.Max] tokens and is always valid UTF-8, whatever the input; and the Data
// of an entry's chunks holds every word of its blocks, in order. The work is linear in the size of the input.
package chunk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/tiktoken-go/tokenizer"

	"payload-cdc/internal/document"
)

// Version changes whenever the same entry may be cut in another way or its text be written differently. It is part of
// every hash.
const Version = "1"

// Config says for which model, and how large chunks are. Zero values take the defaults.
type Config struct {
	Model      string // part of every hash, and the id that the vectors carry; defaults to text-embedding-3-small
	Dimensions int    // part of every hash; defaults to 1024
	Sizes
}

// Sizes are those of chunks, in tokens of cl100k_base (the text-embedding-3 family's vocabulary). Zero values take the
// defaults.
type Sizes struct {
	Target    int // a chunk is full at this size, its prefix included; defaults to 400
	Max       int // no chunk is larger, its prefix included; defaults to 512, at least 64
	Min       int // the last chunk of a section joins the one before when it is smaller; defaults to 32, -1 never joins
	PrefixMax int // "title > headings" is shortened in its middle to this; defaults to 64, at least 8, at most Max/4
}

// Complete returns the sizes with defaults in place of zeros, or says which cannot be.
func (s Sizes) Complete() (Sizes, error) {
	s.Max = orDefault(s.Max, 512)
	s.Target = orDefault(s.Target, min(400, s.Max))
	s.PrefixMax = orDefault(s.PrefixMax, min(64, s.Max/4))
	s.Min = orDefault(s.Min, min(32, s.Target/4))
	switch {
	case s.Max < 64 || s.Max > 8191:
		return s, fmt.Errorf("chunk maximum %d tokens: must be 64 to 8191", s.Max)
	case s.Target > s.Max || s.Target < s.Max/4:
		return s, fmt.Errorf("chunk target %d tokens: must be between a quarter of the maximum (%d) and all of it", s.Target, s.Max)
	case s.Min < -1 || s.Min > s.Target:
		return s, fmt.Errorf("chunk minimum %d tokens: must be at most the target (%d), or -1 for none", s.Min, s.Target)
	case s.PrefixMax < 8 || s.PrefixMax > s.Max/4:
		return s, fmt.Errorf("chunk prefix of %d tokens: must be 8 to a quarter of the maximum (%d)", s.PrefixMax, s.Max)
	}
	return s, nil
}

// Splitter cuts entries. Safe for concurrent use.
type Splitter struct {
	cfg   Config
	codec tokenizer.Codec
}

// New returns a splitter, with its tokenizer loaded (about 25 ms).
func New(cfg Config) (*Splitter, error) {
	if cfg.Model == "" {
		cfg.Model = "text-embedding-3-small"
	}
	cfg.Dimensions = orDefault(cfg.Dimensions, 1024)
	if cfg.Dimensions < 1 {
		return nil, fmt.Errorf("chunk dimensions %d: must be positive", cfg.Dimensions)
	}
	var err error
	if cfg.Sizes, err = cfg.Complete(); err != nil {
		return nil, err
	}
	codec, err := tokenizer.Get(tokenizer.Cl100kBase)
	if err != nil {
		return nil, fmt.Errorf("load tokenizer: %w", err)
	}
	return &Splitter{cfg: cfg, codec: codec}, nil
}

// With returns a splitter for the same model that makes chunks of other sizes. They share the tokenizer.
func (s *Splitter) With(sizes Sizes) (*Splitter, error) {
	sizes, err := sizes.Complete()
	if err != nil {
		return nil, err
	}
	other := *s
	other.cfg.Sizes = sizes
	return &other, nil
}

func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}

// Model is the id that the chunks' vectors carry.
func (s *Splitter) Model() string { return s.cfg.Model }

// Fingerprint names all that decides chunks and their hashes. A sweep is owed when it changes.
func (s *Splitter) Fingerprint() string {
	c := s.cfg
	return fmt.Sprintf("chunker %s, model %s, %d dimensions, target %d, max %d, min %d, prefix %d",
		Version, c.Model, c.Dimensions, c.Target, c.Max, c.Min, c.PrefixMax)
}

// Split returns the chunks of e in order. An entry without any text has none; one with only a title has its title.
func (s *Splitter) Split(e document.Entry) ([]document.Chunk, error) {
	title := line(e.Title)
	w := &writer{Splitter: s, proto: document.Chunk{Locale: e.Locale, Title: head(title, maxTitle), UpdatedAt: e.UpdatedAt, Extra: e.Extra}}
	blocks := cleanBlocks(e.Blocks)
	if len(blocks) == 0 {
		if blank(title) {
			return nil, nil
		}
		// The title is the text: no prefix, and cut like any other when it is too long.
		blocks, title = []document.Block{{Text: title}}, ""
	}
	if blank(title) {
		title = ""
	}

	prefix, whole, err := s.shorten(title, s.cfg.PrefixMax)
	if err != nil {
		return nil, err
	}
	if !whole {
		// The prefix keeps only its ends, and no text may be lost.
		blocks = append([]document.Block{{Text: title}}, blocks...)
	}
	units := make([]unit, len(blocks))
	total := 0
	for i, b := range blocks {
		if units[i], err = s.unit(b, separator(blocks, i)); err != nil {
			return nil, err
		}
		total += units[i].cost(nil)
	}
	if total <= 2*s.cfg.Max { // worth an exact look
		if done, err := w.write(prefix, units); err != nil || done {
			return w.chunks, err
		}
	}
	secs, err := s.sections(blocks, units)
	if err != nil {
		return nil, err
	}
	for _, sec := range secs {
		if err := w.section(prefix, sec); err != nil {
			return nil, err
		}
	}
	return w.chunks, nil
}

// Count returns the tokens of text.
func (s *Splitter) Count(text string) (int, error) {
	n, err := s.codec.Count(text)
	if err != nil {
		return 0, fmt.Errorf("count tokens: %w", err)
	}
	return n, nil
}

// hash is of text and of all that decides its vector: 128 bits are plenty to tell the texts of one site apart.
func (s *Splitter) hash(text string) string {
	h := sha256.New()
	h.Write([]byte(strings.Join([]string{Version, s.cfg.Model, strconv.Itoa(s.cfg.Dimensions), text}, "\x00")))
	return hex.EncodeToString(h.Sum(nil)[:16])
}
