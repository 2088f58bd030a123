package sched

import (
	"context"
	"time"
)

const (
	// maxDepth bounds the getters that run inline on one stack.
	maxDepth = 64
	// inlineLimit is the learned run time up to which a getter that may have to leave runs a task itself.
	inlineLimit = 50 * time.Microsecond
	// inlineShare of the time left may be spent on it.
	inlineShare = 100
	// awaitSpin is how often a getter looks again before it parks, a few ns each.
	awaitSpin = 30
)

// Await blocks until t is done or ctx ends: nil when it finished, its failure when it failed, else
// ctx.Err(). It may run t on the calling goroutine when nobody has started it. A task that waits gives its
// CPU slots back meanwhile.
func (e *Engine) Await(ctx context.Context, t *Task) error {
	if t.state.Load()&stMask == stDone {
		return nil
	}
	me := TaskOf(ctx)
	for {
		switch t.state.Load() & stMask {
		case stDone:
			return nil
		case stFailed:
			return t.Failure()
		case stNew:
			if e.mayInline(ctx, me, t) && e.inline(me, t) {
				continue
			}
		case stHung:
			if e.help(ctx, t) {
				continue
			}
		}
		if err := e.awaitParked(ctx, me, t); err != nil && !t.Ready() {
			return err
		}
	}
}

// runAllLook is how many tasks RunAll runs between two looks at whether others wait for its slot.
const runAllLook = 64

// RunAll runs those of n tasks that nobody has started, from the last to the first, since thieves come from the
// other end: on the calling goroutine, where Await would. It does not block, and stops where a task has failed.
func (e *Engine) RunAll(ctx context.Context, n int, at func(int) *Task) {
	me := TaskOf(ctx)
	w, depth, held := (*worker)(nil), uint8(1), false
	if me == nil {
		w = e.shard()
	} else if w = me.w; w != nil {
		depth = me.depth + 1
	}
	defer func() {
		if w != nil {
			w.q.DropStale()
		}
		if held {
			e.release(1)
		}
	}()
	for i := n - 1; i >= 0; i-- {
		t := at(i)
		switch t.state.Load() & stMask {
		case stNew:
		case stHung:
			e.help(ctx, t)
			if t.Stale() {
				continue
			}
		case stFailed:
			return
		default:
			continue
		}
		if !e.mayInline(ctx, me, t) {
			continue
		}
		if me == nil && !held {
			if held = e.tryAcquire(1); !held {
				return
			}
		}
		if t.claim() {
			t.depth = depth
			w.exec(t)
			if t.state.Load()&stMask == stFailed {
				return
			}
		}
		if i%runAllLook == 0 {
			w.q.DropStale()
			if held && (e.waiting.Load() > 0 || e.press.Load()) {
				e.release(1)
				held = false
			}
		}
	}
}

// mayInline says whether the goroutine that waits under ctx, inside of me when that is not nil, may run t.
func (e *Engine) mayInline(ctx context.Context, me, t *Task) bool {
	if t.flags&flagNoInline != 0 || t.fn.goexit.Load() {
		return false
	}
	if r := t.rootOf(); r == nil || r.e != e {
		return false
	}
	// Not merely covered: who parks gives back the slots of the innermost task, and that must be all its
	// stack holds.
	if me == nil {
		if t.slots != 1 {
			return false
		}
	} else if t.slots != me.slots || me.depth >= maxDepth || me.w == nil || me.w.e != e || me.state.Load() != stRun {
		return false
	}
	var done <-chan struct{}
	if own := me != nil && ctx == context.Context(me); own {
		r := me.rootOf()
		if r == t.rootOf() {
			return true // whatever ends the wait ends t as well
		}
		if r != nil {
			done = r.done
		}
	} else {
		done = ctx.Done()
	}
	if done == nil {
		return true
	}
	d := t.fn.Learned()
	if d == 0 || d > inlineLimit || ctx.Err() != nil {
		return false
	}
	end, ok := ctx.Deadline()
	return !ok || d*inlineShare <= time.Until(end)
}

// inline runs t here when this goroutine gets a slot and the claim; false when there is no slot.
func (e *Engine) inline(me, t *Task) bool {
	if me != nil {
		if t.claim() {
			me.w.q.DropStale()
			t.depth = me.depth + 1
			me.w.exec(t)
		}
		return true
	}
	if !e.tryAcquire(1) {
		return false
	}
	defer e.release(1) // also when t calls Goexit
	if t.claim() {
		w := e.shard()
		w.q.DropStale()
		t.depth = 1
		w.exec(t)
	}
	return true
}

// help runs what a hung task waits for, as a getter would; false when there is nothing to run.
func (e *Engine) help(ctx context.Context, t *Task) bool {
	ran := false
	me := TaskOf(ctx)
	for _, d := range t.needs() {
		if d.state.Load()&stMask == stNew && e.mayInline(ctx, me, d) {
			ran = e.inline(me, d) || ran
		}
	}
	return ran
}

// awaitParked spins for a moment, then blocks until t is done or ctx ends.
func (e *Engine) awaitParked(ctx context.Context, me, t *Task) error {
	for range awaitSpin {
		if t.Ready() {
			return nil
		}
	}
	p := parkers.Get().(*parker)
	p.need.Store(1)
	n := &node{p: p}
	t.attach(n)
	if !t.Stale() && t.slots == 1 {
		e.pushed(2)
	}
	err := e.park(ctx, p, me)
	if err == nil || t.detach(n) {
		parkers.Put(p) // else a signal is on its way
	}
	return err
}

// WaitN blocks until at least n of ts are finished or failed, or ctx ends. It never runs a task itself.
func (e *Engine) WaitN(ctx context.Context, ts []*Task, n int) error {
	n = min(n, len(ts))
	var open []*Task
	for _, t := range ts {
		if t.Ready() {
			n--
		} else {
			open = append(open, t)
		}
	}
	if n <= 0 {
		return nil
	}
	p := &parker{ch: make(chan struct{}, 1)}
	p.need.Store(int32(n))
	nodes := make([]node, len(open))
	for i, t := range open {
		nodes[i].p = p
		t.attach(&nodes[i]) // signals at once when t has become ready meanwhile
	}
	e.pushed(2)
	err := e.park(ctx, p, TaskOf(ctx))
	for i, t := range open {
		if !t.Ready() {
			t.detach(&nodes[i])
		}
	}
	return err
}
