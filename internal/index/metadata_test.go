package index_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/document"
	"payload-cdc/internal/index"
)

func TestReadMetadata(t *testing.T) {
	full := document.Metadata{DocID: "1", Collection: "posts", Locale: "de", Chunk: 2, Title: "T", Hash: "h", Model: "m", Meta: "e", Chunks: 3, UpdatedAt: "2026-01-02T03:04:05Z"}
	raw, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]document.Metadata{
		string(raw):                            full,
		``:                                     {},
		`null`:                                 {},
		`7`:                                    {},
		`["docId"]`:                            {},
		`{"docId":"1"`:                         {},
		`{"docId":42,"collection":"posts"}`:    {DocID: "42", Collection: "posts"},
		`{"docId":-1}`:                         {DocID: "-1"},
		`{"docId":"","collection":"posts"}`:    {Collection: "posts"},
		`{"docId":true,"collection":"posts"}`:  {Collection: "posts"},
		`{"docId":["1"],"title":"T"}`:          {Title: "T"},
		`{"chunk":"2","chunks":1.5,"hash":{}}`: {},
	} {
		if diff := cmp.Diff(want, index.ReadMetadata([]byte(text))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// FuzzReadMetadata looks for a panic, and for metadata of ours that does not come back.
func FuzzReadMetadata(f *testing.F) {
	f.Add([]byte(`{"docId":"1","chunk":2}`), "1", 2)
	f.Fuzz(func(t *testing.T, raw []byte, text string, n int) {
		index.ReadMetadata(raw)
		want := document.Metadata{DocID: text, Collection: text, Title: text, Chunk: n, Hash: text}
		written, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written, &want); err != nil { // as far as JSON can carry it
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, index.ReadMetadata(written)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
