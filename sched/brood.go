package sched

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// broodLeast is how long a function usually takes whose tasks have broods: such a task costs a brood some 2 us, and what
// a shorter one has started hangs on what it stands on itself. Usually means the median: in a tree of tasks of one
// function a few are long and nearly all are short, which must pay nothing.
const broodLeast = 200 * time.Microsecond

// brood makes a Root that of what one task starts, so that all of it can be ended with the task. What is started below
// has broods of its own, which know the one above.
type brood struct {
	cut    atomic.Bool // it has ended
	cancel context.CancelFunc
	real   *Root                // the Root that no task has, on which it stands
	up     atomic.Pointer[Root] // the brood above, unless its task had returned when this one was made
	owner  atomic.Pointer[Task] // the task; nil once it has returned
}

// broods finds the broods of tasks that run.
type broods struct {
	mu  sync.Mutex
	of  map[*Task]*Root
	all map[weak.Pointer[Root]]struct{}
}

// broodContext ends by itself, and has the deadline and the values of what bounds the brood.
type broodContext struct {
	context.Context
	outer context.Context
}

func (c *broodContext) Deadline() (time.Time, bool) { return c.outer.Deadline() }

func (c *broodContext) Value(k any) any {
	if v := c.Context.Value(k); v != nil { // package context finds itself by one
		return v
	}
	return c.outer.Value(k)
}

// Err is why the outer context ended, where it has.
func (c *broodContext) Err() error {
	if err := c.outer.Err(); err != nil {
		return err
	}
	return c.Context.Err()
}

// short says whether f's tasks usually end too soon for a brood.
func (f *Func) short() bool { d := f.usual.Load(); return d != 0 && d < int64(broodLeast) }

// broodOf is the Root of what t starts, whose function is not short and whose own Root is r: t's brood, which is made
// when the first asks.
func (e *Engine) broodOf(w *worker, t *Task, r *Root) *Root {
	if r.done != nil && r.over() {
		return r
	}
	if b := w.roots.last.Load(); b != nil && b.brood != nil && b.brood.owner.Load() == t {
		return b
	}
	b := e.makeBrood(t, r)
	if b == nil {
		return r
	}
	w.roots.last.Store(b)
	return b
}

// makeBrood gives t's brood; nil where t has ended.
func (e *Engine) makeBrood(t *Task, r *Root) *Root {
	all := &e.broods
	all.mu.Lock()
	if b := all.of[t]; b != nil {
		all.mu.Unlock()
		return b
	}
	b := newBrood(t, r)
	if all.of == nil {
		all.of, all.all = map[*Task]*Root{}, map[weak.Pointer[Root]]struct{}{}
	}
	all.of[t], all.all[weak.Make(b)] = b, struct{}{}
	all.mu.Unlock()
	runtime.AddCleanup(b, func(w weak.Pointer[Root]) {
		all.mu.Lock()
		delete(all.all, w)
		all.mu.Unlock()
	}, weak.Make(b))
	if real := b.brood.real; real.done != nil {
		w := weak.Make(b)
		stop := context.AfterFunc(real.ctx, func() {
			if b := w.Value(); b != nil {
				b.end()
			}
		})
		runtime.AddCleanup(b, func(stop func() bool) { stop() }, stop)
	}
	t.OnDone(func() {
		b.brood.owner.Store(nil)
		all.mu.Lock()
		delete(all.of, t)
		all.mu.Unlock()
	})
	for up := b.brood.up.Load(); up != nil; up = up.brood.up.Load() {
		if up.over() { // it may have ended before b was among all
			b.end()
			break
		}
	}
	if t.Ready() {
		return nil
	}
	return b
}

func newBrood(t *Task, r *Root) *Root {
	in := &brood{real: r}
	if r.brood != nil {
		in.real = r.brood.real
		in.up.Store(r.living())
	}
	c, cancel := context.WithCancel(context.Background())
	in.cancel = cancel
	in.owner.Store(t)
	return &Root{ctx: &broodContext{c, in.real.ctx}, done: c.Done(), e: r.e, user: r.user, brood: in}
}

// living is the next brood from r upwards whose task has not returned, or that has been ended; those between are taken
// out of the way, so that a chain in which each task starts the next stays short.
func (r *Root) living() *Root {
	up := r
	for up != nil && up.brood.owner.Load() == nil && !up.over() {
		up = up.brood.up.Load()
	}
	for r != up {
		next := r.brood.up.Load()
		r.brood.up.Store(up)
		r = next
	}
	return up
}

// end ends what hangs on a brood.
func (r *Root) end() {
	r.brood.cut.Store(true)
	r.brood.cancel()
	r.drop()
}

// under says whether b is r or above it.
func (r *Root) under(b *Root) bool {
	for ; r != nil; r = r.brood.up.Load() {
		if r == b {
			return true
		}
	}
	return false
}

// CancelStarted ends what t, which runs, has started and still starts under its own context, and what that has started. It is
// to be called before t is failed. What t's function started when it was known to take less than broodLeast, as a rule, is not found.
func (e *Engine) CancelStarted(t *Task) {
	r := t.rootOf()
	if r == nil || r.e != e || t.Ready() {
		return
	}
	b := e.makeBrood(t, r)
	if b == nil {
		return
	}
	b.end()
	e.broods.mu.Lock()
	var below []*Root
	for w := range e.broods.all {
		if x := w.Value(); x != nil && x != b && x.under(b) {
			below = append(below, x)
		}
	}
	e.broods.mu.Unlock()
	for _, x := range below {
		x.end()
	}
}

// Ancestors gives the tasks that still run under whose contexts t was started, one after the other, the innermost first. Those of
// functions that usually take less than broodLeast are not among them.
func (t *Task) Ancestors(yield func(*Task) bool) {
	for r := t.rootOf(); r != nil && r.brood != nil; r = r.brood.up.Load() {
		if o := r.brood.owner.Load(); o != nil && !yield(o) {
			return
		}
	}
}
