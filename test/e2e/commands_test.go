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
	if _, err := w.Payload.Seed(t.Context()); err != nil {
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
	for _, secret := range []string{w.DB.Cluster.URI(w.DB.Name)} {
		if _, body, _ := cdc.Get(t.Context(), "/api/status"); strings.Contains(string(body), secret) {
			t.Errorf("/api/status shows %s", secret)
		}
	}
	if out, errs, code := w.Command(t, "status"); code != 0 || !strings.Contains(out, "posts") {
		t.Errorf("cdc status exits %d: %s%s", code, out, errs)
	}
	out, errs, code := w.Command(t, "status", "--json")
	if code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("cdc status --json exits %d: %s%s", code, out, errs)
	}
	cdc.Stop(t)

	if out, errs, code := w.Command(t, "teardown"); code != 0 {
		t.Fatalf("cdc teardown exits %d: %s%s", code, out, errs)
	}
	var left int
	err := w.DB.Pool(t).QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) + (SELECT count(*) FROM pg_publication)`).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("after the teardown %d slots and publications are left, %v", left, err)
	}
}
