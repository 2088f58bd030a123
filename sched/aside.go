package sched

import (
	"slices"
	"sync"
)

const (
	// maxFree bounds the goroutines of tasks that need no slot; beyond it they queue. It guards memory only.
	maxFree = 1 << 16
	// maxAside bounds what waits in one of the queues below.
	maxAside = 1 << 22
)

// aside is what runs beside the deques: a queue of tasks that need no slot (free), more than one (wide) or less (part), each
// on a goroutine of its own.
type aside struct {
	// constant after construction
	e    *Engine
	w    *worker // where their children go
	wide bool    // it takes slots, or shares of them

	mu      sync.Mutex
	queue   []entry            // in the order of their turns
	taking  int                // goroutines that look at queue
	running map[*Task]struct{} // for Close and the monitor
}

func newAside(e *Engine, wide bool) *aside {
	a := &aside{e: e, w: e.newWorker(), wide: wide, running: make(map[*Task]struct{})}
	a.w.q.Close() // nobody steals from it: children go to the shards
	return a
}

// add queues t. Free tasks have a goroutine each up to maxFree; wide ones get their slots one after the other.
func (a *aside) add(t *Task) {
	if t.shape&share == 0 && int(t.slots()) > a.e.cfg.Slots {
		t.failFrom(a.e.tooWide(t), stNew)
		return
	}
	if a.e.closed.Load() {
		t.failFrom(ErrClosed, stNew)
		return
	}
	a.mu.Lock()
	n := len(a.queue)
	full := n >= maxAside
	start := false
	if !full {
		a.insertLocked(a.e.rank(t))
		start = a.taking == 0 || !a.wide && a.taking < maxFree
		if start {
			a.taking++
		}
	}
	a.mu.Unlock()
	if full {
		t.failFrom(ErrBusy, stNew)
	}
	if n >= a.e.crowd.near {
		a.e.crowded(n)
	}
	if !start {
		return
	}
	a.e.enter()
	if a.wide {
		go a.gather()
	} else {
		go a.take()
	}
}

// take runs free tasks until none is queued.
func (a *aside) take() {
	normal := false
	defer func() {
		if !normal { // Goexit: the rest goes to a new goroutine
			a.e.enter()
			go a.take()
		}
		a.e.leave()
	}()
	for t := a.head(true); t != nil; t = a.head(true) {
		if t.claim() {
			a.run(t)
		}
	}
	normal = true
}

// gather collects the slots of one wide task after the other and sends it off. A task stays in the queue
// until then, where Take and dropQueued see it.
func (a *aside) gather() {
	defer a.e.leave()
	for t := a.head(false); t != nil; t = a.head(false) {
		a.send(t)
		a.remove(t)
	}
}

// insertLocked queues an entry behind those whose turn comes before its own.
func (a *aside) insertLocked(x entry) {
	i := len(a.queue)
	for i > 0 && a.queue[i-1].key < x.key {
		i--
	}
	a.queue = slices.Insert(a.queue, i, x)
}

// remove takes t off the queue, which may have got others before it.
func (a *aside) remove(t *Task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.queue {
		if a.queue[i].t != t {
			continue
		}
		if i > 0 {
			a.queue = slices.Delete(a.queue, i, i+1)
			return
		}
		a.queue[0] = entry{}
		a.queue = a.queue[1:]
		return
	}
}

func (a *aside) send(t *Task) {
	e := a.e
	if t.Stale() {
		return
	}
	if n := int32(t.slots()); t.shape&share != 0 {
		e.acquireOf(t)
	} else if !e.tryOwn(n) {
		e.press.Or(pressSlots)
		e.acquire(n)
	}
	if !t.claim() {
		e.releaseOf(t)
		return
	}
	e.rouse()
	e.enter()
	go func() {
		defer e.leave()
		defer e.releaseOf(t)
		a.run(t)
	}()
}

// head is the oldest task, taken off the queue with pop. Nil: the queue is empty, and the calling goroutine
// is not counted in taking any more.
func (a *aside) head(pop bool) *Task {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) == 0 {
		a.queue = nil
		a.taking--
		return nil
	}
	t := a.queue[0].t
	if pop {
		a.queue[0] = entry{}
		a.queue = a.queue[1:]
	}
	return t
}

func (a *aside) run(t *Task) {
	a.mu.Lock()
	a.running[t] = struct{}{}
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.running, t)
		a.mu.Unlock()
	}()
	a.w.exec(t, 0, nil)
}

// queued copies what waits.
func (a *aside) queued() []*Task {
	a.mu.Lock()
	defer a.mu.Unlock()
	ts := make([]*Task, len(a.queue))
	for i, x := range a.queue {
		ts[i] = x.t
	}
	return ts
}

func (a *aside) active() []*Task {
	a.mu.Lock()
	defer a.mu.Unlock()
	ts := make([]*Task, 0, len(a.running))
	for t := range a.running {
		ts = append(ts, t)
	}
	return ts
}
