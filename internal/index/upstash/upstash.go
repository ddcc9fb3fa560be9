// Package upstash keeps vectors in Upstash Vector, over its REST API. Writes are told apart by what is known of them
// afterwards: those that were certainly refused may be sent again here; all others are returned to the caller, not
// rejected. A token is in the requests' header and nowhere else.
//
// Facts about the service are from its documentation (upstash.com/docs/vector), the official clients' source and test
// suites, and errors seen in the wild; where none of these speaks, the strict reading is taken.
package upstash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"payload-cdc/internal/document"
	"payload-cdc/internal/index"
	"payload-cdc/internal/secret"
)

// OwnerNamespace keeps the owners of all namespaces of an index.
const OwnerNamespace = "payload_cdc_owner"

// Config says which index, and how to talk to it. URL, Token and Dimensions are required.
type Config struct {
	URL        string   // https://<name>-vector.upstash.io, without path, query or user
	Token      string   // one that may write
	Namespace  string   // its own; empty is the default one. The official clients do not escape it, so its letters are few
	Namespaces []string // others, to be listed too; ids joined with any namespace are written and deleted there
	Dimensions int      // of the vectors
	Metric     string   // COSINE, EUCLIDEAN or DOT_PRODUCT as the index has it; defaults to COSINE

	Timeout  time.Duration // of one attempt of one request; defaults to 30 s
	MaxBatch int           // vectors in an upsert; defaults to 200, at most 1000
	MaxBytes int           // of an upsert's body, except that one vector is never divided; defaults to 2.5 MB
	Retries  int           // of reads, and of writes certainly refused; defaults to 3, negative is none
	MaxWait  time.Duration // longest pause between two tries; asked for a longer one, we give up; defaults to 5 s

	Hide   func(text string) string // takes secrets out of what the service says; nil hides the token only
	Logger *slog.Logger             // of retries, at debug; nil discards
	Now    func() time.Time         // nil is time.Now
}

// The service's limits. maxResponse is ours: a thousand vectors with the most metadata allowed fit.
const (
	maxWrites   = 1000
	maxReads    = 1000
	maxMetadata = 48 << 10
	maxText     = 1 << 20
	maxResponse = 64 << 20
)

// namespaces is what a URL's path carries as it is.
var namespaces = regexp.MustCompile(`^[A-Za-z0-9_.:-]{0,255}$`)

// CheckNamespace says whether name can be a namespace for vectors.
func CheckNamespace(name string) error {
	switch {
	case !namespaces.MatchString(name), name == ".", name == "..":
		return fmt.Errorf("namespace %q: use at most 255 letters, digits and any of _ . : -", name)
	case name == OwnerNamespace:
		return fmt.Errorf("namespace %q is kept for the owner records", name)
	}
	return nil
}

// place is an id taken apart: its namespace, the index's own if it names none, and the id there.
func (x *Index) place(joined string) (namespace, id string) {
	namespace, id = document.SplitID(joined)
	if namespace == "" {
		namespace = x.cfg.Namespace
	}
	return namespace, id
}

// joined is the inverse of place.
func (x *Index) joined(namespace, id string) string {
	if namespace == x.cfg.Namespace {
		return id
	}
	return document.Join(namespace, id)
}

// byNamespace is ids by namespace, each in its order, and the namespaces in the order of their first.
func (x *Index) byNamespace(joined []string) (order []string, ids map[string][]string) {
	ids = map[string][]string{}
	for _, one := range joined {
		namespace, id := x.place(one)
		if _, known := ids[namespace]; !known {
			order = append(order, namespace)
		}
		ids[namespace] = append(ids[namespace], id)
	}
	return order, ids
}

// Index implements index.Index.
type Index struct {
	cfg       Config
	base      string
	reads     *retryablehttp.Client
	writes    *retryablehttp.Client
	transport *http.Transport
}

var (
	_ index.Index  = (*Index)(nil)
	_ index.Keeper = (*Index)(nil)
)

