// Package embed turns texts into vectors.
//
// [OpenAI] speaks the OpenAI embeddings protocol to OpenAI itself, to Azure OpenAI and to any server compatible with it.
// It retries a little by itself (a lost connection, a short rate limit) and leaves long outages to its caller, told by
// the class of the error (package failure).
//
// The invariant: a vector that is returned belongs to its text. It has the right dimension, is finite and of length one;
// the client library below passes short, reordered and damaged responses as good ones, so each is looked at here.
package embed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-retryablehttp"
	openai "github.com/sashabaranov/go-openai"

	"payload-cdc/internal/failure"
	"payload-cdc/internal/secret"
)

// The protocol's limits on a request are 2048 texts and 300 000 tokens together (API reference). Less keeps a try cheap.
const (
	DefaultMaxInputs = 128
	DefaultMaxTokens = 250_000
	maxInputs        = 2048
	maxTokens        = 300_000
)

// DefaultBaseURL is OpenAI itself.
const DefaultBaseURL = "https://api.openai.com/v1"

const azureVersion = "2024-10-21"

// Config of an OpenAI client. Only APIKey is needed.
type Config struct {
	APIKey       string // may be empty for another BaseURL
	BaseURL      string // with its /v1; defaults to DefaultBaseURL. An Azure resource (https://x.openai.azure.com) needs none
	Organization string
	Project      string

	Model      string // defaults to text-embedding-3-small; for Azure the name of the deployment
	Dimensions int    // of every vector; defaults to 1024. Sent for text-embedding-3 models, expected of others
	Normalize  bool   // scale vectors to length one; without, another length is a damaged response

	Timeout  time.Duration // of a try; defaults to 30 s
	Tries    int           // of a request, before its error is returned; defaults to 3
	Backoff  time.Duration // about the first pause between tries, doubling; defaults to 500 ms
	MaxPause time.Duration // a provider that asks for a longer one gets its error returned instead; defaults to 8 s

	MaxWait time.Duration // for room in the provider's rate limits, before a request; defaults to 1 min. After it a transient error says until when

	MaxInputs int // texts in a request; defaults to DefaultMaxInputs
	MaxTokens int // tokens in a request; defaults to DefaultMaxTokens

	Hide      func(text string) string       // takes secrets out of what a server says; nil hides the key only
	Count     func(text string) (int, error) // tokens of a text; nil estimates them
	Transport http.RoundTripper              // nil is a pooled one of our own, which Close closes
	Logger    *slog.Logger                   // nil discards
	Observe   func(Call)                     // is called after every request; nil is fine. Must be safe for concurrent use
}

// Call is what a request came to, for metrics.
type Call struct {
	Inputs   int
	Tokens   int // as the provider counted them; estimated when it failed or does not say
	Tries    int // requests on the wire
	Duration time.Duration
	Err      error // classified, without secrets
}

// OpenAI is a client of the embeddings protocol. Safe for concurrent use.
type OpenAI struct {
	cfg    Config
	client *openai.Client
	base   http.RoundTripper
	limits limiter
	floats atomic.Bool // the server does not know base64
	log    *slog.Logger
}

