package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/admin"
	"payload-cdc/internal/chunk"
	"payload-cdc/internal/embed"
	"payload-cdc/internal/failure"
	"payload-cdc/internal/index"
	"payload-cdc/internal/index/upstash"
	"payload-cdc/internal/replication"
)

// connect opens a small pool and makes sure that it works. variable is what the user set, for errors.
func connect(ctx context.Context, uri, application, variable string) (*pgxpool.Pool, error) {
	if uri == "" {
		return nil, fmt.Errorf("%s is not set: give Payload's own database, e.g. postgres://user:password@host:5432/database", variable)
	}
	cfg, err := pgxpool.ParseConfig(uri)
	if err != nil {
		return nil, replication.Unreadable(variable, err)
	}
	cfg.MaxConns = 8
	cfg.ConnConfig.RuntimeParams["application_name"] = application
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "local" // our own commits never wait for a standby
	cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	// Works through a transaction pooler too.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		remedy := replication.Remedy(err)
		if remedy == "" {
			remedy = "is it reachable from here, and are user and password right?"
		}
		return nil, fmt.Errorf("connect to the database of %s (%s:%d): %w (%s)", variable, cfg.ConnConfig.Host, cfg.ConnConfig.Port, err, remedy)
	}
	return pool, nil
}

// stateOf opens the pool for the state: the source's own, unless it lives elsewhere.
func (d *Daemon) stateOf(ctx context.Context) (*pgxpool.Pool, error) {
	if d.cfg.StateURI == d.cfg.DatabaseURI {
		return d.source, nil
	}
	if strings.HasPrefix(d.cfg.StateURI, "sqlite:") {
		return nil, errors.New("CDC_STATE_URI: this version keeps its state in Postgres only: give a postgres:// address")
	}
	return connect(ctx, d.cfg.StateURI, "payload_cdc_state", "CDC_STATE_URI")
}

func newEmbedder(cfg Config, splitter *chunk.Splitter, metrics *admin.Metrics) (*embed.OpenAI, error) {
	return embed.NewOpenAI(embed.Config{
		APIKey: cfg.OpenAIKey, BaseURL: cfg.OpenAIBaseURL, Model: cfg.EmbedModel, Dimensions: cfg.EmbedDimensions,
		Hide: cfg.Hide, Count: splitter.Count, Logger: cfg.Logger,
		Observe: func(c embed.Call) {
			if metrics != nil {
				metrics.Request("openai", c.Duration, class(c.Err), c.Inputs)
			}
		},
	})
}

func newIndex(cfg Config) (index.Index, error) {
	return upstash.New(upstash.Config{
		URL: cfg.UpstashURL, Token: cfg.UpstashToken, Namespace: cfg.UpstashNamespace, Namespaces: cfg.namespaces(),
		Dimensions: cfg.EmbedDimensions, Timeout: cfg.IndexTimeout, Hide: cfg.Hide, Logger: cfg.Logger,
	})
}

// class is an error's class as metrics name it; empty for success.
func class(err error) string {
	if err == nil {
		return ""
	}
	return failure.Of(err).Class.String()
}

// attach opens what the commands beside run need: the database and the state.
func attach(ctx context.Context, cfg Config) (*Daemon, error) {
	cfg = cfg.withDefaults()
	d := &Daemon{cfg: cfg, log: cfg.Logger}
	var err error
	if d.source, err = connect(ctx, cfg.DatabaseURI, "payload_cdc_setup", "DATABASE_URI"); err != nil {
		return nil, err
	}
	if d.state, err = d.stateOf(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}
