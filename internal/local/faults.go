package local

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// Fault is one way in which a request goes wrong.
type Fault uint8

// What a client sees, and what really happened. In the first group the client cannot know: the write may have been
// applied, or be applied still.
const (
	// Cut resets the connection before any answer. Nothing was applied.
	Cut Fault = iota + 1
	// CutBody applies the request and resets the connection in the middle of the answer's body.
	CutBody
	// AppliedThenCut applies the request and resets the connection before any answer.
	AppliedThenCut
	// Late resets the connection now and applies the request after Delay, or at Arrive.
	Late
	// Stall leaves the client waiting until it gives up, and applies the request after Delay, or at Arrive.
	Stall

	// Slow answers properly, after Delay.
	Slow
	// RateLimit answers 429, asking to wait for Delay (Retry-After in whole seconds, rounded up; for embeddings
	// retry-after-ms too). No header when Delay is zero.
	RateLimit
	// ServerError answers 500 in the protocol's own words.
	ServerError
	// BadGateway answers 502 with a page of HTML.
	BadGateway
	// BadToken answers 401 whatever the token was.
	BadToken
	// Quota answers that the plan is used up: 403 with the daily limit (Limit, 10000 if zero), or 429
	// insufficient_quota.
	Quota
	// Answer answers Status and Body, and applies nothing.
	Answer

	// ShortData leaves the last embedding out.
	ShortData
	// WrongIndex gives two embeddings the same index; of a single one, an index that was not asked for.
	WrongIndex
	// OutOfOrder answers properly, with the embeddings in reverse order. A client must not mind.
	OutOfOrder
	// NotANumber puts a NaN into the last embedding: as bytes in base64, bare in JSON.
	NotANumber
)

// Rule makes requests go wrong.
type Rule struct {
	Fault    Fault
	Endpoint string        // "upsert", "delete", "embeddings", …; empty is every endpoint
	Next     int           // the next so many requests, and no more
	Chance   float64       // of each request, when Next is zero
	Delay    time.Duration // of Slow, Late, Stall and RateLimit
	Limit    int           // of Quota
	Status   int           // of Answer; 200 if zero
	Body     string        // of Answer
}

// Faults decides what happens to each request of one protocol. The zero value lets everything pass. It can be changed
// at any time, by any goroutine.
type Faults struct {
	mu    sync.Mutex
	rules []Rule
	rand  *rand.Rand
	hits  map[Fault]int
}

// Set replaces the rules. They are asked in order, and the first that strikes decides. With the same seed and requests
// in the same order, the same ones go wrong. Without rules everything passes.
func (f *Faults) Set(seed uint64, rules ...Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rand = rand.New(rand.NewPCG(seed, 0))
	f.rules = append([]Rule(nil), rules...)
}

// Next makes the next n requests to an endpoint (empty: to any) go wrong before the other rules are asked.
func (f *Faults) Next(n int, endpoint string, fault Fault) {
	f.Add(Rule{Fault: fault, Endpoint: endpoint, Next: n})
}

// Add puts a rule before the others.
func (f *Faults) Add(r Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append([]Rule{r}, f.rules...)
}

// Hits returns how often each fault has struck.
func (f *Faults) Hits() map[Fault]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	hits := maps.Clone(f.hits)
	if hits == nil {
		hits = map[Fault]int{}
	}
	return hits
}

// pick returns the rule that a request to the endpoint falls under; the zero Rule is none.
func (f *Faults) pick(endpoint string) Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.rules {
		r := &f.rules[i]
		if r.Endpoint != "" && r.Endpoint != endpoint {
			continue
		}
		strikes := false
		switch {
		case r.Next > 0:
			strikes = true
			r.Next--
			if r.Next == 0 {
				r.Next = -1 // used up; zero would mean Chance
			}
		case r.Next == 0 && r.Chance > 0:
			if f.rand == nil {
				f.rand = rand.New(rand.NewPCG(0, 0))
			}
			strikes = f.rand.Float64() < r.Chance
		}
		if strikes {
			if f.hits == nil {
				f.hits = map[Fault]int{}
			}
			f.hits[r.Fault]++
			return *r
		}
	}
	return Rule{}
}

// reply is an answer before it is sent.
type reply struct {
	status int
	header http.Header // besides Content-Type
	kind   string      // Content-Type; JSON if empty
	body   []byte
}
