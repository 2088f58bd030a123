package sched

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/trace"
)

// node is what hangs on a task while it is not done. One of its fields says what: a parked waiter, a
// function to call, a task that needs this one, what this one needs itself, the context its function uses.
type node struct {
	next  *node
	p     *parker
	call  func()
	dep   *hang
	needs *hang
	scope *scope
}

// parker is one blocked goroutine and the number of signals that wake it.
type parker struct {
	ch   chan struct{}
	need atomic.Int32
	wait wait
}

func newParker() *parker {
	return &parker{ch: make(chan struct{}, 1), wait: wait{tell: make(chan struct{}, 1)}}
}

func (p *parker) signal() {
	if p.need.Add(-1) == 0 {
		p.ch <- struct{}{}
	}
}

var parkers = sync.Pool{New: func() any { return newParker() }}

// wake goes through a list that the caller has taken off a task, without its lock.
func wake(n *node) {
	for n != nil {
		next := n.next
		switch {
		case n.p != nil:
			n.p.signal()
		case n.call != nil:
			n.call()
		case n.dep != nil:
			n.dep.signal()
		case n.scope != nil:
			n.scope.close()
		case n.needs != nil: // it failed before it had what it needs
			n.needs.w.e.crowd.hung.Add(-1)
		}
		n = next
	}
}

// OnDone calls f once, when t is finished or failed: from its finisher, or at once when it is already. F
// must not block.
func (t *Task) OnDone(f func()) { t.attach(&node{call: f}) }

// park blocks until p has its signals or ctx ends; me, the task that waits, gives its slots back meanwhile.
func (e *Engine) park(ctx context.Context, p *parker, me *Task) error {
	if me != nil && e.give(me, p.wait.one) {
		defer e.takeBack(me)
	}
	p.wait.me = me
	e.waits.enter(&p.wait)
	defer e.endWait(&p.wait)
	done := ctx.Done()
	for {
		select {
		case <-p.ch:
			return nil
		case <-done:
			return ctx.Err()
		case <-p.wait.tell:
			if err := p.wait.heed(); err != nil {
				return err
			}
		}
	}
}

func (e *Engine) endWait(w *wait) {
	if trace.On() {
		e.markWait(w)
	}
	e.waits.leave(w)
}

// Blocked is a goroutine that waits for something beside tasks of the engine, or for several of them.
type Blocked struct {
	e    *Engine
	me   *Task // gave its slots back
	wait wait
}

// BlockFor is Block for who can say what it waits for: need of n tasks, or, where n is 0, what why says. The goroutine
// must look at Told while it waits. Firm says that it cannot end the wait with an error.
func (e *Engine) BlockFor(ctx context.Context, why string, firm bool, n, need int, at func(int) *Task) *Blocked {
	b := &Blocked{e: e, wait: wait{me: TaskOf(ctx), why: why, firm: firm, n: n, need: need, at: at, tell: make(chan struct{}, 1)}}
	var last *Task // thieves come from the other end
	if n > 0 {
		last = at(n - 1)
	}
	if b.wait.me != nil && e.give(b.wait.me, last) {
		b.me = b.wait.me
	}
	e.waits.enter(&b.wait)
	return b
}

// Told gets something when the goroutine has to call Heed.
func (b *Blocked) Told() <-chan struct{} { return b.wait.tell }

// Heed gives the error with which the wait has to end, if there is one.
func (b *Blocked) Heed() error { return b.wait.heed() }

// Resume ends the wait. It is to be called once.
func (b *Blocked) Resume() {
	b.e.endWait(&b.wait)
	if b.me != nil {
		b.e.takeBack(b.me)
	}
}

// Block gives back the slots of the task that ctx belongs to, before the calling goroutine waits for
// something the engine does not know. Resume, which is to be called once, waits for them again.
func (e *Engine) Block(ctx context.Context) (resume func()) {
	me := TaskOf(ctx)
	if me == nil || !e.give(me, nil) {
		return func() {}
	}
	return func() { e.takeBack(me) }
}

// give frees the slots of a task one of whose goroutines is about to block; false when it has none to
// give. The first goroutine to block gives, and takes back. Next, where it is not nil, is what it waits for.
func (e *Engine) give(t, next *Task) bool {
	if t.slots() == 0 || e.worker(t) == nil || !t.lend() {
		return false
	}
	if !e.hand(t, next) {
		e.releaseOf(t)
		e.replace()
	}
	if t.shape&carried != 0 && e.cfg.Blocked != nil {
		e.cfg.Blocked(t)
	}
	return true
}

// takeBack ends give. When t has ended meanwhile, whoever ran it has taken the slots back already.
func (e *Engine) takeBack(t *Task) {
	if t.ungive() {
		e.acquireOf(t)
	}
}

// ungive clears stGiven; who does has to take the slots back.
func (t *Task) ungive() bool {
	return t.state.Load()&stGiven != 0 && t.state.And(^stGiven)&stGiven != 0
}
