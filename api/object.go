package api

import (
	"context"
	"fmt"

	"github.com/kadrehq/kadre/internal/proc"
)

// Put makes an object of a copy of v. The object lives as long as a Ref refers to it.
func Put[T any](ctx context.Context, v T, opts ...PutOption) (Ref[T], error) {
	p, err := processOf(ctx)
	if err != nil {
		return Ref[T]{}, err
	}
	for _, o := range opts {
		if err := o.putError(); err != nil {
			return Ref[T]{}, err
		}
	}
	typ, err := typeOf[T]()
	if err != nil {
		return Ref[T]{}, fmt.Errorf("kadre: Put: %w", err)
	}
	if smallCopy(typ.Plan, &v) {
		f := &future[T]{}
		f.head.Init(p, typ, nil)
		copyValue(typ.Plan, &f.v, &v)
		return Ref[T]{f}, p.PutSet(ctx, &f.head)
	}
	return putEncoded(ctx, p, typ, v)
}

// putEncoded is Put for values that have to be encoded or are large.
func putEncoded[T any](ctx context.Context, p *proc.Process, typ *proc.Type, v T) (Ref[T], error) {
	if a, ok := any(&v).(array); ok {
		f, err := a.object(ctx)
		if err != nil {
			return Ref[T]{}, fmt.Errorf("kadre: Put: %w", err)
		}
		if f != nil && f.Process() == p {
			return Ref[T]{typed[T](f)}, nil
		}
	}
	var c any
	if typ.Plan.HasRefs() {
		c = &decoding{p: p, ctx: ctx}
	}
	e, err := encodeAt(c, typ.Plan, &v)
	if err != nil {
		return Ref[T]{}, fmt.Errorf("kadre: Put: %w", err)
	}
	f := newObject[T](p, typ)
	if err := p.Put(ctx, &f.head, e); err != nil {
		return Ref[T]{}, err
	}
	return Ref[T]{f}, nil
}

// Free deletes the objects of refs now, in all of the cluster. A later Get of one gives an
// *ObjectLostError. It is not needed: an object is freed when nothing refers to it any more.
func Free[R AnyRef](ctx context.Context, refs ...R) error {
	for i, r := range refs {
		if r.base() == nil {
			return fmt.Errorf("ref %d: %w", i, ErrZero)
		}
	}
	for i, r := range refs {
		f := r.base()
		p := f.Process()
		if p == nil {
			continue // it carries an error and has no object
		}
		if err := p.Free(ctx, f); err != nil {
			return fmt.Errorf("ref %d: %w", i, err)
		}
	}
	return nil
}

// Cancel ends the task of ref, wherever it is queued or runs: Get gives ErrCancelled from now on, the task's
// context ends, and what it still returns is dropped. A function that does not look at its context goes on to its
// end; see Force. What is done already stays as it is. Ctx is not waited on.
func Cancel(ctx context.Context, ref AnyRef, opts ...CancelOption) error {
	fs, err := futures([]AnyRef{ref})
	if err != nil {
		return err
	}
	var o cancelOptions
	for _, opt := range opts {
		opt.applyCancel(&o)
	}
	if p := fs[0].Process(); p != nil {
		p.Cancel(fs[0], proc.Cancelling(o))
	}
	return nil
}
