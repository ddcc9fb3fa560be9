package embed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxBody bounds a response. 2048 vectors of 3072 numbers are 80 MB as JSON, but far less as base64 or in our batches.
const maxBody = 64 << 20

var (
	errRedirect = errors.New("the server redirects elsewhere")
	errSlow     = errors.New("no response within the timeout")
	errTooLarge = fmt.Errorf("the response is over %d MiB", maxBody>>20)
)

// trace is what a call saw on the wire: its last response, none when the last try had none.
type trace struct {
	tries  int
	status int
	header http.Header
	body   []byte
}

type traceKey struct{}

// transport reads whole bodies, so that a connection lost within one is an error of the try, which is retried; and keeps
// what the layers above lose: headers, bodies, rate limits.
type transport struct {
	base    http.RoundTripper
	project string
	timeout time.Duration // of a try, its body included
	limits  *limiter
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	seen, _ := req.Context().Value(traceKey{}).(*trace)
	if seen == nil {
		seen = &trace{}
	}
	seen.tries++
	seen.status, seen.header, seen.body = 0, nil, nil
	// Not http.Client.Timeout: its timer outlives a response whose body was exchanged for another.
	ctx, cancel := context.WithTimeoutCause(req.Context(), t.timeout, errSlow)
	defer cancel()
	req = req.Clone(ctx)
	if t.project != "" {
		req.Header.Set("OpenAI-Project", t.project)
	}
	resp, body, err := t.read(req)
	if err != nil {
		if errors.Is(context.Cause(ctx), errSlow) {
			return nil, fmt.Errorf("%w of %v", errSlow, t.timeout)
		}
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	seen.status, seen.header, seen.body = resp.StatusCode, resp.Header, body
	t.limits.learn(resp.Header, time.Now())
	return resp, nil
}

// read returns a response and its whole body.
func (t *transport) read(req *http.Request) (*http.Response, []byte, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read response body: %w", err)
	case len(body) > maxBody:
		return nil, nil, errTooLarge
	}
	return resp, body, nil
}
