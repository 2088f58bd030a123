package api

import "context"

// RemoteFunc0 is a remote function of no argument.
type RemoteFunc0[R any] struct{ r *remote[tuple0, R] }

// Func0 registers fn as a remote function. It panics after Init, when the name is taken or unstable, and when
// an argument or the result cannot cross.
func Func0[R any](fn func(context.Context) (R, error), opts ...TaskOption) *RemoteFunc0[R] {
	run := func(ctx context.Context, _ *tuple0) (R, error) { return fn(ctx) }
	return &RemoteFunc0[R]{newRemote(fn, taskChange(opts), run, nil)}
}

// Proc0 is Func0 for a function that returns only an error.
func Proc0(fn func(context.Context) error, opts ...TaskOption) *RemoteFunc0[None] {
	run := func(ctx context.Context, _ *tuple0) (None, error) { return None{}, fn(ctx) }
	return &RemoteFunc0[None]{newRemote(fn, taskChange(opts), run, nil)}
}

// Remote submits a task and gives the reference to its result at once.
func (f *RemoteFunc0[R]) Remote(ctx context.Context) Ref[R] {
	return f.r.submit(ctx, tuple0{}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (f *RemoteFunc0[R]) With(ctx context.Context) Ref[R] { return f.r.with(ctx, given[tuple0]{}) }

// Options gives a copy of f with other options.
func (f *RemoteFunc0[R]) Options(opts ...TaskOption) *RemoteFunc0[R] {
	return &RemoteFunc0[R]{f.r.changed(taskChange(opts))}
}

// RemoteFunc1 is a remote function of one argument.
type RemoteFunc1[A, R any] struct{ r *remote[tuple1[A], R] }

// Func1 registers fn as a remote function. It panics after Init, when the name is taken or unstable, and when
// an argument or the result cannot cross.
func Func1[A, R any](fn func(context.Context, A) (R, error), opts ...TaskOption) *RemoteFunc1[A, R] {
	run := func(ctx context.Context, t *tuple1[A]) (R, error) { return fn(ctx, t.a) }
	return &RemoteFunc1[A, R]{newRemote(fn, taskChange(opts), run, positions1[A]())}
}

// Proc1 is Func1 for a function that returns only an error.
func Proc1[A any](fn func(context.Context, A) error, opts ...TaskOption) *RemoteFunc1[A, None] {
	run := func(ctx context.Context, t *tuple1[A]) (None, error) { return None{}, fn(ctx, t.a) }
	return &RemoteFunc1[A, None]{newRemote(fn, taskChange(opts), run, positions1[A]())}
}

// Remote submits a task and gives the reference to its result at once.
func (f *RemoteFunc1[A, R]) Remote(ctx context.Context, a A) Ref[R] {
	return f.r.submit(ctx, tuple1[A]{a}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (f *RemoteFunc1[A, R]) With(ctx context.Context, a Arg[A]) Ref[R] {
	return f.r.with(ctx, given1(a))
}

// Options gives a copy of f with other options.
func (f *RemoteFunc1[A, R]) Options(opts ...TaskOption) *RemoteFunc1[A, R] {
	return &RemoteFunc1[A, R]{f.r.changed(taskChange(opts))}
}

// RemoteFunc2 is a remote function of two arguments.
type RemoteFunc2[A, B, R any] struct{ r *remote[tuple2[A, B], R] }

// Func2 registers fn as a remote function. It panics after Init, when the name is taken or unstable, and when
// an argument or the result cannot cross.
func Func2[A, B, R any](fn func(context.Context, A, B) (R, error), opts ...TaskOption) *RemoteFunc2[A, B, R] {
	run := func(ctx context.Context, t *tuple2[A, B]) (R, error) { return fn(ctx, t.a, t.b) }
	return &RemoteFunc2[A, B, R]{newRemote(fn, taskChange(opts), run, positions2[A, B]())}
}

// Proc2 is Func2 for a function that returns only an error.
func Proc2[A, B any](fn func(context.Context, A, B) error, opts ...TaskOption) *RemoteFunc2[A, B, None] {
	run := func(ctx context.Context, t *tuple2[A, B]) (None, error) { return None{}, fn(ctx, t.a, t.b) }
	return &RemoteFunc2[A, B, None]{newRemote(fn, taskChange(opts), run, positions2[A, B]())}
}

// Remote submits a task and gives the reference to its result at once.
func (f *RemoteFunc2[A, B, R]) Remote(ctx context.Context, a A, b B) Ref[R] {
	return f.r.submit(ctx, tuple2[A, B]{a, b}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (f *RemoteFunc2[A, B, R]) With(ctx context.Context, a Arg[A], b Arg[B]) Ref[R] {
	return f.r.with(ctx, given2(a, b))
}

// Options gives a copy of f with other options.
func (f *RemoteFunc2[A, B, R]) Options(opts ...TaskOption) *RemoteFunc2[A, B, R] {
	return &RemoteFunc2[A, B, R]{f.r.changed(taskChange(opts))}
}

// RemoteFunc3 is a remote function of three arguments.
type RemoteFunc3[A, B, C, R any] struct{ r *remote[tuple3[A, B, C], R] }

// Func3 registers fn as a remote function. It panics after Init, when the name is taken or unstable, and when
// an argument or the result cannot cross.
func Func3[A, B, C, R any](fn func(context.Context, A, B, C) (R, error), opts ...TaskOption) *RemoteFunc3[A, B, C, R] {
	run := func(ctx context.Context, t *tuple3[A, B, C]) (R, error) { return fn(ctx, t.a, t.b, t.c) }
	return &RemoteFunc3[A, B, C, R]{newRemote(fn, taskChange(opts), run, positions3[A, B, C]())}
}

// Proc3 is Func3 for a function that returns only an error.
func Proc3[A, B, C any](fn func(context.Context, A, B, C) error, opts ...TaskOption) *RemoteFunc3[A, B, C, None] {
	run := func(ctx context.Context, t *tuple3[A, B, C]) (None, error) { return None{}, fn(ctx, t.a, t.b, t.c) }
	return &RemoteFunc3[A, B, C, None]{newRemote(fn, taskChange(opts), run, positions3[A, B, C]())}
}

// Remote submits a task and gives the reference to its result at once.
func (f *RemoteFunc3[A, B, C, R]) Remote(ctx context.Context, a A, b B, c C) Ref[R] {
	return f.r.submit(ctx, tuple3[A, B, C]{a, b, c}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (f *RemoteFunc3[A, B, C, R]) With(ctx context.Context, a Arg[A], b Arg[B], c Arg[C]) Ref[R] {
	return f.r.with(ctx, given3(a, b, c))
}

// Options gives a copy of f with other options.
func (f *RemoteFunc3[A, B, C, R]) Options(opts ...TaskOption) *RemoteFunc3[A, B, C, R] {
	return &RemoteFunc3[A, B, C, R]{f.r.changed(taskChange(opts))}
}

// RemoteFunc4 is a remote function of four arguments.
type RemoteFunc4[A, B, C, D, R any] struct {
	r *remote[tuple4[A, B, C, D], R]
}

// Func4 registers fn as a remote function. It panics after Init, when the name is taken or unstable, and when
// an argument or the result cannot cross.
func Func4[A, B, C, D, R any](fn func(context.Context, A, B, C, D) (R, error), opts ...TaskOption) *RemoteFunc4[A, B, C, D, R] {
	run := func(ctx context.Context, t *tuple4[A, B, C, D]) (R, error) { return fn(ctx, t.a, t.b, t.c, t.d) }
	return &RemoteFunc4[A, B, C, D, R]{newRemote(fn, taskChange(opts), run, positions4[A, B, C, D]())}
}

// Proc4 is Func4 for a function that returns only an error.
func Proc4[A, B, C, D any](fn func(context.Context, A, B, C, D) error, opts ...TaskOption) *RemoteFunc4[A, B, C, D, None] {
	run := func(ctx context.Context, t *tuple4[A, B, C, D]) (None, error) {
		return None{}, fn(ctx, t.a, t.b, t.c, t.d)
	}
	return &RemoteFunc4[A, B, C, D, None]{newRemote(fn, taskChange(opts), run, positions4[A, B, C, D]())}
}

// Remote submits a task and gives the reference to its result at once.
func (f *RemoteFunc4[A, B, C, D, R]) Remote(ctx context.Context, a A, b B, c C, d D) Ref[R] {
	return f.r.submit(ctx, tuple4[A, B, C, D]{a, b, c, d}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (f *RemoteFunc4[A, B, C, D, R]) With(ctx context.Context, a Arg[A], b Arg[B], c Arg[C], d Arg[D]) Ref[R] {
	return f.r.with(ctx, given4(a, b, c, d))
}

// Options gives a copy of f with other options.
func (f *RemoteFunc4[A, B, C, D, R]) Options(opts ...TaskOption) *RemoteFunc4[A, B, C, D, R] {
	return &RemoteFunc4[A, B, C, D, R]{f.r.changed(taskChange(opts))}
}
