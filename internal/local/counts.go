package local

import (
	"maps"
	"sync"
)

// Counts is what a server has been asked and has done since it was made.
type Counts struct {
	Requests map[string]int // by endpoint: "upsert", "fetch", …, "embeddings"; refused ones included
	Inputs   int            // texts embedded
	Tokens   int            // of them
	Written  int            // vectors upserted or updated, repeats included
	Deleted  int            // vectors that were there and are gone; whole namespaces not included
}

// counter guards Counts.
type counter struct {
	mu sync.Mutex
	n  Counts
}

func (c *counter) request(endpoint string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n.Requests == nil {
		c.n.Requests = map[string]int{}
	}
	c.n.Requests[endpoint]++
}

func (c *counter) add(f func(*Counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.n)
}

func (c *counter) snapshot() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	n.Requests = maps.Clone(c.n.Requests)
	if n.Requests == nil {
		n.Requests = map[string]int{}
	}
	return n
}
