package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"payload-cdc/internal/local"
	"payload-cdc/internal/pgtest"
	"payload-cdc/test/e2e"
	"payload-cdc/test/payloadtest"
)

// token is what both provider servers want. It is no secret.
const token = "local"

// collections are the slugs that cdc indexes: the database does not tell docPages from doc-pages.
const collections = "posts,blog-posts,docPages,events,news"

// Stage is all that runs during the demo. Its fields are set by Open, one after the other, and what is set is closed by
// Close in the opposite order.
type Stage struct {
	out *Screen

	dir         string // of the binary and the log
	cluster     *pgtest.Cluster
	databaseURI string
	payload     *payloadtest.App
	seeded      []payloadtest.Seeded
	index       *Watched
	server      *local.Server
	serving     chan error // the end of the server
	stopServer  func()
	providers   string // the server's address, "http://127.0.0.1:…"
	cdc         *CDC
}

// Open sets the stage.
func (s *Stage) Open(ctx context.Context) error {
	s.out.Title("Setting up")
	dir, err := os.MkdirTemp("", "cdc-demo-")
	if err != nil {
		return err
	}
	s.dir = dir
	for _, step := range []struct {
		text string
		most time.Duration
		do   func(ctx context.Context, progress func(string)) (string, error)
	}{
		{"looking for Node", 30 * time.Second, findNode},
		{"starting a private Postgres", 2 * time.Minute, s.openPostgres},
		{"starting Payload, which creates its tables", 3 * time.Minute, s.openPayload},
		{"writing some content in Payload", 2 * time.Minute, s.seed},
		{"starting the vector index and the embeddings", 30 * time.Second, s.openProviders},
		{"building cdc", 15 * time.Minute, s.build},
		{"starting cdc, which looks at everything first", 3 * time.Minute, s.openCDC},
	} {
		ctx, cancel := within(ctx, step.most)
		err := s.out.Step(step.text, func(progress func(string)) (string, error) { return step.do(ctx, progress) })
		if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// within bounds a wait. Its cause says how long it was.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("not done after %s", d))
}

var nodeVersion = regexp.MustCompile(`^v(\d+)\.(\d+)\.`)

// errNoNode says what Payload runs on.
var errNoNode = errors.New("needed is Node 20.11 or newer, with npm: see https://nodejs.org/en/download")

// findNode says early, and in words, what would otherwise be a riddle of node's.
func findNode(ctx context.Context, _ func(string)) (string, error) {
	out, err := exec.CommandContext(ctx, "node", "--version").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", fmt.Errorf("it is not installed; %w", errNoNode)
	}
	if err != nil {
		return "", fmt.Errorf("node --version: %w", err)
	}
	parts := nodeVersion.FindSubmatch(out)
	if parts == nil {
		return "", fmt.Errorf("node --version says %q; %w", out, errNoNode)
	}
	major, _ := strconv.Atoi(string(parts[1]))
	minor, _ := strconv.Atoi(string(parts[2]))
	if major < 20 || major == 20 && minor < 11 {
		return "", fmt.Errorf("this is %s; %w", bytes.TrimSpace(out), errNoNode)
	}
	return fmt.Sprintf("Node %d", major), nil
}

func (s *Stage) openPostgres(ctx context.Context, _ func(string)) (string, error) {
	var err error
	if s.cluster, err = pgtest.Launch(ctx, pgtest.Options{}); err != nil {
		return "", err
	}
	if err := s.cluster.CreateDB(ctx, "payload"); err != nil {
		return "", err
	}
	s.databaseURI = s.cluster.URI("payload")
	return fmt.Sprintf("Postgres %d, private, on port %d", s.cluster.Version, s.cluster.Port), nil
}

