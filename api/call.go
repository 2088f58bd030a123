package api

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/sched"
)

// remote is what all remote functions and methods share. A is the tuple of the arguments after the
// context (and, for methods, after the receiver).
type remote[A, R any] struct {
	fn   *proc.Func
	typ  *proc.Type
	run  func(ctx context.Context, a *A) (R, error)
	sig  *signature
	opts proc.Options
	slab *slabs[A, R] // nil: each call has an allocation of its own

	via func(ctx context.Context, o *proc.Options, a A, rest []argument) Ref[R] // of Bind: what is called instead
}

// newRemote registers a function. fn is the user's, for its name; run calls it. It panics when the name is
// taken or unstable, and when an argument or the result cannot cross.
func newRemote[A, R any](fn any, change func(*proc.Options), run func(context.Context, *A) (R, error), pos []position) *remote[A, R] {
	opts := proc.NoOptions()
	change(&opts)
	name, where := symbol(fn, opts.Name)
	for i := range pos {
		if err := pos[i].err; err != nil {
			panic(fmt.Errorf("kadre: argument %d of %s (%s): %w", i+1, name, where, err))
		}
	}
	typ, err := typeOf[R]()
	if err != nil {
		panic(fmt.Errorf("kadre: result of %s (%s): %w", name, where, err))
	}
	f := &remote[A, R]{fn: &proc.Func{Where: where, Result: typ}, typ: typ, run: run, opts: opts}
	f.sig = signatureOf[A, R](f.fn, pos)
	f.fn.Opts, f.fn.Export, f.fn.Import = &f.opts, f.sig.export, f.sig.importCall
	f.fn.Stow, f.fn.Pack, f.fn.Unpacker, f.fn.Forget = f.sig.stow, f.sig.pack, f.unpacker, f.sig.forget
	f.fn.Run = sched.Func{Name: name, Run: f.runTask, NewExt: newExtra}
	proc.Register(f.fn)
	f.slab = newSlabs[A, R](&f.opts)
	return f
}

// submit calls f as a task. rest, where it is not nil, has the arguments that are not in a yet.
func (f *remote[A, R]) submit(ctx context.Context, a A, rest []argument) Ref[R] {
	if f.slab != nil && rest == nil {
		if p, err := processOf(ctx); err == nil {
			if to, ok := p.Place(ctx); ok {
				c := f.slab.call(to.Lane())
				c.a = a
				to.Submit(&c.future.head.Task, &f.fn.Run)
				return Ref[R]{&c.future}
			}
			if p.Feeds() {
				c := f.slab.call(sched.Stripe(sched.Lanes))
				c.a = a
				p.Feed(ctx, &c.future.head, f.fn)
				return Ref[R]{&c.future}
			}
		}
	}
	return f.submitOwn(ctx, a, rest)
}

// submitOwn is submit with an allocation of its own.
func (f *remote[A, R]) submitOwn(ctx context.Context, a A, rest []argument) Ref[R] {
	if f.via != nil {
		return f.via(ctx, &f.opts, a, rest)
	}
	c := newCall[A, R](f.fn, a, rest)
	p, err := f.start(ctx, c)
	if err != nil {
		return failed[R](p, f.typ, err)
	}
	p.Submit(ctx, &c.future.head, &f.opts, deps(&c.future.head))
	return Ref[R]{&c.future}
}

// with calls f as a task with the arguments of With.
func (f *remote[A, R]) with(ctx context.Context, g given[A]) Ref[R] {
	if g.err != nil {
		return f.refuse(g.err)
	}
	return f.submit(ctx, g.values, g.rest)
}

// refuse is a call that was never submitted.
func (f *remote[A, R]) refuse(err error) Ref[R] {
	return failed[R](nil, f.typ, f.sig.refusal(err))
}

// changed gives a copy of f, the same registered function, with other options.
func (f *remote[A, R]) changed(change func(*proc.Options)) *remote[A, R] {
	c := *f
	change(&c.opts)
	c.slab = nil // the options lie beside the call
	if c.opts.Name != f.opts.Name {
		fail(&c.opts, fmt.Errorf("kadre: Options of %s: RegisterAs belongs where the function is registered", f.fn.Run.Name))
	}
	return &c
}

// start makes c ready for submission.
func (f *remote[A, R]) start(ctx context.Context, c *call[A, R]) (*proc.Process, error) {
	return f.sig.start(ctx, &f.opts, &c.future.head)
}

// runTask is the body of every task of f.
func (f *remote[A, R]) runTask(t *sched.Task) {
	c := callOf[A, R](t)
	a := &c.a
	ctx := context.Context(t)
	if x := beside(&c.future.head); x != nil {
		if x.args != nil {
			a = new(c.a)
			if err := f.sig.collect(t, c.future.head.Process(), addressOf(a), x.args); err != nil {
				t.Fail(err)
				return
			}
			x.args = nil // a task that runs here is not exported any more: let go of what it was given
		}
		if bound, end := c.future.head.Timeout(); end != nil {
			defer end()
			ctx = bound
		}
	}
	// What a task reads of shared memory it may also try to write. The goroutine may be a getter's.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	v, err := f.run(ctx, a)
	runtime.KeepAlive(a) // with the Arrays that are arguments
	var none A
	c.a = none
	if err != nil {
		if end := t.Err(); end != nil && errors.Is(err, end) { // it heeds the end of its context
			err = &sched.CancelledError{Cause: err}
		}
		if no, ok := err.(*proc.Refused); ok {
			t.Fail(no.Err)
			return
		}
		t.Fail(&TaskError{Func: f.fn.Run.Name, Cause: err})
		return
	}
	settle(t, &c.future, v)
}

// callLot is how many calls of small plain values are allocated at once for tasks that come from elsewhere.
const callLot = 32

// unpacker makes calls of packed arguments.
func (f *remote[A, R]) unpacker(p *proc.Process, from id.Addr) func([]byte) (*proc.Future, error) {
	plain := f.sig.plain()
	var lot []ownCall[A, R]
	return func(b []byte) (*proc.Future, error) {
		var c *ownCall[A, R]
		if !plain {
			c = new(ownCall[A, R]) // a lot would keep what it gave out last, and with that all that its result refers to
		} else {
			if len(lot) == 0 {
				lot = make([]ownCall[A, R], callLot)
			}
			c, lot = &lot[0], lot[1:]
		}
		c.call.future.head.InitCall(f.fn, &c.extra.Cold)
		h := &c.call.future.head
		return h, f.sig.unpack(p, from, h, b)
	}
}
