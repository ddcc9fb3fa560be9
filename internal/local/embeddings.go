package local

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tiktoken-go/tokenizer"
)

// The limits of OpenAI's embeddings API.
const (
	maxInputs        = 2048
	maxInputTokens   = 8192
	maxRequestTokens = 300000
)

// Embeddings serves OpenAI's POST /v1/embeddings. Any model name is accepted and means the same Model; tokens are
// counted as OpenAI counts them for its embedding models (cl100k_base).
func (s *Server) Embeddings() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r, openAIFailure)
		s.counts.request("embeddings")
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		rule := s.embedding.pick("embeddings")
		ctx := context.WithoutCancel(r.Context())
		began := time.Now()
		act := func() reply {
			rep := s.embeddings(ctx, r, body, err, rule)
			rep.header = commonHeader(began)
			return rep
		}
		s.deliver(w, r, rule, act, refuseEmbedding)
	})
}

// commonHeader is what OpenAI sends with every answer. The rate limits are always far away.
func commonHeader(began time.Time) http.Header {
	h := http.Header{}
	for key, value := range map[string]string{
		"X-Request-Id":                   "req_" + strings.ToLower(rand.Text()),
		"Openai-Version":                 "2020-10-01",
		"Openai-Processing-Ms":           strconv.FormatInt(time.Since(began).Milliseconds(), 10),
		"Openai-Organization":            "local",
		"X-Ratelimit-Limit-Requests":     "10000",
		"X-Ratelimit-Remaining-Requests": "9999",
		"X-Ratelimit-Reset-Requests":     "6ms",
		"X-Ratelimit-Limit-Tokens":       "10000000",
		"X-Ratelimit-Remaining-Tokens":   "9999999",
		"X-Ratelimit-Reset-Tokens":       "0s",
	} {
		h.Set(key, value)
	}
	return h
}

// embeddingRequest is the body of a request.
type embeddingRequest struct {
	Model      string          `json:"model"`
	Input      json.RawMessage `json:"input"`
	Dimensions *int            `json:"dimensions"`
	Format     string          `json:"encoding_format"`
}

func (s *Server) embeddings(ctx context.Context, r *http.Request, body []byte, bodyErr error, rule Rule) reply {
	if token := bearer(r); !same(token, s.cfg.Token) {
		return openAIFailure(badKey(token))
	}
	if r.URL.Path != "/v1/embeddings" {
		return openAIFailure(invalid(http.StatusNotFound, "Invalid URL (%s %s)", r.Method, r.URL.Path))
	}
	if r.Method != http.MethodPost {
		return openAIFailure(invalid(http.StatusMethodNotAllowed, "Not allowed to %s on /v1/embeddings.", r.Method))
	}
	var req embeddingRequest
	if bodyErr != nil || json.Unmarshal(body, &req) != nil {
		return openAIFailure(invalid(http.StatusBadRequest, "We could not parse the JSON body of your request."))
	}
	codec, err := s.codec()
	if err != nil {
		return openAIFailure(err)
	}
	texts, counts, err := readInput(codec, req.Input)
	if err != nil {
		return openAIFailure(err)
	}
	dimensions, err := s.dimensions(req)
	if err != nil {
		return openAIFailure(err)
	}
	if s.cfg.OnEmbed != nil {
		s.cfg.OnEmbed(slices.Clone(texts))
	}
	vectors, err := s.cfg.Model.Embed(ctx, texts, dimensions)
	if err != nil {
		s.log.Error("model failed", "err", err)
		return openAIFailure(err)
	}
	tokens := 0
	for _, n := range counts {
		tokens += n
	}
	s.counts.add(func(n *Counts) {
		n.Inputs += len(texts)
		n.Tokens += tokens
	})
	data := make([]datum, len(vectors))
	for i, v := range vectors {
		data[i] = datum{i, v}
	}
	return reply{status: http.StatusOK, body: encodeEmbeddings(mangle(rule, data), req, tokens)}
}

