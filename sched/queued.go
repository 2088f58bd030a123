package sched

// peekAt is how many entries are looked at under a queue's lock at a time.
const peekAt = 1024

// EachQueued calls f for what is queued: with a task and 1, or with the first task of a range and how many of it nobody may
// have started. What comes or goes meanwhile may be missed or told twice. F must be quick and must not call the engine: it
// runs under a queue's lock.
func (e *Engine) EachQueued(f func(t *Task, n int)) {
	one := func(t *Task) {
		switch s := spanOf(t); {
		case t.Stale():
		case s == nil:
			f(t, 1)
		default:
			f(s.at(s.lo), s.hi-s.lo) // nobody changes them before the entry has left the queue, under its lock
		}
	}
	for _, v := range *e.all.Load() {
		for at, more := uint64(0), true; more; {
			at, more = v.q.Peek(at, peekAt, one)
		}
	}
	for _, t := range e.queuedRanked() {
		if !t.Stale() {
			f(t, 1)
		}
	}
	for _, a := range []*aside{e.wide, e.free, e.part} {
		for _, t := range a.queued() {
			if !t.Stale() {
				f(t, 1)
			}
		}
	}
}

// Needs lists what a task that is not queued yet waits for: its Deps; nil when it waits for none.
func (t *Task) Needs() []*Task {
	if t.state.Load()&stMask != stHung {
		return nil
	}
	return t.needs()
}

// EachDependent calls f for the tasks that wait for t among their Deps. F must not call the engine.
func (t *Task) EachDependent(f func(*Task)) {
	x := t.ext.Load()
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for n := x.list.Load(); n != nil; n = n.next {
		if n.dep != nil {
			f(n.dep.t)
		}
	}
}
