package payloadtest

import (
	"io"
	"regexp"
)

// asked passes Payload's log on and types the answers to the questions in it. They come while the schema is pushed,
// before the first command is read.
type asked struct {
	log    io.Writer
	stdin  io.Writer
	rename bool

	text     []byte
	answered map[string]bool
}

var (
	escape    = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")
	questions = regexp.MustCompile(`Is \S+ \w+ in \S+ \w+ created or renamed from another \w+\?|Is \S+ \w+ created or renamed from another \w+\?|Accept warnings and push schema to database\?`)
)

func (a *asked) Write(p []byte) (int, error) {
	a.text = escape.ReplaceAll(append(a.text, p...), nil)
	for _, q := range questions.FindAllString(string(a.text), -1) {
		if a.answered[q] {
			continue // it is drawn again with every key
		}
		if a.answered == nil {
			a.answered = map[string]bool{}
		}
		a.answered[q] = true
		keys := "\r"
		switch {
		case q[0] == 'A':
			keys = "y"
		case a.rename:
			keys = "\x1b[B\r"
		}
		if _, err := io.WriteString(a.stdin, keys); err != nil {
			return 0, err
		}
	}
	return a.log.Write(p)
}
