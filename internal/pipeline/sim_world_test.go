package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/wal"
)

// world is the truth of a simulation: a source with a log, an index that lies, and a store that is durable. What is
// in it survives the crash of an incarnation.
type world struct {
	mu     sync.Mutex
	random *rand.Rand
	faults bool

	// The source: versions of documents in commit order, and the log of what touched them.
	versions map[document.Key][]version
	rows     map[string][]version // shown by documents: their text is part of those documents' text
	log      []transaction
	nextXID  wal.XID
	hidden   map[wal.XID]bool // committed and streamed, not yet visible to other sessions
	poison   map[document.Key]bool

	// The namespace of collection b, as its owner last saved that it is.
	space string

	// The index, and the writes on their way to it.
	vectors   map[string]document.Vector
	inFlight  int
	indexDown time.Time    // refuses everything, as for a wrong token
	indexMute time.Time    // answers nothing
	writeDown time.Time    // refuses writes and answers reads, as when a quota is used up
	cursed    document.Key // a document whose vectors and ids the index refuses
	embedDown time.Time
	embedded  int
	few       int // debts that fit into memory; zero is all
	reused    int // values given back

	// Instances that were replaced and are still alive: what ends each.
	frozen []func()

	// The store.
	epoch    int64
	position wal.LSN
	fresh    bool
	debts    map[document.Key]owed.Debt
	sweeps   map[string]owed.Sweep
	parked   map[document.Key]owed.Parked
	ledger   map[string]line
}

type version struct {
	xid       wal.XID
	published bool
	text      string
	extra     int    // in the metadata, unless zero
	shows     string // a row of rows, or none
}

type transaction struct {
	xid    wal.XID
	lsn    wal.LSN
	keys   []document.Key
	hints  []document.Key
	sweeps []string
	force  bool // of the sweeps: TRUNCATE
}

type line struct {
	key   document.Key
	hash  string
	epoch int64
	doubt time.Time
}

const writeTimeout = 2 * time.Second

func newWorld(seed uint64) *world {
	return &world{
		random:   rand.New(rand.NewPCG(seed, 1)),
		versions: map[document.Key][]version{}, rows: map[string][]version{}, nextXID: 1000, hidden: map[wal.XID]bool{}, poison: map[document.Key]bool{},
		vectors: map[string]document.Vector{},
		fresh:   true, debts: map[document.Key]owed.Debt{}, sweeps: map[string]owed.Sweep{}, parked: map[document.Key]owed.Parked{},
		ledger: map[string]line{},
	}
}

// commit changes documents in one transaction. hidden keeps it invisible for a while, as a synchronous standby does.
func (w *world) commit(changes map[document.Key]version, hide time.Duration, hint bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	xid := w.nextXID
	w.nextXID++
	tx := transaction{xid: xid, lsn: wal.LSN(len(w.log)+1) * 100}
	for _, key := range slices.SortedFunc(maps.Keys(changes), compareKeys) {
		v := changes[key]
		v.xid = xid
		if n := len(w.versions[key]); n > 0 && w.hidden[w.versions[key][n-1].xid] {
			continue // its row is still locked by the hidden transaction
		}
		w.versions[key] = append(w.versions[key], v)
		switch {
		case hint && w.random.IntN(4) == 0:
			tx.sweeps = append(tx.sweeps, key.Collection) // a child DELETE names nobody
		case hint:
			tx.hints = append(tx.hints, document.Key{Collection: key.Collection, ID: "row-" + key.ID, Via: "rows"})
		default:
			tx.keys = append(tx.keys, key)
		}
	}
	w.append(tx, hide)
}

// commitRow changes a row that documents show, and none of them.
func (w *world) commitRow(row, text string, hide time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.rows[row]); n > 0 && w.hidden[w.rows[row][n-1].xid] {
		return // still locked by the hidden transaction
	}
	xid := w.nextXID
	w.nextXID++
	w.rows[row] = append(w.rows[row], version{xid: xid, text: text})
	tx := transaction{xid: xid, lsn: wal.LSN(len(w.log)+1) * 100}
	for _, c := range []string{"a", "a-x", "b"} {
		tx.hints = append(tx.hints, document.Key{Collection: c, ID: row, Via: "*rows"})
	}
	w.append(tx, hide)
}

