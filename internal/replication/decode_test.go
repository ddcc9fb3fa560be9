package replication

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"payload-cdc/internal/pgtest"
	"payload-cdc/internal/wal"
)

var update = flag.Bool("update", false, "record testdata from a real server again")

// script writes down what it receives.
type script struct {
	bytes.Buffer
	positions bool // print LSNs and XIDs too
}

func (s *script) Begin(xid wal.XID) {
	if s.positions {
		fmt.Fprintf(s, "begin %d\n", xid)
		return
	}
	fmt.Fprintln(s, "begin")
}

func (s *script) Row(r *wal.Row) error {
	fmt.Fprintf(s, "%c %s.%s", r.Op, r.Relation.Schema, r.Relation.Table)
	for _, side := range []struct {
		name  string
		tuple wal.Tuple
	}{{"old", r.Old}, {"new", r.New}} {
		if len(side.tuple) == 0 {
			continue
		}
		fmt.Fprintf(s, " %s(", side.name)
		for i, c := range r.Relation.Columns {
			kind, value, ok := side.tuple.Column(i)
			if !ok {
				return fmt.Errorf("column %d of an accepted tuple cannot be read", i)
			}
			if i > 0 {
				s.WriteString(", ")
			}
			if kind == wal.Text {
				fmt.Fprintf(s, "%s=%.20q", c.Name, value)
			} else {
				fmt.Fprintf(s, "%s:%c", c.Name, kind)
			}
		}
		s.WriteString(")")
	}
	s.WriteString("\n")
	return nil
}

func (s *script) Truncate(relations []*wal.Relation) error {
	s.WriteString("truncate")
	for _, r := range relations {
		s.WriteString(" " + r.Schema + "." + r.Table)
	}
	s.WriteString("\n")
	return nil
}

func (s *script) Message(prefix string, content []byte) error {
	fmt.Fprintf(s, "message %q %q\n", prefix, content)
	return nil
}

func (s *script) Commit(end wal.LSN, at time.Time) error {
	if s.positions {
		fmt.Fprintf(s, "commit %s %s\n", end, at)
		return nil
	}
	fmt.Fprintln(s, "commit")
	return nil
}

func (s *script) Idle(end wal.LSN, asked bool) { fmt.Fprintln(s, "idle", end, asked) }

// recorded is a stream of a real server, message by message: testdata/pgoutput.bin, each with its length before it.
func recorded(t testing.TB) [][]byte {
	t.Helper()
	path := filepath.Join("testdata", "pgoutput.bin")
	if *update {
		record(t, path)
	}
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var messages [][]byte
	for len(all) > 0 {
		n := binary.BigEndian.Uint32(all)
		messages = append(messages, all[4:4+n:4+n])
		all = all[4+n:]
	}
	return messages
}

