package daemon_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"payload-cdc/internal/daemon"
	"payload-cdc/internal/local"
)

// put writes vectors into the index as another program would.
func (w *world) put(vectors ...local.Vector) {
	w.Helper()
	if err := w.store.Upsert(context.Background(), w.cfg.UpstashNamespace, vectors); err != nil {
		w.Fatal(err)
	}
}

func leftover(collection, id string) local.Vector {
	metadata, err := json.Marshal(map[string]string{"docId": id, "collection": collection})
	if err != nil {
		panic(err)
	}
	return local.Vector{ID: collection + "-" + id, Values: axis(), Metadata: metadata}
}

func axis() []float32 {
	values := make([]float32, 64)
	values[0] = 1
	return values
}

func TestFirstStartFindsTheOldRecipesLeftovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	foreign := []local.Vector{
		{ID: "products-1", Values: axis(), Metadata: json.RawMessage(`{"docId":"1","collection":"products"}`)},
		{ID: "something", Values: axis()},
		{ID: "posts-else", Values: axis(), Metadata: json.RawMessage(`{"kind":"faq"}`)},
	}
	w.put(append(foreign, leftover("posts", "1"), leftover("posts", "3"), leftover("news", "2"), leftover("posts", "999"))...)
	w.start()
	w.eventually(func() string {
		text := w.differences()
		for _, f := range foreign {
			text = strings.Replace(text, "orphan "+f.ID, "", 1)
		}
		return strings.TrimSpace(text)
	})
	w.drained()
	vectors := w.vectors()
	for _, f := range foreign {
		if string(vectors[f.ID].Metadata) != string(f.Metadata) {
			t.Errorf("%s belongs to somebody else and is now %s", f.ID, vectors[f.ID].Metadata)
		}
	}
}

func TestFirstStartHoldsTheRemovalOfMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 30 {
		w.put(leftover("posts", fmt.Sprint(1000+i)))
	}
	r := w.start()
	w.says("removal waits for you")
	w.eventually(func() string {
		missing := 0
		for line := range strings.Lines(w.differences()) {
			if !strings.HasPrefix(line, "orphan posts-1") {
				return line
			}
			missing++
		}
		if missing != 30 {
			return fmt.Sprintf("%d of 30 leftovers are there", missing)
		}
		return ""
	})
	w.eventually(func() string {
		if code, body := r.get("/readyz"); code != 503 || !strings.Contains(body, "30") {
			return fmt.Sprintf("readyz: %d %s", code, body)
		}
		return ""
	})
	// Held is held over a restart, and holds nobody else.
	r.stop()
	r = w.start()
	w.exec(`UPDATE posts SET title = 'after the restart' WHERE id = 1`)
	w.eventually(func() string {
		if strings.Contains(w.differences(), "posts-1:") {
			return w.differences()
		}
		return ""
	})
	if code, body := r.get("/readyz"); code != 503 {
		t.Errorf("readyz: %d %s", code, body)
	}
	cfg := w.cfg
	cfg.UntilCaughtUp = true
	r.stop()
	if err := w.fails(cfg); !strings.Contains(err.Error(), "30") {
		t.Errorf("a run until caught up says: %v", err)
	}
	// Until somebody says that they are really gone; also while cdc is stopped.
	said, err := daemon.Repair(t.Context(), w.cfg, "posts", true)
	if err != nil || !strings.Contains(said, "posts") {
		t.Fatalf("repair says %q, %v", said, err)
	}
	r = w.start()
	w.equal()
	w.eventually(func() string {
		if code, body := r.get("/readyz"); code != 200 {
			return fmt.Sprintf("readyz: %d %s", code, body)
		}
		return ""
	})
	if _, err := daemon.Repair(t.Context(), w.cfg, "pots", false); err == nil || !strings.Contains(err.Error(), "pots is not indexed") {
		t.Errorf("repair of an unknown collection: %v", err)
	}
}

func TestRestartEmbedsNothingAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start()
	w.equal()
	w.drained()
	r.stop()
	before := w.server.Counts()
	w.exec(`UPDATE posts SET title = 'edited while stopped' WHERE id = 6`)
	w.exec(`UPDATE posts SET updated_at = now() WHERE id = 1`)
	r = w.start()
	w.equal()
	w.drained()
	after := w.server.Counts()
	if n := after.Inputs - before.Inputs; n != 1 {
		t.Errorf("%d texts were embedded for one edited document", n)
	}
	if n := after.Written - before.Written; n > 2 { // the owner's record is the other
		t.Errorf("%d vectors were written for one edited document", n)
	}
	if n := after.Requests["range"] - before.Requests["range"]; n != 0 {
		t.Errorf("the index was listed again, %d times", n)
	}
	r.stop()
}

func TestFirstSweepGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`INSERT INTO posts (title, description, _status) SELECT 'many ' || n, 'words of ' || n, 'published' FROM generate_series(1, 3000) n`)
	w.server.EmbeddingFaults().Set(1, local.Rule{Fault: local.Slow, Chance: 1, Delay: 50 * time.Millisecond})
	r := w.start()
	for _, n := range []int{100, 1200, 2000} {
		w.eventually(func() string {
			if held := len(w.vectors()); held < n {
				return fmt.Sprintf("%d vectors", held)
			}
			return ""
		})
		r.stop()
		r = w.start()
	}
	w.equal()
	w.drained()
	texts := 0
	for range w.vectors() {
		texts++
	}
	if n := w.server.Counts().Inputs; n > texts+1500 {
		t.Errorf("%d texts were embedded for %d vectors", n, texts)
	}
}

func TestRunUntilCaughtUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.cfg
	cfg.UntilCaughtUp = true
	for range 2 {
		if err := w.startWith(cfg).wait(); err != nil {
			t.Fatal(err)
		}
		if text := w.differences(); text != "" {
			t.Fatalf("caught up, but: %s", text)
		}
		w.exec(`UPDATE posts SET description = 'changed in between', _status = 'published' WHERE id IN (1, 5)`)
		w.exec(`DELETE FROM posts WHERE id = 2`)
	}
	if err := w.startWith(cfg).wait(); err != nil {
		t.Fatal(err)
	}
	if text := w.differences(); text != "" {
		t.Fatalf("caught up, but: %s", text)
	}
	// A document that no index can hold is parked, and said.
	w.exec(`UPDATE posts SET content = jsonb_build_object('root', jsonb_build_object('type', 'root', 'children', jsonb_build_array(jsonb_build_object('type', 'paragraph', 'children',
		jsonb_build_array(jsonb_build_object('type', 'text', 'text', repeat('too much of it ', 700000))))))) WHERE id = 1`)
	if err := w.fails(cfg); !strings.Contains(err.Error(), "1 documents are parked") {
		t.Errorf("a run until caught up says: %v", err)
	}
}

// The sweep of everything owes one of each collection, and each of them its documents: all of that is waited for.
func TestRunUntilCaughtUpWaitsForWhatSweepsOwe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.VectorFaults().Set(1, local.Rule{Fault: local.Slow, Endpoint: "range", Next: 1, Delay: 2 * time.Second})
	cfg := w.cfg
	cfg.UntilCaughtUp = true
	r := w.startWith(cfg)
	w.says(`msg="sweep begins" collection=everything`)
	// While the index is slow to list, a table is locked: the sweep of its collection begins, and has owed nothing yet.
	lock := w.begin(`LOCK TABLE blog_posts, doc_pages, events, news, posts IN ACCESS EXCLUSIVE MODE`)
	w.says(`msg="sweep begins" collection=blog-posts`)
	select {
	case <-r.ended:
		t.Errorf("it says that it has caught up: %s", w.differences())
	case <-time.After(time.Second): // many of its looks
	}
	if err := lock.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if text := w.differences(); text != "" {
		t.Errorf("caught up, but: %s", text)
	}
}

// A run until caught up does not wait for a person who may never come.
func TestRunUntilCaughtUpGivesUpOnAKeyThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.server.EmbeddingFaults().Set(1, local.Rule{Fault: local.BadToken, Chance: 1})
	cfg := w.cfg
	cfg.UntilCaughtUp = true
	if err := w.fails(cfg); !strings.Contains(err.Error(), "not caught up") || !strings.Contains(err.Error(), "OPENAI_API_KEY") {
		t.Errorf("it ends with: %v", err)
	}
	w.server.EmbeddingFaults().Set(1)
	if err := w.startWith(cfg).wait(); err != nil {
		t.Fatal(err)
	}
	if text := w.differences(); text != "" {
		t.Errorf("caught up, but: %s", text)
	}
}

// The log has a table's rows, and its TRUNCATE, that was dropped before they were read.
func TestTableDroppedBeforeItsLogWasRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"rows":     `INSERT INTO posts_blocks_gone VALUES (1, 1)`,
		"truncate": `TRUNCATE posts_blocks_gone`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.start()
			w.equal()
			w.drained()
			r.stop()
			w.exec(`CREATE TABLE posts_blocks_gone (id int PRIMARY KEY, _parent_id int)`)
			w.exec(`ALTER PUBLICATION ` + w.cfg.Publication + ` ADD TABLE posts_blocks_gone`)
			w.exec(change)
			w.exec(`UPDATE posts SET title = 'after it' WHERE id = 1`)
			w.exec(`DROP TABLE posts_blocks_gone`)
			w.start()
			w.equal()
			w.drained()
		})
	}
}