// truncate takes back all documents of a collection, in a transaction that names none of them.
func (w *world) truncate(collection string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	xid := w.nextXID
	w.nextXID++
	for key, versions := range w.versions {
		if key.Collection != collection {
			continue
		}
		if w.hidden[versions[len(versions)-1].xid] {
			continue
		}
		w.versions[key] = append(versions, version{xid: xid})
	}
	w.append(transaction{xid: xid, lsn: wal.LSN(len(w.log)+1) * 100, sweeps: []string{collection}, force: true}, 0)
}

// append puts a transaction into the log. w.mu is held.
func (w *world) append(tx transaction, hide time.Duration) {
	xid := tx.xid
	w.log = append(w.log, tx)
	if hide > 0 {
		w.hidden[xid] = true
		go func() {
			time.Sleep(hide)
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.hidden, xid)
		}()
	}
}

func compareKeys(a, b document.Key) int { return strings.Compare(a.String(), b.String()) }

// current is the newest version of a document that a snapshot taken now can see, with the text of the row that it shows.
// w.mu is held.
func (w *world) current(key document.Key) version {
	v := w.seen(w.versions[key])
	if v.shows != "" {
		v.text += " " + w.seen(w.rows[v.shows]).text
	}
	return v
}

func (w *world) seen(versions []version) version {
	for _, v := range slices.Backward(versions) {
		if !w.hidden[v.xid] {
			return v
		}
	}
	return version{}
}

// named adds the documents that a key names: itself, the one that a hint's row belongs to, or those that show its row.
// w.mu is held.
func (w *world) named(key document.Key, names map[document.Key]bool) {
	if !key.Shown() {
		names[document.Key{Collection: key.Collection, ID: strings.TrimPrefix(key.ID, "row-")}] = true
		return
	}
	for other := range w.versions {
		if other.Collection == key.Collection && w.current(other).shows == key.ID {
			names[other] = true
		}
	}
}

func (w *world) snapshot() wal.Snapshot {
	s := wal.Snapshot{Xmin: w.nextXID, Xmax: w.nextXID}
	for xid := range w.hidden {
		s.Running = append(s.Running, xid)
		s.Xmin = min(s.Xmin, xid)
	}
	slices.Sort(s.Running)
	return s
}

// expected is what the index should hold now. w.mu is held.
func (w *world) expected() map[string]string {
	want := map[string]string{}
	for key := range w.versions {
		v := w.current(key)
		if !v.published || w.poison[key] || key == w.cursed {
			continue
		}
		if owner := w.ledger[rivalID].key; slices.Contains(rivals, key) && owner != key && owner != (document.Key{}) {
			continue // it has to wait for the other
		}
		for i, c := range splitText(v.text) {
			id := key.Collection + "-" + key.ID
			if i > 0 {
				id = fmt.Sprintf("%s#%d", id, i)
			}
			if key.Collection == "b" {
				id = document.Join(w.space, id)
			}
			if v.extra > 0 {
				c = fmt.Sprint(c, " and ", v.extra)
			}
			want[id] = c
		}
	}
	return want
}

// told is what a vector tells its readers: its text and the extra metadata.
func told(v document.Vector) string {
	if n, ok := v.Metadata.Extra["n"]; ok {
		return fmt.Sprint(v.Data, " and ", n)
	}
	return v.Data
}

func (w *world) savedPosition() wal.LSN {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.position
}

// splitText is the chunker: one chunk for each word.
func splitText(text string) []string { return strings.Fields(text) }

// incarnation is one life of the process: once dead, nothing it does reaches the world any more but what was already
// on the wire.
type incarnation struct {
	w     *world
	epoch int64
	space string // the namespace of collection b, by this one's configuration
	dead  bool
}

var (
	errNet  = errors.New("connection reset")
	errDead = context.Canceled
)

