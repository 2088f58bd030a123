package sched

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// waitStripes is how many lists the waits are in, so that waiters seldom meet at a lock.
const waitStripes = 16

// scanned bounds the tasks of one wait that a look goes through; the others count as open.
const scanned = 4096

// waitRegister has all goroutines that wait for tasks, for who asks why nothing goes on. A wait that never parks is
// not in it.
type waitRegister struct {
	stripes [waitStripes]struct {
		mu   sync.Mutex
		list *wait
		seq  uint64
		_    [40]byte
	}
	watched atomic.Bool   // somebody looks from time to time, until there is no wait of a task
	news    chan struct{} // ends his rest
}

// wait is one goroutine that waits. It lies in its parker.
type wait struct {
	// written under the stripe's lock
	me         *Task // who waits; nil outside of tasks
	one        *Task // for this task
	open       []*Task
	at         func(int) *Task // or for need of these n
	n, need    int
	why        string // in words, where it is not for a task
	firm       bool   // it cannot be ended with an error
	since      time.Time
	seq        uint64 // 0: it is in no list
	next, prev *wait

	// atomic
	asked  atomic.Int32 // 0, then askedFrames, then minus one less the number of frames
	broken atomic.Pointer[error]
	tell   chan struct{} // wakes the waiter, who looks at the two above
}

// Wait is a copy of what a goroutine waits for.
type Wait struct {
	Task   *Task   // nil: a goroutine outside of tasks
	For    []*Task // some of them, as many as were asked for
	Open   int     // how many there are that are not done
	Need   int     // how many of those have to be
	Why    string
	Since  time.Time
	Seq    uint64 // a number of its own
	Firm   bool   // Break cannot end it
	Frames int    // how many tasks run on the stack of its goroutine, one upon the other; -1: not known yet
}

// enter notes that the calling goroutine waits.
func (g *waitRegister) enter(w *wait) {
	w.since = time.Now()
	i := int(here() % waitStripes)
	s := &g.stripes[i]
	s.mu.Lock()
	s.seq++
	w.seq = s.seq*waitStripes + uint64(i)
	if w.next = s.list; w.next != nil {
		w.next.prev = w
	}
	s.list = w
	s.mu.Unlock()
	if w.me != nil && !g.watched.Load() && g.watched.CompareAndSwap(false, true) {
		select {
		case g.news <- struct{}{}:
		default:
		}
	}
}

// leave ends enter.
func (g *waitRegister) leave(w *wait) {
	s := &g.stripes[w.seq%waitStripes]
	s.mu.Lock()
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		s.list = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	}
	w.next, w.prev, w.seq = nil, nil, 0
	w.me, w.one, w.open, w.at, w.why = nil, nil, nil, nil, ""
	s.mu.Unlock()
	if w.asked.Load() != 0 || w.broken.Load() != nil { // nobody writes them any more
		w.asked.Store(0)
		w.broken.Store(nil)
		select {
		case <-w.tell:
		default:
		}
	}
}

// heed is called by a waiter that was told something: it looks at its own stack, or ends its wait.
func (w *wait) heed() error {
	if err := w.broken.Load(); err != nil {
		return *err
	}
	if w.asked.Load() == askedFrames {
		w.asked.Store(-1 - int32(taskFrames()))
	}
	return nil
}

const (
	askedFrames  = 1
	maxCallers   = 1024
	taskFunction = "/sched.(*worker).exec"
	callFunction = "/actor.(*Mailbox).call"
)

// taskFrames counts the tasks and actors' calls whose functions are on the stack of the calling goroutine.
func taskFrames() (n int) {
	pcs := make([]uintptr, maxCallers)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, taskFunction) || strings.HasSuffix(f.Function, callFunction) {
			n++
		}
		if !more {
			return n
		}
	}
}

// Waits tells what goroutines wait for, with at most targets tasks each.
func (e *Engine) Waits(targets int) (all []Wait) {
	for i := range e.waits.stripes {
		s := &e.waits.stripes[i]
		s.mu.Lock()
		for w := s.list; w != nil; w = w.next {
			all = append(all, w.look(targets))
		}
		s.mu.Unlock()
	}
	return all
}

// wake has the waiter call heed. It is called with the stripe's lock held, while the wait is in the list.
func (w *wait) wake() {
	select {
	case w.tell <- struct{}{}:
	default:
	}
}

func (w *wait) look(targets int) Wait {
	c := Wait{Task: w.me, Why: w.why, Since: w.since, Seq: w.seq, Firm: w.firm, Frames: -1}
	if a := w.asked.Load(); a < 0 {
		c.Frames = int(-1 - a)
	}
	at, n, need := w.at, w.n, w.need
	switch {
	case w.one != nil:
		at, n, need = func(int) *Task { return w.one }, 1, 1
	case w.open != nil:
		at, n = func(i int) *Task { return w.open[i] }, len(w.open)
	}
	c.Need = need
	for i := range n {
		if i == scanned {
			c.Open += n - i
			break
		}
		t := at(i)
		if t.Ready() {
			if w.open != nil { // need counts those that were not ready at first
				c.Need--
			}
			continue
		}
		if c.Open++; len(c.For) < targets {
			c.For = append(c.For, t)
		}
	}
	return c
}

// Break ends a wait with an error, the one of that number; false when it is over or cannot be ended so.
func (e *Engine) Break(seq uint64, err error) bool {
	s := &e.waits.stripes[seq%waitStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.list; w != nil; w = w.next {
		if w.seq == seq && !w.firm && w.broken.CompareAndSwap(nil, &err) {
			w.wake()
			return true
		}
	}
	return false
}

// AwaitWaits gives a channel that gets news when a task waits, and says that somebody looks from then on, until
// EndWatch.
func (e *Engine) AwaitWaits() <-chan struct{} { return e.waits.news }

// EndWatch says that nobody looks any more, unless a task waits.
func (e *Engine) EndWatch() (ended bool) {
	e.waits.watched.Store(false) // 1: pairs with enter, which lists the wait and then looks
	for i := range e.waits.stripes {
		s := &e.waits.stripes[i]
		s.mu.Lock()
		some := false
		for w := s.list; w != nil && !some; w = w.next { // 2
			some = w.me != nil
		}
		s.mu.Unlock()
		if some {
			return !e.waits.watched.CompareAndSwap(false, true)
		}
	}
	return true
}

// Waiting is how many tasks have waited for that long, and when the last of them began. They are asked to look at
// their stacks, once.
func (e *Engine) Waiting(long time.Duration) (n int, last time.Time) {
	now := time.Now()
	for i := range e.waits.stripes {
		s := &e.waits.stripes[i]
		s.mu.Lock()
		for w := s.list; w != nil; w = w.next {
			if w.me == nil || now.Sub(w.since) < long {
				continue
			}
			if n++; w.since.After(last) {
				last = w.since
			}
			if w.asked.CompareAndSwap(0, askedFrames) {
				w.wake()
			}
		}
		s.mu.Unlock()
	}
	return n, last
}

// Number tells tasks apart while they are there.
func (t *Task) Number() uint64 { return uint64(t.address()) }
