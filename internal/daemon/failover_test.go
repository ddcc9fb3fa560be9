package daemon_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"payload-cdc/internal/local"
	"payload-cdc/internal/pgtest"
)

// pair is a world whose database is a primary and a standby behind one address.
type pair struct {
	*world
	primary *pgtest.Cluster
	standby *pgtest.Cluster
	address *forwarder // what the daemon and the test connect to
	feed    *forwarder // what the standby follows the primary by
	direct  *pgxpool.Pool
}

// newPair makes the two. With synced, logical slots are copied to the standby, as Postgres 17 can.
func newPair(t *testing.T, version int, synced bool) *pair {
	t.Helper()
	primary := pgtest.Start(t, pgtest.Options{Version: version})
	db := primary.NewDB(t)
	direct := db.Pool(t)
	p := &pair{primary: primary, direct: direct, address: forward(t, primary.Port), feed: forward(t, primary.Port)}
	settings := map[string]string{"hot_standby_feedback": "on", "wal_receiver_status_interval": "1s"}
	if synced {
		settings["sync_replication_slots"] = "on"
	}
	p.standby = primary.Standby(t, pgtest.StandbyOptions{Port: p.feed.port(), Slot: "standby", Database: db.Name, Settings: settings})
	direct.Reset()
	db.URI = p.address.through(t, db.URI)
	p.world = newWorldIn(t, db)
	return p
}

// away does something on the primary that the daemon cannot see: the address leads nowhere.
func (p *pair) away(act func()) {
	p.Helper()
	p.address.lead(0)
	through := p.pool
	p.pool = p.direct
	act()
	p.pool = through
}

func (p *pair) followed() {
	p.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.standby.CatchUp(ctx, p.primary); err != nil {
		p.Fatal(err)
	}
}

// promote ends the primary as a crash does, and puts the standby in its place.
func (p *pair) promote() {
	p.Helper()
	p.address.lead(0)
	if err := p.primary.Kill(); err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := p.standby.Promote(ctx); err != nil {
		p.Fatal(err)
	}
	p.address.lead(p.standby.Port)
	p.pool.Reset()
}

// noticed expects the failover to have been noticed once, with these words and without those.
func (p *pair) noticed(with, without string) {
	p.Helper()
	var found []string
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "changes may have been missed") {
			found = append(found, line)
		}
	}
	if len(found) != 1 || !strings.Contains(found[0], "another timeline") || !strings.Contains(found[0], with) ||
		without != "" && strings.Contains(found[0], without) {
		p.Errorf("it was noticed %d times: %q", len(found), found)
	}
}

// copied waits until the standby has the slot, and would keep it when promoted.
func (p *pair) copied() {
	p.Helper()
	pool, err := pgxpool.New(context.Background(), p.standby.URI("postgres"))
	if err != nil {
		p.Fatal(err)
	}
	defer pool.Close()
	var touched time.Time
	p.eventually(func() string {
		if time.Since(touched) > time.Second { // what is copied has to move on to be kept
			p.exec(touch)
			touched = time.Now()
		}
		var kept bool
		err := pool.QueryRow(context.Background(), `SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1 AND synced AND NOT temporary)`, p.cfg.Slot).Scan(&kept)
		if err != nil {
			return err.Error()
		}
		return map[bool]string{false: "the standby does not have the slot"}[kept]
	})
}

const newSlot = "the slot is new"

// TestFailover promotes a standby that has all of the log. What changes between the daemon's last look and the promotion
// must not be lost, deletions least of all: with the slot on the standby it is read, without it everything is compared.
func TestFailover(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		version int
		synced  bool
	}{{15, false}, {17, false}, {17, true}} {
		t.Run(fmt.Sprintf("postgres %d, slot copied %t", one.version, one.synced), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, one.version, one.synced)
			r := p.start()
			p.equal()
			p.drained()
			if one.synced {
				p.copied()
			}
			second := p.start()
			second.standing() // one that has never read anything must live through it too
			p.away(func() {
				p.missed()
				p.followed()
			})
			p.promote()
			p.equal()
			p.drained()
			if one.synced {
				p.noticed("", newSlot)
			} else {
				p.noticed(newSlot, "")
			}
			p.change("on the new primary")
			p.equal()
			p.drained()
			r.stop()
			p.exec(`UPDATE posts SET title = 'by the second' WHERE id = 6`)
			p.equal()
			p.drained()
			second.stop()
			if n := strings.Count(p.log.String(), "changes may have been missed"); n != 1 {
				t.Errorf("it was noticed %d times", n)
			}
		})
	}
}

