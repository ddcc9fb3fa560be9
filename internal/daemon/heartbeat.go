package daemon

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"payload-cdc/internal/admin"
)

// heartbeatPrefix is that of our messages in the log.
const heartbeatPrefix = "payload_cdc"

// errSilent ends a period of owning whose stream is open and says nothing.
var errSilent = errors.New("no heartbeat comes back")

// missedBeats is how many intervals a beat may take.
const missedBeats = 3

// longestSilence bounds how long the next beat is waited for after streams were opened anew for nothing.
const longestSilence = time.Hour

// pulse is what is known of the heartbeat: a message that goes into the log by an ordinary connection, and comes back on
// the stream if everything between them works. It is transactional, so that its commit moves the slot. A server that
// decodes a long transaction says nothing for long: each time that opening the stream anew has not helped, the next one
// is given twice as long, for ever opening it anew would never let it through.
type pulse struct {
	mu       sync.Mutex
	tag      string    // of this period of owning; others' beats are none of ours
	sent     uint64    // the last number
	waiting  time.Time // when the first beat that has not come back was sent; zero when none is out
	awaited  uint64    // its number
	patience time.Duration
	silent   time.Time // since when; zero when not
}

// begin forgets what was sent on another stream.
func (p *pulse) begin(tag string, every time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tag, p.waiting = tag, time.Time{}
	p.patience = max(p.patience, missedBeats*every)
}

// next is the content of the next beat.
func (p *pulse) next() (content string, number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent++
	return p.tag + ":" + strconv.FormatUint(p.sent, 10), p.sent
}

// out says that a beat is in the log.
func (p *pulse) out(number uint64, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.IsZero() && number > p.awaited {
		p.waiting, p.awaited = at, number
	}
}

// back says that a message came on the stream. over is true when that ends a silence.
func (p *pulse) back(content string, every time.Duration) (over bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	tag, text, _ := strings.Cut(content, ":")
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || tag != p.tag || number < p.awaited {
		return false
	}
	over = !p.silent.IsZero()
	// It may be here before out is: the log is quick.
	p.awaited, p.waiting, p.silent, p.patience = number, time.Time{}, time.Time{}, missedBeats*every
	return over
}

// missed says whether a beat is out for too long; then the stream is to be opened anew.
func (p *pulse) missed(now time.Time) (after time.Duration, missed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.IsZero() || now.Sub(p.waiting) < p.patience {
		return 0, false
	}
	if p.silent.IsZero() {
		p.silent = p.waiting
	}
	after, p.patience = now.Sub(p.waiting), min(2*p.patience, max(longestSilence, p.patience))
	return after, true
}

// silence is the finding while no beat comes back.
func (p *pulse) silence() (f admin.Finding, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent.IsZero() {
		return f, false
	}
	return admin.Finding{
		What: fmt.Sprintf("no heartbeat has come back through the log since %s: the stream was opened anew", p.silent.UTC().Format(time.RFC3339)),
		Remedy: "see in pg_stat_replication what the walsender of payload_cdc does: a long transaction that it decodes ends by itself; " +
			"else look at the network, or at the pooler, between cdc and Postgres",
	}, true
}

// beat writes heartbeats until ctx ends, and ends the period when none comes back.
func (o *owner) beat(ctx context.Context) {
	d := o.d
	every := d.cfg.Heartbeat
	if every <= 0 {
		return
	}
	d.pulse.begin(strconv.FormatInt(time.Now().UnixNano(), 36), every)
	for {
		content, number := d.pulse.next()
		at := time.Now()
		emitting, cancel := context.WithTimeout(ctx, max(every, 5*time.Second))
		_, err := d.source.Exec(emitting, "SELECT pg_logical_emit_message(true, $1, $2)", heartbeatPrefix, content)
		cancel()
		if err != nil {
			d.log.Debug("no heartbeat could be written", "err", err) // the stream tells of a server that is away
		} else {
			d.pulse.out(number, at)
		}
		if !pause(ctx, every) {
			return
		}
		if after, missed := d.pulse.missed(time.Now()); missed {
			o.end(fmt.Errorf("%w: one was written %s ago, and the stream has not brought it", errSilent, after.Round(time.Millisecond)))
			return
		}
	}
}

// heard is told each message of the log.
func (d *Daemon) heard(prefix string, content []byte) {
	if prefix == heartbeatPrefix && d.cfg.Heartbeat > 0 && d.pulse.back(string(content), d.cfg.Heartbeat) {
		d.log.Info("heartbeats come back again")
	}
}
