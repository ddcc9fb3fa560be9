package main

import (
	"context"
	"fmt"
	"os"

	"payload-cdc/internal/replication"
	"payload-cdc/internal/wal"
)

// drainCommand makes this program a client that reads a slot with internal/replication and keeps nothing: what is left
// of cdc without marks, reading back and checkpoints. It is a process of its own, so that it can be measured as one.
const drainCommand = "drain"

// drainSlot is that client: URI, slot, publication, end.
func drainSlot(ctx context.Context, args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("%s: want URI, slot, publication and end", drainCommand)
	}
	end, err := wal.ParseLSN(args[3])
	if err != nil {
		return err
	}
	_, err = replication.Drain(ctx, replication.Config{URI: args[0], Slot: args[1], Publication: args[2]}, end)
	return err
}

func (w *world) startDrain(ctx context.Context, slot, end string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, nil, self, drainCommand, w.uri(), slot, publication, end)
}
