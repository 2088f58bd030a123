package api

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/kadrehq/kadre/internal/proc"
)

// Reduce joins the values of refs by f, which must be associative: two neighbours as soon as both are ready, in their
// order. One ref is its own result; none is an error. The first failure is that of the result.
func Reduce[T any](ctx context.Context, refs []Ref[T], f *RemoteFunc2[T, T, T]) Ref[T] {
	fs, err := futures(refs)
	switch {
	case err != nil:
		return f.r.refuse(fmt.Errorf("Reduce: %w", err))
	case len(refs) == 0:
		return f.r.refuse(errNoRefs)
	case len(refs) == 1:
		return refs[0]
	}
	p, err := processOf(ctx)
	if err != nil {
		return f.r.refuse(err)
	}
	// The last call is there from the start, and waits for a gate, since its Ref is the result. What it joins is
	// known when two neighbours are all there is.
	typ, err := typeOf[None]()
	if err != nil {
		return f.r.refuse(err)
	}
	gate := newObject[None](p, typ)
	var none tuple2[T, T]
	last := newCall[tuple2[T, T], T](f.r.fn, none, []argument{{dep: &gate.head}, {dep: &gate.head}})
	if p, err := f.r.start(ctx, last); err != nil {
		return failed[T](p, f.r.typ, err)
	}
	p.Submit(ctx, &last.future.head, &f.r.opts, []*proc.Future{&gate.head})
	r := &reduction[T]{ctx: p.Bound(ctx), f: f, last: last, gate: gate, at: make([]segment[T], len(refs))}
	demand(fs)
	for i := range refs {
		r.watch(refs[i], i, i+1)
	}
	return Ref[T]{&last.future}
}

var errNoRefs = errors.New("kadre: Reduce of no refs: there is no value to give; handle the empty case before it")

// segment is a part of the refs that one value stands for; one that is not ready is not known.
type segment[T any] struct {
	lo, hi int
	ref    Ref[T]
	ready  bool
}

// reduction is a Reduce under way. A segment that is ready is known at its first and its last place; two ready
// neighbours become one that is not.
type reduction[T any] struct {
	ctx  context.Context
	f    *RemoteFunc2[T, T, T]
	last *call[tuple2[T, T], T]
	gate *future[None]

	mu   sync.Mutex
	at   []segment[T] // by first and by last place
	over bool
}

// watch joins the segment [lo, hi) when ref is ready. It does not block.
func (r *reduction[T]) watch(ref Ref[T], lo, hi int) {
	ref.f.head.OnDone(func() { r.arrived(ref, lo, hi) })
}

func (r *reduction[T]) arrived(ref Ref[T], lo, hi int) {
	if err := failureOf(&ref.f.head); err != nil {
		r.fail(err)
		return
	}
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return
	}
	s := segment[T]{lo: lo, hi: hi, ref: ref, ready: true}
	left, right := s, s
	switch {
	case lo > 0 && r.at[lo-1].ready && r.at[lo-1].hi == lo:
		left = r.at[lo-1]
	case hi < len(r.at) && r.at[hi].ready && r.at[hi].lo == hi:
		right = r.at[hi]
	default:
		r.at[lo], r.at[hi-1] = s, s
		r.mu.Unlock()
		return
	}
	for _, i := range []int{left.lo, left.hi - 1, right.lo, right.hi - 1} {
		r.at[i].ready = false
	}
	whole := left.lo == 0 && right.hi == len(r.at)
	r.over = whole
	r.mu.Unlock()
	if whole {
		args := argsOf(&r.last.future.head)
		args[0].dep, args[1].dep = left.ref.base(), right.ref.base()
		r.gate.head.SetDone() // from here on the call may run
		return
	}
	joined := r.f.With(r.ctx, left.ref, right.ref)
	r.watch(joined, left.lo, right.hi)
}

// fail ends the result at once: what is still under way cannot change it.
func (r *reduction[T]) fail(err error) {
	r.mu.Lock()
	r.over = true
	r.at = nil
	r.mu.Unlock()
	r.last.future.head.Fail(err)
}
