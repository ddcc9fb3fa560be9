package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Step is one thing that is done to the world: it begins at a moment of the chaos, and is undone when it has lasted.
type Step struct {
	At   time.Duration
	What string        // a key of steps
	On   string        // the instance, or the connection; empty where there is only one thing it can be done to
	For  time.Duration // until it is undone
	N    int           // how much: milliseconds of latency, bytes until a cut, which weather
	Work bool          // it begins only when cdc has written to the index again
}

func (s Step) String() string {
	work := ""
	if s.Work {
		work = ", once the index was written to"
	}
	return fmt.Sprintf("%6.2fs %-8s %-8s for %.2fs %d%s", s.At.Seconds(), s.What, s.On, s.For.Seconds(), s.N, work)
}

// holds is what nothing else may be done to meanwhile, in one order.
func (s Step) holds() []string {
	names := slices.Clone(steps[s.What].holds)
	if s.On != "" {
		names = append(names, s.On)
	}
	slices.Sort(names)
	return names
}

// Plan is what happens to the world of a seed.
type Plan struct {
	Seed   uint64
	Length time.Duration // of the chaos
	Second bool          // two instances run
	Steps  []Step        // in order of time
	Keep   bool          // the first instance has to get well by itself; otherwise a new one takes over in the end
}

func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintln(&b, " ", s)
	}
	return b.String()
}

// The names of what things are done to.
const (
	postgres   = "postgres"
	index      = "index"
	embeddings = "openai"
)

// kind says how a step of one kind is drawn.
type kind struct {
	weight      int
	on          []string
	least, most time.Duration
	n           [2]int   // from, and less than
	holds       []string // what nothing else is done to meanwhile, besides On
}

// steps are all kinds. What is done is in director.go.
var steps = map[string]kind{
	"kill":     {weight: 10, on: []string{"0", "1"}, least: 50 * time.Millisecond, most: 1500 * time.Millisecond},
	"term":     {weight: 3, on: []string{"0", "1"}, least: 50 * time.Millisecond, most: 500 * time.Millisecond},
	"freeze":   {weight: 8, on: []string{"0", "1"}, least: 300 * time.Millisecond, most: 7 * time.Second},
	"crash":    {weight: 4, holds: []string{"server"}, least: 50 * time.Millisecond, most: 1500 * time.Millisecond},
	"cut":      {weight: 6, on: []string{postgres, index, embeddings}, most: 1500 * time.Millisecond},
	"reset":    {weight: 3, on: []string{postgres, index, embeddings}, least: 300 * time.Millisecond, most: time.Second},
	"latency":  {weight: 4, on: []string{postgres, index, embeddings}, least: time.Second, most: 3 * time.Second, n: [2]int{5, 250}},
	"hole":     {weight: 4, on: []string{postgres, index, embeddings}, least: 300 * time.Millisecond, most: 3 * time.Second},
	"limit":    {weight: 4, on: []string{postgres, index, embeddings}, least: 300 * time.Millisecond, most: 2 * time.Second, n: [2]int{50, 60_000}},
	"weather":  {weight: 10, on: []string{"vectors", "models"}, least: 500 * time.Millisecond, most: 3 * time.Second, n: [2]int{0, 100}},
	"quota":    {weight: 1, holds: []string{"0", "1", "vectors"}, least: 500 * time.Millisecond, most: time.Second},
	"forget":   {weight: 2, holds: []string{"server"}},                                                                       // the state is dropped under a running cdc
	"amnesia":  {weight: 2, holds: []string{"0", "1", "server"}, least: 50 * time.Millisecond, most: time.Second},            // dropped while none runs
	"slotless": {weight: 2, holds: []string{"0", "1", "server"}, least: 50 * time.Millisecond, most: time.Second},            // the slot is dropped while none runs
	"unlisted": {weight: 1, holds: []string{"0", "1", "server"}, least: 50 * time.Millisecond, most: 500 * time.Millisecond}, // the publication is dropped while none runs
}

// Draw makes the plan of a seed.
func Draw(seed uint64, length time.Duration) Plan {
	random := rand.New(rand.NewPCG(seed, 0))
	p := Plan{Seed: seed, Length: length, Second: random.IntN(2) == 0}
	var bag []string // each kind as often as it weighs
	for what, k := range steps {
		bag = append(bag, slices.Repeat([]string{what}, k.weight)...)
	}
	slices.Sort(bag)
	busy := map[string]time.Duration{} // until when something is done to it
	between := func(least, most time.Duration) time.Duration {
		return least + time.Duration(random.Int64N(int64(most-least)+1))
	}
	// Where everything fails all the time, hardly anything is done that could go wrong: most steps leave cdc time to work.
	most := []time.Duration{400 * time.Millisecond, time.Second, 2 * time.Second}[random.IntN(3)]
	for at := between(0, most); at < length; at += between(50*time.Millisecond, most) {
		s := Step{At: at, What: bag[random.IntN(len(bag))], Work: random.IntN(3) > 0}
		k := steps[s.What]
		if len(k.on) > 0 {
			s.On = k.on[random.IntN(len(k.on))]
		}
		s.For = between(k.least, k.most)
		if k.n[1] > 0 {
			s.N = k.n[0] + random.IntN(k.n[1]-k.n[0])
		}
		if s.On == "1" && !p.Second {
			s.On = "0"
		}
		holds := s.holds()
		if slices.ContainsFunc(holds, func(name string) bool { return busy[name] > at }) {
			continue
		}
		for _, name := range holds {
			busy[name] = at + s.For + 100*time.Millisecond
		}
		p.Steps = append(p.Steps, s)
	}
	p.Keep = random.IntN(2) == 0
	return p
}