// claim takes the state over and reads it.
func (w *world) claim() (*incarnation, owed.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.epoch++
	s := owed.State{Fresh: w.fresh, Epoch: w.epoch, Position: wal.Position{LSN: w.position}}
	debts, doubted := maps.Clone(w.debts), map[document.Key]bool{}
	for _, l := range w.ledger {
		if l.doubt.IsZero() {
			continue
		}
		d, ok := debts[l.key]
		if !ok {
			d = owed.Debt{Key: l.key, Since: time.Now(), Due: l.doubt, Version: 1, Merge: true}
		}
		d.Strength = owed.Prove
		debts[l.key] = d
		doubted[l.key] = true
	}
	for key, d := range debts {
		if _, saved := w.debts[key]; saved && w.few > 0 && !doubted[key] && len(s.Debts) >= w.few {
			s.Paged++ // left in the store
			continue
		}
		s.Debts = append(s.Debts, d)
	}
	s.Sweeps = slices.Collect(maps.Values(w.sweeps))
	s.Parked = slices.Collect(maps.Values(w.parked))
	return &incarnation{w: w, epoch: w.epoch, space: w.space}, s
}

// flaky decides the fate of one call: whether it happens, and what the caller hears.
func (w *world) flaky(share float64) (apply bool, err error) {
	if !w.faults || w.random.Float64() >= share {
		return true, nil
	}
	return w.random.IntN(2) == 0, errNet
}

// --- Source

func (i *incarnation) Collections() []string { return []string{"a", "a-x", "b"} }

func (i *incarnation) Read(_ context.Context, keys []document.Key) ([]document.Document, wal.Snapshot, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, wal.Snapshot{}, errDead
	}
	if _, err := i.w.flaky(0.02); err != nil {
		return nil, wal.Snapshot{}, err
	}
	docs := make([]document.Document, len(keys))
	for n, key := range keys {
		docs[n].Key = key
		if v := i.w.current(key); v.published {
			e := document.Entry{Title: key.String(), Blocks: []document.Block{{Text: v.text}}}
			if v.extra > 0 {
				e.Extra = map[string]any{"n": v.extra}
			}
			docs[n].Entries = []document.Entry{e}
		}
	}
	return docs, i.w.snapshot(), nil
}

func (i *incarnation) Resolve(_ context.Context, hints []document.Key) ([]document.Key, wal.Snapshot, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, wal.Snapshot{}, errDead
	}
	if _, err := i.w.flaky(0.02); err != nil {
		return nil, wal.Snapshot{}, err
	}
	owners := make([]document.Key, len(hints))
	for n, h := range hints {
		key := document.Key{Collection: h.Collection, ID: strings.TrimPrefix(h.ID, "row-")}
		if i.w.current(key).published || i.w.random.IntN(2) == 0 {
			owners[n] = key
		}
	}
	return owners, i.w.snapshot(), nil
}

func (i *incarnation) Showing(ctx context.Context, hint document.Key, cursor string, n int) ([]document.Key, string, wal.Snapshot, error) {
	w := i.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if i.dead {
		return nil, "", wal.Snapshot{}, errDead
	}
	if _, err := w.flaky(0.02); err != nil {
		return nil, "", wal.Snapshot{}, err
	}
	var page []document.Key
	next := ""
	for _, key := range slices.SortedFunc(maps.Keys(w.versions), compareKeys) {
		if v := w.current(key); key.Collection == hint.Collection && key.ID > cursor && v.published && v.shows == hint.ID {
			if len(page) == n {
				next = page[n-1].ID
				break
			}
			page = append(page, key)
		}
	}
	snapshot, answer := w.snapshot(), time.Duration(0)
	if w.faults {
		answer = time.Duration(w.random.IntN(200)) * time.Millisecond
	}
	w.mu.Unlock()
	err := sleep(ctx, answer) // it is as old as the answer of a server
	w.mu.Lock()
	return page, next, snapshot, err
}

func (i *incarnation) Published(_ context.Context, collection, cursor string, n int) ([]document.Key, string, wal.Snapshot, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, "", wal.Snapshot{}, errDead
	}
	if _, err := i.w.flaky(0.02); err != nil {
		return nil, "", wal.Snapshot{}, err
	}
	var page []document.Key
	for _, key := range slices.SortedFunc(maps.Keys(i.w.versions), compareKeys) {
		if key.Collection == collection && key.ID > cursor && i.w.current(key).published {
			if len(page) == n {
				return page, page[n-1].ID, i.w.snapshot(), nil
			}
			page = append(page, key)
		}
	}
	return page, "", i.w.snapshot(), nil
}

