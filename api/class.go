package api

import "context"

// RemoteClass0 makes actors; its constructor takes no argument.
type RemoteClass0[S any] struct{ c class[S, tuple0] }

// Class0 registers a constructor of actors. It panics as Func0 does.
func Class0[S any](fn func(context.Context) (*S, error), opts ...ClassOption) *RemoteClass0[S] {
	run := func(ctx context.Context, _ *tuple0) (*S, error) { return fn(ctx) }
	return &RemoteClass0[S]{newClass(fn, opts, run, nil)}
}

// Remote makes an actor and gives its handle at once.
func (k *RemoteClass0[S]) Remote(ctx context.Context) Actor[S] {
	return k.c.create(ctx, tuple0{}, nil)
}

// With is Remote with arguments that may be the results of tasks.
func (k *RemoteClass0[S]) With(ctx context.Context) Actor[S] { return k.c.with(ctx, given[tuple0]{}) }

// Options gives a copy of k with other options.
func (k *RemoteClass0[S]) Options(opts ...ClassOption) *RemoteClass0[S] {
	return &RemoteClass0[S]{k.c.changed(opts)}
}

// RemoteClass1 makes actors; its constructor takes one argument.
type RemoteClass1[S, A any] struct{ c class[S, tuple1[A]] }

// Class1 registers a constructor of actors. It panics as Func1 does.
func Class1[S, A any](fn func(context.Context, A) (*S, error), opts ...ClassOption) *RemoteClass1[S, A] {
	run := func(ctx context.Context, t *tuple1[A]) (*S, error) { return fn(ctx, t.a) }
	return &RemoteClass1[S, A]{newClass(fn, opts, run, positions1[A]())}
}

// Remote makes an actor and gives its handle at once.
func (k *RemoteClass1[S, A]) Remote(ctx context.Context, a A) Actor[S] {
	return k.c.create(ctx, tuple1[A]{a}, nil)
}

// With is Remote with arguments that may be the results of tasks.
func (k *RemoteClass1[S, A]) With(ctx context.Context, a Arg[A]) Actor[S] {
	return k.c.with(ctx, given1(a))
}

// Options gives a copy of k with other options.
func (k *RemoteClass1[S, A]) Options(opts ...ClassOption) *RemoteClass1[S, A] {
	return &RemoteClass1[S, A]{k.c.changed(opts)}
}

// RemoteClass2 makes actors; its constructor takes two arguments.
type RemoteClass2[S, A, B any] struct{ c class[S, tuple2[A, B]] }

// Class2 registers a constructor of actors. It panics as Func2 does.
func Class2[S, A, B any](fn func(context.Context, A, B) (*S, error), opts ...ClassOption) *RemoteClass2[S, A, B] {
	run := func(ctx context.Context, t *tuple2[A, B]) (*S, error) { return fn(ctx, t.a, t.b) }
	return &RemoteClass2[S, A, B]{newClass(fn, opts, run, positions2[A, B]())}
}

// Remote makes an actor and gives its handle at once.
func (k *RemoteClass2[S, A, B]) Remote(ctx context.Context, a A, b B) Actor[S] {
	return k.c.create(ctx, tuple2[A, B]{a, b}, nil)
}

// With is Remote with arguments that may be the results of tasks.
func (k *RemoteClass2[S, A, B]) With(ctx context.Context, a Arg[A], b Arg[B]) Actor[S] {
	return k.c.with(ctx, given2(a, b))
}

// Options gives a copy of k with other options.
func (k *RemoteClass2[S, A, B]) Options(opts ...ClassOption) *RemoteClass2[S, A, B] {
	return &RemoteClass2[S, A, B]{k.c.changed(opts)}
}

// RemoteClass3 makes actors; its constructor takes three arguments.
type RemoteClass3[S, A, B, C any] struct{ c class[S, tuple3[A, B, C]] }

// Class3 registers a constructor of actors. It panics as Func3 does.
func Class3[S, A, B, C any](fn func(context.Context, A, B, C) (*S, error), opts ...ClassOption) *RemoteClass3[S, A, B, C] {
	run := func(ctx context.Context, t *tuple3[A, B, C]) (*S, error) { return fn(ctx, t.a, t.b, t.c) }
	return &RemoteClass3[S, A, B, C]{newClass(fn, opts, run, positions3[A, B, C]())}
}

// Remote makes an actor and gives its handle at once.
func (k *RemoteClass3[S, A, B, C]) Remote(ctx context.Context, a A, b B, c C) Actor[S] {
	return k.c.create(ctx, tuple3[A, B, C]{a, b, c}, nil)
}

// With is Remote with arguments that may be the results of tasks.
func (k *RemoteClass3[S, A, B, C]) With(ctx context.Context, a Arg[A], b Arg[B], c Arg[C]) Actor[S] {
	return k.c.with(ctx, given3(a, b, c))
}

// Options gives a copy of k with other options.
func (k *RemoteClass3[S, A, B, C]) Options(opts ...ClassOption) *RemoteClass3[S, A, B, C] {
	return &RemoteClass3[S, A, B, C]{k.c.changed(opts)}
}

// RemoteClass4 makes actors; its constructor takes four arguments.
type RemoteClass4[S, A, B, C, D any] struct{ c class[S, tuple4[A, B, C, D]] }

// Class4 registers a constructor of actors. It panics as Func4 does.
func Class4[S, A, B, C, D any](fn func(context.Context, A, B, C, D) (*S, error), opts ...ClassOption) *RemoteClass4[S, A, B, C, D] {
	run := func(ctx context.Context, t *tuple4[A, B, C, D]) (*S, error) { return fn(ctx, t.a, t.b, t.c, t.d) }
	return &RemoteClass4[S, A, B, C, D]{newClass(fn, opts, run, positions4[A, B, C, D]())}
}

// Remote makes an actor and gives its handle at once.
func (k *RemoteClass4[S, A, B, C, D]) Remote(ctx context.Context, a A, b B, c C, d D) Actor[S] {
	return k.c.create(ctx, tuple4[A, B, C, D]{a, b, c, d}, nil)
}

// With is Remote with arguments that may be the results of tasks.
func (k *RemoteClass4[S, A, B, C, D]) With(ctx context.Context, a Arg[A], b Arg[B], c Arg[C], d Arg[D]) Actor[S] {
	return k.c.with(ctx, given4(a, b, c, d))
}

// Options gives a copy of k with other options.
func (k *RemoteClass4[S, A, B, C, D]) Options(opts ...ClassOption) *RemoteClass4[S, A, B, C, D] {
	return &RemoteClass4[S, A, B, C, D]{k.c.changed(opts)}
}
