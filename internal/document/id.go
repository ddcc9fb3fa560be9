package document

import "strings"

// mark stands between a namespace and an id. Neither can hold it: namespaces have few letters, and it is encoded in ids.
const mark = "\x1f"

// Join makes one id of a namespace and the id in it, so that whoever keeps ids keeps both: the same id in two namespaces
// is two vectors. An empty namespace is the index's own, and leaves the id as it is.
func Join(namespace, id string) string {
	if namespace == "" {
		return id
	}
	return namespace + mark + id
}

// SplitID is the inverse of Join.
func SplitID(joined string) (namespace, id string) {
	if namespace, id, ok := strings.Cut(joined, mark); ok {
		return namespace, id
	}
	return "", joined
}

// Marked says whether an id that somebody else made cannot be joined, because it holds the mark itself.
func Marked(id string) bool { return strings.Contains(id, mark) }

// PrintID is a joined id for people: namespace/id.
func PrintID(joined string) string { return strings.Replace(joined, mark, "/", 1) }
