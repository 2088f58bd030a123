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
	me := e.taskOf(ctx)
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

// RunAll runs those of the first n tasks that nobody has started, from the last to the first, since thieves come from
// the other end: on the calling goroutine, where Await would. It does not block. All from left on have finished;
// the one before has not, or has failed. Through says that none is left that nobody has started and that could be run
// here. Outside of tasks it leaves functions that are slow, or not known yet, to the executors: a task of another one may
// fail meanwhile, and the caller is to see that.
func (e *Engine) RunAll(ctx context.Context, n int, at func(int) *Task) (left int, through bool) {
	me := e.taskOf(ctx)
	b := batch{e: e, me: me, depth: 1}
	if me == nil {
		b.w = e.shard()
	} else if b.w = e.worker(me); b.w != nil {
		b.depth = me.depth + 1
	}
	defer b.end()
	for i := n - 1; i >= 0; i-- {
		t := at(i)
		if t.state.Load()&stMask == stHung {
			e.help(ctx, t)
		}
		if me == nil && n > 1 && t.state.Load()&stMask == stNew && t.Func().Learned() == 0 {
			left = max(left, i+1)
			e.pushed(2)
			return left, false // the next look knows how long it takes
		}
		short := me != nil || n == 1 || t.Func().Learned() <= inlineLimit
		if short && t.state.Load()&stMask == stNew && e.mayInline(ctx, me, t) && !b.run(t, i) {
			if left == 0 {
				left = i + 1
			}
			e.pushed(2) // this goroutine does not come for it
			return left, false
		}
		switch t.state.Load() & stMask {
		case stDone:
		case stFailed:
			return i + 1, true
		default:
			if left == 0 {
				left = i + 1
			}
		}
	}
	if left > 0 {
		e.pushed(2)
	}
	return left, true
}

// batch is tasks that a goroutine runs one after the other, under one slot where it is no task itself.
type batch struct {
	e     *Engine
	me    *Task
	w     *worker
	depth uint8
	held  bool // a slot
}

// run runs t, the i-th, where this goroutine gets the claim; false where it gets no slot.
func (b *batch) run(t *Task, i int) bool {
	if b.me == nil && !b.held {
		if b.held = b.e.tryAcquire(1); !b.held {
			return false
		}
	}
	if t.claimBy(b.me) {
		b.w.exec(t, b.depth, b.me)
		if b.me != nil && b.e.press.Load() != 0 {
			b.e.turnOf(b.me)
		}
	}
	if i%runAllLook == 0 {
		b.w.q.DropStale()
		if b.held && (b.e.waiting.Load() > 0 || b.e.press.Load() != 0) {
			b.e.release(1)
			b.held = false
		}
	}
	return true
}

func (b *batch) end() {
	if b.w != nil {
		b.w.q.DropStale()
	}
	if b.held {
		b.e.release(1)
	}
}

// mayInline says whether the goroutine that waits under ctx, inside of me when that is not nil, may run t.
func (e *Engine) mayInline(ctx context.Context, me, t *Task) bool {
	k := t.kinOf()
	if t.shape&noInline != 0 || k.fn.goexit.Load() || k.fn.learned.Load() == 0 {
		return false // one that has never returned may end the goroutine
	}
	if k.root == nil || k.root.e != e {
		return false
	}
	// Not merely covered: who parks gives back the slots of the innermost task, and that must be all its
	// stack holds.
	if me == nil {
		if t.slots() != 1 {
			return false
		}
	} else if t.slots() != me.slots() || me.depth >= maxDepth || e.worker(me) == nil || me.state.Load()&^byMask != stRun {
		return false
	}
	var done <-chan struct{}
	if own := me != nil && ctx == context.Context(me); own {
		r := me.rootOf()
		if to := k.root; r == to || to.brood != nil && to.brood.owner.Load() == me {
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
	d := k.fn.Learned()
	if d == 0 || d > inlineLimit || ctx.Err() != nil {
		return false
	}
	end, ok := ctx.Deadline()
	return !ok || d*inlineShare <= time.Until(end)
}

// inline runs t here when this goroutine gets a slot and the claim; false when there is no slot.
func (e *Engine) inline(me, t *Task) bool {
	if me != nil {
		if t.claimBy(me) {
			e.byLane[me.lane].Load().exec(t, me.depth+1, me) // its entry is dropped by the next push, or by who comes for it
			if e.press.Load() != 0 {
				e.turnOf(me)
			}
		}
		return true
	}
	if !e.tryAcquire(1) {
		return false
	}
	defer e.release(1) // also when t calls Goexit
	if t.claim() {
		e.shard().exec(t, 1, nil)
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
	if e.cfg.Poll != nil && t.state.Load()&stMask == stExternal {
		if e.cfg.Poll(t); t.Ready() {
			return nil
		}
	}
	p := parkers.Get().(*parker)
	p.need.Store(1)
	p.wait.one = t
	n := &node{p: p}
	t.attach(n)
	if !t.Stale() && t.slots() == 1 {
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
	p := newParker()
	p.need.Store(int32(n))
	p.wait.open, p.wait.need = open, n
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
