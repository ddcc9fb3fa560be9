package admin_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"payload-cdc/internal/admin"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares got with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

var moment = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

func before(d time.Duration) admin.Time { return admin.Time{Time: moment.Add(-d)} }

func streaming() admin.Status {
	return admin.Status{
		Version: "v0.1.0",
		At:      before(0),
		State:   admin.Streaming,
		Since:   before(26 * time.Hour),
		Source:  admin.Source{ServerVersion: "17.10", SystemIdentifier: "7423915834011209876", Database: "payload"},
		Checkpoint: admin.Checkpoint{
			LSN: "16/B374D848", SavedAt: before(800 * time.Millisecond), CommitAt: before(12 * time.Second),
			ServerLSN: "16/B374D848", LagBytes: new(int64(0)), LagSeconds: new(0.0),
		},
		Owed: admin.Owed{Documents: 3, OldestSeconds: 0.42},
		Slot: admin.Slot{
			Name: "payload_cdc", Publication: "payload_cdc", State: "streaming", Active: true, WALStatus: "reserved",
			RetainedBytes: 1_330_000, ConfirmedLSN: "16/B374D848", Failover: true,
		},
		Collections: []admin.Collection{
			{Slug: "blog-posts", Table: "blog_posts", Published: new(1204), Indexed: 1202, Chunks: 5310, Owed: 2, SlugGuessed: true, Streamed: true},
			{Slug: "docPages", Table: "doc_pages", Published: new(88), Indexed: 87, Chunks: 312, Owed: 1, Streamed: true},
		},
		Owner: admin.Owner{Instance: "web-1", Epoch: 7},
	}
}

func troubled() admin.Status {
	s := streaming()
	s.State, s.Since = admin.Paused, before(50*time.Minute)
	s.Reason = "openai: the quota is used up (add credit at the provider)."
	s.Checkpoint.ServerLSN, s.Checkpoint.LagBytes, s.Checkpoint.LagSeconds = "16/B3800000", new(int64(735_160)), new(1.4)
	s.Owed = admin.Owed{Documents: 412, OldestSeconds: 3000, Sweeps: []admin.Sweep{
		{Collection: "docPages", Strength: "prove", Reason: "the table was replaced", Stage: "releasing", Held: 80, Since: before(3 * time.Hour)},
		{Collection: "blog-posts", Strength: "look", Reason: "first start", Stage: "marking", Since: before(90 * time.Second)},
	}}
	s.Parked = 1
	s.Slot.SafeBytes, s.Slot.WALStatus = new(int64(9<<30)), "extended"
	s.Paused = []admin.Pause{{
		Provider: "openai", Reason: "429 <b>insufficient_quota</b>\x1b[31m\nsee the docs", Since: before(50 * time.Minute),
		Systemic: true, Waiting: 409,
	}}
	s.Findings = []admin.Finding{{
		What:   `collection "docPages" is not streamed: its table public.doc_pages is not in the publication <i>`,
		Remedy: `the owner of the tables runs: ALTER PUBLICATION "payload_cdc" ADD TABLE "public"."doc_pages"`,
	}}
	s.Collections[1].Streamed = false
	s.Collections[0].Parked, s.Collections[1].Published = 1, nil
	return s
}

// serve runs a server on a free port until the test ends, and returns its address as a URL.
func serve(t *testing.T, cfg admin.Config) string {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	server := admin.New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case <-server.Listening():
	case err := <-ended:
		ended <- err
		t.Fatal("the server ended before it listened")
	}
	return "http://" + server.Addr()
}

func table(t *testing.T, s admin.Status) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := admin.WriteTable(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