// TestFailoverLosesCommits promotes a standby that lacks what the index has already seen: documents that were published,
// edited and deleted on the old primary only.
func TestFailoverLosesCommits(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		version   int
		synced    bool
		elsewhere bool // the state, which then remembers what the database forgot
		overtaken bool // the new primary's log is longer than the checkpoint by the time that we look
	}{
		{version: 15},
		{version: 15, elsewhere: true},
		{version: 17, synced: true},
		{version: 17, synced: true, elsewhere: true, overtaken: true},
	} {
		t.Run(fmt.Sprintf("postgres %d, slot copied %t, state elsewhere %t, overtaken %t", one.version, one.synced, one.elsewhere, one.overtaken), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, one.version, one.synced)
			if one.elsewhere {
				p.cfg.StateURI = withPassword(t, pgtest.New(t).URI)
			}
			r := p.start()
			p.equal()
			if one.synced {
				p.copied()
			}
			p.followed()
			p.feed.lead(0) // from here on the standby hears nothing
			p.change("that nobody remembers")
			if one.elsewhere {
				p.exec(`CREATE TABLE filler AS SELECT repeat(md5(n::text), 50) FROM generate_series(1, 10000) n`)
				p.exec(`UPDATE posts SET title = 'the last one' WHERE id = 5`)
			}
			p.equal()
			p.confirmed()
			if one.overtaken {
				r.stop() // and comes back later than the application
			}
			p.promote()
			if one.overtaken {
				p.exec(`CREATE TABLE filler AS SELECT repeat(md5(n::text), 50) FROM generate_series(1, 20000) n`)
				p.change("after the failover")
				r = p.start()
			}
			p.equal()
			if one.elsewhere && !one.overtaken {
				p.says("the checkpoint is ahead of the database's log")
			} else {
				p.says("another timeline")
			}
			p.change("on the new primary")
			p.equal()
			r.stop()
		})
	}
}

// TestFailoverForgetsIntents: a write is on the wire when the primary is lost, and the standby has never heard of it. It
// arrives when all has been compared already, were that done at once.
func TestFailoverForgetsIntents(t *testing.T) {
	t.Parallel()
	p := newPair(t, 15, false)
	p.cfg.IndexTimeout = 8 * time.Second // and three times that for a write to arrive
	r := p.start()
	p.equal()
	p.drained()
	p.followed()
	p.feed.lead(0)
	p.server.VectorFaults().Set(1, local.Rule{Fault: local.Stall, Endpoint: "upsert", Chance: 1, Delay: time.Hour})
	p.exec(`INSERT INTO posts (title, _status) VALUES ('that nobody remembers', 'published')`)
	p.exec(`UPDATE posts SET title = 'nor this' WHERE id = 4`)
	p.eventually(func() string {
		return map[bool]string{true: "nothing is on the wire"}[p.server.VectorFaults().Hits()[local.Stall] == 0]
	})
	p.promote()
	p.server.VectorFaults().Set(1)
	p.says("changes may have been missed")
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); { // or until all has been compared
		owes, err := try[bool](p.world, `SELECT EXISTS (SELECT FROM payload_cdc.sweeps WHERE since <= now()) OR EXISTS (SELECT FROM payload_cdc.owed)`)
		if err == nil && !owes {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	p.server.Arrive()
	p.equal()
	p.drained()
	if text := p.differences(); text != "" {
		t.Error(text)
	}
	r.stop()
}
