package api

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// remote is what all remote functions and methods share. A is the tuple of the arguments after the
// context (and, for methods, after the receiver).
type remote[A, R any] struct {
	fn   *proc.Func
	typ  *proc.Type
	run  func(ctx context.Context, a *A) (R, error)
	pos  []position[A]
	opts proc.Options
	slab *slabs[A, R] // nil: each call has an allocation of its own

	via func(ctx context.Context, o *proc.Options, a A, rest []argument) Ref[R] // of Bind: what is called instead
}

// position is one argument's place in the tuple A, with its type hidden.
type position[A any] struct {
	plan   *codec.Plan
	err    error // why values cannot cross
	encode func(c any, a *A) (codec.Encoded, error)
	decode func(c any, a *A, data []byte) error
	load   func(ctx context.Context, a *A, f *proc.Future) error
	gather func(ctx context.Context, a *A, fs []*proc.Future) error
	clear  func(a *A)

	pack   func(a *A, b []byte) ([]byte, bool) // appends the bare value; false where it has none
	unpack func(a *A, b []byte) error
}

// at describes the argument that field finds in the tuple.
func at[A, T any](field func(*A) *T) position[A] {
	typ, err := typeOf[T]()
	if err != nil {
		return position[A]{err: err}
	}
	pl := typ.Plan
	return position[A]{
		plan:   pl,
		encode: func(c any, a *A) (codec.Encoded, error) { return encodeAt(c, pl, field(a)) },
		decode: func(c any, a *A, data []byte) error { return decodeAt(c, pl, data, field(a)) },
		load: func(ctx context.Context, a *A, f *proc.Future) (err error) {
			if f.IsSet() && f.Type() == typ && !f.Freed() {
				copyValue(pl, field(a), &typed[T](f).v)
				return nil
			}
			return f.Process().Read(ctx, f, func(data []byte) error {
				return decodeAt(&decoding{f.Process(), ctx, f, false}, pl, data, field(a))
			})
		},
		gather: func(ctx context.Context, a *A, fs []*proc.Future) error {
			return gather(ctx, reflect.ValueOf(field(a)).Elem(), fs)
		},
		clear:  func(a *A) { clear1(field(a)) },
		pack:   func(a *A, b []byte) ([]byte, bool) { return packAt(pl, b, field(a)) },
		unpack: func(a *A, b []byte) error { return unpackAt(pl, b, field(a)) },
	}
}

func clear1[T any](p *T) {
	var zero T
	*p = zero
}

