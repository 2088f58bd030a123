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
	spare *lease              // the one that is not
	last  *proc.View          // what it had, released
}

// lease is what the Arrays refer to that share a hold. When they are forgotten it is, and the hold goes.
type lease struct {
	in    *leased
	users int // Arrays that are not released; guarded by views.mu, as in.view
}

// leased is the part of a lease that its cleanup needs. While it has a view nothing that it leads to refers
// to the lease but weakly.
type leased struct{ view *proc.View }

func (in *leased) drop() {
	if in.view != nil {
		in.view.Release()
	}
}

// take gives a lease on the object of f with one more user; nil where the object is not at hand.
func (vs *views) take(f *proc.Future) *lease {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	l := vs.spare
	if l == nil {
		l = vs.weak.Value()
	}
	if l == nil {
		l = &lease{in: &leased{}}
		runtime.AddCleanup(l, (*leased).drop, l.in)
		vs.weak = weak.Make(l)
	}
	if l.in.view == nil {
		if l.in.view = vs.viewOf(f); l.in.view == nil {
			vs.spare = l
			return nil
		}
	}
	vs.spare = nil
	l.users++
	return l
}

// back ends one use. The last one gives the hold back.
func (vs *views) back(l *lease) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if l.users--; l.users == 0 {
		l.in.view.Release()
		vs.last, l.in.view, vs.spare = l.in.view, nil, l
	}
}

// viewOf looks at the object of f: where it was the last time, else wherever it is. nil when it is not at hand.
func (vs *views) viewOf(f *proc.Future) *proc.View {
	v := vs.last
	vs.last = nil // it is the lease's now, which may be forgotten and release it at any time
	if v != nil && v.Again() {
		return v
	}
	return f.TryView()
}

// shared is the value of a future whose Gets share a hold: see again.
func shared[T Number]() Array[T] { return Array[T]{&arrayState[T]{vs: &views{}}} }

// again gives another view of the object of a future of a's own type, without decoding. a is what shared put
// there. It is nil where that is not possible at once.
func (a Array[T]) again(ctx context.Context, f *proc.Future) any {
	if a.s == nil || f.Freed() {
		return nil
	}
	vs := a.s.vs
	l := vs.take(f)
	if l == nil {
		return nil
	}
	s := &arrayState[T]{p: f.Process(), vs: vs, lease: l, f: typed[Array[T]](f)}
	var err error
	if s.data, err = elementsOf[T](codec.TopBody(l.in.view.Data())); err != nil {
		vs.back(l)
		return nil
	}
	s.n = len(s.data)
	b := Array[T]{s}
	b.untilReturn(ctx)
	return b
}
