package main

import (
	"bytes"
	"os"
	"testing"
)

// A bug whose text is no longer in the source would be planted nowhere, and nobody would see that no test catches it.
func TestEveryBugCanBePlanted(t *testing.T) {
	for _, m := range mutants {
		source, err := os.ReadFile("../../" + m.file)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		} else if n := bytes.Count(source, []byte(m.old)); n != 1 {
			t.Errorf("%s: %s holds the text to replace %d times, want once: %q", m.name, m.file, n, m.old)
		}
	}
}
