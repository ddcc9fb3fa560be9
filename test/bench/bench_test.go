package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"payload-cdc/internal/pgtest"
)

// The benchmark works, on very little: every figure is there, and the log was read to its end by both.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the binary and starts Postgres")
	}
	if _, _, err := pick(); err != nil {
		t.Skip(err) // pg_recvlogical belongs to no package that make installs
	}
	if len(pgtest.Versions()) == 0 {
		t.Skip(pgtest.ErrNotInstalled)
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	o, err := parse([]string{"-pairs", "1", "-changes", "2000", "-documents", "100", "-publishes", "3", "-json"})
	if err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	if err := run(t.Context(), o, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if r.Backlog == nil || len(r.Backlog.CDC) != 1 || len(r.Backlog.Recv) != 1 || r.Latency == nil || len(r.Latency.Above) != 3 {
		t.Fatalf("figures are missing:\n%s", &out)
	}
	for _, u := range []usage{r.Backlog.CDC[0], r.Backlog.Recv[0], r.Latency.CDC} {
		if u.Wall <= 0 || u.cpu() <= 0 || u.RSS <= 0 {
			t.Errorf("a program cost nothing: %+v", u)
		}
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil && r.Backlog.CDC[0].ServerCPU <= 0 {
		t.Errorf("cdc cost the server nothing: %+v", r.Backlog.CDC[0])
	}
}
