package sched

import (
	"sync"
	"time"
)

// roster has the runs of functions that are slow, or not known yet: whoever lists what runs finds those there that no
// executor's loop has, since getters run tasks too. A fast function pays nothing.
type roster struct {
	stripes [rosterStripes]struct {
		mu   sync.Mutex
		list *stint
		free *stint
		_    [40]byte
	}
}

const rosterStripes = 16

// stint is one run.
type stint struct {
	t, me      *Task // me is the task whose getter runs t; nil: it is run by none
	since      time.Time
	next, prev *stint
}

func (r *roster) enter(lane uint8, t, me *Task, now time.Time) *stint {
	x := &r.stripes[lane%rosterStripes]
	x.mu.Lock()
	s := x.free
	if s == nil {
		s = new(stint)
	} else {
		x.free = s.next
	}
	*s = stint{t: t, me: me, since: now, next: x.list}
	if s.next != nil {
		s.next.prev = s
	}
	x.list = s
	x.mu.Unlock()
	return s
}

func (r *roster) leave(lane uint8, s *stint) {
	x := &r.stripes[lane%rosterStripes]
	x.mu.Lock()
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		x.list = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	*s = stint{next: x.free}
	x.free = s
	x.mu.Unlock()
}

// failed lists the tasks whose functions run although they have failed.
func (r *roster) failed() (all []*Task) {
	for i := range r.stripes {
		x := &r.stripes[i]
		x.mu.Lock()
		for s := x.list; s != nil; s = s.next {
			if s.t.state.Load()&stMask == stFailed {
				all = append(all, s.t)
			}
		}
		x.mu.Unlock()
	}
	return all
}

// Run is a task that runs.
type Run struct {
	Task   *Task
	Getter *Task     // the task that waits for it and runs it on its own goroutine; nil: none
	Since  time.Time // zero: not known
}

// Runs lists the tasks that run: those of executors, and those that getters run whose functions are slow or not known
// yet. Each is in it once. A task that ran on after it was failed is in it, too.
func (e *Engine) Runs() (all []Run) {
	known := map[*Task]bool{}
	for i := range e.roster.stripes {
		x := &e.roster.stripes[i]
		x.mu.Lock()
		for s := x.list; s != nil; s = s.next {
			all = append(all, Run{s.t, s.me, s.since})
			known[s.t] = true
		}
		x.mu.Unlock()
	}
	for t := range e.active() {
		if !known[t] && !t.Ready() {
			all = append(all, Run{Task: t})
		}
	}
	return all
}

// BaseOf is the task at the bottom of the stack on which t runs with so many tasks, where that is an executor's; else nil.
// Below t there are getters of whom nothing is noted where the functions that they ran are known to be fast.
func (e *Engine) BaseOf(t *Task, frames int) *Task {
	if frames != int(t.depth)+1 || t.lane == 0 {
		return nil
	}
	var base *Task
	for _, w := range *e.all.Load() {
		if w.lane != t.lane {
			continue
		}
		more := false
		w.running(func(x *Task) bool {
			more = base != nil
			base = x
			return !more
		})
		if more { // executors share the lane, or getters run some of its range
			return nil
		}
	}
	if base == t {
		return nil
	}
	return base
}

// Running calls f for the tasks that executors run.
func (e *Engine) Running(f func(*Task)) {
	for t := range e.active() {
		f(t)
	}
}