func (i *incarnation) Live(_ context.Context, keys []document.Key) ([]bool, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, errDead
	}
	if _, err := i.w.flaky(0.02); err != nil {
		return nil, err
	}
	live := make([]bool, len(keys))
	for n, key := range keys {
		live[n] = i.w.current(key).published
	}
	return live, nil
}

// --- Chunker and Embedder

func (i *incarnation) Model() string { return "sim" }

func (i *incarnation) Split(collection string, e document.Entry) ([]document.Chunk, error) {
	var chunks []document.Chunk
	for n, word := range splitText(e.Blocks[0].Text) {
		c := document.Chunk{Number: n, Title: e.Title, Text: e.Title + " " + word, Data: word, Hash: "h-" + word, Tokens: 2, Extra: e.Extra}
		if collection == "b" {
			c.Namespace = i.space
		}
		chunks = append(chunks, c)
	}
	return chunks, nil
}

func (i *incarnation) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	w := i.w
	w.mu.Lock()
	if i.dead {
		w.mu.Unlock()
		return nil, errDead
	}
	pause := time.Duration(w.random.IntN(50)) * time.Millisecond
	if w.faults && w.random.IntN(20) == 0 {
		pause = time.Duration(w.random.Int64N(int64(3 * writeTimeout)))
	}
	down := w.faults && time.Now().Before(w.embedDown)
	_, err := w.flaky(0.05)
	for _, t := range texts {
		c, id, _ := strings.Cut(strings.Fields(t)[0], "/")
		if w.poison[document.Key{Collection: c, ID: id}] {
			err = &failure.Error{Class: failure.Permanent, Rejected: true, Err: errors.New("poison")}
		}
	}
	if err == nil && !down {
		w.embedded += len(texts)
	}
	w.mu.Unlock()
	if sleep(ctx, pause) != nil {
		return nil, ctx.Err()
	}
	switch {
	case down:
		return nil, &failure.Error{Class: failure.Systemic, Rejected: true, Err: errors.New("quota exhausted")}
	case err != nil:
		return nil, err
	}
	vectors := make([][]float32, len(texts))
	for n, t := range texts {
		vectors[n] = vectorOf(t)
	}
	return vectors, nil
}

// vectorOf is the model: a number for each text.
func vectorOf(text string) []float32 {
	h := fnv.New32a()
	h.Write([]byte(text))
	return []float32{float32(h.Sum32() % 1e6)}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// --- Index

var errRefused = &failure.Error{Class: failure.Permanent, Rejected: true, Err: errors.New("the index refuses this id")}

// refuses says whether the index refuses all that names the id. w.mu is held.
func (w *world) refuses(id string) bool {
	_, id = document.SplitID(id)
	base, _, _ := strings.Cut(id, "#")
	return w.cursed.ID != "" && base == w.cursed.Collection+"-"+w.cursed.ID
}

// down is what the index answers during an outage. w.mu is held.
func (w *world) down() error {
	switch now := time.Now(); {
	case !w.faults:
		return nil
	case now.Before(w.indexDown):
		return &failure.Error{Class: failure.Systemic, Rejected: true, Err: errors.New("unauthorized")}
	case now.Before(w.indexMute):
		return errNet
	}
	return nil
}

// arrive performs a write in one of the ways of a network: at once, never, at once with the answer lost, or late with
// the answer lost.
func (i *incarnation) arrive(ids []string, do func()) error {
	w := i.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if i.dead {
		return errDead
	}
	if slices.ContainsFunc(ids, w.refuses) {
		return errRefused
	}
	if !w.faults {
		do()
		return nil
	}
	if err := w.down(); err != nil {
		return err
	}
	if time.Now().Before(w.writeDown) {
		return &failure.Error{Class: failure.Systemic, Rejected: true, Err: errors.New("quota of writes exhausted")}
	}
	switch n := w.random.IntN(100); {
	case n < 80:
		do()
		return nil
	case n < 85:
		return errNet
	case n < 90:
		do()
		return errNet
	default:
		late := time.Duration(w.random.Int64N(int64(2 * writeTimeout)))
		w.inFlight++
		go func() {
			time.Sleep(late)
			w.mu.Lock()
			defer w.mu.Unlock()
			do()
			w.inFlight--
		}()
		return errNet
	}
}

func (i *incarnation) Upsert(_ context.Context, vectors []document.Vector) error {
	ids := make([]string, len(vectors))
	for n, v := range vectors {
		ids[n] = v.ID
	}
	return i.arrive(ids, func() {
		for _, v := range vectors {
			i.w.vectors[v.ID] = v
		}
	})
}

func (i *incarnation) Delete(_ context.Context, ids []string) error {
	return i.arrive(ids, func() {
		for _, id := range ids {
			delete(i.w.vectors, id)
		}
	})
}

func (i *incarnation) Fetch(_ context.Context, ids []string) ([]document.Stored, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, errDead
	}
	if _, err := i.w.flaky(0.03); err != nil {
		return nil, err
	}
	if err := i.w.down(); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(ids, i.w.refuses) {
		return nil, errRefused
	}
	var found []document.Stored
	for _, id := range ids {
		if v, ok := i.w.vectors[id]; ok {
			found = append(found, stored(v))
		}
	}
	return found, nil
}