// readInput reads the four forms of input as texts, with their counts of tokens, and holds them to the limits.
func readInput(codec tokenizer.Codec, raw json.RawMessage) (texts []string, counts []int, err error) {
	malformed := invalid(http.StatusBadRequest, "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.")
	if isNull(raw) {
		return nil, nil, malformed
	}
	var lists [][]uint
	var one string
	var list []uint
	switch {
	case json.Unmarshal(raw, &one) == nil:
		texts = []string{one}
	case json.Unmarshal(raw, &texts) == nil:
	case json.Unmarshal(raw, &list) == nil:
		lists, texts = [][]uint{list}, nil
	case json.Unmarshal(raw, &lists) == nil:
		texts = nil
	default:
		return nil, nil, malformed
	}
	n := max(len(texts), len(lists))
	if n == 0 {
		return nil, nil, malformed
	}
	if n > maxInputs {
		e := invalid(http.StatusBadRequest,
			"Invalid 'input': array too long. Expected an array with maximum length %d, but got an array with length %d instead.", maxInputs, n)
		e.Param, e.Code = new("input"), new("array_above_max_length")
		return nil, nil, e
	}
	total := 0
	for i := range n {
		count := 0
		if lists != nil {
			text, err := codec.Decode(lists[i])
			if err != nil || len(lists[i]) == 0 {
				return nil, nil, malformed
			}
			texts, count = append(texts, text), len(lists[i])
		} else {
			if texts[i] == "" {
				return nil, nil, malformed
			}
			if count, err = codec.Count(texts[i]); err != nil {
				return nil, nil, err
			}
		}
		if count > maxInputTokens {
			return nil, nil, invalid(http.StatusBadRequest,
				"This model's maximum context length is %d tokens, however you requested %d tokens (%d in your prompt; 0 for the completion). "+
					"Please reduce your prompt; or completion length.", maxInputTokens, count, count)
		}
		counts = append(counts, count)
		total += count
	}
	if total > maxRequestTokens {
		e := invalid(http.StatusBadRequest, "Requested %d tokens, max %d tokens per request", total, maxRequestTokens)
		e.Type, e.Code = "max_tokens_per_request", new("max_tokens_per_request")
		return nil, nil, e
	}
	return texts, counts, nil
}

// dimensions returns how long the vectors are to be. Where OpenAI would answer with the model's own dimension, we do
// with the index's: the two are made to fit each other.
func (s *Server) dimensions(req embeddingRequest) (int, error) {
	if req.Model == "" {
		return 0, invalid(http.StatusBadRequest, "you must provide a model parameter")
	}
	if req.Format != "" && req.Format != "float" && req.Format != "base64" {
		e := invalid(http.StatusBadRequest, "Invalid value: '%s'. Supported values are: 'float' and 'base64'.", req.Format)
		e.Param, e.Code = new("encoding_format"), new("invalid_value")
		return 0, e
	}
	if req.Dimensions == nil {
		return s.cfg.Dimensions, nil
	}
	most := 3072
	if req.Model == "text-embedding-3-small" {
		most = 1536
	}
	e := invalid(http.StatusBadRequest, "")
	e.Param = new("dimensions")
	switch n := *req.Dimensions; {
	case req.Model == "text-embedding-ada-002":
		e.Message = "This model does not support specifying dimensions."
	case n < 1:
		e.Message = fmt.Sprintf("Invalid value for 'dimensions' = %d. Must be greater than or equal to 1.", n)
	case n > most:
		e.Message = fmt.Sprintf("Invalid value for 'dimensions' = %d. Must be less than or equal to %d.", n, most)
	default:
		return n, nil
	}
	return 0, e
}

// datum is one embedding of an answer.
type datum struct {
	index  int
	values []float32
}

