package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultAddr is reachable from this machine only.
const DefaultAddr = "127.0.0.1:8090"

const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second
	idleTimeout    = time.Minute
	closeTimeout   = 3 * time.Second // for requests in hand at shutdown
	maxHeaderBytes = 16 << 10
)

// Config is what a Server shows. Its zero value shows that the process lives.
type Config struct {
	Addr string // host:port; defaults to DefaultAddr. Port 0 takes a free one

	// Status looks at everything. It is called by one goroutine at a time, at most once a second, and must return soon
	// after its context ends. Its error goes to the log, not to clients. Nil has no status.
	Status func(context.Context) (Status, error)
	// Ready says whether all is well, and otherwise (or besides) why, in words for people. It is called for every probe,
	// from many goroutines, so it must not ask the database. Nil is always ready.
	Ready func() (ok bool, reason string)
	// Gatherer has the metrics. Nil has none, and /metrics is not found.
	Gatherer prometheus.Gatherer
	// Retry is asked for by POST /api/parked/retry, by those who bear Token. Its errors go to the log. Nil, or no Token,
	// refuses them all.
	Retry  Retrier
	Token  string
	Logger *slog.Logger // nil discards
}

// Server answers on one address. Run it once.
type Server struct {
	cfg       Config
	latest    *latest
	listening chan struct{}
	addr      atomic.Value // string
}

// New returns a server. It starts nothing.
func New(cfg Config) *Server {
	if cfg.Addr == "" {
		cfg.Addr = DefaultAddr
	}
	if cfg.Ready == nil {
		cfg.Ready = func() (bool, string) { return true, "" }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Status == nil {
		cfg.Status = func(context.Context) (Status, error) { return Status{}, errUnavailable }
	}
	return &Server{cfg: cfg, latest: newLatest(cfg.Status, cfg.Logger), listening: make(chan struct{})}
}

// Listening is closed once the address is taken and connections wait there. It never is when Run fails before.
func (s *Server) Listening() <-chan struct{} { return s.listening }

// Addr is the address in use, with the port that was taken; empty before Listening.
func (s *Server) Addr() string {
	addr, _ := s.addr.Load().(string)
	return addr
}

// Run listens and answers until ctx ends, then finishes the requests in hand, for at most three seconds. It returns nil
// on that clean end.
func (s *Server) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	default:
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("serve health and status: %w (CDC_HTTP_ADDR chooses another address)", err)
	}
	s.addr.Store(listener.Addr().String())
	close(s.listening)
	s.cfg.Logger.Info("serving health and status", "addr", s.Addr())

	running, stop := context.WithCancel(ctx)
	server := &http.Server{
		Handler:           s.handler(),
		BaseContext:       func(net.Listener) context.Context { return running },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
	}
	var parts sync.WaitGroup
	parts.Go(func() { s.latest.run(running) })
	served := make(chan error, 1)
	parts.Go(func() { served <- server.Serve(listener) })

	select {
	case err = <-served:
		err = errors.Join(fmt.Errorf("serve health and status: %w", err), server.Close())
	case <-ctx.Done():
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		if server.Shutdown(ending) != nil {
			_ = server.Close() // a client that does not read is no reason to fail
		}
		cancel()
	}
	stop()
	parts.Wait()
	return err
}
