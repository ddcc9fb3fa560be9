package e2e_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"payload-cdc/test/e2e"
)

// What an operator sees, and what is left behind when cdc is no longer wanted.
func TestStatusAndTeardown(t *testing.T) {
	t.Parallel()
	w := e2e.New(t, e2e.Options{})
	seeded, err := w.Payload.Seed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cdc := w.Start(t)
	cdc.WaitReady(t)
	w.WaitSettled(t, cdc)
	for path, want := range map[string]string{"/livez": "", "/readyz": "", "/metrics": "cdc_owed_documents", "/api/status": "posts"} {
		code, body, err := cdc.Get(t.Context(), path)
		if err != nil || code != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s answers %d, %v, without %q: %s", path, code, err, want, body)
		}
	}
	if out, errs, code := w.Command(t, "status"); code != 0 || !strings.Contains(out, "posts") {
		t.Errorf("cdc status exits %d: %s%s", code, out, errs)
	}
	out, errs, code := w.Command(t, "status", "--json")
	var status e2e.Status
	if err := json.Unmarshal([]byte(out), &status); code != 0 || err != nil {
		t.Fatalf("cdc status --json exits %d, %v: %s%s", code, err, out, errs)
	}
	want := map[string]int{}
	for _, s := range seeded {
		if s.Published {
			want[s.Collection]++
		}
	}
	for _, c := range status.Collections {
		if c.Published == nil || *c.Published != want[c.Slug] || c.Indexed != want[c.Slug] {
			t.Errorf("%s: published %v, indexed %d, want %d", c.Slug, c.Published, c.Indexed, want[c.Slug])
		}
		delete(want, c.Slug)
	}
	if len(want) > 0 {
		t.Errorf("the status leaves out %v", want)
	}
	cdc.Stop(t)

	if out, errs, code := w.Command(t, "teardown"); code != 0 {
		t.Fatalf("cdc teardown exits %d: %s%s", code, out, errs)
	}
	var left int
	err = w.DB.Pool(t).QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) + (SELECT count(*) FROM pg_publication)`).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("after the teardown %d slots and publications are left, %v", left, err)
	}
}