// New checks the configuration. It connects to nothing; Check does.
func New(cfg Config) (*Index, error) {
	u, err := url.Parse(strings.TrimRight(strings.TrimSpace(cfg.URL), "/"))
	switch {
	case err != nil:
		return nil, errors.New("UPSTASH_VECTOR_REST_URL is not a URL") // not quoted: people paste tokens there
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return nil, errors.New("UPSTASH_VECTOR_REST_URL must begin with https:// and a host")
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("UPSTASH_VECTOR_REST_URL must be a bare address, without user, query or fragment")
	case cfg.Token == "":
		return nil, errors.New("UPSTASH_VECTOR_REST_TOKEN is missing")
	case strings.ContainsAny(cfg.Token, " \t\r\n"):
		return nil, errors.New("UPSTASH_VECTOR_REST_TOKEN contains white space")
	case cfg.Dimensions <= 0:
		return nil, errors.New("the vectors' dimension is missing")
	case cfg.MaxBatch > maxWrites:
		return nil, fmt.Errorf("a batch of %d vectors is more than the %d the service takes", cfg.MaxBatch, maxWrites)
	}
	cfg.Namespaces = slices.Compact(slices.Sorted(slices.Values(cfg.Namespaces)))
	for _, name := range append([]string{cfg.Namespace}, cfg.Namespaces...) {
		if err := CheckNamespace(name); err != nil {
			return nil, err
		}
	}
	if cfg.Metric == "" {
		cfg.Metric = "COSINE"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = 200
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 2_500_000
	}
	if cfg.Retries == 0 {
		cfg.Retries = 3
	}
	if cfg.MaxWait <= 0 {
		cfg.MaxWait = 5 * time.Second
	}
	if cfg.Hide == nil {
		cfg.Hide = secret.New([]string{cfg.Token}, nil).Hide
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	x := &Index{cfg: cfg, base: u.String()}
	x.transport = http.DefaultTransport.(*http.Transport).Clone()
	x.transport.MaxIdleConnsPerHost = 32 // the default of 2 would open a connection for nearly every concurrent write
	// Shorter than what load balancers allow (60 s): a write on a connection that closes at that moment is in doubt.
	x.transport.IdleConnTimeout = 30 * time.Second
	x.reads = x.client(x.retryRead)
	x.writes = x.client(x.retryWrite)
	return x, nil
}

// Close closes idle connections.
func (x *Index) Close() { x.transport.CloseIdleConnections() }

func (x *Index) client(retry retryablehttp.CheckRetry) *retryablehttp.Client {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{
		Transport: &whole{next: x.transport},
		Timeout:   x.cfg.Timeout,
		// A redirect would turn POST into GET and carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.Logger = nil // its own prints every URL
	c.RetryMax = max(x.cfg.Retries, 0)
	c.RetryWaitMin = 100 * time.Millisecond
	c.RetryWaitMax = x.cfg.MaxWait
	c.CheckRetry = retry
	c.Backoff = backoff
	// With an ErrorHandler the last answer comes back as it is, not as "giving up after 4 attempts".
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.RequestLogHook = func(_ retryablehttp.Logger, r *http.Request, try int) {
		if try > 0 {
			x.cfg.Logger.Debug("request repeated", "path", r.URL.Path, "tries", try+1)
		}
	}
	return c
}

// unsent wraps the error of an attempt that never had a connection: nothing can have arrived.
type unsent struct{ err error }

func (e *unsent) Error() string { return e.err.Error() }
func (e *unsent) Unwrap() error { return e.err }

// whole is a transport that returns an answer with its body read, so that a connection cut in the middle of it is
// an error of the attempt.
type whole struct{ next http.RoundTripper }

func (t *whole) RoundTrip(r *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	res, err := t.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		if !connected.Load() {
			return nil, &unsent{err}
		}
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	_ = res.Body.Close()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(body) > maxResponse:
		return nil, fmt.Errorf("the answer is larger than %d bytes", maxResponse)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

// retryWrite repeats only what was certainly not applied: no connection was made, or the service asked to wait.
func (x *Index) retryWrite(ctx context.Context, res *http.Response, err error) (bool, error) {
	if res == nil {
		_, never := errors.AsType[*unsent](err)
		return never && ctx.Err() == nil && worthwhile(err), nil
	}
	return res.StatusCode == http.StatusTooManyRequests && ctx.Err() == nil && x.bearable(res), nil
}

// retryRead repeats what may go better next time.
func (x *Index) retryRead(ctx context.Context, res *http.Response, err error) (bool, error) {
	if res == nil {
		return ctx.Err() == nil && worthwhile(err), nil
	}
	switch code := res.StatusCode; {
	case code == http.StatusNotImplemented:
		return false, nil
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return ctx.Err() == nil && x.bearable(res), nil
	}
	return false, nil
}

// worthwhile says whether a connection that could not be had may be had soon. A host without an address, or with a
// certificate not its own, will still be that in a second.
func worthwhile(err error) bool {
	var dns *net.DNSError
	return certificate(err) == nil && (!errors.As(err, &dns) || !dns.IsNotFound)
}

// bearable says whether the pause the service asks for is one to wait for here.
func (x *Index) bearable(res *http.Response) bool {
	wait, ok := retryAfter(res, x.cfg.Now())
	return !ok || wait <= x.cfg.MaxWait
}

// retryAfter reads the header of that name, seconds or a date.
func retryAfter(res *http.Response, now time.Time) (time.Duration, bool) {
	text := res.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Duration(min(n, 86400)) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// backoff is what the service asks for, else a random time below a doubling bound.
func backoff(low, high time.Duration, try int, res *http.Response) time.Duration {
	if res != nil {
		if wait, ok := retryAfter(res, time.Now()); ok {
			// A little later than asked, so that many clients do not come back at once.
			return min(wait+rand.N(low), high)
		}
	}
	bound := min(low<<min(try, 16), high)
	return bound/2 + rand.N(bound/2+1)
}

// post sends one command and returns its result. Path is the command and the namespace, if any.
func (x *Index) post(ctx context.Context, c *retryablehttp.Client, command, namespace string, body []byte) ([]byte, error) {
	path := "/" + command
	if namespace != "" {
		path += "/" + url.PathEscape(namespace)
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, x.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+x.cfg.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "payload-cdc")
	// Never an Idempotency-Key: net/http would take it as leave to send a write twice.
	res, err := c.Do(req)
	if err != nil {
		return nil, x.unanswered(ctx, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, x.unanswered(ctx, err)
	}
	return x.result(res, answer)
}
