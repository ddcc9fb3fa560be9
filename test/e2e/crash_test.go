package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/time/rate"

	"payload-cdc/internal/local"
	"payload-cdc/internal/pgtest"
	"payload-cdc/test/e2e"
	"payload-cdc/test/payloadtest"
)

// The binary is killed at random moments of a write load while both providers fail in every way they can, lies about
// writes included. In the end the index equals what is published, to the vector.
func TestKilledAtRandomMoments(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	seed := seedOf(t)
	random := rand.New(rand.NewPCG(seed, 1))
	w := e2e.New(t, e2e.Options{Env: map[string]string{"CDC_INDEX_TIMEOUT": "1s"}})
	w.Server.VectorFaults().Set(seed,
		local.Rule{Fault: local.Cut, Chance: .03},
		local.Rule{Fault: local.CutBody, Chance: .03},
		local.Rule{Fault: local.AppliedThenCut, Chance: .03},
		local.Rule{Fault: local.Late, Chance: .03, Delay: 700 * time.Millisecond},
		local.Rule{Fault: local.Stall, Chance: .01, Delay: 1200 * time.Millisecond},
		local.Rule{Fault: local.Slow, Chance: .05, Delay: 200 * time.Millisecond},
		local.Rule{Fault: local.RateLimit, Chance: .03, Delay: 100 * time.Millisecond},
		local.Rule{Fault: local.ServerError, Chance: .03},
		local.Rule{Fault: local.BadGateway, Chance: .03},
		local.Rule{Fault: local.Quota, Chance: .003},
		local.Rule{Fault: local.BadToken, Chance: .003},
	)
	w.Server.EmbeddingFaults().Set(seed+1,
		local.Rule{Fault: local.Cut, Chance: .03},
		local.Rule{Fault: local.CutBody, Chance: .03},
		local.Rule{Fault: local.Slow, Chance: .05, Delay: 200 * time.Millisecond},
		local.Rule{Fault: local.RateLimit, Chance: .03, Delay: 100 * time.Millisecond},
		local.Rule{Fault: local.ServerError, Chance: .03},
		local.Rule{Fault: local.BadGateway, Chance: .03},
		local.Rule{Fault: local.BadToken, Chance: .003},
		local.Rule{Fault: local.ShortData, Chance: .02},
		local.Rule{Fault: local.WrongIndex, Chance: .02},
		local.Rule{Fault: local.OutOfOrder, Chance: .05},
		local.Rule{Fault: local.NotANumber, Chance: .02},
	)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	pool := w.DB.Pool(t)
	for n := range 4 {
		writers.Go(func() {
			l := load{pool: pool, random: rand.New(rand.NewPCG(seed, uint64(10+n))), writer: n}
			if err := l.run(ctx, rate.NewLimiter(30, 1)); err != nil {
				t.Errorf("writer %d: %v", n, err)
			}
		})
	}
	writers.Go(func() {
		if err := editor(ctx, w.Payload, rand.New(rand.NewPCG(seed, 2)), rate.NewLimiter(5, 1)); err != nil {
			t.Errorf("editor: %v", err)
		}
	})

	for range 20 {
		cdc := w.Start(t)
		moment := time.Duration(random.Int64N(int64(2500 * time.Millisecond)))
		select {
		case <-time.After(moment):
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
		cdc.Kill(t)
	}
	stop()
	writers.Wait()
	t.Logf("index faults %v, embedding faults %v, counts %+v", w.Server.VectorFaults().Hits(), w.Server.EmbeddingFaults().Hits(), w.Server.Counts())

	cdc := w.Start(t)
	w.WaitConverged(t) // with the faults still on
	w.Server.VectorFaults().Set(0)
	w.Server.EmbeddingFaults().Set(0)
	w.Server.Arrive() // what was still on its way may undo it once more, and for the last time
	w.WaitSettled(t, cdc)
	cdc.Stop(t)
	w.WaitConverged(t)
}

// A commit is in the log before other sessions can see it; with a synchronous standby that does not answer, for as long
// as that lasts. Reading the document back too early would see the text before it.
func TestHiddenCommit(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Options{})
	w := e2e.New(t, e2e.Options{Cluster: cluster})
	ctx := t.Context()
	id, err := w.Payload.Create(ctx, "posts", fields{"title": "Before", "content": payloadtest.RichText("Seen by everybody."), "_status": "published"})
	if err != nil {
		t.Fatal(err)
	}
	cdc := w.Start(t)
	cdc.WaitReady(t)
	w.WaitConverged(t)

	settings := func(standby string) {
		t.Helper()
		if err := cluster.SetSettings(ctx, map[string]string{"synchronous_standby_names": standby}); err != nil {
			t.Fatal(err)
		}
	}
	settings("nobody")
	hidden := make(chan error, 1)
	go func() { hidden <- w.Payload.Publish(ctx, "posts", id, fields{"title": "After"}) }()
	pool := w.DB.Pool(t)
	e2e.Eventually(t, "the commit waits for a standby", func() []string {
		var waiting bool
		if err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')").Scan(&waiting); err != nil {
			return []string{err.Error()}
		}
		if !waiting {
			return []string{"nobody waits"}
		}
		return nil
	})
	// Three seconds in which cdc has read the change and cannot see it.
	if _, err := pool.Exec(ctx, "SELECT pg_sleep(3)"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-hidden:
		t.Fatalf("the commit did not stay hidden: %v", err)
	default:
	}
	if problems := e2e.Compare(w.Vectors(t), []payloadtest.Entry{{Collection: "posts", ID: id, Title: "Before", Words: "Seen by everybody."}}); len(problems) > 0 {
		t.Errorf("while the commit was hidden:\n  %s", strings.Join(problems, "\n  "))
	}
	settings("")
	if err := <-hidden; err != nil {
		t.Fatal(err)
	}
	w.WaitConverged(t)
	cdc.Stop(t)
}

