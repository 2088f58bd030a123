package api

import (
	"context"
	"sync"

	"github.com/kadrehq/kadre/internal/proc"
)

// Bind fixes the first argument of f. A value is put once in each process that calls, at the first call there; each
// call has its own copy.
func (f *RemoteFunc2[A, B, R]) Bind(a Arg[A]) *RemoteFunc1[B, R] {
	b := &bound[A]{a: a}
	one := &remote[tuple1[B], R]{fn: f.r.fn, typ: f.r.typ, sig: f.r.sig, opts: f.r.opts}
	one.via = func(ctx context.Context, o *proc.Options, t tuple1[B], rest []argument) Ref[R] {
		r := f.r
		if o != &one.opts { // Options was called on what Bind gave
			c := *r
			c.opts, c.slab = *o, nil
			r = &c
		}
		var g given[tuple2[A, B]]
		g.rest = make([]argument, 2)
		g.err = firstError(b.argument(ctx, &g.rest[0]))
		g.values.b = t.a
		if len(rest) > 0 {
			g.rest[1] = rest[0]
		}
		return r.with(ctx, g)
	}
	return &RemoteFunc1[B, R]{one}
}

// bound is an argument that is fixed.
type bound[A any] struct {
	a Arg[A]

	mu  sync.Mutex
	p   *proc.Process // that has put it
	ref Ref[A]
}

// argument gives the argument as a reference, or several.
func (b *bound[A]) argument(ctx context.Context, g *argument) error {
	v, plain := b.a.(valueArg[A])
	if !plain {
		var none A
		return take(b.a, &none, g)
	}
	p, err := processOf(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.p != p {
		ref, err := Put(context.WithoutCancel(ctx), v.v)
		if err != nil {
			return err
		}
		b.p, b.ref = p, ref
	}
	g.dep = b.ref.base()
	return nil
}
