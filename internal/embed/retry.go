package embed

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// checkRetry decides whether a try is worth another one at once. Where the provider asks for a longer pause than
// maxPause it is not: the caller has better things to do meanwhile, and failed requests count against the limits.
func checkRetry(maxPause time.Duration) retryablehttp.CheckRetry {
	return func(ctx context.Context, resp *http.Response, err error) (bool, error) {
		if err != nil || resp == nil {
			if errors.Is(err, errRedirect) || errors.Is(err, errTooLarge) {
				return false, nil
			}
			return retryablehttp.DefaultRetryPolicy(ctx, resp, err)
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if resp.StatusCode == http.StatusTooManyRequests {
			body, err := io.ReadAll(resp.Body) // in memory already
			if err != nil {
				return false, err
			}
			resp.Body = io.NopCloser(bytes.NewReader(body))
			if reasonOf(body).billing() {
				return false, nil
			}
		}
		if pause, ok := asked(resp.Header, time.Now()); ok && pause > maxPause {
			return false, nil
		}
		switch resp.Header.Get("X-Should-Retry") {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		switch code := resp.StatusCode; code {
		case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
			return true, nil
		default:
			return code >= 500 && code != http.StatusNotImplemented, nil
		}
	}
}

// passthrough returns the last response as it is: the library's default loses it. Never both, which net/http complains
// about on stderr; a refused redirect has both.
func passthrough(resp *http.Response, err error, tries int) (*http.Response, error) {
	if err != nil && resp != nil {
		if closeErr := resp.Body.Close(); closeErr != nil {
			err = errors.Join(err, closeErr)
		}
		resp = nil
	}
	return retryablehttp.PassthroughErrorHandler(resp, err, tries)
}

// backoff is the pause the provider asks for, at most longest; else it doubles from shortest, the upper half of it random.
func backoff(shortest, longest time.Duration, try int, resp *http.Response) time.Duration {
	if resp != nil {
		if pause, ok := asked(resp.Header, time.Now()); ok {
			return min(pause, longest)
		}
	}
	d := longest
	if try < 16 {
		d = min(shortest<<try, longest)
	}
	return d/2 + rand.N(d/2+1)
}

// asked returns the pause that a response asks for: retry-after-ms, else Retry-After in seconds or as a date.
func asked(h http.Header, now time.Time) (time.Duration, bool) {
	if ms, err := strconv.ParseFloat(strings.TrimSpace(h.Get("Retry-After-Ms")), 64); err == nil && ms >= 0 {
		return seconds(ms / 1000), true
	}
	text := strings.TrimSpace(h.Get("Retry-After"))
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 0 {
		return seconds(s), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// maxAsked bounds what we believe: a provider back earlier than it said is found out within the hour.
const maxAsked = time.Hour

func seconds(s float64) time.Duration {
	if !(s < maxAsked.Seconds()) { // NaN too
		return maxAsked
	}
	return time.Duration(s * float64(time.Second))
}
