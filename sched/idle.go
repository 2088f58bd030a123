package sched

import "time"

const (
	// watchEvery is the pause between two looks of the watcher.
	watchEvery = 50 * time.Microsecond
	// watchLooks bounds the watch, to some 10 ms.
	watchLooks = 160
)

// pushed is called after a push that left n tasks in a queue. One task alone is left to its getter, or to
// the watcher: waking somebody for it costs more than most tasks. See doc.go for why none is lost.
func (e *Engine) pushed(n int) {
	if e.idle.Load() > 0 && e.searching.Load() == 0 && (n > 1 || !e.watching.Load()) {
		e.kick()
	}
	if n >= e.crowd.near {
		e.crowded(n)
	}
}

// kick makes sure that somebody searches; false: nobody was idle.
func (e *Engine) kick() bool {
	return e.searching.Load() > 0 || e.wakeOne()
}

// replace finds somebody to use a slot that a waiting task gave back.
func (e *Engine) replace() {
	if !e.kick() && e.searching.Load() == 0 {
		e.searching.Add(1)
		e.spawn(nil)
	}
}

func (e *Engine) wakeOne() bool {
	e.mu.Lock()
	w := e.idlestLocked()
	if w != nil {
		e.searching.Add(1)
	}
	e.mu.Unlock()
	if w == nil {
		return false
	}
	e.wakes.Add(1)
	w.wake <- struct{}{}
	return true
}

// idlestLocked takes the one out of idleQ that is woken next; nil where nobody is idle.
func (e *Engine) idlestLocked() *worker {
	n := len(e.idleQ)
	if n == 0 {
		return nil
	}
	w := e.idleQ[n-1]
	e.idleQ[n-1] = nil
	e.idleQ = e.idleQ[:n-1]
	e.idle.Store(int32(n - 1))
	return w
}

// hand passes the slot of t, which blocks, on to an executor that begins with next, which t waits for and nobody has
// started; false where t is to free its slot. So a tree of tasks whose getters may not run them is gone through depth first:
// whoever searches takes the oldest task, and each of a whole level would come to block on a goroutine of its own.
func (e *Engine) hand(t, next *Task) bool {
	if next == nil || !next.Queued() || next.slots() != 1 || t.slots() != 1 || e.waiting.Load() > 0 || e.press.Load() != 0 || e.stop.Load() {
		return false
	}
	if r := next.rootOf(); r == nil || r.e != e || spanOf(next) != nil || next.shape&prior != 0 {
		return false
	}
	e.mu.Lock()
	w := e.idlestLocked()
	e.mu.Unlock()
	if w == nil {
		e.spawn(next)
		return true
	}
	e.wakes.Add(1)
	w.given = next
	w.wake <- struct{}{}
	return true
}

// unidle takes w out of idleQ; false: somebody has, and a wake-up is on its way.
func (e *Engine) unidle(w *worker) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, x := range e.idleQ {
		if x == w {
			e.idleQ = append(e.idleQ[:i], e.idleQ[i+1:]...)
			e.idle.Store(int32(len(e.idleQ)))
			e.searching.Add(1)
			return true
		}
	}
	return false
}

// rest returns true when w shall search again, with searching counted, and false when it shall end.
func (w *worker) rest() bool {
	e := w.e
	if w.retire() {
		e.searching.Add(-1)
		if e.more() { // what step 3 of going idle is for the others
			e.kick()
		}
		return false
	}
	e.searching.Add(-1) // 1
	watch := e.watching.CompareAndSwap(false, true)
	e.mu.Lock()
	if watch {
		e.idleQ = append([]*worker{w}, e.idleQ...) // woken last: it is in a system call
	} else {
		e.idleQ = append(e.idleQ, w)
	}
	e.idle.Store(int32(len(e.idleQ))) // 2
	e.mu.Unlock()
	if watch && w.watch() {
		return true
	}
	if e.more() || e.stop.Load() { // 3
		return w.unrest()
	}
	w.q.Trim()
	<-w.wake
	return true
}

// unrest leaves idleQ, or takes the wake-up of who removed w from there.
func (w *worker) unrest() bool {
	if !w.e.unidle(w) {
		<-w.wake
	}
	return true
}

// watch looks at the queues every watchEvery for a task that nobody came for. True when w has left idleQ.
func (w *worker) watch() bool {
	e := w.e
	e.hold.Store(true)
	defer func() {
		clear(w.seen)
		w.seen = w.seen[:0]
	}()
	for range watchLooks {
		nap(watchEvery)
		select {
		case <-w.wake:
			e.endWatch()
			return true
		default:
		}
		if w.aged() || e.stop.Load() {
			e.endWatch()
			return w.unrest()
		}
	}
	e.endWatch()
	return false
}

func (e *Engine) endWatch() {
	e.watching.Store(false) // before step 3: a push that saw a watcher is seen there
	e.letGo()
}

// aged says whether a queue's oldest task is the one that was there at the last look.
func (w *worker) aged() bool {
	all := *w.e.all.Load()
	for len(w.seen) < len(all) {
		w.seen = append(w.seen, nil)
	}
	old := false
	for i, v := range all {
		t, ok := v.q.Oldest()
		if ok && t == w.seen[i] && !t.Stale() {
			old = true
		}
		w.seen[i] = t
	}
	return old
}

// more says whether a queue has an entry.
func (e *Engine) more() bool {
	if e.hasRanked() {
		return true
	}
	for _, v := range *e.all.Load() {
		if _, ok := v.q.Oldest(); ok {
			return true
		}
	}
	return false
}

// retire ends w when more executors are idle than could run.
func (w *worker) retire() bool {
	e := w.e
	if e.idle.Load() < idlePerSlot*e.limit.Load() || !w.q.Close() {
		return false
	}
	e.unlist(w)
	return true
}