// mangle makes an answer wrong as a rule says.
func mangle(rule Rule, data []datum) []datum {
	last := len(data) - 1
	switch rule.Fault {
	case ShortData:
		return data[:last]
	case WrongIndex:
		if last == 0 {
			data[0].index = 1
		} else {
			data[last].index = 0
		}
	case OutOfOrder:
		slices.Reverse(data)
	case NotANumber:
		data[last].values = slices.Clone(data[last].values)
		data[last].values[0] = float32(math.NaN())
	}
	return data
}

// encodeEmbeddings writes an answer. By hand, for floats as short as 32 bits allow, and for a NaN to be written at all.
func encodeEmbeddings(data []datum, req embeddingRequest, tokens int) []byte {
	b := []byte(`{"object":"list","data":[`)
	for i, d := range data {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"object":"embedding","index":`...)
		b = strconv.AppendInt(b, int64(d.index), 10)
		b = append(b, `,"embedding":`...)
		if req.Format == "base64" {
			raw := make([]byte, 0, 4*len(d.values))
			for _, v := range d.values {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
			}
			b = append(b, '"')
			b = base64.StdEncoding.AppendEncode(b, raw)
			b = append(b, `"}`...)
			continue
		}
		for j, v := range d.values {
			b = append(b, "[,"[min(j, 1)])
			b = strconv.AppendFloat(b, float64(v), 'g', -1, 32)
		}
		b = append(b, "]}"...)
	}
	model, _ := marshal(req.Model)
	b = append(b, `],"model":`...)
	b = append(b, model...)
	return fmt.Appendf(b, `,"usage":{"prompt_tokens":%d,"total_tokens":%d}}`, tokens, tokens)
}

// openAIError is an error as OpenAI writes it. Absent Param and Code are null.
type openAIError struct {
	status  int
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

func (e *openAIError) Error() string { return e.Message }

func invalid(status int, format string, args ...any) *openAIError {
	return &openAIError{status: status, Type: "invalid_request_error", Message: fmt.Sprintf(format, args...)}
}

func badKey(token string) error {
	if token == "" {
		return invalid(http.StatusUnauthorized, "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).")
	}
	// As the provider does, which is why its errors are not to be logged as they are.
	shown := strings.Repeat("*", len(token))
	if len(token) > 12 {
		shown = token[:4] + shown[8:] + token[len(token)-4:]
	}
	e := invalid(http.StatusUnauthorized, "Incorrect API key provided: %s. You can find your API key at https://platform.openai.com/account/api-keys.", shown)
	e.Code = new("invalid_api_key")
	return e
}

func openAIFailure(err error) reply {
	var e *openAIError
	if !errors.As(err, &e) {
		e = &openAIError{
			status: http.StatusInternalServerError, Type: "server_error",
			Message: "The server had an error while processing your request. Sorry about that!",
		}
	}
	text, _ := marshal(map[string]*openAIError{"error": e})
	return reply{status: e.status, body: text}
}

// refuseEmbedding words a fault as OpenAI does.
func refuseEmbedding(rule Rule) reply {
	switch rule.Fault {
	case RateLimit:
		e := &openAIError{
			status: http.StatusTooManyRequests, Type: "tokens", Code: new("rate_limit_exceeded"),
			Message: fmt.Sprintf("Rate limit reached for text-embedding-3-small in organization org-local on tokens per min (TPM): "+
				"Limit 1000000, Used 1000000, Requested 1000. Please try again in %s.", rule.Delay),
		}
		rep := openAIFailure(e)
		rep.header = retryAfter(rule.Delay)
		if rule.Delay > 0 {
			rep.header.Set("Retry-After-Ms", strconv.FormatInt(rule.Delay.Milliseconds(), 10))
		}
		return rep
	case BadToken:
		return openAIFailure(badKey("sk-local-0000"))
	case Quota:
		return openAIFailure(&openAIError{
			status: http.StatusTooManyRequests, Type: "insufficient_quota", Code: new("insufficient_quota"),
			Message: "You exceeded your current quota, please check your plan and billing details. " +
				"For more information on this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors.",
		})
	default:
		return openAIFailure(errors.New("fault"))
	}
}
