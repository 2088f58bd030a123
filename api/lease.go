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
		if l.in.view = f.TryView(); l.in.view == nil {
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
		l.in.view = nil
		vs.spare = l
	}
}

// again makes the Array another view of the object of a future of its own type, without decoding. It is false
// where that is not possible at once.
func (a *Array[T]) again(ctx context.Context, base *proc.Future) bool {
	f := typed[Array[T]](base)
	if f.v.s == nil || base.Freed() {
		return false
	}
	vs := f.v.s.h.vs
	l := vs.take(base)
	if l == nil {
		return false
	}
	data, err := elementsOf[T](l.in.view.Data()[codec.HeadLen:])
	if err != nil {
		vs.back(l)
		return false
	}
	a.s = &arrayState[T]{n: len(data), p: base.Process(), h: &holding{vs: vs, lease: l}, f: f, data: data}
	a.untilReturn(ctx)
	return true
}
