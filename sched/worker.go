package sched

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/sched/deque"
)

const (
	// maxSteal bounds what one steal moves.
	maxSteal = 128
	// searchRounds bounds the search for work, at about 0.1 us a round and 0.02 us a queue.
	searchRounds = 16
	// searchLoads is the pause between two rounds, in loads of a word.
	searchLoads = 300
	// stealEarly is how many entries a queue must have for the first stealPatience rounds: who submits one after the
	// other would else meet a thief at its lock for each.
	stealEarly    = 16
	stealPatience = 5
	// searchShares is the round from which a searcher leaves its slot to a task that waits for one.
	searchShares = 8
	// idlePerSlot is how many idle executors are kept for each slot.
	idlePerSlot = 2
)

// worker is an executor: a goroutine with a queue. The queues without a goroutine, where submissions from
// outside of tasks go, are workers too.
type worker struct {
	q     deque.Deque[*Task]
	roots rootCache
	cur   atomic.Pointer[Task]  // what its loop runs, for the monitor
	piece atomic.Pointer[piece] // while that is a range: what is run of it

	// constant after construction
	e    *Engine
	wake chan struct{}
	lane uint8 // see Place.Lane; newer workers may have the same

	given *Task // what to begin with, under a slot that goes with it; written by who wakes the goroutine

	// owned by the goroutine
	rnd  uint32
	seen []*Task
	buf  [maxSteal]*Task
}

// exec runs a task that the caller has claimed, on this goroutine: that of me, which waits for it, where me is not nil.
func (w *worker) exec(t *Task, depth uint8, me *Task) {
	t.lane, t.depth = w.lane, depth
	k := t.kinOf()
	if r := k.root; r != nil && r.done != nil && r.over() {
		t.Fail(&CancelledError{Cause: r.ctx.Err()})
		return
	}
	f := k.fn
	var start time.Time
	every := f.everyRun()
	if every || t.sampled() {
		start = time.Now()
	}
	var s *stint
	if every {
		s = w.e.roster.enter(w.lane, t, me, start)
	}
	normal := false
	defer func() {
		if !normal {
			w.crashed(t, me, recover())
		}
		if s != nil {
			w.e.roster.leave(w.lane, s)
		}
	}()
	f.Run(t)
	normal = true
	if !start.IsZero() {
		f.measured(time.Since(start), every)
		if trace.On() {
			w.e.markRun(t, start)
		}
	}
	if s := t.state.Load(); s&(stMask|stGiven) != stDone {
		w.returned(t)
	}
}

// returned handles what is rare at the end of a run.
func (w *worker) returned(t *Task) {
	if t.state.Load()&stMask == stFailed {
		t.Func().runs.failed.Add(1)
	}
	t.move(stExternal, stRun)
	if t.ungive() { // a goroutine that the function left behind still waits
		w.e.acquireOf(t)
	}
}

// crashed is the end of a run that did not return. Where t ended the goroutine of its getter, that is what befalls me next,
// through no fault of its function.
func (w *worker) crashed(t, me *Task, r any) {
	w.e.note("panic", t.Func().Name, 0)
	by, below := w.e.exits.LoadAndDelete(t)
	switch {
	case r != nil:
		t.Fail(&PanicError{Value: r, Stack: debug.Stack()})
	case below:
		t.Fail(fmt.Errorf("%w: by %s, which the task ran itself as it got its result", ErrGoexit, by))
	default:
		by = t.Func().Name
		t.Func().goexit.Store(true)
		t.Fail(ErrGoexit)
	}
	if r == nil && me != nil {
		w.e.exits.Store(me, by)
	}
	w.returned(t)
}