// stored is a vector as it is answered: metadata that are not ours are not read back.
func stored(v document.Vector) document.Stored {
	v.Metadata.Extra = nil
	return document.Stored{ID: v.ID, Metadata: v.Metadata}
}

func (i *incarnation) Values(_ context.Context, ids []string) (map[string]document.Kept, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, errDead
	}
	if _, err := i.w.flaky(0.05); err != nil {
		return nil, err
	}
	if err := i.w.down(); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(ids, i.w.refuses) {
		return nil, errRefused
	}
	kept := map[string]document.Kept{}
	for _, id := range ids {
		if v, ok := i.w.vectors[id]; ok {
			kept[id] = document.Kept{Values: v.Values, Hash: v.Metadata.Hash, Model: v.Metadata.Model}
			i.w.reused++
		}
	}
	return kept, nil
}

// List's cursor is a position, as Upstash's is: a vector deleted meanwhile makes it skip another.
func (i *incarnation) List(ctx context.Context, cursor string, n int) ([]document.Stored, string, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, "", errDead
	}
	if _, err := i.w.flaky(0.03); err != nil {
		return nil, "", err
	}
	i.w.mu.Unlock()
	err := sleep(ctx, 20*time.Millisecond)
	i.w.mu.Lock()
	if err != nil {
		return nil, "", err
	}
	from, _ := strconv.Atoi(cursor)
	ids := slices.Sorted(maps.Keys(i.w.vectors))
	ids = ids[min(from, len(ids)):]
	next := ""
	if len(ids) > n {
		ids, next = ids[:n], strconv.Itoa(from+n)
	}
	var page []document.Stored
	for _, id := range ids {
		page = append(page, stored(i.w.vectors[id]))
	}
	return page, next, nil
}

// --- Ledger and Store

// durable performs one transaction of the store in one of the ways of a database.
func (i *incarnation) durable(do func()) error {
	w := i.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if i.dead {
		return errDead
	}
	if w.epoch != i.epoch {
		return owed.ErrFenced
	}
	apply, err := w.flaky(0.02)
	if apply {
		do()
	}
	return err
}

func (i *incarnation) Held(_ context.Context, keys []document.Key) (map[document.Key][]document.Held, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, errDead
	}
	if _, err := i.w.flaky(0.02); err != nil {
		return nil, err
	}
	held := map[document.Key][]document.Held{}
	for _, id := range slices.Sorted(maps.Keys(i.w.ledger)) {
		l := i.w.ledger[id]
		if slices.Contains(keys, l.key) {
			held[l.key] = append(held[l.key], document.Held{ID: id, Hash: l.hash, Doubt: l.doubt})
		}
	}
	return held, nil
}

