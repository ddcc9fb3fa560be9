package upstash

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"payload-cdc/internal/failure"
)

const provider = "upstash"

// unanswered classifies a request that got no answer. It was rejected only if it was never sent.
func (x *Index) unanswered(ctx context.Context, err error) error {
	_, never := errors.AsType[*unsent](err)
	e := &failure.Error{Provider: provider, Rejected: never}
	// The address is in every one of net/http's errors, the attempt's cause is enough.
	if at, ok := errors.AsType[*url.Error](err); ok {
		err = at.Err
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if cause := certificate(err); cause != nil {
		e.Class, e.Remedy = failure.Systemic, "check UPSTASH_VECTOR_REST_URL, and the certificates this machine trusts"
	}
	e.Err = fmt.Errorf("no answer: %w", err)
	return e
}

// certificate returns the error in err's chain that says that the host is not who it should be.
func certificate(err error) error {
	var one *tls.CertificateVerificationError
	var two x509.UnknownAuthorityError
	switch {
	case errors.As(err, &one):
		return one
	case errors.As(err, &two):
		return two
	}
	return nil
}

// result reads the envelope {"result": …} or {"error": text, "status": n} strictly: an answer that is neither leaves
// open what happened.
func (x *Index) result(res *http.Response, body []byte) ([]byte, error) {
	var envelope struct {
		Result json.RawMessage `json:"result"`
		Error  *string         `json:"error"`
	}
	err := json.Unmarshal(body, &envelope)
	if res.StatusCode == http.StatusOK && err == nil && envelope.Error == nil && envelope.Result != nil {
		return envelope.Result, nil
	}
	text := string(body[:min(len(body), 8<<10)])
	if err == nil && envelope.Error != nil {
		text = *envelope.Error
	}
	// A service, or a proxy on the way, may quote what it was sent. Hidden before it is cut: half a secret is not found.
	text = x.cfg.Hide(text)
	return nil, x.refused(res, strings.ToValidUTF8(text[:min(len(text), 512)], ""))
}

// mismatch are the beginnings of refusals that no document is to blame for: the index is not what it should be.
var mismatch = []string{"Invalid vector dimension", "This index requires", "Embedding data for this index is not allowed"}

// refused classifies an answer that is not a success.
func (x *Index) refused(res *http.Response, text string) error {
	e := &failure.Error{Provider: provider, Rejected: true, Err: fmt.Errorf("%d %s", res.StatusCode, strings.TrimSpace(text))}
	now := x.cfg.Now()
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized:
		e.Class, e.Remedy = failure.Systemic, "check UPSTASH_VECTOR_REST_TOKEN"
	case strings.HasPrefix(text, "Exceeded daily"):
		// Not 429: the plan's calendar day is used up.
		e.Class, e.Until = failure.Systemic, tomorrow(now)
		e.Remedy = "the plan's daily limit is used up; work goes on after 00:00 UTC, or with a larger plan"
	case code == http.StatusForbidden:
		e.Class, e.Remedy = failure.Systemic, "check that UPSTASH_VECTOR_REST_TOKEN is not the read-only one"
	case code == http.StatusNotFound && strings.HasPrefix(text, "Namespace "):
		// Reads and deletes of it find nothing; see absent.
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code >= 300 && code < 400:
		e.Class, e.Remedy = failure.Systemic, "check UPSTASH_VECTOR_REST_URL: this is not an Upstash Vector index"
	case code == http.StatusRequestEntityTooLarge:
		e.Class = failure.Permanent
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		e.Class = failure.Permanent
		for _, begin := range mismatch {
			if strings.HasPrefix(text, begin) {
				e.Class, e.Remedy = failure.Systemic, "create a dense index that fits, or set CDC_EMBED_DIMENSIONS to the index's dimension"
			}
		}
	case code == http.StatusTooManyRequests:
		if wait, ok := retryAfter(res, now); ok {
			e.Until = now.Add(wait)
		}
	default:
		// 408 and 5xx, and a success that cannot be understood: it may have happened.
		e.Rejected = false
		if wait, ok := retryAfter(res, now); ok && code != http.StatusOK {
			e.Until = now.Add(wait)
		}
		if code == http.StatusOK {
			e.Err = fmt.Errorf("the answer is not understood: %q", text)
		}
	}
	return e
}

// tomorrow is the next 00:00 UTC, and up to five minutes, for all that waited come back then.
func tomorrow(now time.Time) time.Time {
	return now.UTC().Truncate(24 * time.Hour).Add(24*time.Hour + rand.N(5*time.Minute))
}

// absent says whether a request was refused because its namespace does not exist.
func absent(err error) bool {
	e := failure.Of(err)
	return e.Rejected && strings.HasPrefix(e.Err.Error(), "404 Namespace ")
}

// unreadable is the error of a successful answer whose result is not what was asked for.
func unreadable(format string, args ...any) error {
	return &failure.Error{Provider: provider, Err: fmt.Errorf("the answer is not understood: "+format, args...)}
}

// wrap says what was being done, and keeps the class.
func wrap(err error, format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, err)...)
}
