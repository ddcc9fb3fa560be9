package daemon

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"payload-cdc/internal/admin"
	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// pace is how fast the server writes its log, for how long a slot in danger has left.
type pace struct {
	at    time.Time
	end   wal.LSN
	bytes float64 // a second; zero when not known
}

// paceSpan is how long the log is watched for one figure at least: shorter ones say more of a moment than of the load.
const paceSpan = 5 * time.Second

func (p *pace) see(now time.Time, end wal.LSN) {
	took := now.Sub(p.at)
	if p.at.IsZero() || end < p.end {
		p.at, p.end, p.bytes = now, end, 0
		return
	}
	if took < paceSpan {
		return
	}
	current := float64(end-p.end) / took.Seconds()
	if p.bytes > 0 {
		current = (p.bytes + current) / 2
	}
	p.at, p.end, p.bytes = now, end, current
}

// left is how long the log may go on at this pace; zero when that is not known, or is years.
func (p *pace) left(bytes int64) time.Duration {
	if p.bytes < 1 || bytes < 0 {
		return 0
	}
	if seconds := float64(bytes) / p.bytes; seconds < (10 * 365 * 24 * time.Hour).Seconds() {
		return max(time.Duration(seconds*float64(time.Second)), time.Second)
	}
	return 0
}

// retained says what to do about a slot that holds back too much log; ok is false when it does not.
func (d *Daemon) retained(slot replication.Slot) (f admin.Finding, ok bool) {
	if !slot.Exists || slot.Lost() || slot.RetainedBytes <= d.cfg.RetainedWarning && slot.WALStatus != "unreserved" {
		return f, false
	}
	f.What = fmt.Sprintf("the slot %s holds back %s of the server's log", slot.Name, humanize.IBytes(uint64(slot.RetainedBytes)))
	if slot.SafeBytes < 0 {
		f.What += ", and no max_slot_wal_keep_size keeps it from filling the disk"
	} else {
		f.What += fmt.Sprintf(", and is lost after %s more", humanize.IBytes(uint64(slot.SafeBytes)))
		if left := d.timeLeft(slot.SafeBytes); left > 0 {
			f.What += fmt.Sprintf(", in about %s at the present pace", left.Round(time.Second))
		}
	}
	f.Remedy = "if cdc run is not behind (cdc status says so), an open transaction holds the log: end the oldest in pg_stat_activity and pg_prepared_xacts; " +
		"if it is stopped for good, run: cdc teardown"
	return f, true
}

func (d *Daemon) timeLeft(bytes int64) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pace.left(bytes)
}

// alarms are the findings of this moment: they are no part of how the tables are covered.
func (d *Daemon) alarms(slot replication.Slot) []admin.Finding {
	var list []admin.Finding
	if f, ok := d.retained(slot); ok {
		list = append(list, f)
	}
	if f, ok := d.pulse.silence(); ok {
		list = append(list, f)
	}
	return list
}

// watchRetained warns once when the slot begins to hold back too much, and says when that is over.
func (d *Daemon) watchRetained(slot replication.Slot, warned bool) bool {
	d.mu.Lock()
	d.pace.see(time.Now(), wal.LSN(d.flushed.Load()))
	d.mu.Unlock()
	f, bad := d.retained(slot)
	switch {
	case bad && !warned:
		d.log.Warn("the slot holds back much of the server's log", "finding", f.What, "remedy", f.Remedy, "retained_bytes", slot.RetainedBytes,
			"wal_status", slot.WALStatus)
	case !bad && warned:
		d.log.Info("the slot holds back little of the server's log again", "retained_bytes", slot.RetainedBytes)
	}
	return bad
}
