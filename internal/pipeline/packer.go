package pipeline

import (
	"context"
	"sync"
)

// packer joins what many claims need into few full requests. It never waits while a flight is free: the first piece
// leaves at once and alone, what arrives meanwhile leaves together.
type packer[T any] struct {
	most    int         // pieces in a batch
	weight  int         // sum of weights in a batch; one heavier piece goes alone
	flights int         // batches under way at once
	weigh   func(T) int //
	run     func(ctx context.Context, batch []T)

	mu     sync.Mutex
	queue  []T
	flying int
	wg     sync.WaitGroup
}

// submit hands pieces over and returns at once. They stay together as far as the limits allow.
func (p *packer[T]) submit(ctx context.Context, pieces ...T) {
	if len(pieces) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, pieces...)
	for p.flying < p.flights && len(p.queue) > 0 {
		p.flying++
		batch := p.cut()
		p.wg.Go(func() { p.fly(ctx, batch) })
	}
}

// fly runs batches until the queue is empty.
func (p *packer[T]) fly(ctx context.Context, batch []T) {
	for {
		p.run(ctx, batch)
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.flying--
			p.mu.Unlock()
			return
		}
		batch = p.cut()
		p.mu.Unlock()
	}
}

// cut takes the next batch off the queue. p.mu is held.
func (p *packer[T]) cut() []T {
	n, sum := 0, 0
	for n < len(p.queue) && n < p.most {
		w := p.weigh(p.queue[n])
		if n > 0 && sum+w > p.weight {
			break
		}
		sum += w
		n++
	}
	batch := p.queue[:n:n]
	p.queue = p.queue[n:]
	if len(p.queue) == 0 {
		p.queue = nil
	}
	return batch
}

// wait returns when everything submitted has been run.
func (p *packer[T]) wait() { p.wg.Wait() }
