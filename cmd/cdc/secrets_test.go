package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"payload-cdc/internal/local"
)

// Each place has a secret of its own, so that one that is found says where it leaked. Some are written so that they look
// otherwise in an address, in JSON and in a page.
const (
	databasePassword    = `db p@ss/w:rd?#"<&>\é-1111`
	replicationPassword = `replication 'secret' \ 2222`
	statePassword       = "state%41+secret&3333"
	openAIKey           = "sk-proj-embedding+key/4444=="
	upstashToken        = "index-token-5555/+=="
	bearerToken         = "admin-token-6666-0123456789"
)

var everySecret = map[string]string{
	"the password of DATABASE_URI": databasePassword, "the password of CDC_REPLICATION_URI": replicationPassword,
	"the password of CDC_STATE_URI": statePassword, "OPENAI_API_KEY": openAIKey, "UPSTASH_VECTOR_REST_TOKEN": upstashToken, "CDC_ADMIN_TOKEN": bearerToken,
}

// scan fails the test for every secret that is in a text, however it is written, and for halves of them.
func scan(t *testing.T, where, text string) {
	t.Helper()
	for name, one := range everySecret {
		inJSON, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		quoted := fmt.Sprintf("%q", one)
		for _, written := range []string{
			one, url.QueryEscape(one), url.PathEscape(one), url.UserPassword("", one).String()[1:], string(inJSON[1 : len(inJSON)-1]),
			quoted[1 : len(quoted)-1], html.EscapeString(one), one[:len(one)/2], one[len(one)/2:],
		} {
			if i := strings.Index(text, written); i >= 0 {
				t.Errorf("%s tells %s: …%s…", where, name, text[max(0, i-150):min(len(text), i+100)])
				break
			}
		}
	}
}

// tattler is a provider that answers with all that it was sent, and with the other secrets, in every way servers do.
type tattler struct {
	mu     sync.Mutex
	status int
	format string // of the body; %s is what it tells
}

func (p *tattler) say(status int, format string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.format = status, format
}

func (p *tattler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	status, format := p.status, p.format
	p.mu.Unlock()
	told := fmt.Sprintf("%s key %s token %s and %s, bearer %s, postgres://u:%s@h", r.Header.Get("Authorization"), openAIKey, upstashToken, databasePassword,
		bearerToken, url.QueryEscape(statePassword))
	if strings.Contains(format, `"`) {
		inJSON, _ := json.Marshal(told)
		told = string(inJSON[1 : len(inJSON)-1])
	}
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, format, told)
}

// started is a cdc that runs beside the test.
type started struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	said bytes.Buffer
	addr string
}

func (s *started) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(p)
}

func (s *started) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

var served = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// start runs cdc until the test ends, and waits until it serves HTTP.
func start(t *testing.T, environ []string, args ...string) *started {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &started{t: t, cmd: exec.CommandContext(context.WithoutCancel(t.Context()), self, args...)}
	s.cmd.Env = append([]string{asCommand + "=1", "HOME=" + t.TempDir()}, environ...)
	s.cmd.Stdout, s.cmd.Stderr = s, s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	s.until("it serves HTTP", func() bool {
		for line := range strings.Lines(s.output()) {
			if strings.Contains(line, "serving health, metrics") {
				s.addr = served.FindString(line)
			}
		}
		return s.addr != ""
	})
	return s
}

func (s *started) stop() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(os.Interrupt)
		_ = s.cmd.Wait()
	}
}

func (s *started) until(what string, reached func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !reached() {
		if time.Now().After(deadline) {
			s.t.Fatalf("not reached: %s\n%s", what, s.output())
		}
		<-time.After(50 * time.Millisecond)
	}
}

// ask sends a request and returns status and all of the answer, headers too.
func (s *started) ask(method, path, body string, header ...string) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.addr+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, fmt.Sprint(response.Header) + "\n" + string(all)
}

