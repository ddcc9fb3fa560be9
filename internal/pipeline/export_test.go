package pipeline

import "context"

// InHand is how many documents are being worked on.
func (p *Pipeline) InHand() int { return len(p.reconciler.slots) }

// TakeShown is takeShown.
func (d *Dirty) TakeShown(ctx context.Context) (Claim, error) { return d.takeShown(ctx) }
