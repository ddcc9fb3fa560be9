package embed

import (
	"bytes"
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
	limits  *limiter
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	seen, _ := req.Context().Value(traceKey{}).(*trace)
	if seen == nil {
		seen = &trace{}
	}
	seen.tries++
	seen.status, seen.header, seen.body = 0, nil, nil
	if t.project != "" {
		req = req.Clone(req.Context())
		req.Header.Set("OpenAI-Project", t.project)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("read response body: %w", err)
	}
	if len(body) > maxBody {
		return nil, errTooLarge
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	seen.status, seen.header, seen.body = resp.StatusCode, resp.Header, body
	t.limits.learn(resp.Header, time.Now())
	return resp, nil
}