// secretive is the environment of p with a secret wherever there can be one.
func (p *project) secretive(t *testing.T, embedding, index string) []string {
	t.Helper()
	u, err := url.Parse(p.URI)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("postgres", databasePassword)
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace
	keywords := fmt.Sprintf("host=%s port=%s user=postgres dbname=%s sslmode=disable password='%s'", u.Hostname(), u.Port(), p.Name, escape(replicationPassword))
	state := p.URI + "&password=" + url.QueryEscape(statePassword)
	return []string{
		"DATABASE_URI=" + u.String(), "CDC_REPLICATION_URI=" + keywords, "CDC_STATE_URI=" + state, "CDC_SLOT=" + p.Name, "CDC_HTTP_ADDR=127.0.0.1:0",
		"CDC_COLLECTIONS=posts", "UPSTASH_VECTOR_REST_URL=" + index, "UPSTASH_VECTOR_REST_TOKEN=" + upstashToken,
		"OPENAI_BASE_URL=" + embedding + "/v1", "OPENAI_API_KEY=" + openAIKey, "CDC_ADMIN_TOKEN=" + bearerToken, "CDC_LOG_LEVEL=debug",
	}
}

// surfaces asks everything that a running cdc and its commands show.
func (p *project) surfaces(t *testing.T, what string, run *started, environ []string) (all string) {
	t.Helper()
	for _, path := range []string{"/api/status", "/metrics", "/readyz", "/readyz?format=json", "/", "/livez", "/nowhere?token=" + url.QueryEscape(bearerToken)} {
		_, body := run.ask(http.MethodGet, path, "")
		scan(t, what+": "+path, body)
		all += body
	}
	_, body := run.ask(http.MethodPost, "/api/parked/retry", `{"all":true}`, "Authorization", "Bearer "+bearerToken+"x", "Content-Type", "application/json")
	scan(t, what+": a refused retry", body)
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"config"}, {"config", "--json"}, {"parked", "list"}, {"parked", "list", "--json"}, {"env"}, {"setup", "--print-sql"}, {"verify", "--repair"}, {"adopt"}} {
		got := cdc(t, environ, args...)
		scan(t, what+": cdc "+strings.Join(args, " "), got.out+got.err)
		all += got.out + got.err
	}
	return all
}

