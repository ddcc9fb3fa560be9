package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"payload-cdc/internal/admin"
	"payload-cdc/internal/checkpoint"
	"payload-cdc/internal/embed"
	"payload-cdc/internal/owed"
	"payload-cdc/internal/payload"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// Daemon is the assembled program.
type Daemon struct {
	cfg      Config
	log      *slog.Logger
	source   *pgxpool.Pool
	state    *pgxpool.Pool
	store    *checkpoint.Postgres
	index    *guarded
	embedder *embed.OpenAI
	cutter   *cutter
	metrics  *admin.Metrics
	registry *prometheus.Registry

	renew   error         // why the slot is of no use: drop it and create it again; used by work only
	counted time.Time     // when the index was last counted; used by keepCount only
	flushed atomic.Uint64 // the server's end of the log, as last asked
	unknown map[string]bool
	looked  map[string]bool      // collections that are not streamed, and were owed their sweep; used by work only
	missing map[string]time.Time // collections whose tables are gone, since when; used by work only
	// reopened says that the last period ended in order to open the stream anew; work, and beforeSweep before it ends.
	reopened bool
	target   wal.LSN // with UntilCaughtUp: everything before it was committed before we began
	began    time.Time

	pulse pulse

	mu      sync.Mutex
	pace    pace
	phase   phase
	reason  string
	since   time.Time
	slot    replication.Slot
	model   *payload.Model
	owner   *owner // nil while standing by
	ever    bool   // owned, or stood by for who does, at least once
	covered coverage
}

// phase is what the daemon is doing, as status pages say it.
type phase string

const (
	starting  phase = "starting"
	standby   phase = "standby"
	streaming phase = "streaming"
	lost      phase = "lost" // the log cannot be read at the moment
)

// Run runs a daemon until ctx ends; then it finishes or returns what it has in hand, saves, confirms, and returns nil.
// With UntilCaughtUp it also ends once caught up: an error then says what is parked or held.
func Run(ctx context.Context, cfg Config) error {
	err := run(ctx, cfg)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // ended before there was anything to lose
	}
	return err
}

func run(ctx context.Context, cfg Config) error {
	d, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	if d.cfg.HTTPAddr != "" {
		g.Go(func() error { return d.serve(ctx) })
	}
	g.Go(func() error {
		defer cancel() // the end of the work is the end of everything
		return d.work(ctx)
	})
	return g.Wait()
}

// open connects to everything that has to answer before there is anything to do.
func open(ctx context.Context, cfg Config) (_ *Daemon, err error) {
	cfg = cfg.withDefaults()
	d := &Daemon{
		cfg: cfg, log: cfg.Logger, phase: starting, since: time.Now(), began: time.Now(), unknown: map[string]bool{}, looked: map[string]bool{},
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	d.registry = prometheus.NewRegistry()
	d.metrics = admin.NewMetrics(d.registry, admin.MetricsConfig{
		Version: cfg.Version, Gauges: d.gauges, Collections: cfg.Collections,
		Outcomes:  []string{"entered", "left", "revised", "unchanged", "parked"},
		Providers: []string{"openai", "upstash"}, Classes: []string{"transient", "systemic", "permanent"},
	})
	if d.cutter, err = newCutter(cfg); err != nil {
		return nil, err
	}
	if d.source, err = connect(ctx, cfg.DatabaseURI, "payload_cdc_read", "DATABASE_URI"); err != nil {
		return nil, err
	}
	if d.state, err = d.stateOf(ctx); err != nil {
		return nil, err
	}
	if d.embedder, err = newEmbedder(cfg, d.cutter.whole, d.metrics); err != nil {
		return nil, err
	}
	idx, err := newIndex(cfg)
	if err != nil {
		return nil, err
	}
	d.index = &guarded{Index: idx, count: d.metrics.Request}
	return d, nil
}

// work owns again and again, until ctx ends or an error says that there is no use.
func (d *Daemon) work(ctx context.Context) error {
	server, err := replication.InspectServer(ctx, d.source)
	if err != nil {
		return fmt.Errorf("look at the database: %w", err)
	}
	d.setServer(server)
	d.target = server.Flushed
	d.log.Info("connected", "postgres", server.Major(), "database", server.Database, "system", server.System)
	for tries := 0; ; {
		began := time.Now()
		err := d.own(ctx)
		var bad *verdict
		switch {
		case errors.Is(err, errCaughtUp):
			d.log.Info("caught up", "lsn", d.target.String(), "took", time.Since(d.began).Round(time.Millisecond))
			return nil
		case errors.As(err, &bad):
			return bad
		case ctx.Err() != nil:
			if errors.Is(err, context.Canceled) || again(err) {
				err = nil // what was to begin again is over
			}
			return err
		case errors.Is(err, ErrOwner):
			return err
		case errors.Is(err, owed.ErrFenced):
			d.log.Warn("another instance has taken over; standing by")
			d.set(standby, "another instance has taken over")
			tries = 1
		case again(err):
			d.log.Info("beginning again", "reason", err)
		case errors.Is(err, errGone):
			d.log.Warn("waiting for tables to come back", "reason", err)
			d.set(lost, err.Error())
		case !d.worked():
			return err // it never worked: a person is watching
		default:
			if remedy := replication.Remedy(err); remedy != "" {
				err = fmt.Errorf("%w (%s)", err, remedy)
			}
			d.log.Warn("the log cannot be read; trying again", "err", err)
			d.set(lost, err.Error())
		}
		if errors.Is(err, replication.ErrPublicationMissing) || errors.Is(err, replication.ErrLost) {
			d.renew = err
		}
		if time.Since(began) > time.Minute {
			tries = 0
		}
		tries++
		if !pause(ctx, min(100*time.Millisecond<<min(tries, 8), 10*time.Second)) {
			return nil
		}
	}
}

// again says whether a period of owning ended only because the next one has to know the tables anew.
func again(err error) bool {
	return errors.Is(err, errAgain) || errors.Is(err, payload.ErrUnknownTable) || errors.Is(err, payload.ErrSchemaChanged)
}

// pause waits. It returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (d *Daemon) close() {
	if d.store != nil {
		d.store.Close()
	}
	if d.embedder != nil {
		d.embedder.Close()
	}
	if d.index != nil {
		d.index.Close()
	}
	if d.state != nil && d.state != d.source {
		d.state.Close()
	}
	if d.source != nil {
		d.source.Close()
	}
}

// set says what the daemon is doing.
func (d *Daemon) set(p phase, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.phase != p {
		d.since = time.Now()
	}
	d.ever = d.ever || p == standby
	d.phase, d.reason = p, reason
}

func (d *Daemon) setServer(s replication.Server) {
	d.index.expect(s.System)
	d.flushed.Store(uint64(s.Flushed))
}

func (d *Daemon) setOwner(o *owner) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.owner = o
	d.ever = d.ever || o != nil
}

// worked says whether this instance has been of use: what ends it now is no mistake in how it was started. One that stands
// by is there for just such moments.
func (d *Daemon) worked() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ever
}

// errCaughtUp ends a run that was to last until then.
var errCaughtUp = errors.New("caught up")