func record(t testing.TB, path string) {
	t.Helper()
	db := pgtest.NewVersion(t, 15)
	pool, ctx := db.Pool(t), t.Context()
	var out []byte
	run := func(sql string) {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	run(`CREATE TABLE posts (id serial PRIMARY KEY, title text, status text, content jsonb);
		CREATE TABLE "Odd ""name""" (id text PRIMARY KEY, "größe" int);
		CREATE TABLE whole (id int PRIMARY KEY, a text, b text);
		CREATE TABLE child (id int PRIMARY KEY, whole int REFERENCES whole ON DELETE CASCADE);
		ALTER TABLE whole REPLICA IDENTITY FULL;
		CREATE PUBLICATION p FOR TABLE posts, "Odd ""name""", whole, child`)
	run(`SELECT pg_create_logical_replication_slot('recorded_' || (SELECT oid FROM pg_database WHERE datname = current_database()), 'pgoutput')`)
	run(`INSERT INTO posts (title, status, content) SELECT 'Post ' || i, 'draft', jsonb_build_object('text', repeat('x', 200)) FROM generate_series(1, 20) i`)
	run(`UPDATE posts SET content = (SELECT jsonb_agg(md5(i::text)) FROM generate_series(1, 300) i) WHERE id = 1`)
	run(`UPDATE posts SET status = 'published' WHERE id = 1`) // content is unchanged TOAST
	run(`UPDATE posts SET id = 1000 WHERE id = 2`)            // the key changes
	run(`DELETE FROM posts WHERE id = 3`)
	run(`INSERT INTO "Odd ""name""" VALUES ('ä''"', NULL)`)
	run(`INSERT INTO whole VALUES (1, 'a', NULL); UPDATE whole SET a = 'b'; INSERT INTO child VALUES (1, 1); DELETE FROM whole`)
	run(`ALTER TABLE posts RENAME title TO heading; ALTER TABLE posts ADD extra int DEFAULT 7; UPDATE posts SET heading = '' WHERE id = 4`)
	run(`TRUNCATE whole CASCADE`)
	run(`SELECT pg_logical_emit_message(true, 'cdc', 'in a transaction'), pg_logical_emit_message(false, 'cdc', '')`)
	run(`CREATE TABLE unpublished (id int); INSERT INTO unpublished VALUES (1)`)
	rows, err := pool.Query(ctx, `SELECT data FROM pg_logical_slot_peek_binary_changes(
		('recorded_' || (SELECT oid FROM pg_database WHERE datname = current_database()))::name, NULL, NULL,
		'proto_version', '1', 'publication_names', 'p', 'messages', 'true')`)
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		data := rows.RawValues()[0]
		if rows.FieldDescriptions()[0].Format == 0 {
			t.Fatal("want bytea in binary")
		}
		out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
		out = append(out, data...)
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDecodeRecordedStream(t *testing.T) {
	var got script
	d := newDecoder(&got, 1<<32+1000)
	for _, m := range recorded(t) {
		if err := d.decode(m); err != nil {
			t.Fatalf("%q: %v\nso far:\n%s", m, err, got.String())
		}
	}
	golden := filepath.Join("testdata", "pgoutput.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

// Every message cut short anywhere, or with a byte too many, is refused: after it nothing can be trusted.
func TestDecodeRefusesEveryCutMessage(t *testing.T) {
	messages := recorded(t)
	for i, m := range messages {
		for _, broken := range cuts(m) {
			d := newDecoder(&Discard{}, 0)
			for _, before := range messages[:i] {
				if err := d.decode(before); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.decode(broken); err == nil {
				t.Fatalf("message %d %q accepted as %q", i, m, broken)
			}
		}
		if len(m) > 400 {
			t.Logf("message %d of %d bytes: only some cuts tried", i, len(m))
		}
	}
}

func cuts(m []byte) [][]byte {
	all := [][]byte{append(bytes.Clone(m), 0)}
	for n := range m {
		if n < 200 || n > len(m)-200 {
			all = append(all, m[:n])
		}
	}
	return all
}

func TestDecodeRefusesWhatMakesNoSense(t *testing.T) {
	relation := build('R', uint32(7), "s\x00", "t\x00", byte('d'), uint16(2), byte(1), "id\x00", uint32(23), uint32(0), byte(0), "x\x00", uint32(25), uint32(0))
	begin := build('B', uint64(100), uint64(0), uint32(5))
	tuple := build('N', uint16(2), byte('t'), uint32(1), "1", byte('n'))
	for _, c := range []struct {
		name     string
		before   [][]byte
		message  []byte
		accepted bool
	}{
		{"empty", nil, nil, false},
		{"unknown type", nil, []byte{'S', 0}, false},
		{"row outside a transaction", [][]byte{relation}, build('I', uint32(7), tuple), false},
		{"row", [][]byte{relation, begin}, build('I', uint32(7), tuple), true},
		{"row of an unknown relation", [][]byte{begin}, build('I', uint32(7), tuple), false},
		{"row with a column too many", [][]byte{relation, begin}, build('I', uint32(7), build('N', uint16(3), byte('n'), byte('n'), byte('n'))), false},
		{"column of unknown kind", [][]byte{relation, begin}, build('I', uint32(7), build('N', uint16(2), byte('n'), byte('x'))), false},
		{"negative length", [][]byte{relation, begin}, build('I', uint32(7), build('N', uint16(2), byte('t'), uint32(0xffffffff), byte('n'))), false},
		{"insert with an old row", [][]byte{relation, begin}, build('I', uint32(7), build('K', uint16(2), byte('n'), byte('n')), tuple), false},
		{"delete with a new row", [][]byte{relation, begin}, build('D', uint32(7), tuple), false},
		{"begin twice", [][]byte{begin}, begin, false},
		{"commit without begin", nil, build('C', byte(0), uint64(100), uint64(110), uint64(0)), false},
		{"commit", [][]byte{begin}, build('C', byte(0), uint64(100), uint64(110), uint64(0)), true},
		{"commit of another transaction", [][]byte{begin}, build('C', byte(0), uint64(101), uint64(110), uint64(0)), false},
		{"commit that ends before itself", [][]byte{begin}, build('C', byte(0), uint64(100), uint64(99), uint64(0)), false},
		{"relation with more columns than bytes", nil, build('R', uint32(7), "s\x00", "t\x00", byte('d'), uint16(60000)), false},
		{"truncate of an unknown relation", [][]byte{begin}, build('T', uint32(1), byte(0), uint32(7)), false},
		{"truncate of more relations than bytes", [][]byte{begin}, build('T', uint32(0x7fffffff), byte(0)), false},
		{"message outside any transaction", nil, build('M', byte(0), uint64(5), "p\x00", uint32(1), "x"), true},
		{"transactional message outside any transaction", nil, build('M', byte(1), uint64(5), "p\x00", uint32(1), "x"), false},
		{"origin", [][]byte{begin}, build('O', uint64(5), "there\x00"), true},
		{"type", nil, build('Y', uint32(5), "s\x00", "t\x00"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDecoder(&script{}, 0)
			for _, m := range c.before {
				if err := d.decode(m); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.decode(c.message); (err == nil) != c.accepted {
				t.Errorf("accepted %t: %v", err == nil, err)
			}
		})
	}
}

// build joins a message's parts, integers in network order.
func build(kind byte, parts ...any) []byte {
	b := []byte{kind}
	for _, p := range parts {
		switch p := p.(type) {
		case byte:
			b = append(b, p)
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, p)
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		default:
			panic(fmt.Sprintf("build: %T", p))
		}
	}
	return b
}

type refusing struct {
	script
	err error
}

func (r *refusing) Row(*wal.Row) error { return r.err }

func TestDecodePassesTheReceiversErrorOn(t *testing.T) {
	r := &refusing{err: errors.New("no")}
	d := newDecoder(r, 0)
	var err error
	for _, m := range recorded(t) {
		if err = d.decode(m); err != nil {
			break
		}
	}
	if !errors.Is(err, r.err) {
		t.Errorf("got %v", err)
	}
}

// The 32 bits of a transaction id are widened by one seen lately, which moves along with the stream.
func TestDecodeWidensAcrossTheWrap(t *testing.T) {
	var got script
	got.positions = true
	d := newDecoder(&got, 3<<32-2)
	for _, xid := range []uint32{0xfffffff0, 3, 0xffffffff, 0x40000000, 0xa0000000, 5} {
		for _, m := range [][]byte{build('B', uint64(8), uint64(0), xid), build('C', byte(0), uint64(8), uint64(8), uint64(0))} {
			if err := d.decode(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	var xids []string
	for line := range strings.Lines(got.String()) {
		if after, ok := strings.CutPrefix(line, "begin "); ok {
			xids = append(xids, strings.TrimSpace(after))
		}
	}
	want := []string{}
	for _, x := range []uint64{2<<32 + 0xfffffff0, 3<<32 + 3, 2<<32 + 0xffffffff, 3<<32 + 0x40000000, 3<<32 + 0xa0000000, 4<<32 + 5} {
		want = append(want, fmt.Sprint(x))
	}
	if diff := cmp.Diff(want, xids); diff != "" {
		t.Error(diff)
	}
}

// FuzzDecode feeds a whole stream, each message with its length before it. Whatever comes, nothing panics, nothing is
// delivered outside its transaction, and a delivered tuple can be walked to its end.
func FuzzDecode(f *testing.F) {
	messages := recorded(f)
	var all []byte
	for _, m := range messages {
		one := binary.BigEndian.AppendUint32(nil, uint32(len(m)))
		one = append(one, m...)
		f.Add(one)
		if len(m) < 500 {
			all = append(all, one...)
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDecoder(&script{}, 12345)
		for len(data) >= 4 {
			n := int(binary.BigEndian.Uint32(data))
			data = data[4:]
			if n > len(data) {
				n = len(data)
			}
			commitEnd(data[:n])
			if err := d.decode(data[:n]); err != nil {
				if strings.Contains(err.Error(), "accepted tuple") {
					t.Fatal(err)
				}
				return
			}
			data = data[n:]
		}
	})
}

// backlog is what a large transaction looks like: rows of about 340 bytes, as the log has them.
func backlog() (relation, begin, commit []byte, rows [][]byte) {
	columns := []any{uint32(7), "public\x00", "posts\x00", byte('d'), uint16(8)}
	row := []any{uint32(7), byte('N'), uint16(8)}
	for i := range 8 {
		columns = append(columns, byte(0), fmt.Sprintf("column_%d\x00", i), uint32(25), uint32(0))
		row = append(row, byte('t'), uint32(38), strings.Repeat("v", 38))
	}
	return build('R', columns...), build('B', uint64(100), uint64(0), uint32(5)),
		build('C', byte(0), uint64(100), uint64(110), uint64(0)),
		[][]byte{build('I', row...), build('U', row...), build('D', append([]any{uint32(7), byte('K')}, row[2:]...)...)}
}

func TestDecodeAllocatesNothingPerRow(t *testing.T) {
	relation, begin, _, rows := backlog()
	var seen Discard
	d := newDecoder(&seen, 0)
	for _, m := range [][]byte{relation, begin} {
		if err := d.decode(m); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, m := range rows {
			if err := d.decode(m); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d rows", n, len(rows))
	}
}

func BenchmarkDecode(b *testing.B) {
	relation, begin, commit, rows := backlog()
	var seen Discard
	d := newDecoder(&seen, 0)
	if err := d.decode(relation); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(rows[0])))
	b.ReportAllocs()
	for b.Loop() { // one row; a transaction of a thousand
		if seen.Rows%1000 == 0 {
			for _, m := range [][]byte{begin, commit, begin} {
				if d.open == (m[0] == 'B') {
					continue
				}
				if err := d.decode(m); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := d.decode(rows[0]); err != nil {
			b.Fatal(err)
		}
	}
}