// NewOpenAI returns a client. It makes no request; see Check.
func NewOpenAI(cfg Config) (*OpenAI, error) {
	cfg.APIKey = strings.TrimSpace(cfg.APIKey)
	cfg.BaseURL = strings.TrimRight(orDefault(strings.TrimSpace(cfg.BaseURL), DefaultBaseURL), "/")
	cfg.Model = orDefault(cfg.Model, string(openai.SmallEmbedding3))
	cfg.Dimensions = orDefault(cfg.Dimensions, 1024)
	cfg.Timeout = orDefault(cfg.Timeout, 30*time.Second)
	cfg.Tries = orDefault(cfg.Tries, 3)
	cfg.Backoff = orDefault(cfg.Backoff, 500*time.Millisecond)
	cfg.MaxPause = orDefault(cfg.MaxPause, 8*time.Second)
	cfg.MaxWait = orDefault(cfg.MaxWait, time.Minute)
	cfg.MaxInputs = orDefault(cfg.MaxInputs, DefaultMaxInputs)
	cfg.MaxTokens = orDefault(cfg.MaxTokens, DefaultMaxTokens)
	u, err := url.Parse(cfg.BaseURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("OpenAI base URL: not an http or https URL")
	case u.RawQuery != "" || u.User != nil:
		return nil, errors.New("OpenAI base URL: must have no query and no user")
	case cfg.APIKey == "" && cfg.BaseURL == DefaultBaseURL:
		return nil, errors.New("OpenAI needs an API key (set OPENAI_API_KEY)")
	case strings.ContainsFunc(cfg.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("OpenAI API key: holds blanks or characters that no key has")
	case cfg.Dimensions < 1 || cfg.Tries < 1:
		return nil, errors.New("OpenAI dimensions and tries: must be positive")
	case cfg.MaxInputs < 1 || cfg.MaxInputs > maxInputs || cfg.MaxTokens < 1 || cfg.MaxTokens > maxTokens:
		return nil, fmt.Errorf("OpenAI request limits: %d texts of at most %d, %d tokens of at most %d", cfg.MaxInputs, maxInputs, cfg.MaxTokens, maxTokens)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Hide == nil {
		cfg.Hide = secret.New([]string{cfg.APIKey}, nil).Hide
	}
	if cfg.Count == nil {
		cfg.Count = func(text string) (int, error) { return len(text)/4 + 1, nil }
	}
	o := &OpenAI{cfg: cfg, log: cfg.Logger, base: cfg.Transport}
	if o.base == nil {
		o.base = cleanhttp.DefaultPooledTransport()
	}

	retry := retryablehttp.NewClient()
	retry.Logger = nil // it would write to stderr
	retry.HTTPClient = &http.Client{
		Transport: &transport{base: o.base, project: cfg.Project, timeout: cfg.Timeout, limits: &o.limits},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errRedirect // a POST would become a GET, and the key go elsewhere
		},
	}
	retry.RetryMax = cfg.Tries - 1
	retry.RetryWaitMin, retry.RetryWaitMax = cfg.Backoff, cfg.MaxPause
	retry.CheckRetry = checkRetry(cfg.MaxPause)
	retry.Backoff = backoff
	retry.ErrorHandler = passthrough

	config := openai.DefaultConfig(cfg.APIKey)
	if strings.HasSuffix(u.Hostname(), ".openai.azure.com") && !strings.Contains(u.Path, "/openai/v1") {
		config = openai.DefaultAzureConfig(cfg.APIKey, cfg.BaseURL)
		config.APIVersion = azureVersion
		config.AzureModelMapperFunc = func(model string) string { return model }
	}
	config.BaseURL, config.OrgID = cfg.BaseURL, cfg.Organization
	config.HTTPClient = &http.Client{Transport: &retryablehttp.RoundTripper{Client: retry}}
	o.client = openai.NewClientWithConfig(config)
	return o, nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// MaxInputs and MaxTokens are what one request may hold; a caller that packs no more gets one request per call.
func (o *OpenAI) MaxInputs() int { return o.cfg.MaxInputs }

// MaxTokens is the tokens that one request may hold.
func (o *OpenAI) MaxTokens() int { return o.cfg.MaxTokens }

// Limits returns what the provider last said it would still take.
func (o *OpenAI) Limits() RateLimits { return o.limits.read() }

// Close closes the connections that are not in use.
func (o *OpenAI) Close() {
	if c, ok := o.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Check makes one tiny request, to find out whether key, model and dimension are right.
func (o *OpenAI) Check(ctx context.Context) error {
	_, err := o.Embed(ctx, []string{"ping"})
	return err
}

// Embed returns one unit vector for each text, in order. Texts over the limits of a request are sent in several, one
// after the other, and fail together. Errors are classified.
func (o *OpenAI) Embed(ctx context.Context, texts []string) ([][]float32, error) {
	out := make([][]float32, 0, len(texts))
	for begin := 0; begin < len(texts); {
		end, tokens := begin, 0
		for ; end < len(texts) && end-begin < o.cfg.MaxInputs; end++ {
			if strings.TrimSpace(texts[end]) == "" {
				return nil, &failure.Error{Class: failure.Permanent, Provider: provider, Rejected: true, Err: fmt.Errorf("embed: text %d of %d is empty", end, len(texts))}
			}
			n, err := o.cfg.Count(texts[end])
			if err != nil {
				return nil, &failure.Error{Class: failure.Permanent, Provider: provider, Rejected: true, Err: fmt.Errorf("embed: %w", err)}
			}
			if end > begin && tokens+n > o.cfg.MaxTokens {
				break
			}
			tokens += n
		}
		vectors, err := o.request(ctx, texts[begin:end], tokens)
		if err != nil {
			return nil, err
		}
		out = append(out, vectors...)
		begin = end
	}
	return out, nil
}

// request sends one request, and once more when its response was damaged: that happens to anyone once.
func (o *OpenAI) request(ctx context.Context, texts []string, tokens int) ([][]float32, error) {
	began := time.Now()
	call := Call{Inputs: len(texts), Tokens: tokens}
	vectors, err := o.attempt(ctx, texts, tokens, &call)
	var bad *damage
	if errors.As(err, &bad) && ctx.Err() == nil {
		vectors, err = o.attempt(ctx, texts, tokens, &call)
	}
	if errors.As(err, &bad) {
		err = &failure.Error{Class: bad.class, Provider: provider, Remedy: bad.remedy, Err: errors.New("embed: " + o.redact(bad.text))}
	}
	call.Duration, call.Err = time.Since(began), err
	if o.cfg.Observe != nil {
		o.cfg.Observe(call)
	}
	return vectors, err
}

// attempt returns validated vectors, a *damage, or a classified error.
func (o *OpenAI) attempt(ctx context.Context, texts []string, tokens int, call *Call) ([][]float32, error) {
	if err := o.limits.wait(ctx, tokens, o.cfg.MaxWait); err != nil {
		return nil, err
	}
	// The pauses are bounded, so this is only the sum of the parts. It stops what no part foresaw.
	limit := time.Duration(o.cfg.Tries) * (o.cfg.Timeout + o.cfg.MaxPause)
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	seen := &trace{}
	req := openai.EmbeddingRequestStrings{Input: texts, Model: openai.EmbeddingModel(o.cfg.Model), EncodingFormat: openai.EmbeddingEncodingFormatBase64}
	floats := o.floats.Load()
	if floats {
		req.EncodingFormat = openai.EmbeddingEncodingFormatFloat
	}
	if strings.Contains(o.cfg.Model, "text-embedding-3") || o.azure() {
		req.Dimensions = o.cfg.Dimensions
	}
	res, err := o.client.CreateEmbeddings(context.WithValue(inner, traceKey{}, seen), req)
	call.Tries += seen.tries
	if ctx.Err() != nil && err != nil {
		return nil, &failure.Error{Provider: provider, Err: fmt.Errorf("embed %d texts: %w", len(texts), ctx.Err())}
	}
	if seen.status != http.StatusOK {
		return nil, o.classify(seen, err, len(texts))
	}
	arrays, bad := inspect(seen.body, len(texts), o.cfg.Dimensions)
	if bad != nil {
		return nil, bad
	}
	if arrays && !floats {
		if !o.floats.Swap(true) {
			o.log.Warn("embedding server does not know base64, asking for floats from now on")
		}
		return nil, &damage{class: failure.Transient, text: "floats for a base64 request"}
	}
	if err != nil {
		return nil, &damage{class: failure.Transient, text: "read response: " + err.Error()}
	}
	if res.Usage.PromptTokens > 0 {
		call.Tokens = res.Usage.PromptTokens
	}
	return place(res.Data, o.cfg.Normalize)
}

func (o *OpenAI) azure() bool { return strings.Contains(o.cfg.BaseURL, ".openai.azure.com") }

var keyLike = regexp.MustCompile(`sk-[A-Za-z0-9_*.…-]{4,}`)

// redact removes the key, and whatever looks like one, from text; and shortens it.
func (o *OpenAI) redact(text string) string {
	text = o.cfg.Hide(text)
	text = keyLike.ReplaceAllString(text, "[key]")
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if r := []rune(text); len(r) > 400 {
		text = string(r[:400]) + "…"
	}
	return text
}
