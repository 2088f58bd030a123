package api

import (
	"context"

	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/sched"
)

// Map calls f for each of xs, as one submission: a few entries of a queue, of which others take halves.
func (f *RemoteFunc1[A, R]) Map(ctx context.Context, xs []A) []Ref[R] {
	return all(ctx, f.r, len(xs), tuples(xs), func(i int) (tuple1[A], []argument, error) { return tuple1[A]{xs[i]}, nil, nil })
}

// MapRefs calls f for the value of each of refs, as one submission. Those whose value is not there yet start when it
// has come.
func (f *RemoteFunc1[A, R]) MapRefs(ctx context.Context, refs []Ref[A]) []Ref[R] {
	return all(ctx, f.r, len(refs), nil, func(i int) (tuple1[A], []argument, error) {
		g := given1[A](refs[i])
		return g.values, g.rest, g.err
	})
}

// all makes n calls of f, of which one gives the arguments: those of values, where that is not nil.
func all[A, R any](ctx context.Context, f *remote[A, R], n int, values []A, one func(i int) (A, []argument, error)) []Ref[R] {
	refs := make([]Ref[R], n)
	p, err := processOf(ctx)
	to, ok := sched.Place{}, false
	if err == nil && n > 0 && f.via == nil && f.opts.Plain() {
		to, ok = p.Place(ctx)
	}
	if !ok && err == nil && f.via == nil && p.FeedsRanges(&f.opts) {
		away(ctx, p, f, refs, values, one)
		return refs
	}
	if !ok {
		for i := range refs {
			a, rest, err := one(i)
			refs[i] = f.with(ctx, given[A]{a, rest, err})
		}
		return refs
	}
	if f.slab != nil && values != nil {
		block(ctx, p, f, to, refs, values)
		return refs
	}
	ready := calls(ctx, p, f, refs, one, func(h *proc.Future) bool {
		h.SetOptions(&f.opts)
		return to.Prepare(&h.Task, &f.fn.Run)
	})
	to.SubmitAll(len(ready), func(i int) *sched.Task { return &ready[i].Task })
	return refs
}

// calls makes the calls of refs and gives those that are to be submitted as one: their arguments are ready, and prepare says
// that they may. The others are submitted, or have failed.
func calls[A, R any](ctx context.Context, p *proc.Process, f *remote[A, R], refs []Ref[R], one func(i int) (A, []argument, error), prepare func(*proc.Future) bool) []*proc.Future {
	ready := make([]*proc.Future, 0, len(refs))
	for i := range refs {
		a, rest, err := one(i)
		if err != nil {
			refs[i] = f.refuse(err)
			continue
		}
		c := newCall[A, R](f.fn, a, rest)
		if p, err := f.start(ctx, c); err != nil {
			refs[i] = failed[R](p, f.typ, err)
			continue
		}
		refs[i] = Ref[R]{&c.future}
		h := &c.future.head
		if ds := deps(h); !allReady(ds) {
			p.Submit(ctx, h, &f.opts, ds)
		} else if prepare(h) {
			ready = append(ready, h)
		}
	}
	return ready
}

func allReady(fs []*proc.Future) bool {
	for _, f := range fs {
		if !f.Ready() {
			return false
		}
	}
	return true
}

// block makes calls of slabs of their own and submits them, in ranges, before each of which it waits where too much is
// unfinished.
func block[A, R any](ctx context.Context, p *proc.Process, f *remote[A, R], to sched.Place, refs []Ref[R], xs []A) {
	per := f.slab.n
	size := max(blockLeast, (len(refs)+blockMost-1)/blockMost)
	size = (size + per - 1) / per * per
	for lo := 0; lo < len(refs); lo += size {
		hi := min(lo+size, len(refs))
		if lo > 0 && p.Full() {
			to, _ = p.Place(ctx)
		}
		block1(f, to, refs[lo:hi], xs[lo:hi])
	}
}

const (
	// blockMost is how many ranges a Map submits at most: others run the first while it prepares the next.
	blockMost = 32
	// blockLeast is how many tasks one has at least where there are as many.
	blockLeast = 4096
)

// block1 submits one range.
func block1[A, R any](f *remote[A, R], to sched.Place, refs []Ref[R], xs []A) {
	per := uint32(f.slab.n)
	slabs := make([][]call[A, R], 0, (len(refs)+f.slab.n-1)/f.slab.n)
	open := to.Open()
	for lo := 0; lo < len(refs); lo += f.slab.n {
		b := make([]call[A, R], min(f.slab.n, len(refs)-lo))
		for i := range b {
			c := &b[i]
			c.a = xs[lo+i]
			switch t := &c.future.head.Task; {
			case !open:
				to.Prepare(t, &f.fn.Run)
			case i == 0:
				to.PrepareOpen(t, &f.fn.Run)
			default:
				to.PrepareLike(t, uintptr(i)*f.slab.size)
			}
			refs[lo+i].f = &c.future
		}
		slabs = append(slabs, b)
	}
	to.SubmitAll(len(refs), func(i int) *sched.Task { return &slabs[uint32(i)/per][uint32(i)%per].future.head.Task })
}
