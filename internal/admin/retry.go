package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

const maxRetryBytes = 4 << 10 // of the request's body

// ErrNotParked is returned by Config.Retry when nothing of what is named is parked. Its text goes to the client.
var ErrNotParked = errors.New("nothing of that is parked")

// retryWish is what is to be tried again: one document, each of a collection, or all.
type retryWish struct {
	Collection string `json:"collection"`
	ID         string `json:"id"`
	All        bool   `json:"all"`
}

// retry is the one thing that can be changed over HTTP. It is asked for with the token in a header and with JSON in the
// body, so that no page in a browser that reaches us can ask for it: without our leave, which nobody gets, a browser sends
// neither of them across origins.
func (s *Server) retry(w http.ResponseWriter, r *http.Request) {
	var wish retryWish
	if code, why := s.allowed(r); code != 0 {
		if code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="cdc"`)
		}
		refuse(w, code, why)
		return
	}
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRetryBytes))
	body.DisallowUnknownFields()
	err := body.Decode(&wish)
	if err == nil {
		if _, more := body.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, "the body is too large")
		return
	case err != nil, wish.All == (wish.Collection != ""), wish.ID != "" && wish.Collection == "":
		refuse(w, http.StatusBadRequest, `want {"collection": "posts", "id": "42"}, {"collection": "posts"} or {"all": true}`)
		return
	}
	n, err := s.cfg.Retry(r.Context(), wish.Collection, wish.ID)
	switch {
	case errors.Is(err, ErrNotParked):
		refuse(w, http.StatusNotFound, ErrNotParked.Error())
	case err != nil:
		s.cfg.Logger.Warn("parked documents cannot be tried again", "err", err)
		refuse(w, http.StatusServiceUnavailable, "it cannot be asked for at the moment; the log says why")
	default:
		// Accepted, not done: whoever owns the state will try them.
		writeJSON(w, http.StatusAccepted, struct {
			Documents int `json:"documents"`
		}{n})
	}
}

// allowed says whether a request may change something; else with which status and why it may not.
func (s *Server) allowed(r *http.Request) (code int, why string) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case s.cfg.Token == "" || s.cfg.Retry == nil:
		return http.StatusForbidden, "nothing can be changed over HTTP: no token is configured (CDC_ADMIN_TOKEN sets one)"
	case !strings.EqualFold(scheme, "Bearer") || !same(strings.TrimSpace(token), s.cfg.Token):
		return http.StatusUnauthorized, "want Authorization: Bearer and the value of CDC_ADMIN_TOKEN"
	case err != nil || kind != "application/json":
		return http.StatusUnsupportedMediaType, "want Content-Type: application/json"
	default:
		return 0, ""
	}
}

// same compares in a time that says nothing of either, nor of their lengths.
func same(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func refuse(w http.ResponseWriter, code int, why string) {
	writeJSON(w, code, struct {
		Error string `json:"error"`
	}{why})
}

// Retrier asks for parked documents to be tried again: one, each of a collection, or all when both are empty. It says how
// many, or ErrNotParked.
type Retrier func(ctx context.Context, collection, id string) (documents int, err error)
