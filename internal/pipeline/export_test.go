package pipeline

// InHand is how many documents are being worked on.
func (p *Pipeline) InHand() int { return len(p.reconciler.slots) }