// Two instances: the second stands by, and takes over when the first is gone.
func TestStandby(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{})
	publish := func(title string) {
		t.Helper()
		if _, err := w.Payload.Create(t.Context(), "posts", fields{"title": title, "_status": "published"}); err != nil {
			t.Fatal(err)
		}
	}
	first := w.Start(t)
	first.WaitReady(t)
	second := w.Start(t)
	second.WaitReady(t) // standing by is ready
	publish("With both")
	w.WaitConverged(t)
	first.Kill(t)
	publish("With the second alone")
	w.WaitConverged(t)
	second.Stop(t)
}

// seedOf prints the seed; CDC_E2E_SEED repeats one.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("CDC_E2E_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("CDC_E2E_SEED: %v", err)
		}
	}
	t.Logf("CDC_E2E_SEED=%d", seed)
	return seed
}

// load writes to Payload's tables as Payload does, only faster: rows of posts and events of its own, several writers
// side by side.
type load struct {
	pool   *pgxpool.Pool
	random *rand.Rand
	writer int
	ids    map[string][]int // by table
	words  int              // made so far, so that each text is new
}

func (l *load) run(ctx context.Context, pace *rate.Limiter) error {
	l.ids = map[string][]int{}
	for pace.Wait(ctx) == nil {
		// The act is finished even when the time is up: a cancelled commit would leave it open what happened, which is
		// fine for cdc, but the connection would be lost.
		if err := l.transaction(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

var errRollback = errors.New("rolled back on purpose")

// transaction does one to five things to documents, sometimes below a savepoint, and sometimes in vain.
func (l *load) transaction(ctx context.Context) error {
	before := map[string][]int{}
	for table, ids := range l.ids {
		before[table] = append([]int(nil), ids...)
	}
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		for range 1 + l.random.IntN(5) {
			do := func(tx pgx.Tx) error { return l.act(ctx, tx) }
			var err error
			if l.random.IntN(4) == 0 {
				err = pgx.BeginFunc(ctx, tx, do)
			} else {
				err = do(tx)
			}
			if err != nil {
				return err
			}
		}
		if l.random.IntN(10) == 0 {
			return errRollback
		}
		return nil
	})
	if err != nil {
		l.ids = before
	}
	if errors.Is(err, errRollback) {
		return nil
	}
	return err
}

func (l *load) act(ctx context.Context, tx pgx.Tx) error {
	table := []string{"posts", "events"}[l.random.IntN(2)]
	ids := l.ids[table]
	if len(ids) < 5 || len(ids) < 40 && l.random.IntN(5) == 0 {
		var id int
		err := tx.QueryRow(ctx, "INSERT INTO "+table+" (title, content, _status) VALUES ($1, $2, $3) RETURNING id",
			l.title(), l.content(), l.status()).Scan(&id)
		l.ids[table] = append(ids, id)
		return err
	}
	n := l.random.IntN(len(ids))
	set := func(what string, values ...any) error {
		_, err := tx.Exec(ctx, "UPDATE "+table+" SET updated_at = now(), "+what+" WHERE id = $1", append([]any{ids[n]}, values...)...)
		return err
	}
	switch l.random.IntN(10) {
	case 0:
		l.ids[table] = append(append([]int(nil), ids[:n]...), ids[n+1:]...)
		_, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE id = $1", ids[n])
		return err
	case 1, 2:
		return set("_status = $2", l.status())
	case 3:
		if table == "events" {
			return set("deleted_at = CASE WHEN deleted_at IS NULL THEN now() END")
		}
		return set("title = title") // a save that changes nothing
	case 4, 5:
		return set("title = $2", l.title())
	default:
		return set("content = $2, _status = $3", l.content(), l.status())
	}
}

func (l *load) status() string {
	if l.random.IntN(4) == 0 {
		return "draft"
	}
	return "published"
}

func (l *load) title() string { return "Title " + l.word() }

// word is one that no other text has.
func (l *load) word() string {
	l.words++
	return fmt.Sprintf("w%dx%d", l.writer, l.words)
}

// content is a text of one to several chunks.
func (l *load) content() string {
	paragraphs := []string{"Short " + l.word()}
	if l.random.IntN(3) == 0 {
		paragraphs = long(l.word() + "p")[:1+l.random.IntN(40)]
	}
	text, err := json.Marshal(payloadtest.RichText(paragraphs...))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// editor does through Payload what editors do.
func editor(ctx context.Context, app *payloadtest.App, random *rand.Rand, pace *rate.Limiter) error {
	var ids []string
	for n := 0; pace.Wait(ctx) == nil; n++ {
		ctx := context.WithoutCancel(ctx)
		text := fields{"title": fmt.Sprint("Edited ", n), "content": payloadtest.RichText(fmt.Sprintf("Edition%d of this text.", n))}
		if len(ids) < 10 {
			id, err := app.Create(ctx, "docPages", text, fields{"draft": true})
			if err != nil {
				return err
			}
			ids = append(ids, id)
			continue
		}
		i := random.IntN(len(ids))
		var err error
		switch random.IntN(5) {
		case 0:
			err = app.SaveDraft(ctx, "docPages", ids[i], text)
		case 1:
			err = app.Unpublish(ctx, "docPages", ids[i])
		case 2:
			err = app.Delete(ctx, "docPages", ids[i])
			ids = append(ids[:i], ids[i+1:]...)
		default:
			err = app.Publish(ctx, "docPages", ids[i], text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
