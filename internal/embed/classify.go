package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"payload-cdc/internal/failure"
)

const provider = "openai"

// reason is what a refusal says about itself: {"error":{"message","type","code"}}; also {"error":"text"} and
// {"detail":…}, which compatible servers send.
type reason struct {
	message, kind, code string
	known               bool // the body is such an object
}

func reasonOf(body []byte) reason {
	var outer struct {
		Error  json.RawMessage `json:"error"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &outer) != nil {
		return reason{}
	}
	var inner struct {
		Message json.RawMessage `json:"message"`
		Type    any             `json:"type"`
		Code    any             `json:"code"`
	}
	text := func(raw json.RawMessage) string {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return s
		}
		return string(raw)
	}
	word := func(v any) string {
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	}
	switch {
	case len(outer.Error) > 0 && string(outer.Error) != "null":
		if json.Unmarshal(outer.Error, &inner) == nil {
			return reason{message: text(inner.Message), kind: word(inner.Type), code: word(inner.Code), known: true}
		}
		return reason{message: text(outer.Error), known: true}
	case len(outer.Detail) > 0:
		return reason{message: text(outer.Detail), known: true}
	default:
		return reason{}
	}
}

// billing says whether a person has to pay or to raise a limit before anything works again. The names are from OpenAI's
// help centre (article 5955604) and of older date.
func (r reason) billing() bool {
	for _, s := range []string{r.code, r.kind} {
		switch s {
		case "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded", "project_spend_limit_exceeded",
			"organization_usage_limit_exceeded", "billing_hard_limit_reached", "billing_not_active":
			return true
		}
	}
	return false
}

// about says whether the message speaks of one of words.
func (r reason) about(words ...string) bool {
	for _, w := range words {
		if strings.Contains(strings.ToLower(r.message), w) {
			return true
		}
	}
	return false
}

// classify returns the error of a call without a good response. err is only read where there was no response at all:
// the client library's own errors lose codes, and may repeat secrets.
func (o *OpenAI) classify(seen *trace, err error, texts int) error {
	e := &failure.Error{Provider: provider}
	act := fmt.Sprintf("embed %d texts: ", texts)
	if errors.Is(err, errRedirect) {
		e.Class, e.Rejected, e.Remedy = failure.Systemic, true, "set OPENAI_BASE_URL to where it redirects to"
		e.Err = errors.New(act + o.redact(err.Error()))
		return e
	}
	if seen.status == 0 {
		text := "no response"
		if err != nil {
			text = err.Error()
		}
		e.Err = errors.New(act + o.redact(text))
		return e
	}
	r := reasonOf(seen.body)
	text := r.message
	if text == "" {
		text = http.StatusText(seen.status)
	}
	if r.code != "" {
		text = r.code + ": " + text
	}
	e.Err = errors.New(act + fmt.Sprintf("%d ", seen.status) + o.redact(text))
	e.Rejected = seen.status >= 400 && seen.status < 500
	if pause, ok := asked(seen.header, time.Now()); ok {
		e.Until = time.Now().Add(min(pause, maxAsked))
	}
	e.Class, e.Remedy = classOf(seen.status, r)
	if e.Class != failure.Transient {
		e.Until = time.Time{}
	}
	if e.Class == failure.Transient && seen.status == http.StatusTooManyRequests && !e.Until.IsZero() {
		o.limits.refused(e.Until)
	}
	return e
}

func classOf(status int, r reason) (failure.Class, string) {
	const (
		key   = "set OPENAI_API_KEY to a valid key"
		model = "check CDC_EMBED_MODEL, OPENAI_BASE_URL and what the key's project may use"
		money = "add credit or raise the spend limit at platform.openai.com/settings/organization/billing"
	)
	switch {
	case r.billing() || status == http.StatusPaymentRequired:
		return failure.Systemic, money
	case status == http.StatusUnauthorized:
		return failure.Systemic, key
	case r.code == "model_not_found" || status == http.StatusForbidden || status == http.StatusNotFound:
		return failure.Systemic, model
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return failure.Transient, ""
	case status == http.StatusBadRequest && !r.known:
		return failure.Transient, "" // not the protocol: something between us and the server
	case status == http.StatusBadRequest && r.about("dimension"):
		return failure.Systemic, "check CDC_EMBED_DIMENSIONS and CDC_EMBED_MODEL"
	case status == http.StatusBadRequest && r.about("invalid model", "model id"):
		return failure.Systemic, model
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return failure.Permanent, ""
	default:
		return failure.Systemic, "check OPENAI_BASE_URL" // a method not allowed, a status no embeddings server sends
	}
}
