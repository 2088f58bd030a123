package sched

import (
	"sync"
	"sync/atomic"
)

// Ext is what few tasks need: waiters, an error, a context of its own. It is made when the first needs it, and
// the layer above may embed it first in what it keeps for such tasks: see Func.NewExt and Extend.
type Ext struct {
	mu   sync.Mutex
	list atomic.Pointer[node] // written under mu
	err  error                // of a failed task
}

// Ext gives what hangs on t, and makes it where there is nothing yet.
func (t *Task) Ext() *Ext {
	if x := t.ext.Load(); x != nil {
		return x
	}
	var x *Ext
	if f := t.Func(); f != nil && f.NewExt != nil {
		x = f.NewExt()
	} else {
		x = new(Ext)
	}
	if t.ext.CompareAndSwap(nil, x) {
		return x
	}
	return t.ext.Load()
}

// HasExt gives what hangs on t; nil where there is nothing.
func (t *Task) HasExt() *Ext { return t.ext.Load() }

// Extend gives t its function before it is submitted, and an Ext that lies in the same allocation where x is
// not nil.
func (t *Task) Extend(f *Func, x *Ext) {
	t.setKin(f.rootless())
	if x != nil {
		t.ext.Store(x)
	}
}

// take takes the list off.
func (x *Ext) take() *node {
	x.mu.Lock()
	list := x.list.Swap(nil)
	x.mu.Unlock()
	return list
}

// attach hangs n on t. Either t's finisher wakes n, or, when t is done already, attach does.
func (t *Task) attach(n *node) {
	x := t.Ext()
	x.mu.Lock()
	n.next = x.list.Load()
	x.list.Store(n)                         // 1
	done := t.state.Load()&stMask >= stDone // 2: pairs with FinishAs
	if done {
		x.list.Store(n.next)
	}
	x.mu.Unlock()
	if done {
		n.next = nil
		wake(n)
	}
}

// detach takes n off t's list; false when somebody has taken it and wakes it.
func (t *Task) detach(n *node) bool {
	x := t.Ext()
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.list.Load()
	if old == n {
		x.list.Store(n.next)
		return true
	}
	for ; old != nil; old = old.next {
		if old.next == n {
			old.next = n.next
			return true
		}
	}
	return false
}
