// Package failure sorts errors into the three classes that decide what happens next. The place that meets an error
// from outside (an HTTP status, a provider's code) classifies it once; everyone else only asks.
package failure

import (
	"errors"
	"time"
)

// Class decides what happens to the document and to the pipeline.
type Class uint8

// Transient is retried with backoff. Systemic pauses all work that needs the provider until a probe succeeds.
// Permanent is about this document only: it is parked with its reason.
const (
	Transient Class = iota
	Systemic
	Permanent
)

// String is the word for logs and metrics.
func (c Class) String() string {
	switch c {
	case Systemic:
		return "systemic"
	case Permanent:
		return "permanent"
	default:
		return "transient"
	}
}

// Error is a classified error. The zero Class is transient.
type Error struct {
	Class    Class
	Provider string    // "openai", "upstash", "postgres"
	Until    time.Time // not worth trying before; zero when the provider said nothing
	Rejected bool      // the provider certainly did not apply the request; otherwise its outcome is unknown
	Remedy   string    // what a person can do; empty when nothing
	Err      error
}

func (e *Error) Error() string {
	text := e.Err.Error()
	if e.Provider != "" {
		text = e.Provider + ": " + text
	}
	if e.Remedy != "" {
		text += " (" + e.Remedy + ")"
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Of returns the classification of err: of the first Error in its chain, else transient with an unknown outcome.
func Of(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Err: err}
}
