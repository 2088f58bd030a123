package sim

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// Net is how messages fare. Probabilities are in [0, 1].
type Net struct {
	Min, Max time.Duration // delay, evenly spread
	Loss     float64
	Dup      float64 // a second copy, with a delay of its own
}

// World is one simulated cluster whose messages are of type M.
type World[M any] struct {
	// Rand is the source of all chance in the run.
	Rand *rand.Rand

	net     Net
	deliver func(to, from int, m M)
	now     time.Duration
	steps   int
	order   uint64
	queue   events
	nodes   []node
	cut     map[[2]int]bool
}

type node struct {
	up   bool
	life int // incarnation
}

type event struct {
	at    time.Duration
	order uint64
	do    func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

// New makes a world of n nodes, all up in their first incarnation. Deliver is called for each message that
// arrives at a node that is up.
func New[M any](seed uint64, n int, net Net, deliver func(to, from int, m M)) *World[M] {
	w := &World[M]{Rand: rand.New(rand.NewPCG(seed, 0)), net: net, deliver: deliver, nodes: make([]node, n), cut: map[[2]int]bool{}}
	for i := range w.nodes {
		w.nodes[i] = node{up: true, life: 1}
	}
	return w
}

// Now is the time since the start.
func (w *World[M]) Now() time.Duration { return w.now }

// Steps is how many things have happened so far.
func (w *World[M]) Steps() int { return w.steps }

// Up says whether node i is up.
func (w *World[M]) Up(i int) bool { return w.nodes[i].up }

// Life is the incarnation of node i, from 1 on.
func (w *World[M]) Life(i int) int { return w.nodes[i].life }

// After plans f, whatever happens to the nodes.
func (w *World[M]) After(d time.Duration, f func()) {
	w.order++
	heap.Push(&w.queue, event{w.now + d, w.order, f})
}

// On plans f at node i, unless that incarnation has ended by then.
func (w *World[M]) On(i int, d time.Duration, f func()) {
	life := w.nodes[i].life
	w.After(d, func() {
		if w.nodes[i] == (node{true, life}) {
			f()
		}
	})
}

// Send gives a message to the network.
func (w *World[M]) Send(from, to int, m M) {
	copies := 1
	if w.Rand.Float64() < w.net.Dup {
		copies = 2
	}
	for range copies {
		if w.Rand.Float64() < w.net.Loss {
			continue
		}
		w.After(w.Delay(), func() {
			if w.nodes[to].up && !w.cut[[2]int{from, to}] {
				w.deliver(to, from, m)
			}
		})
	}
}

// Delay draws the time that one message takes.
func (w *World[M]) Delay() time.Duration {
	return w.net.Min + time.Duration(w.Rand.Int64N(int64(w.net.Max-w.net.Min)+1))
}

// Cut stops messages between a and b, those under way too; Heal ends it.
func (w *World[M]) Cut(a, b int) { w.cut[[2]int{a, b}], w.cut[[2]int{b, a}] = true, true }

// Heal ends Cut.
func (w *World[M]) Heal(a, b int) {
	delete(w.cut, [2]int{a, b})
	delete(w.cut, [2]int{b, a})
}

// Crash takes node i down; what it had planned by On does not happen.
func (w *World[M]) Crash(i int) { w.nodes[i].up = false }

// Restart brings node i up in its next incarnation.
func (w *World[M]) Restart(i int) { w.nodes[i] = node{true, w.nodes[i].life + 1} }

// Run lets things happen until done says so or nothing is planned, at most steps of them; false: not done.
// Done is asked after each.
func (w *World[M]) Run(steps int, done func() bool) bool {
	for range steps {
		if len(w.queue) == 0 {
			return done()
		}
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		w.steps++
		e.do()
		if done() {
			return true
		}
	}
	return false
}