func (s *Stage) openPayload(ctx context.Context, _ func(string)) (string, error) {
	var err error
	if s.payload, err = payloadtest.Start(ctx, s.databaseURI, payloadtest.Options{Push: true}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Payload, %d collections with drafts", len(s.payload.Collections)), nil
}

func (s *Stage) seed(ctx context.Context, _ func(string)) (string, error) {
	var err error
	if s.seeded, err = s.payload.Seed(ctx); err != nil {
		return "", err
	}
	published := 0
	for _, doc := range s.seeded {
		if doc.Published {
			published++
		}
	}
	return fmt.Sprintf("%d documents in Payload, %d of them published", len(s.seeded), published), nil
}

func (s *Stage) openProviders(ctx context.Context, _ func(string)) (string, error) {
	l, err := listen(ctx, "127.0.0.1:8091")
	if err != nil {
		return "", err
	}
	s.index = Watch(local.NewMemory(local.Cosine))
	s.server = local.New(local.Config{Store: s.index, Token: token})
	// It ends in Close, in order, after the context has.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopServer = stop
	s.serving = make(chan error, 1)
	go func() { s.serving <- s.server.ServeOn(serving, l) }()
	s.providers = "http://" + l.Addr().String()
	return "a vector index and embeddings, at " + s.providers, nil
}

func (s *Stage) build(ctx context.Context, _ func(string)) (string, error) {
	_, err := Build(ctx, s.dir)
	return "cdc is built", err
}

func (s *Stage) openCDC(ctx context.Context, progress func(string)) (string, error) {
	l, err := listen(ctx, "127.0.0.1:8090")
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	l.Close()
	s.cdc, err = Run(ctx, filepath.Join(s.dir, "cdc"), s.dir, map[string]string{
		"DATABASE_URI":              s.databaseURI,
		"CDC_COLLECTIONS":           collections,
		"OPENAI_BASE_URL":           s.providers + "/v1",
		"OPENAI_API_KEY":            token,
		"UPSTASH_VECTOR_REST_URL":   s.providers,
		"UPSTASH_VECTOR_REST_TOKEN": token,
		"CDC_HTTP_ADDR":             address,
		"CDC_LOG_FORMAT":            "text",
	})
	if err != nil {
		return "", err
	}
	if err := s.settle(ctx, progress); err != nil {
		return "", err
	}
	documents, err := s.matches(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("cdc runs: all %d published documents are in the index", documents), nil
}

// settle waits until cdc says that the index has everything.
func (s *Stage) settle(ctx context.Context, progress func(string)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := s.cdc.Status(ctx)
		switch {
		case err != nil: // it is only starting
		case status.Parked > 0:
			return fmt.Errorf("cdc has parked %d documents", status.Parked)
		case status.Settled():
			return nil
		default:
			published, indexed := 0, 0
			for _, c := range status.Collections {
				indexed += c.Indexed
				if c.Published != nil {
					published += *c.Published
				}
			}
			progress(fmt.Sprintf("cdc looks at everything first: %d of %d documents", indexed, published))
		}
		select {
		case <-tick.C:
		case <-s.cdc.Exited():
			return s.cdc.Ended()
		case <-ctx.Done():
			if err != nil {
				return fmt.Errorf("%w: %w", context.Cause(ctx), err)
			}
			return fmt.Errorf("%w: cdc is %s, %d documents and %d sweeps are owed. %s", context.Cause(ctx),
				status.State, status.Owed.Documents, len(status.Owed.Sweeps), status.Reason)
		}
	}
}

// matches compares the index, text and all, with what Payload itself says is published, and returns how many documents
// that is.
func (s *Stage) matches(ctx context.Context) (int, error) {
	ctx, cancel := within(ctx, time.Minute)
	defer cancel()
	published, err := s.payload.Readback(ctx)
	if err != nil {
		return 0, err
	}
	vectors, err := s.server.Vectors(ctx, "")
	if err != nil {
		return 0, err
	}
	if wrong := e2e.Compare(vectors, published); len(wrong) > 0 {
		return 0, fmt.Errorf("the index is not what Payload has published (%d differences): %s", len(wrong), wrong[0])
	}
	documents := map[[2]string]bool{} // a localized one has several entries
	for _, e := range published {
		documents[[2]string{e.Collection, e.ID}] = true
	}
	return len(documents), nil
}

// Wait waits until ctx ends, or something ends that should not.
func (s *Stage) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.cdc.Exited():
		return s.cdc.Ended()
	case err := <-s.serving:
		s.serving <- err // for Close
		return fmt.Errorf("the vector index ended: %w", err)
	}
}

// Close ends all that was opened. cdc's log stays when keep is set or something could not be ended.
func (s *Stage) Close(keep bool) error {
	s.out.Text("")
	return s.out.Step("stopping", func(func(string)) (string, error) {
		err := s.end()
		switch {
		case s.dir == "":
			return "everything is stopped", err
		case s.cdc == nil || !keep && err == nil:
			return "everything is stopped and removed", errors.Join(err, os.RemoveAll(s.dir))
		}
		err = errors.Join(err, os.Remove(filepath.Join(s.dir, "cdc")))
		if err != nil {
			err = fmt.Errorf("%w\ncdc's log stays in %s", err, s.cdc.LogPath)
		}
		return "everything is stopped; the log stays in " + s.cdc.LogPath, err
	})
}

// end stops cdc before what it talks to.
func (s *Stage) end() error {
	var errs []error
	if s.cdc != nil {
		select {
		case <-s.cdc.Exited():
			_ = s.cdc.Stop() // how it ended was said before
		default:
			errs = append(errs, s.cdc.Stop())
		}
	}
	if s.stopServer != nil {
		s.stopServer()
		errs = append(errs, <-s.serving, s.server.Close())
	}
	if s.payload != nil {
		errs = append(errs, s.payload.Close())
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	return errors.Join(errs...)
}

// listen takes an address that stays the same from demo to demo, or if somebody has that, any.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	if l, err := lc.Listen(ctx, "tcp", address); err == nil {
		return l, nil
	}
	return lc.Listen(ctx, "tcp", "127.0.0.1:0")
}
