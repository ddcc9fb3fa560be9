package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is in force, by collection, as a person and as a program sees it.
func TestConfigOfCollections(t *testing.T) {
	t.Parallel()
	p := newProject(t)
	file := filepath.Join(t.TempDir(), "cdc.yaml")
	err := os.WriteFile(file, []byte(`
collections:
  posts:
    fields: {exclude: [snippet], order: [description]}
    metadata: [tone, rating]
    where: {featured: true}
    include: [primaryCategory.name]
    chunk: {target: 200, max: 256}
    namespace: articles
  blog-posts:
    locales: [en]
    title: title
  docPages:
    text: {first_of: [content, title]}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	environ := append(p.asAdministrator(), "CDC_COLLECTIONS=", "CDC_CONFIG="+file, "OPENAI_API_KEY="+secret)
	// What is embedded is the source's to decide.
	embeds := regexp.MustCompile(`(?m)^(  embeds +)\S.*$`)

	text := cdc(t, environ, "config")
	text.want(t, exitDone)
	if n := len(embeds.FindAllString(text.out, -1)); n != 3 || text.err != "" {
		t.Errorf("%d collections say what they embed; and: %s", n, text.err)
	}
	_, collections, _ := strings.Cut(text.out, "\n\n") // the variables are tested elsewhere
	golden(t, "config", embeds.ReplaceAllString(collections, "${1}…"))

	out := cdc(t, environ, "config", "--json")
	out.want(t, exitDone)
	var config struct {
		Variables   map[string]string
		Collections []struct {
			Slug, Namespace string
			Embeds          []string
			Published       []string
		}
	}
	if err := json.Unmarshal([]byte(out.out), &config); err != nil {
		t.Fatalf("%v: %s", err, out.out)
	}
	if config.Variables["OPENAI_API_KEY"] != "(set)" || config.Variables["CDC_COLLECTIONS"] != "posts,blog-posts,docPages" || len(config.Collections) != 3 {
		t.Errorf("as JSON:\n%s", out.out)
	}
	for _, c := range config.Collections {
		if len(c.Embeds) == 0 || len(c.Published) == 0 || !strings.Contains(text.out, strings.Join(c.Embeds, ", ")) {
			t.Errorf("%s embeds %v; as text:\n%s", c.Slug, c.Embeds, text.out)
		}
	}
	if strings.Contains(text.out+out.out, secret) {
		t.Error("the secret is shown")
	}

	// Nothing was made for it.
	var made int
	err = p.Pool(t).QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())
		+ (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_namespace WHERE nspname = 'payload_cdc')`).Scan(&made)
	if err != nil || made != 0 {
		t.Errorf("looking made %d things, %v", made, err)
	}

	cdc(t, append(environ, "CDC_COLLECTIONS=posts,blog-posts,docPages,pots"), "config").want(t, exitUsage, `did you mean "posts"?`)
}

// Without the database the variables are shown all the same, and one line says what is missing.
func TestConfigWithoutDatabase(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"config"}, {"config", "--json"}} {
		got := cdc(t, []string{nowhere}, args...)
		got.want(t, exitDone, "CDC_SLOT", "how collections are indexed is not known: connect to the database of DATABASE_URI (127.0.0.1:1)")
		if strings.Count(got.err, "\n") != 1 || strings.Contains(got.err+got.out, secret) {
			t.Errorf("it says:\n%s%s", got.out, got.err)
		}
	}
}
