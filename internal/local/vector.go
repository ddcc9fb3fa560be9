package local

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// The vendor's limits.
const (
	maxWrites   = 1000     // vectors in an upsert
	maxReads    = 1000     // ids in a fetch, topK, vectors in a range
	maxQueries  = 100      // in one request; our guess
	maxMetadata = 48 << 10 // bytes
	maxText     = 1 << 20  // bytes of data
	maxBody     = 32 << 20 // bytes; our guess
)

// command is one path of the REST API.
type command struct {
	run       func(s *Server, ctx context.Context, c call) (any, error)
	write     bool // refused to a read-only token
	namespace bool // may be followed by one
	remove    bool // may also be sent as DELETE
}

// call is a request to a command.
type call struct {
	namespace string
	all       bool // ?all
	body      []byte
}

func commands() map[string]command {
	return map[string]command{
		"upsert":               {run: (*Server).upsert, write: true, namespace: true},
		"upsert-data":          {run: (*Server).textNotAllowed, write: true, namespace: true},
		"update":               {run: (*Server).update, write: true, namespace: true},
		"query":                {run: (*Server).query, namespace: true},
		"query-data":           {run: (*Server).textNotAllowed, namespace: true},
		"resumable-query":      {run: (*Server).queryStart, namespace: true},
		"resumable-query-data": {run: (*Server).textNotAllowed, namespace: true},
		"resumable-query-next": {run: (*Server).queryNext},
		"resumable-query-end":  {run: (*Server).queryEnd},
		"fetch":                {run: (*Server).fetch, namespace: true},
		"delete":               {run: (*Server).delete, write: true, namespace: true, remove: true},
		"range":                {run: (*Server).rangeOver, namespace: true},
		"random":               {run: (*Server).random, namespace: true},
		"info":                 {run: (*Server).info},
		"list-namespaces":      {run: (*Server).listNamespaces},
		"delete-namespace":     {run: (*Server).deleteNamespace, write: true, namespace: true, remove: true},
		"rename-namespace":     {run: (*Server).renameNamespace, write: true},
		"reset":                {run: (*Server).reset, write: true, namespace: true, remove: true},
	}
}

// Vector serves the Upstash Vector REST API of one dense index. Every answer is JSON, those to a failure too: the
// official client cannot read anything else.
func (s *Server) Vector() http.Handler {
	known := commands()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r, vectorFailure)
		name, namespace, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		cmd, ok := known[name]
		if ok {
			s.counts.request(name)
		} else {
			s.counts.request("unknown")
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		rule := s.vector.pick(name)
		// What is applied late must not end with the request that asked for it.
		ctx := context.WithoutCancel(r.Context())
		act := func() reply {
			switch {
			case !same(bearer(r), s.cfg.Token) && (s.cfg.ReadOnlyToken == "" || !same(bearer(r), s.cfg.ReadOnlyToken)):
				return vectorFailure(refusal(http.StatusUnauthorized, "Unauthorized: Invalid auth token"))
			case err != nil:
				if _, large := errors.AsType[*http.MaxBytesError](err); large {
					return vectorFailure(refusal(http.StatusRequestEntityTooLarge, "Request body is larger than %d bytes", maxBody))
				}
				return vectorFailure(wrongInput(nil, int64(len(body))))
			case !ok, strings.Contains(namespace, "/"), namespace != "" && !cmd.namespace:
				return vectorFailure(refusal(http.StatusNotFound, "Not found: %s", r.URL.Path)) // our guess
			case !allowed(r.Method, cmd):
				return vectorFailure(refusal(http.StatusMethodNotAllowed, "Method not allowed: %s", r.Method)) // our guess
			case cmd.write && !same(bearer(r), s.cfg.Token):
				return vectorFailure(refusal(http.StatusForbidden, "Forbidden: this token is read-only")) // our guess
			}
			result, err := cmd.run(s, ctx, call{namespace: namespace, all: r.URL.Query().Has("all"), body: body})
			if err != nil {
				if asRefused(err).status == http.StatusInternalServerError {
					s.log.Error("command failed", "command", name, "err", err)
				}
				return vectorFailure(err)
			}
			text, err := marshal(map[string]any{"result": result})
			if err != nil {
				return vectorFailure(err)
			}
			return reply{status: http.StatusOK, body: text}
		}
		s.deliver(w, r, rule, act, refuseVector)
	})
}

// allowed says whether a method goes with a command. Clients send POST for everything; the vendor documents the others.
func allowed(method string, cmd command) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodGet, http.MethodHead:
		return true
	case http.MethodDelete:
		return cmd.remove
	default:
		return false
	}
}

// recovered turns a panic into an answer, as the vendor's 500 would be.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request, failed func(error) reply) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	s.log.Error("handler panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	rep := failed(refusal(http.StatusInternalServerError, "Internal server error"))
	rep.send(w, len(rep.body))
}

func vectorFailure(err error) reply {
	e := asRefused(err)
	text, _ := marshal(struct {
		Error  string `json:"error"`
		Status int    `json:"status"`
	}{e.text, e.status})
	return reply{status: e.status, body: text}
}

// refuseVector words a fault as the vendor does.
func refuseVector(rule Rule) reply {
	switch rule.Fault {
	case RateLimit:
		rep := vectorFailure(refusal(http.StatusTooManyRequests, "Too many requests")) // our guess
		rep.header = retryAfter(rule.Delay)
		return rep
	case BadToken:
		return vectorFailure(refusal(http.StatusUnauthorized, "Unauthorized: Invalid auth token"))
	case Quota:
		limit := rule.Limit
		if limit == 0 {
			limit = 10000
		}
		return vectorFailure(overQuota(limit))
	default:
		return vectorFailure(refusal(http.StatusInternalServerError, "Internal server error")) // our guess
	}
}

// retryAfter is the header that asks for a delay, in whole seconds; none for none.
func retryAfter(d time.Duration) http.Header {
	h := http.Header{}
	if d > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
	}
	return h
}