func (i *incarnation) Intend(_ context.Context, intents []owed.Intent, horizon time.Duration) (conflicts []owed.Conflict, err error) {
	err = i.durable(func() {
		for _, one := range intents {
			if n := slices.IndexFunc(one.IDs, func(id string) bool {
				l, ok := i.w.ledger[id]
				return ok && l.key != one.Key
			}); n >= 0 {
				conflicts = append(conflicts, owed.Conflict{Key: one.Key, VectorID: one.IDs[n], Owner: i.w.ledger[one.IDs[n]].key})
				continue
			}
			for _, id := range one.IDs {
				l := i.w.ledger[id]
				l.key, l.epoch = one.Key, i.epoch
				if until := time.Now().Add(horizon); until.After(l.doubt) {
					l.doubt = until
				}
				i.w.ledger[id] = l
			}
		}
	})
	return conflicts, err
}

func (i *incarnation) Settle(_ context.Context, documents []owed.Holding) error {
	return i.durable(func() {
		for _, d := range documents {
			for _, id := range d.Gone {
				if i.w.ledger[id].key == d.Key {
					delete(i.w.ledger, id)
				}
			}
			for _, h := range d.Held {
				i.w.ledger[h.ID] = line{key: d.Key, hash: h.Hash, epoch: i.epoch, doubt: h.Doubt}
			}
		}
	})
}

func (i *incarnation) Adopt(_ context.Context, found []owed.Holding) error {
	return i.durable(func() {
		for _, d := range found {
			for _, h := range d.Held {
				if _, ok := i.w.ledger[h.ID]; !ok {
					i.w.ledger[h.ID] = line{key: d.Key, hash: h.Hash, epoch: i.epoch, doubt: time.Now()}
				}
			}
		}
	})
}

func (i *incarnation) Documents(_ context.Context, collection, cursor string, n int) ([]document.Key, string, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, "", errDead
	}
	if _, err := i.w.flaky(0.02); err != nil {
		return nil, "", err
	}
	seen := map[document.Key]bool{}
	for _, l := range i.w.ledger {
		if l.key.Collection == collection && l.key.ID > cursor {
			seen[l.key] = true
		}
	}
	keys := slices.SortedFunc(maps.Keys(seen), compareKeys)
	if len(keys) > n {
		return keys[:n], keys[n-1].ID, nil
	}
	return keys, "", nil
}

func (i *incarnation) Owed(_ context.Context, after document.Key, n int) ([]owed.Debt, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, errDead
	}
	if _, err := i.w.flaky(0.05); err != nil {
		return nil, err
	}
	var page []owed.Debt
	for _, key := range slices.SortedFunc(maps.Keys(i.w.debts), compareKeys) {
		if compareKeys(key, after) > 0 && len(page) < n {
			page = append(page, i.w.debts[key])
		}
	}
	return page, nil
}

func (i *incarnation) FindOwed(_ context.Context, keys []document.Key) (map[document.Key]owed.Debt, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	if i.dead {
		return nil, errDead
	}
	if _, err := i.w.flaky(0.05); err != nil {
		return nil, err
	}
	found := map[document.Key]owed.Debt{}
	for _, key := range keys {
		if d, ok := i.w.debts[key]; ok {
			found[key] = d
		}
	}
	return found, nil
}

func (i *incarnation) CountOwed(context.Context) (int, error) {
	i.w.mu.Lock()
	defer i.w.mu.Unlock()
	return len(i.w.debts), nil
}

func (i *incarnation) Save(_ context.Context, d owed.Delta) error {
	return i.durable(func() {
		w := i.w
		w.fresh, w.space = false, i.space
		w.position = max(w.position, d.LSN)
		for _, one := range d.Owe {
			if row, ok := w.debts[one.Key]; ok && one.Merge {
				one.Strength = max(one.Strength, row.Strength)
				one.XIDs = append(one.XIDs, row.XIDs...)
			}
			one.Merge = false
			w.debts[one.Key] = one
		}
		for _, key := range d.Paid {
			delete(w.debts, key)
		}
		for _, s := range d.Sweeps {
			w.sweeps[s.Collection] = s
		}
		for _, c := range d.Swept {
			delete(w.sweeps, c)
		}
		for _, p := range d.Park {
			w.parked[p.Key] = p
		}
		for _, key := range d.Unpark {
			delete(w.parked, key)
		}
	})
}
