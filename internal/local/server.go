package local

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tiktoken-go/tokenizer"
)

// Config says what a Server serves. Its zero value works: 1024 dimensions, cosine, in memory, token "local".
type Config struct {
	Dimensions    int    // of the index, and of embeddings whose request names none; defaults to 1024
	Metric        Metric // defaults to Cosine
	Name          string // of the index in errors; defaults to "local"
	Token         string // bearer token of both protocols; defaults to "local"
	ReadOnlyToken string // may read vectors; empty is no such token

	Store Store // defaults to an empty Memory
	Model Model // defaults to Hashed

	// IndexDelay is how long a written vector can be fetched but not found, as with the vendor. Zero is not at all.
	IndexDelay time.Duration
	// DailyWrites is how many vectors may be written or deleted a day (UTC). Zero is unlimited.
	DailyWrites int
	// OnEmbed is told the texts of each embedding request, before it is answered. Nil is nobody.
	OnEmbed func(texts []string)

	Logger *slog.Logger     // nil discards
	Now    func() time.Time // nil is time.Now
}

// Server speaks both protocols. It serves until Close, by itself (Serve) or as handlers of another server.
type Server struct {
	cfg    Config
	log    *slog.Logger
	counts counter
	late   lateness
	cursor cursors // resumable queries
	fresh  pending // written and not yet found
	quota  quota

	vector, embedding Faults

	codec func() (tokenizer.Codec, error)
}

// New returns a server. It starts nothing.
func New(cfg Config) *Server {
	if cfg.Dimensions <= 0 {
		cfg.Dimensions = 1024
	}
	if cfg.Metric == "" {
		cfg.Metric = Cosine
	}
	if cfg.Name == "" {
		cfg.Name = "local"
	}
	if cfg.Token == "" {
		cfg.Token = "local"
	}
	if cfg.Store == nil {
		cfg.Store = NewMemory(cfg.Metric)
	}
	if cfg.Model == nil {
		cfg.Model = Hashed{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		cfg:   cfg,
		log:   cfg.Logger,
		codec: sync.OnceValues(func() (tokenizer.Codec, error) { return tokenizer.Get(tokenizer.Cl100kBase) }),
	}
}

// Handler serves both protocols on one address: OpenAI's below /v1/, Upstash Vector's on the rest.
func (s *Server) Handler() http.Handler {
	vector, embeddings := s.Vector(), s.Embeddings()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			embeddings.ServeHTTP(w, r)
		} else {
			vector.ServeHTTP(w, r)
		}
	})
}

// Serve listens on addr and serves both protocols there until ctx ends.
func (s *Server) Serve(ctx context.Context, addr string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return s.ServeOn(ctx, l)
}

// ServeOn serves both protocols on l until ctx ends, and closes it.
func (s *Server) ServeOn(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// Requests in hand get a moment to end; then their connections are closed.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	if err != nil {
		err = server.Close()
	}
	if end := <-served; err == nil && !errors.Is(end, http.ErrServerClosed) {
		err = end
	}
	if err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

// Close applies what is still due (see Late) and closes the store. Requests that a fault holds up are let go.
func (s *Server) Close() error {
	s.late.close()
	return s.cfg.Store.Close()
}

// VectorFaults decides which requests to the index go wrong.
func (s *Server) VectorFaults() *Faults { return &s.vector }

// EmbeddingFaults decides which embedding requests go wrong.
func (s *Server) EmbeddingFaults() *Faults { return &s.embedding }

// Arrive applies every request that is due (see Late and Stall) now instead of after its delay, and waits for it.
func (s *Server) Arrive() { s.late.arrive() }

// Counts returns what has been asked and done so far.
func (s *Server) Counts() Counts { return s.counts.snapshot() }

// Vectors returns all that a namespace holds, by id.
func (s *Server) Vectors(ctx context.Context, namespace string) (map[string]Vector, error) {
	page, _, err := s.cfg.Store.Range(ctx, namespace, "", "", 0)
	if err != nil {
		return nil, fmt.Errorf("read namespace %q: %w", namespace, err)
	}
	all := make(map[string]Vector, len(page))
	for _, v := range page {
		all[v.ID] = v
	}
	return all, nil
}

// bearer returns the token of a request.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// refused is an answer to a request that could not be granted.
type refused struct {
	status int
	text   string
}

func (e *refused) Error() string { return e.text }

func refusal(status int, format string, args ...any) error {
	return &refused{status, fmt.Sprintf(format, args...)}
}

// asRefused returns what to answer to an error: what it says itself, or 500.
func asRefused(err error) *refused {
	if e, ok := errors.AsType[*refused](err); ok {
		return e
	}
	return &refused{http.StatusInternalServerError, "Internal server error"}
}
