package sched

import (
	"slices"

	"github.com/kadrehq/kadre/sched/deque"
)

// takeLook bounds the entries that Take looks at in one queue, beyond twice what it wants.
const takeLook = 256

// Take claims up to max of the oldest queued tasks that fit, for another process or node: they become
// external, and neither run here nor inline any more, unless Return puts them back. Fits must be quick
// and must not call the engine: it runs under a queue's lock.
func (e *Engine) Take(max int, fits func(*Task) bool) []*Task {
	var ts []*Task
	want := func(t *Task) bool { return fits(t) && t.state.CompareAndSwap(stNew, stExternal) }
	for _, t := range slices.Concat(e.queuedRanked(), e.wide.queued(), e.part.queued()) {
		if len(ts) < max && want(t) {
			ts = append(ts, t)
		}
	}
	if len(ts) > 0 {
		e.filterRanked((*Task).Stale)
	}
	for _, v := range *e.all.Load() {
		if len(ts) >= max {
			break
		}
		n := max - len(ts)
		var spans []*span
		ts = v.q.Take(ts, n, min(deque.Max, 2*n+takeLook), func(t *Task) bool {
			s := spanOf(t)
			if s == nil {
				return want(t)
			}
			if len(spans) == 0 && fits(s.at(s.lo)) && t.claim() {
				spans = append(spans, s)
			}
			return false // a claimed one is stale and goes, too
		})
		for _, s := range spans {
			ts = append(ts, e.takeSpan(s, max-len(ts), want)...)
		}
	}
	return ts
}

// Return queues tasks that Take gave, those of them that nobody has ended meanwhile.
func (e *Engine) Return(ts []*Task) {
	for _, t := range ts {
		r := t.rootOf()
		if r == nil || !t.move(stNew, stExternal) {
			continue
		}
		if r.done != nil && r.over() {
			t.failFrom(&CancelledError{Cause: r.ctx.Err()}, stNew)
			continue
		}
		e.enqueue(e.shard(), t)
	}
}

// Queued is about how many tasks wait for a slot.
func (e *Engine) Queued() int {
	n := int(e.spanned.Load()) + e.inQueues() + int(e.ranked.n.Load())
	for _, a := range []*aside{e.wide, e.free, e.part} {
		a.mu.Lock()
		n += len(a.queue)
		a.mu.Unlock()
	}
	return n
}

// OnQueued gives the engine a function that it calls with Queued's figure soon after the queues became
// empty or stopped being so, and at most every tick of the monitor. F must not block. It replaces the
// function given before.
func (e *Engine) OnQueued(f func(n int)) { e.onQueued.Store(&f) }

// dropQueued fails the queued tasks for which which is true.
func (e *Engine) dropQueued(which func(*Task) bool, err error) {
	e.dropping.Add(1)
	var ts []*Task
	for _, v := range *e.all.Load() {
		v.q.Filter(func(t *Task) bool {
			if which(t) {
				ts = append(ts, t)
				return true
			}
			return false
		})
	}
	e.filterRanked(func(t *Task) bool {
		if which(t) {
			ts = append(ts, t)
			return true
		}
		return t.Stale()
	})
	for _, a := range []*aside{e.wide, e.free, e.part} {
		ts = append(ts, a.queued()...)
	}
	for _, t := range ts {
		if which(t) {
			t.failFrom(err, stNew)
		}
	}
	e.dropped.Add(1)
	e.dropping.Add(-1)
}

// recheck fails what w stole while somebody dropped tasks: between two queues, dropQueued cannot see them.
// Before is dropped's figure from before the steal.
func (e *Engine) recheck(w *worker, before int64) {
	if e.dropping.Load() == 0 && e.dropped.Load() == before {
		return
	}
	var ts []*Task
	w.q.Filter(func(t *Task) bool {
		r := t.rootOf()
		if r != nil && (e.closed.Load() || r.over()) {
			ts = append(ts, t)
			return true
		}
		return false
	})
	for _, t := range ts {
		t.failFrom(e.endOf(t), stNew)
	}
}

// endOf is why t may not start any more.
func (e *Engine) endOf(t *Task) error {
	if r := t.rootOf(); r != nil && r.over() {
		return &CancelledError{Cause: r.ctx.Err()}
	}
	return ErrClosed
}

// rehome queues tasks anew whose queue had no place.
func (e *Engine) rehome(ts []*Task) {
	for _, t := range ts {
		e.enqueue(e.shard(), t)
	}
}
