package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// latency is how long single publishes took, from the return of COMMIT until the index had applied the first chunk.
type latency struct {
	Publishes int       `json:"publishes"`
	Total     []float64 `json:"total_ms"`
	Servers   []float64 `json:"servers_ms"` // of it, inside the two providers
	Above     []float64 `json:"above_ms"`   // the rest: Postgres, cdc and loopback
	CDC       usage     `json:"cdc"`
}

const (
	firstPublish = 900_000 // id of the first document to be published
	warmUps      = 5       // publishes that are not counted: connections and plans come to be with them
)

// measureLatency publishes one document after another under a running cdc.
func measureLatency(ctx context.Context, w *world) (latency, error) {
	m := latency{Publishes: w.publishes}
	if err := w.createUnpublished(ctx, w.publishes+warmUps); err != nil {
		return m, fmt.Errorf("create documents: %w", err)
	}
	l := w.newLane("bench_latency", w.binary)
	defer l.close()
	address, err := freeAddress(ctx)
	if err != nil {
		return m, err
	}
	c, err := l.start(ctx, []string{"CDC_HTTP_ADDR=" + address})
	if err != nil {
		return m, err
	}
	err = l.publishAll(ctx, c, address, &m)
	u, ended := c.stop()
	m.CDC = u
	if w.verbose {
		fmt.Fprint(os.Stderr, c.output)
	}
	if err != nil {
		return m, fmt.Errorf("%w\nthe end of cdc's log:\n%s", err, c.output)
	}
	if ended != nil {
		return m, ended
	}
	return m, w.dropSlot(ctx, l.name)
}

func (l *lane) publishAll(ctx context.Context, c *child, address string, m *latency) error {
	err := until(ctx, 3*time.Minute, "cdc has swept the database", func() (bool, error) {
		select {
		case <-c.exited:
			return false, errors.New("cdc has ended")
		default:
			return settled(ctx, address)
		}
	})
	if err != nil {
		return err
	}
	l.w.log.Info("cdc is streaming; publishing", "documents", m.Publishes)
	pace := rand.New(rand.NewPCG(1, 1))
	for n := range warmUps + m.Publishes {
		id := firstPublish + n
		applied := l.providers.expect(fmt.Sprintf("posts-%d", id))
		committed, err := l.w.publish(ctx, id)
		if err != nil {
			return fmt.Errorf("publish %d: %w", id, err)
		}
		var at time.Time
		select {
		case at = <-applied:
		case <-time.After(30 * time.Second):
			return fmt.Errorf("document %d was published, and 30 s later it is not in the index", id)
		case <-ctx.Done():
			return ctx.Err()
		}
		if n >= warmUps {
			// Applied before COMMIT's answer came: possible, and then it took no time.
			total := max(0, at.Sub(committed))
			servers := min(total, l.providers.busy(committed, at))
			m.Total = append(m.Total, milliseconds(total))
			m.Servers = append(m.Servers, milliseconds(servers))
			m.Above = append(m.Above, milliseconds(total-servers))
		}
		// People do not publish in step with our checkpoints.
		select {
		case <-time.After(time.Duration(20+pace.IntN(60)) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// createUnpublished makes n drafts as Payload does: a document, a row below it, and a version.
func (w *world) createUnpublished(ctx context.Context, n int) error {
	batch := &pgx.Batch{}
	for i := range n {
		id := firstPublish + i
		batch.Queue(`INSERT INTO posts (id, title, slug, content, _status) VALUES ($1, $2, $3, $4, 'draft')`,
			id, fmt.Sprintf("Publish %d", i), fmt.Sprintf("publish-%d", i), content(uint64(id)))
		batch.Queue(`INSERT INTO posts_texts ("order", parent_id, path, text) VALUES (1, $1, 'keywords', 'draft')`, id)
		batch.Queue(insertVersion, id, "draft")
	}
	return w.conn.SendBatch(ctx, batch).Close()
}

const insertVersion = `
	INSERT INTO _posts_v (parent_id, version_title, version_slug, version_content, version__status, version_updated_at, version_created_at, latest)
	SELECT id, title, slug, content, $2::text::enum__posts_v_version_status, updated_at, created_at, true FROM posts WHERE id = $1`

// publish publishes a document in one transaction, as Payload writes it: the whole row, its children again, a new
// version, the older ones no longer the latest. It returns when COMMIT's answer came.
func (w *world) publish(ctx context.Context, id int) (time.Time, error) {
	tx, err := w.conn.Begin(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	batch := &pgx.Batch{}
	batch.Queue(`UPDATE posts SET title = title || ' now', slug = slug, content = content, _status = 'published', updated_at = now() WHERE id = $1`, id)
	batch.Queue(`DELETE FROM posts_texts WHERE parent_id = $1`, id)
	batch.Queue(`INSERT INTO posts_texts ("order", parent_id, path, text) VALUES (1, $1, 'keywords', 'published')`, id)
	batch.Queue(insertVersion, id, "published")
	batch.Queue(`UPDATE _posts_v SET latest = false WHERE parent_id = $1 AND version__status = 'draft'`, id)
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return time.Time{}, err
	}
	err = tx.Commit(ctx)
	return time.Now(), err
}

// settled asks cdc whether it streams and owes nothing.
func settled(ctx context.Context, address string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/status", nil)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, nil // not listening yet
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return false, err
	}
	var status struct {
		State string `json:"state"`
		Owed  struct {
			Documents int               `json:"documents"`
			Sweeps    []json.RawMessage `json:"sweeps"`
		} `json:"owed"`
		Parked int `json:"parked"`
	}
	if err := json.Unmarshal(body, &status); err != nil {
		return false, fmt.Errorf("/api/status answers %d: %w: %s", response.StatusCode, err, body)
	}
	if status.Parked > 0 {
		return false, errors.New("documents are parked")
	}
	return status.State == "streaming" && status.Owed.Documents == 0 && len(status.Owed.Sweeps) == 0, nil
}

func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
