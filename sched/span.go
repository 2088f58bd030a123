package sched

import (
	"time"

	"github.com/kadrehq/kadre/internal/trace"
)

const (
	// spanMost bounds the tasks of a span that one executor runs before it looks at its queue again.
	spanMost = 256
	// spanTime is about how long it may take for them.
	spanTime = 50 * time.Microsecond
)

// span is a range of tasks that are queued as one entry. Who takes it from a queue pushes the half back that it
// does not need, until what is left is short: so thieves get the larger pieces, and a range that nobody takes stays
// whole. Each of its tasks is claimed as any other; a getter may have done so before.
type span struct {
	Task

	// owned by who made it, then by who claimed it
	at     func(int) *Task
	lo, hi int

	ext Ext // in the same allocation, as the next
	end node
}

var spanFunc = Func{Name: "range"}

func init() { spanFunc.Run = runSpan }

// Prepare makes t a task of a span: one that takes one slot and needs nothing else. False: its context has ended,
// and t with it.
func (p Place) Prepare(t *Task, f *Func) bool {
	t.shape = 1
	return p.admit(t, f)
}

// Open says that the context of the submission has not ended: many tasks may be prepared at once. One that ends meanwhile
// is seen when they are run.
func (p Place) Open() bool {
	return p.r != nil && !p.r.derived && (p.r.done == nil || !p.r.over())
}

// PrepareOpen is Prepare after Open.
func (p Place) PrepareOpen(t *Task, f *Func) {
	t.shape = 1
	t.setKin(p.r.kin(f))
	if trace.On() && t.traced() {
		p.w.e.markSubmit(t, p.w.current())
	}
}

// PrepareLike is PrepareOpen, with the same function, of a task that lies so many bytes behind one that was prepared, in the same
// allocation.
func (p Place) PrepareLike(t *Task, behind uintptr) {
	t.shape = 1
	t.off = uint32(behind)
	if trace.On() && t.traced() {
		p.w.e.markSubmit(t, p.w.current())
	}
}

// SubmitAll submits n tasks that Prepare has taken, as one entry of a queue.
func (p Place) SubmitAll(n int, at func(int) *Task) {
	if n > 0 {
		p.w.e.pushSpan(p.w, p.r, at, 0, n)
	}
}

func (e *Engine) pushSpan(w *worker, r *Root, at func(int) *Task, lo, hi int) {
	s := &span{at: at, lo: lo, hi: hi}
	s.Extend(&spanFunc, &s.ext)
	s.shape = 1 | noInline
	s.setKin(r.kin(&spanFunc))
	e.spanned.Add(int64(hi - lo - 1))
	s.end.call = func() { s.ended(e) }
	s.attach(&s.end)
	n, ok := w.q.Push(&s.Task)
	if !ok {
		n, ok = e.shard().q.Push(&s.Task)
	}
	if !ok {
		s.failFrom(ErrBusy, stNew)
		return
	}
	if n += hi - lo - 1; n >= e.crowd.near {
		e.crowded(0)
	}
	e.pushed(n)
	e.checkClosed(&s.Task)
}

// ended fails the tasks of a span that ended before it was run.
func (s *span) ended(e *Engine) {
	e.spanned.Add(-int64(s.hi - s.lo - 1))
	if s.Finished() {
		return
	}
	err, at := s.Failure(), s.at
	for i := s.lo; i < s.hi; i++ {
		at(i).failFrom(err, stNew)
	}
}

// runSpan halves a span until it is short and runs what is left.
func runSpan(t *Task) {
	s := spanOf(t)
	r, at, depth := t.rootOf(), s.at, t.depth
	e := r.e
	w := e.byLane[t.lane].Load()
	lo, hi := s.lo, s.hi
	t.Finish() // before the halves: each task is in one span that is not done
	s.at = nil
	for hi-lo > spanLen(at(lo).Func()) {
		mid := lo + (hi-lo)/2
		e.pushSpan(w, r, at, mid, hi)
		hi = mid
	}
	if w.cur.Load() == t { // else a getter runs it
		w.piece.Store(&piece{at, lo, hi})
	}
	defer func() {
		w.piece.Store(nil)
		if lo < hi { // a task called Goexit
			e.pushSpan(w, r, at, lo, hi)
		}
	}()
	for lo < hi {
		x := at(lo)
		lo++
		if x.claim() {
			w.exec(x, depth, nil)
		}
	}
}

// piece is the part of a span that an executor runs. Which of its tasks runs is looked for by who asks, so that noting it
// costs a fast task nothing.
type piece struct {
	at     func(int) *Task
	lo, hi int
}

// each calls yield for the tasks that run; false where it returned false. Getters run some of them perhaps.
func (p *piece) each(yield func(*Task) bool) bool {
	for i := p.lo; i < p.hi; i++ {
		if x := p.at(i); x.state.Load()&stMask == stRun && !yield(x) {
			return false
		}
	}
	return true
}

// spanLen is how many tasks of f are run as one; one by one while it is not known how long they take.
func spanLen(f *Func) int {
	d := f.Learned()
	if d <= 0 {
		return 1
	}
	return int(min(spanMost, spanTime/d+1))
}

// takeSpan takes tasks from the start of a span that the caller has claimed, and queues the rest again. For those of
// which half or more are wanted, only half go.
func (e *Engine) takeSpan(s *span, max int, want func(*Task) bool) (ts []*Task) {
	r, at, lo, hi := s.rootOf(), s.at, s.lo, s.hi
	s.Finish()
	if r == nil {
		return nil
	}
	max = min(max, (hi-lo+1)/2)
	for ; lo < hi && len(ts) < max; lo++ {
		if x := at(lo); want(x) {
			ts = append(ts, x)
		} else if !x.Stale() {
			break // what does not fit stays
		}
	}
	if lo < hi {
		e.pushSpan(e.shard(), r, at, lo, hi)
	}
	return ts
}