// gather fills a slice with the values of fs.
func gather(ctx context.Context, into reflect.Value, fs []*proc.Future) error {
	pl, err := codec.PlanFor(into.Type().Elem())
	if err != nil {
		return err
	}
	into.Set(reflect.MakeSlice(into.Type(), len(fs), len(fs)))
	for i, f := range fs {
		err := f.Process().Read(ctx, f, func(data []byte) error {
			return decodeInto(&decoding{f.Process(), ctx, f, false}, pl, data, into.Index(i).Addr())
		})
		if err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// newRemote registers a function. fn is the user's, for its name; run calls it. It panics when the name is
// taken or unstable, and when an argument or the result cannot cross.
func newRemote[A, R any](fn any, change func(*proc.Options), run func(context.Context, *A) (R, error), pos []position[A]) *remote[A, R] {
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
	f := &remote[A, R]{typ: typ, run: run, pos: pos, opts: opts}
	f.fn = &proc.Func{Where: where, Result: typ, Opts: &f.opts, Export: f.export, Import: f.importCall, Pack: f.pack, Unpacker: f.unpacker}
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
	p.Submit(ctx, &c.future.head, &f.opts, c.deps())
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
	return failed[R](nil, f.typ, fmt.Errorf("%s: %w", f.fn.Run.Name, err))
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

// start makes c ready for submission: everything that is not immediate is encoded now.
func (f *remote[A, R]) start(ctx context.Context, c *call[A, R]) (*proc.Process, error) {
	p, err := processOf(ctx)
	if err == nil {
		err = f.opts.Later
	}
	if err != nil {
		return p, err
	}
	x := c.beside()
	for i := range f.pos {
		if f.pos[i].plan.Immediate() || i < len(x.args) && x.args[i].deferred() {
			continue
		}
		e, err := f.pos[i].encode(&decoding{p, ctx, nil, false}, &c.a)
		if err != nil {
			return p, fmt.Errorf("argument %d of %s: %w", i+1, f.fn.Run.Name, err)
		}
		if x.args == nil {
			x.args = make([]argument, len(f.pos))
		}
		x.args[i] = argument{data: e.Bytes(), keep: e.Keep}
		f.pos[i].clear(&c.a)
	}
	return p, nil
}

func (g *argument) deferred() bool { return g.dep != nil || g.many }

// deps lists the futures that c waits for.
func (c *call[A, R]) deps() (d []*proc.Future) {
	args := c.args()
	for i := range args {
		if args[i].dep != nil {
			d = append(d, args[i].dep)
		}
		d = append(d, args[i].list...)
	}
	return d
}

// runTask is the body of every task of f.
func (f *remote[A, R]) runTask(t *sched.Task) {
	c := callOf[A, R](t)
	a := &c.a
	ctx := context.Context(t)
	if x := c.beside(); x != nil {
		if x.args != nil {
			var err error
			if a, err = f.collect(t, c, x.args); err != nil {
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
	clear1(&c.a)
	if err != nil {
		t.Fail(&TaskError{Func: f.fn.Run.Name, Cause: err})
		return
	}
	settle(t, &c.future, v)
}

// collect gives the arguments as values that are the task's own.
func (f *remote[A, R]) collect(ctx context.Context, c *call[A, R], args []argument) (*A, error) {
	a := new(c.a)
	for i := range args {
		if err := f.collect1(ctx, c.future.head.Process(), a, &args[i], i); err != nil {
			return nil, fmt.Errorf("argument %d of %s: %w", i+1, f.fn.Run.Name, err)
		}
	}
	return a, nil
}

func (f *remote[A, R]) collect1(ctx context.Context, p *proc.Process, a *A, g *argument, i int) error {
	switch {
	case g.dep != nil:
		if err := g.dep.Failure(); err != nil {
			return err
		}
		return f.pos[i].load(ctx, a, g.dep)
	case g.many:
		for _, d := range g.list {
			if err := d.Failure(); err != nil {
				return err
			}
		}
		return f.pos[i].gather(ctx, a, g.list)
	case g.data != nil:
		return f.pos[i].decode(&decoding{p, ctx, nil, false}, a, g.data)
	}
	return nil
}

// export gives the arguments of a call for another process.
func (f *remote[A, R]) export(h *proc.Future) (args []wire.Arg, keep []any, err error) {
	c := callOf[A, R](&h.Task)
	p := h.Process()
	args = make([]wire.Arg, len(f.pos))
	given := c.args()
	for i := range f.pos {
		var g argument
		if i < len(given) {
			g = given[i]
		}
		switch {
		case g.dep != nil:
			args[i], err = p.ExportArg(g.dep)
			keep = append(keep, g.dep)
		case g.many:
			args[i].IsList = true
			for _, d := range g.list {
				args[i].List = append(args[i].List, p.Escape(d))
				keep = append(keep, d)
			}
		default:
			data := g.data
			if data == nil {
				var e codec.Encoded
				e, err = f.pos[i].encode(nil, &c.a)
				data = e.Bytes()
			}
			args[i], g.keep, err = p.ExportValue(data, g.keep, err)
			keep = append(keep, g.keep...)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("argument %d of %s: %w", i+1, f.fn.Run.Name, err)
		}
	}
	return args, keep, nil
}

// importCall makes a call of what another process has exported.
func (f *remote[A, R]) importCall(p *proc.Process, args []wire.Arg) (*proc.Future, []*proc.Future, error) {
	if len(args) != len(f.pos) {
		return nil, nil, fmt.Errorf("kadre: %s takes %d arguments here and has %d in its specification: the executables differ", f.fn.Run.Name, len(f.pos), len(args))
	}
	given := make([]argument, len(args))
	var none A
	c := newCall[A, R](f.fn, none, given)
	for i := range args {
		g := &given[i]
		switch {
		case args[i].Ref != nil:
			g.dep = p.ImportArg(args[i].Ref)
		case args[i].IsList:
			g.many = true
			for j := range args[i].List {
				g.list = append(g.list, p.ImportArg(&args[i].List[j]))
			}
		default:
			g.data = append([]byte{}, args[i].Value...)
		}
	}
	return &c.future.head, c.deps(), nil
}
