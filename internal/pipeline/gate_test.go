package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"payload-cdc/internal/document"
	"payload-cdc/internal/failure"
)

// TestGateLetsTheLateWaiterProbe: a claim that was refused just before it was time to probe, and put down just after,
// is the only one that can find out whether the provider is back.
func TestGateLetsTheLateWaiterProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDirty(0)
		g := newGate("embedding", d, slog.New(slog.DiscardHandler))
		done := make(chan struct{})
		defer close(done)
		go g.run(done)
		g.failed(&failure.Error{Class: failure.Systemic, Err: errors.New("quota exhausted")})
		d.Mark(Marks{Keys: []document.Key{{Collection: "a", ID: "1"}}})
		claims, err := d.Take(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if ok, _ := g.admit(false); ok {
			t.Fatal("a paused provider is used before its time")
		}
		time.Sleep(5 * time.Second) // the time to probe comes, and nobody waits yet
		d.Block(claims[0], "embedding")
		g.blocked()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		claims, err = d.Take(ctx, 1)
		if err != nil || claims[0].Probe != "embedding" {
			t.Errorf("nobody probes: %v, %v", claims, err)
		}
	})
}