// TestSecretsAreInNoOutput runs into every kind of failure with a secret in every place, and looks for them everywhere.
func TestSecretsAreInNoOutput(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts cdc a hundred times; not with -short")
	}
	p := newProject(t)
	embedding, index := &tattler{status: 500, format: "%s"}, &tattler{status: 500, format: "%s"}
	tattling := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	embeddingURL, indexURL := tattling(embedding), tattling(index)
	strict := func(token string) string {
		server := local.New(local.Config{Token: token})
		t.Cleanup(func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		})
		return tattling(server.Handler())
	}
	goodEmbedding, goodIndex := strict(openAIKey), strict(upstashToken)

	t.Run("start-ups that fail", func(t *testing.T) {
		good := p.secretive(t, goodEmbedding, goodIndex)
		password := url.QueryEscape(databasePassword)
		for _, environ := range [][]string{
			{"DATABASE_URI=postgres://payload:" + password + "@127.0.0.1:1/payload"},
			{"DATABASE_URI=postgres://payload:" + password + "@no-such-host.invalid/payload"},
			{"DATABASE_URI=postgres://postgres:" + password + "@" + strings.TrimPrefix(p.URI, "postgres://postgres@") + "&sslrootcert=/no/such/file"},
			{"DATABASE_URI=postgres://postgres:" + password + "@" + strings.TrimPrefix(p.URI, "postgres://postgres@") + "&unheard_of=1"},
			{"DATABASE_URI=postgres://postgres:" + password + "@h:port/x"},
			{"DATABASE_URI=postgres://postgres:" + password + "%zz@h/x"},
			{"DATABASE_URI=host=127.0.0.1 port=x password='" + `db p@ss/w:rd?#"<&>\\é-1111` + "'"},
			{"CDC_REPLICATION_URI=postgres://payload:" + url.QueryEscape(replicationPassword) + "@127.0.0.1:1/payload"},
			{"CDC_STATE_URI=postgres://payload@127.0.0.1:1/payload?password=" + url.QueryEscape(statePassword)},
			{"CDC_STATE_URI=sqlite:///state.db"},
			{"OPENAI_BASE_URL=https://user:" + url.QueryEscape(openAIKey) + "@h/v1"},
			{"OPENAI_BASE_URL=https://h/v1?api_key=" + url.QueryEscape(openAIKey)},
			{"UPSTASH_VECTOR_REST_URL=https://user:" + url.QueryEscape(upstashToken) + "@h"},
			{"UPSTASH_VECTOR_REST_URL=" + upstashToken},
			{"OPENAI_API_KEY=" + openAIKey + " " + openAIKey},
			{"UPSTASH_VECTOR_REST_TOKEN=" + upstashToken + " x"},
			{"CDC_ADMIN_TOKEN=" + bearerToken + " x"},
			{"CDC_SLTO=x"},
			{"CDC_COLLECTIONS=nothing-like-it"},
		} {
			for _, format := range []string{"text", "json"} {
				for _, command := range []string{"run", "config"} {
					environ := append(append(append([]string{}, good...), environ...), "CDC_LOG_FORMAT="+format)
					got := cdc(t, environ, command)
					scan(t, fmt.Sprintf("cdc %s with %s", command, environ[len(environ)-2]), got.out+got.err)
					if command == "run" && got.code == exitDone {
						t.Errorf("with %q it starts", environ[len(environ)-2])
					}
				}
			}
		}
	})

	for _, format := range []string{"text", "json"} {
		environ := append(p.secretive(t, embeddingURL, indexURL), "CDC_LOG_FORMAT="+format, "CDC_UPSTASH_NAMESPACE="+format)
		for _, bad := range []struct {
			status int
			format string
		}{
			{401, `{"error":"Unauthorized: %s","status":401}`},
			{403, `{"error":"Exceeded daily limit of %s"}`},
			{500, "<html>%s</html>"},
			{400, `{"error":"Invalid vector dimension %s"}`},
			{200, `{"nothing":"%s"}`},
			{404, "%s"},
			{429, `{"error":"%s"}`},
			{307, "%s"},
		} {
			index.say(bad.status, bad.format)
			run := start(t, environ, "run")
			run.until("the index is in trouble", func() bool { return strings.Contains(run.output(), "the index cannot be used") })
			p.surfaces(t, fmt.Sprintf("index answers %d, %s", bad.status, format), run, environ)
			run.stop()
			scan(t, fmt.Sprintf("the log, index answers %d, %s", bad.status, format), run.output())
		}
		environ = append(p.secretive(t, embeddingURL, goodIndex), "CDC_LOG_FORMAT="+format, "CDC_UPSTASH_NAMESPACE="+format)
		for _, bad := range []struct {
			status int
			format string
			says   string
		}{
			{401, `{"error":{"message":"Incorrect API key provided: %s","code":"invalid_api_key"}}`, `"provider": "embedding"`},
			{429, `{"error":{"message":"%s","code":"insufficient_quota"}}`, `"provider": "embedding"`},
			{404, `{"error":{"message":"%s","code":"model_not_found"}}`, `"provider": "embedding"`},
			{400, `{"error":{"message":"your text: %s","code":"content"}}`, `"parked": 5`},
		} {
			embedding.say(bad.status, bad.format)
			run := start(t, environ, "run")
			run.until(bad.says, func() bool {
				_, body := run.ask(http.MethodGet, "/api/status", "")
				return strings.Contains(body, bad.says)
			})
			all := p.surfaces(t, fmt.Sprintf("embedding answers %d, %s", bad.status, format), run, environ)
			if bad.status == 400 && !strings.Contains(all, "your text: ") {
				t.Error("the reason for parking is not shown at all")
			}
			run.stop()
			scan(t, fmt.Sprintf("the log, embedding answers %d, %s", bad.status, format), run.output())
		}
		// What was parked can be tried again over HTTP, by who bears the token; and then all is well.
		environ = append(p.secretive(t, goodEmbedding, goodIndex), "CDC_LOG_FORMAT="+format, "CDC_UPSTASH_NAMESPACE="+format)
		run := start(t, environ, "run")
		code, body := run.ask(http.MethodPost, "/api/parked/retry", `{"collection":"posts"}`, "Authorization", "Bearer "+bearerToken, "Content-Type", "application/json")
		if code != http.StatusAccepted {
			t.Errorf("retry: %d %s", code, body)
		}
		run.until("nothing is parked", func() bool {
			_, body := run.ask(http.MethodGet, "/api/status", "")
			return strings.Contains(body, `"parked": 0`) && strings.Contains(body, `"indexed": 5`)
		})
		p.surfaces(t, "working", run, environ)
		run.stop()
		scan(t, "the log, "+format, run.output())
		cdc(t, environ, "teardown", "--state").want(t, exitDone)
	}
}
