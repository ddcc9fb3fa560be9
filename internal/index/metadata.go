package index

import (
	"encoding/json"
	"strconv"

	"payload-cdc/internal/document"
)

// ReadMetadata understands as much of a vector's metadata as it can. The recipe before this program wrote docId as a
// string or a number and no hash; other writers share namespaces too. What is missing, or of another type than ours,
// comes as its zero value: a vector is never unreadable, for then it could not be repaired or deleted either.
func ReadMetadata(raw []byte) document.Metadata {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return document.Metadata{}
	}
	text := func(name string) string {
		var s string
		_ = json.Unmarshal(fields[name], &s) // another type is as good as absent
		return s
	}
	number := func(name string) int {
		n, err := strconv.Atoi(string(fields[name]))
		if err != nil {
			return 0
		}
		return n
	}
	m := document.Metadata{
		DocID: text("docId"), Collection: text("collection"), Locale: text("locale"), Chunk: number("chunk"),
		Title: text("title"), Hash: text("hash"), Model: text("model"), Meta: text("meta"), Chunks: number("chunks"),
		UpdatedAt: text("updatedAt"),
	}
	if id := fields["docId"]; m.DocID == "" && len(id) > 0 && (id[0] == '-' || id[0] >= '0' && id[0] <= '9') {
		m.DocID = string(id)
	}
	return m
}
