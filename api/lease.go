package api

import (
	"context"
	"runtime"
	"sync"
	"weak"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
)

// views lets all Gets of an Array that was put here share one hold on its memory, and one cleanup: a cleanup
// of its own would take each Get longer than all the rest.
type views struct {
	mu    sync.Mutex
	weak  weak.Pointer[lease] // the one in use
	in    *leased             // of that, or of spare
	spare *lease              // the one that is not in use
}

// lease is what the Arrays refer to that share a hold. When they are forgotten it is, and the hold goes.
type lease struct{ in *leased }

// leased is what a lease stands for, apart from it for its cleanup. While it is held nothing that it leads to refers to the lease but
// weakly. Guarded by views.mu until the lease is forgotten. It is one piece of memory: a Get mostly costs the lines that it looks at.
type leased struct {
	users int // Arrays that are not released
	held  bool
	body  []byte // the elements, while view is the same
	view  proc.View
}

func (in *leased) drop() {
	if in.held {
		in.view.Release()
	}
}

// take gives a lease on the object of f with one more user, and the elements; nil where the object is not at hand.
func (vs *views) take(f *proc.Future) (*lease, []byte) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	l := vs.spare
	if l == nil {
		l = vs.weak.Value()
	}
	if l == nil {
		vs.in = &leased{}
		l = &lease{vs.in}
		runtime.AddCleanup(l, (*leased).drop, vs.in)
		vs.weak = weak.Make(l)
	}
	in := vs.in
	if !in.held && !in.look(f) {
		vs.spare = l
		return nil, nil
	}
	vs.spare = nil
	in.users++
	return l, in.body
}

// look views the object of f: where it was the last time, else wherever it is. False when it is not at hand.
func (in *leased) look(f *proc.Future) bool {
	if !in.view.Again(f) {
		if !f.TryView(&in.view) {
			return false
		}
		in.body = codec.TopBody(in.view.Data())
	}
	in.held = true
	return true
}

// back ends one use. The last one gives the hold back.
func (vs *views) back(l *lease) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	in := vs.in
	if in.users--; in.users == 0 {
		in.held = false
		in.view.Release()
		vs.spare = l
	}
	runtime.KeepAlive(l) // its cleanup would drop in
}

// shared is the value of a future whose Gets share a hold: see again.
func shared[T Number]() Array[T] {
	x := new(struct {
		s  arrayState[T]
		vs views
	})
	x.s.vs = &x.vs
	return Array[T]{&x.s}
}

// again gives another view of the object of a future of a's own type, without decoding. a is what shared put
// there. It is nil where that is not possible at once.
func (a Array[T]) again(ctx context.Context, f *proc.Future) any {
	if a.s == nil || f.Freed() {
		return nil
	}
	vs := a.s.vs
	l, body := vs.take(f)
	if l == nil {
		return nil
	}
	s := &arrayState[T]{p: f.Process(), vs: vs, lease: l, f: typed[Array[T]](f)}
	var err error
	if s.data, err = elementsOf[T](body); err != nil {
		vs.back(l)
		return nil
	}
	s.n = len(s.data)
	b := Array[T]{s}
	b.untilReturn(ctx)
	return b
}
