package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/time/rate"

	"payload-cdc/internal/pgtest"
	"payload-cdc/test/payloadtest"
)

// The load is one that Payload understands: what it reads back is what the tables say is published, and every writer
// gets through.
func TestLoad(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	app := payloadtest.New(t, db, payloadtest.Options{})
	pool, seed := db.Pool(t), seedOf(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	for n := range 2 {
		writers.Go(func() {
			l := newLoad(pool, seed, n)
			for range 100 {
				if err := l.transaction(ctx); err != nil {
					t.Errorf("writer %d: %v", n, err)
				}
			}
		})
	}
	var edits sync.WaitGroup
	edits.Go(func() {
		if err := editor(ctx, app, rand.New(rand.NewPCG(seed, 2)), rate.NewLimiter(rate.Inf, 1)); err != nil {
			t.Errorf("editor: %v", err)
		}
	})
	writers.Wait()
	stop()
	edits.Wait()

	entries, err := app.Readback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var published int
	err = pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM posts WHERE _status = 'published')
		+ (SELECT count(*) FROM events WHERE _status = 'published' AND deleted_at IS NULL)
		+ (SELECT count(*) FROM doc_pages WHERE _status = 'published')`).Scan(&published)
	if err != nil || published == 0 || published != len(entries) {
		t.Errorf("Payload reads back %d, the tables have %d published, %v", len(entries), published, err)
	}
}

// load writes to Payload's tables as Payload does, only faster: rows of posts and events of its own, several writers
// side by side.
type load struct {
	pool   *pgxpool.Pool
	random *rand.Rand
	writer int
	ids    map[string][]int // by table
	words  int              // made so far: each text is new
}

func newLoad(pool *pgxpool.Pool, seed uint64, writer int) *load {
	return &load{pool: pool, random: rand.New(rand.NewPCG(seed, uint64(10+writer))), writer: writer, ids: map[string][]int{}}
}

func (l *load) run(ctx context.Context, pace *rate.Limiter) error {
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
