package checkpoint

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/wal"
)

// SQLSTATE codes, from the PostgreSQL manual, appendix A.
const (
	divisionByZero        = "22012"
	serializationFailure  = "40001"
	deadlockDetected      = "40P01"
	insufficientPrivilege = "42501"
	undefinedTable        = "42P01"
	undefinedColumn       = "42703"
	invalidSchemaName     = "3F000"
)

// code is the SQLSTATE of a server's error, else empty.
func code(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// classify says what a person can do about the errors that repeating does not cure.
func classify(err error) error {
	remedy := ""
	switch code(err) {
	case insufficientPrivilege:
		remedy = "let an administrator run what `cdc setup --print-sql` prints"
	case undefinedTable, invalidSchemaName:
		remedy = "the state is gone: restart cdc to begin a new one"
	default:
		return err
	}
	return &failure.Error{Class: failure.Systemic, Provider: "postgres", Rejected: true, Remedy: remedy, Err: err}
}

// quote writes a name as SQL does, whatever is in it.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// checkName refuses what Postgres would cut short or could not store: the catalog then knows another name than we.
func checkName(name string) error {
	if name == "" || len(name) > 63 || !holdable(name) {
		return fmt.Errorf("schema name %q: want 1 to 63 bytes of text", name)
	}
	return nil
}

// holdable says whether a database can hold the text as it is. Keys and ids that come from one always are.
func holdable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// named says whether the key can name a document of a database at all. What an index lists is not ours to trust.
func named(k document.Key) bool {
	return holdable(k.Collection) && holdable(k.ID) && holdable(k.Via)
}

// maxReason bounds the texts for people, in bytes: a provider's whole error page is no reason.
const maxReason = 4 << 10

// storable makes a text for people acceptable to a database, which must not refuse a whole checkpoint for it.
func storable(text string) string {
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10) + "ms"
}

// at is a time as a parameter: NULL when zero, in the microseconds that Postgres keeps.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.Truncate(time.Microsecond)
	return &t
}

// moment is a time as it was read, zero when NULL.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// remaining is how long until t in microseconds, NULL when t is zero. The database adds it to its own clock, so
// nothing depends on two clocks agreeing.
func remaining(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	left := time.Until(t).Microseconds()
	return &left
}

// remainingSQL is the same in the other direction: what is left of a deadline by the database's clock.
const remainingSQL = `(extract(epoch FROM deadline - clock_timestamp()) * 1000000)::bigint`

// local is a deadline by our clock, from what was left of it when the database looked; zero when there is none.
func local(left *int64) time.Time {
	if left == nil {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(*left) * time.Microsecond)
}

// lsn is a position as a parameter, NULL when unknown.
func lsn(l wal.LSN) *string {
	if l == 0 {
		return nil
	}
	text := l.String()
	return &text
}

func parseLSN(text *string) (wal.LSN, error) {
	if text == nil {
		return 0, nil
	}
	return wal.ParseLSN(*text)
}

// xids writes transaction ids as a Postgres array, to travel as one text inside an array of rows.
func xids(ids []wal.XID) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(id), 10))
	}
	b.WriteByte('}')
	return b.String()
}

func fromXIDs(ids []int64) []wal.XID {
	if len(ids) == 0 {
		return nil
	}
	out := make([]wal.XID, len(ids))
	for i, id := range ids {
		out[i] = wal.XID(id)
	}
	return out
}

// columns are keys as the parallel arrays that unnest takes.
type columns struct{ collections, ids, vias []string }

func (c *columns) add(k document.Key) {
	c.collections = append(c.collections, k.Collection)
	c.ids = append(c.ids, k.ID)
	c.vias = append(c.vias, k.Via)
}

// lastOf keeps the last of the values that share a name: one statement cannot write a row twice.
func lastOf[T any, K comparable](values []T, name func(*T) K) []*T {
	at := make(map[K]int, len(values))
	out := make([]*T, 0, len(values))
	for i := range values {
		k := name(&values[i])
		if j, ok := at[k]; ok {
			out[j] = &values[i]
			continue
		}
		at[k] = len(out)
		out = append(out, &values[i])
	}
	return out
}
