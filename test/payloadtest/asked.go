package payloadtest

import (
	"io"
	"math"
	"regexp"
	"strings"
)

// asked passes Payload's log on and types the answers to the questions in it. They come while the schema is pushed,
// before the first command is read.
type asked struct {
	log    io.Writer
	stdin  io.Writer
	rename bool

	text  string
	typed map[string]int // by question, for how many of its drawings a key was typed
}

var (
	escape = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)
	// What drizzle asks, with the choices below it: to create, or each name that it may have had before. Every key has it
	// drawn again.
	created = regexp.MustCompile(`(Is .+ created or renamed from another \w+\?)\n((?:[❯ ] [+~] .+\n?)+)`)
	renamed = regexp.MustCompile(`~ (\S+) › (\S+) +rename`)
	lost    = regexp.MustCompile(`(Accept warnings and push schema to database\?)`)
)

func (a *asked) Write(p []byte) (int, error) {
	a.text += escape.ReplaceAllString(string(p), "")
	for _, q := range []*regexp.Regexp{created, lost} {
		drawn := map[string]int{}
		for _, m := range q.FindAllStringSubmatch(a.text, -1) {
			drawn[m[1]]++
			if drawn[m[1]] <= a.typed[m[1]] {
				continue
			}
			key := "y"
			if q == created {
				key = a.key(m[2])
			}
			if a.typed == nil {
				a.typed = map[string]int{}
			}
			a.typed[m[1]]++
			if key == "y" || key == enter {
				a.typed[m[1]] = math.MaxInt
			}
			if _, err := io.WriteString(a.stdin, key); err != nil {
				return 0, err
			}
		}
	}
	return a.log.Write(p)
}

const down, enter = "\x1b[B", "\r"

// key moves on until what is wanted is chosen: to create, or to rename what ends most like the new name.
func (a *asked) key(choices string) string {
	wanted, longest := "+", -1
	for _, m := range renamed.FindAllStringSubmatch(choices, -1) {
		n := 0
		for old, now := m[1], m[2]; n < min(len(old), len(now)) && old[len(old)-1-n] == now[len(now)-1-n]; n++ {
		}
		if a.rename && n > longest {
			wanted, longest = "~ "+m[1]+" ", n
		}
	}
	if strings.Contains(choices, "❯ "+wanted) {
		return enter
	}
	return down
}
