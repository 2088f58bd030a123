package api

import "context"

// RemoteMethod0 is a method of actors that takes no argument.
type RemoteMethod0[S, R any] struct{ m method[S, tuple0, R] }

// Method0 registers a method expression, as in Method0((*Counter).Increment). It panics as Func0 does.
func Method0[S, R any](fn func(*S, context.Context) (R, error), opts ...MethodOption) *RemoteMethod0[S, R] {
	run := func(s *S, ctx context.Context, _ *tuple0) (R, error) { return fn(s, ctx) }
	return &RemoteMethod0[S, R]{newMethod(fn, opts, run, nil)}
}

// MethodProc0 is Method0 for a method that returns only an error.
func MethodProc0[S any](fn func(*S, context.Context) error, opts ...MethodOption) *RemoteMethod0[S, None] {
	run := func(s *S, ctx context.Context, _ *tuple0) (None, error) { return None{}, fn(s, ctx) }
	return &RemoteMethod0[S, None]{newMethod(fn, opts, run, nil)}
}

// Remote calls the method. Calls of one caller on one actor run in their order.
func (m *RemoteMethod0[S, R]) Remote(ctx context.Context, on Actor[S]) Ref[R] {
	return m.m.call(ctx, on, tuple0{}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (m *RemoteMethod0[S, R]) With(ctx context.Context, on Actor[S]) Ref[R] {
	return m.m.with(ctx, on, given[tuple0]{})
}

// Options gives a copy of m with other options.
func (m *RemoteMethod0[S, R]) Options(opts ...MethodOption) *RemoteMethod0[S, R] {
	return &RemoteMethod0[S, R]{m.m.changed(opts)}
}

// RemoteMethod1 is a method of actors that takes one argument.
type RemoteMethod1[S, A, R any] struct{ m method[S, tuple1[A], R] }

// Method1 registers a method expression, as in Method1((*Counter).Add). It panics as Func1 does.
func Method1[S, A, R any](fn func(*S, context.Context, A) (R, error), opts ...MethodOption) *RemoteMethod1[S, A, R] {
	run := func(s *S, ctx context.Context, t *tuple1[A]) (R, error) { return fn(s, ctx, t.a) }
	return &RemoteMethod1[S, A, R]{newMethod(fn, opts, run, positions1[A]())}
}

// MethodProc1 is Method1 for a method that returns only an error.
func MethodProc1[S, A any](fn func(*S, context.Context, A) error, opts ...MethodOption) *RemoteMethod1[S, A, None] {
	run := func(s *S, ctx context.Context, t *tuple1[A]) (None, error) { return None{}, fn(s, ctx, t.a) }
	return &RemoteMethod1[S, A, None]{newMethod(fn, opts, run, positions1[A]())}
}

// Remote calls the method. Calls of one caller on one actor run in their order.
func (m *RemoteMethod1[S, A, R]) Remote(ctx context.Context, on Actor[S], a A) Ref[R] {
	return m.m.call(ctx, on, tuple1[A]{a}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (m *RemoteMethod1[S, A, R]) With(ctx context.Context, on Actor[S], a Arg[A]) Ref[R] {
	return m.m.with(ctx, on, given1(a))
}

// Options gives a copy of m with other options.
func (m *RemoteMethod1[S, A, R]) Options(opts ...MethodOption) *RemoteMethod1[S, A, R] {
	return &RemoteMethod1[S, A, R]{m.m.changed(opts)}
}

// RemoteMethod2 is a method of actors that takes two arguments.
type RemoteMethod2[S, A, B, R any] struct{ m method[S, tuple2[A, B], R] }

// Method2 registers a method expression, as in Method2((*Counter).Add). It panics as Func2 does.
func Method2[S, A, B, R any](fn func(*S, context.Context, A, B) (R, error), opts ...MethodOption) *RemoteMethod2[S, A, B, R] {
	run := func(s *S, ctx context.Context, t *tuple2[A, B]) (R, error) { return fn(s, ctx, t.a, t.b) }
	return &RemoteMethod2[S, A, B, R]{newMethod(fn, opts, run, positions2[A, B]())}
}

// MethodProc2 is Method2 for a method that returns only an error.
func MethodProc2[S, A, B any](fn func(*S, context.Context, A, B) error, opts ...MethodOption) *RemoteMethod2[S, A, B, None] {
	run := func(s *S, ctx context.Context, t *tuple2[A, B]) (None, error) { return None{}, fn(s, ctx, t.a, t.b) }
	return &RemoteMethod2[S, A, B, None]{newMethod(fn, opts, run, positions2[A, B]())}
}

// Remote calls the method. Calls of one caller on one actor run in their order.
func (m *RemoteMethod2[S, A, B, R]) Remote(ctx context.Context, on Actor[S], a A, b B) Ref[R] {
	return m.m.call(ctx, on, tuple2[A, B]{a, b}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (m *RemoteMethod2[S, A, B, R]) With(ctx context.Context, on Actor[S], a Arg[A], b Arg[B]) Ref[R] {
	return m.m.with(ctx, on, given2(a, b))
}

// Options gives a copy of m with other options.
func (m *RemoteMethod2[S, A, B, R]) Options(opts ...MethodOption) *RemoteMethod2[S, A, B, R] {
	return &RemoteMethod2[S, A, B, R]{m.m.changed(opts)}
}

// RemoteMethod3 is a method of actors that takes three arguments.
type RemoteMethod3[S, A, B, C, R any] struct{ m method[S, tuple3[A, B, C], R] }

// Method3 registers a method expression, as in Method3((*Counter).Add). It panics as Func3 does.
func Method3[S, A, B, C, R any](fn func(*S, context.Context, A, B, C) (R, error), opts ...MethodOption) *RemoteMethod3[S, A, B, C, R] {
	run := func(s *S, ctx context.Context, t *tuple3[A, B, C]) (R, error) { return fn(s, ctx, t.a, t.b, t.c) }
	return &RemoteMethod3[S, A, B, C, R]{newMethod(fn, opts, run, positions3[A, B, C]())}
}

// MethodProc3 is Method3 for a method that returns only an error.
func MethodProc3[S, A, B, C any](fn func(*S, context.Context, A, B, C) error, opts ...MethodOption) *RemoteMethod3[S, A, B, C, None] {
	run := func(s *S, ctx context.Context, t *tuple3[A, B, C]) (None, error) {
		return None{}, fn(s, ctx, t.a, t.b, t.c)
	}
	return &RemoteMethod3[S, A, B, C, None]{newMethod(fn, opts, run, positions3[A, B, C]())}
}

// Remote calls the method. Calls of one caller on one actor run in their order.
func (m *RemoteMethod3[S, A, B, C, R]) Remote(ctx context.Context, on Actor[S], a A, b B, c C) Ref[R] {
	return m.m.call(ctx, on, tuple3[A, B, C]{a, b, c}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (m *RemoteMethod3[S, A, B, C, R]) With(ctx context.Context, on Actor[S], a Arg[A], b Arg[B], c Arg[C]) Ref[R] {
	return m.m.with(ctx, on, given3(a, b, c))
}

// Options gives a copy of m with other options.
func (m *RemoteMethod3[S, A, B, C, R]) Options(opts ...MethodOption) *RemoteMethod3[S, A, B, C, R] {
	return &RemoteMethod3[S, A, B, C, R]{m.m.changed(opts)}
}

// RemoteMethod4 is a method of actors that takes four arguments.
type RemoteMethod4[S, A, B, C, D, R any] struct {
	m method[S, tuple4[A, B, C, D], R]
}

// Method4 registers a method expression, as in Method4((*Counter).Add). It panics as Func4 does.
func Method4[S, A, B, C, D, R any](fn func(*S, context.Context, A, B, C, D) (R, error), opts ...MethodOption) *RemoteMethod4[S, A, B, C, D, R] {
	run := func(s *S, ctx context.Context, t *tuple4[A, B, C, D]) (R, error) {
		return fn(s, ctx, t.a, t.b, t.c, t.d)
	}
	return &RemoteMethod4[S, A, B, C, D, R]{newMethod(fn, opts, run, positions4[A, B, C, D]())}
}

// MethodProc4 is Method4 for a method that returns only an error.
func MethodProc4[S, A, B, C, D any](fn func(*S, context.Context, A, B, C, D) error, opts ...MethodOption) *RemoteMethod4[S, A, B, C, D, None] {
	run := func(s *S, ctx context.Context, t *tuple4[A, B, C, D]) (None, error) {
		return None{}, fn(s, ctx, t.a, t.b, t.c, t.d)
	}
	return &RemoteMethod4[S, A, B, C, D, None]{newMethod(fn, opts, run, positions4[A, B, C, D]())}
}

// Remote calls the method. Calls of one caller on one actor run in their order.
func (m *RemoteMethod4[S, A, B, C, D, R]) Remote(ctx context.Context, on Actor[S], a A, b B, c C, d D) Ref[R] {
	return m.m.call(ctx, on, tuple4[A, B, C, D]{a, b, c, d}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (m *RemoteMethod4[S, A, B, C, D, R]) With(ctx context.Context, on Actor[S], a Arg[A], b Arg[B], c Arg[C], d Arg[D]) Ref[R] {
	return m.m.with(ctx, on, given4(a, b, c, d))
}

// Options gives a copy of m with other options.
func (m *RemoteMethod4[S, A, B, C, D, R]) Options(opts ...MethodOption) *RemoteMethod4[S, A, B, C, D, R] {
	return &RemoteMethod4[S, A, B, C, D, R]{m.m.changed(opts)}
}