// loop starts and goes on with searching counted for this executor and no slot; or with a task given and a slot.
func (w *worker) loop() {
	e := w.e
	normal := false
	defer func() {
		last := w.cur.Swap(nil)
		if !normal { // a task called Goexit: its slot and this executor's place go to a new goroutine
			if last != nil && last.shape&prior != 0 {
				e.endRanked()
			}
			e.searching.Add(1)
			e.release(1)
			e.spawn(nil)
			e.unlist(w)
		}
		e.leave()
	}()
	for !e.stop.Load() {
		if t := w.given; t != nil {
			w.given = nil
			e.rouse()
			w.work(t)
		} else {
			e.acquire(1)
		}
		for t := w.search(); t != nil; t = w.search() {
			e.found()
			w.work(t)
		}
		e.release(1)
		if !w.rest() {
			break
		}
	}
	if w.given != nil {
		e.release(1)
	}
	normal = true
}

// work runs t and what comes to hand after it, and leaves with searching counted.
func (w *worker) work(t *Task) {
	for ; t != nil; t = w.next() {
		if t.claim() {
			w.cur.Store(t)
			w.exec(t, 0, nil)
			if w.e.press.Load() != 0 {
				w.pressed()
			}
		} else if t.shape&prior != 0 {
			w.e.endRanked()
		}
	}
	w.cur.Store(nil)
	w.e.searching.Add(1)
}

// found: the last searcher that finds work sends another one. Where nobody is idle but a slot is free, tasks have
// blocked while it searched, and left what comes next to it: somebody has to be there in its place.
func (e *Engine) found() {
	e.rouse()
	if e.searching.Add(-1) != 0 || e.running() >= e.limit.Load() {
		return
	}
	if e.idle.Load() == 0 {
		e.replace()
	} else if e.more() {
		e.kick()
	}
}

// turn lets those who wait for a slot, here or in another process, go first.
func (e *Engine) turn() {
	e.release(1)
	e.acquire(1)
}

func (w *worker) next() *Task {
	if t, ok := w.q.Pop(); ok {
		return t
	}
	return w.steal(true, stealEarly)
}

// WordsFreed is to be called when CPU words may have been given back.
func (e *Engine) WordsFreed() {
	if e.waiting.Load() > 0 {
		e.grant()
	}
}

// turnOf is turn for a goroutine of t, whose slots are t's.
func (e *Engine) turnOf(t *Task) {
	if e.press.Load()&pressSlots != 0 && t.slots() > 0 && t.lend() {
		e.releaseOf(t)
		e.takeBack(t)
	}
}

var searchPause atomic.Int32

func (w *worker) search() *Task {
	if t := w.urgent(); t != nil {
		return t
	}
	if t, ok := w.q.Pop(); ok {
		return t
	}
	for i := range searchRounds {
		least := 1
		if i < stealPatience {
			least = stealEarly
		}
		if t := w.steal(i == 0, least); t != nil {
			return t
		}
		if t := w.urgent(); t != nil {
			return t
		}
		if w.e.stop.Load() || i > searchShares && w.e.waiting.Load() > 0 {
			return nil
		}
		if i == 0 {
			runtime.Gosched() // a getter that this executor woke sits in its P's run queue, where no spinner may keep it
		}
		for range searchLoads {
			searchPause.Load()
		}
	}
	return nil
}

// steal takes half of some queue that has least entries and gives the oldest of it.
func (w *worker) steal(lock bool, least int) *Task {
	e := w.e
	all := *e.all.Load()
	w.rnd ^= w.rnd << 13
	w.rnd ^= w.rnd >> 17
	w.rnd ^= w.rnd << 5
	at := int(w.rnd % uint32(len(all)))
	for i := range all {
		v := all[(at+i)%len(all)]
		if v == w {
			continue
		}
		drops := e.dropped.Load()
		n, _ := v.q.Steal(w.buf[:], least, !lock)
		if n == 0 {
			continue
		}
		e.steals.Add(1)
		t := w.buf[0]
		if n > 1 {
			for i, j := 1, n-1; i < j; i, j = i+1, j-1 { // the oldest runs first
				w.buf[i], w.buf[j] = w.buf[j], w.buf[i]
			}
			if !w.q.PushAll(w.buf[1:n]) {
				e.rehome(w.buf[1:n])
			}
			e.recheck(w, drops)
		}
		clear(w.buf[:n])
		return t
	}
	return nil
}
