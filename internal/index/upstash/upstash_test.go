package upstash_test

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"

	"payload-cdc/internal/document"
	"payload-cdc/internal/index"
	"payload-cdc/internal/index/indextest"
	"payload-cdc/internal/index/upstash"
	"payload-cdc/internal/local"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dimensions = 8
	token      = "token-of-the-test-0123456789"
)

// serve starts an index of its own for a test.
func serve(t *testing.T, cfg local.Config) (*local.Server, string) {
	t.Helper()
	cfg.Dimensions, cfg.Token = dimensions, token
	s := local.New(cfg)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	return s, web.URL
}

func open(t *testing.T, cfg upstash.Config) *upstash.Index {
	t.Helper()
	if cfg.Token == "" {
		cfg.Token = token
	}
	if cfg.Dimensions == 0 {
		cfg.Dimensions = dimensions
	}
	x, err := upstash.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.Close)
	return x
}

func held(t *testing.T, s *local.Server, namespace string) map[string]document.Vector {
	t.Helper()
	all, err := s.Vectors(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]document.Vector{}
	for id, v := range all {
		one := document.Vector{ID: id, Values: v.Values, Metadata: index.ReadMetadata(v.Metadata)}
		if v.Data != nil {
			one.Data = *v.Data
		}
		var fields map[string]any
		if len(v.Metadata) > 0 {
			if err := json.Unmarshal(v.Metadata, &fields); err != nil {
				t.Fatal(err)
			}
		}
		for name, value := range fields {
			if !document.Reserved(name) {
				if one.Metadata.Extra == nil {
					one.Metadata.Extra = map[string]any{}
				}
				one.Metadata.Extra[name] = value
			}
		}
		m[id] = one
	}
	return m
}

func TestConformance(t *testing.T) {
	for name, namespace := range map[string]string{"default namespace": "", "named": "a.b:c_d-1"} {
		t.Run(name, func(t *testing.T) {
			indextest.Exercise(t, func(t *testing.T) indextest.Instance {
				store := local.NewMemory(local.Cosine)
				s, url := serve(t, local.Config{Store: store})
				return indextest.Instance{
					Index:      open(t, upstash.Config{URL: url, Namespace: namespace, Namespaces: []string{"second", namespace, "second"}}),
					Dimensions: dimensions,
					Second:     "second",
					Again:      func(t *testing.T) index.Index { return open(t, upstash.Config{URL: url, Namespace: namespace}) },
					Other:      func(t *testing.T) index.Index { return open(t, upstash.Config{URL: url, Namespace: "other"}) },
					Plant: func(t *testing.T, id, metadata string) {
						v := local.Vector{ID: id, Values: []float32{1, 0, 0, 0, 0, 0, 0, 0}}
						if metadata != "" {
							v.Metadata = json.RawMessage(metadata)
						}
						if err := store.Upsert(context.Background(), namespace, []local.Vector{v}); err != nil {
							t.Fatal(err)
						}
					},
					Held: func(t *testing.T) map[string]document.Vector {
						all := held(t, s, namespace)
						for _, v := range held(t, s, "second") {
							v.ID = document.Join("second", v.ID)
							all[v.ID] = v
						}
						return all
					},
				}
			})
		})
	}
}

// Every namespace has its owner: another database that uses one of ours is found out.
func TestOwnerOfEachNamespace(t *testing.T) {
	_, url := serve(t, local.Config{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ours := open(t, upstash.Config{URL: url, Namespaces: []string{"articles", "notes"}})
	theirs := open(t, upstash.Config{URL: url, Namespace: "staging", Namespaces: []string{"articles"}})
	is := func(x *upstash.Index, want string) {
		t.Helper()
		got, found, err := x.Owner(t.Context())
		if err != nil || found != (want != "") || got.System != want {
			t.Errorf("owner %+v, %v, %v, want %q", got, found, err, want)
		}
	}
	is(ours, "")
	if err := ours.SetOwner(t.Context(), index.Owner{System: "1", LSN: 7, At: at}); err != nil {
		t.Fatal(err)
	}
	is(ours, "1")
	is(theirs, "1")
	if err := open(t, upstash.Config{URL: url, Namespace: "staging"}).SetOwner(t.Context(), index.Owner{System: "2", LSN: 9, At: at}); err != nil {
		t.Fatal(err)
	}
	is(theirs, "1 and 2")
	is(ours, "1")
	got, _, err := theirs.Owner(t.Context())
	if err != nil || got.LSN != 9 {
		t.Errorf("of its own namespace: %+v, %v", got, err)
	}
	is(open(t, upstash.Config{URL: url, Namespace: "staging", Namespaces: []string{"others"}}), "2")
}
