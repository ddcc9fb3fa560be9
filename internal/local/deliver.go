package local

import (
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// deliver answers a request as its rule says. act does what was asked and returns the honest answer; refuse is how the
// protocol words a fault that is an answer.
func (s *Server) deliver(w http.ResponseWriter, r *http.Request, rule Rule, act func() reply, refuse func(Rule) reply) {
	switch rule.Fault {
	case Cut:
		cut(w)
	case CutBody:
		rep := act()
		rep.send(w, len(rep.body)/2)
		cut(w)
	case AppliedThenCut:
		act()
		cut(w)
	case Late:
		s.late.add(rule.Delay, func() { act() })
		cut(w)
	case Stall:
		s.late.add(rule.Delay, func() { act() })
		select {
		case <-r.Context().Done():
		case <-s.late.closed():
		}
		cut(w)
	case Slow:
		timer := time.NewTimer(rule.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		case <-s.late.closed():
		}
		rep := act()
		rep.send(w, len(rep.body))
	case RateLimit, ServerError, BadToken, Quota:
		rep := refuse(rule)
		rep.send(w, len(rep.body))
	case BadGateway:
		rep := reply{status: http.StatusBadGateway, kind: "text/html", body: []byte(
			"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n")}
		rep.send(w, len(rep.body))
	case Answer:
		rep := reply{status: rule.Status, body: []byte(rule.Body)}
		if rep.status == 0 {
			rep.status = http.StatusOK
		}
		rep.send(w, len(rep.body))
	default: // no fault, or one that act has worked into its answer
		rep := act()
		rep.send(w, len(rep.body))
	}
}

// send writes the header and the first n bytes of the body. The length it announces is always that of all.
func (rep reply) send(w http.ResponseWriter, n int) {
	maps.Copy(w.Header(), rep.header)
	kind := rep.kind
	if kind == "" {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(rep.body)))
	w.WriteHeader(rep.status)
	// A client that has gone away cannot be told so.
	_, _ = w.Write(rep.body[:n])
	if n < len(rep.body) {
		_ = http.NewResponseController(w).Flush()
	}
}

// cut ends the request's connection with a reset.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // the best that can be done where there is no connection of our own
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// lateness keeps the requests that were cut and are still to be applied. A provider does not forget them because the
// client has gone, nor does close: what is still due then is applied at once.
type lateness struct {
	mu   sync.Mutex
	due  map[*overdue]bool // until applied
	done chan struct{}     // see closed
}

type overdue struct {
	apply   func()
	timer   *time.Timer
	claimed bool          // by whoever applies it
	applied chan struct{} // closed afterwards
}

func (l *lateness) add(after time.Duration, apply func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.due == nil {
		l.due = map[*overdue]bool{}
	}
	o := &overdue{apply: apply, applied: make(chan struct{})}
	o.timer = time.AfterFunc(after, func() { l.apply(o) })
	l.due[o] = true
}

// apply does what is due, once, whoever comes first.
func (l *lateness) apply(o *overdue) {
	l.mu.Lock()
	claimed := o.claimed
	o.claimed = true
	o.timer.Stop()
	l.mu.Unlock()
	if claimed {
		return
	}
	o.apply()
	l.mu.Lock()
	delete(l.due, o)
	l.mu.Unlock()
	close(o.applied)
}

// arrive applies everything that is due, now, and returns once it is done.
func (l *lateness) arrive() {
	l.mu.Lock()
	all := slices.Collect(maps.Keys(l.due))
	l.mu.Unlock()
	for _, o := range all {
		l.apply(o)
		<-o.applied
	}
}

// closed is closed by close: requests that a fault holds up are let go then.
func (l *lateness) closed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.channel()
}

func (l *lateness) channel() chan struct{} {
	if l.done == nil {
		l.done = make(chan struct{})
	}
	return l.done
}

func (l *lateness) close() {
	l.mu.Lock()
	done := l.channel()
	select {
	case <-done:
	default:
		close(done)
	}
	l.mu.Unlock()
	l.arrive()
}
