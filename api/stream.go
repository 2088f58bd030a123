package api

import (
	"context"
	"fmt"
	"iter"

	"github.com/kadrehq/kadre/internal/proc"
)

// Stream is what a generator task yields, each item as soon as it is yielded.
type Stream[R any] struct{ f *future[None] }

// ID names the stream. It is the same in all processes.
func (s Stream[R]) ID() ObjectID { return Ref[None](s).ID() }

// IsZero says whether s names nothing.
func (s Stream[R]) IsZero() bool { return s.f == nil }

func (s Stream[R]) base() *proc.Future { return Ref[None](s).base() }

// Refs gives a reference to each item in turn, or an error that ends the stream.
func (s Stream[R]) Refs(ctx context.Context) iter.Seq2[Ref[R], error] {
	return func(yield func(Ref[R], error) bool) { yield(Ref[R]{}, s.failure(ctx)) }
}

// Values gives each item in turn, or an error that ends the stream.
func (s Stream[R]) Values(ctx context.Context) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		var zero R
		yield(zero, s.failure(ctx))
	}
}

// failure is what every stream carries until there are streams.
func (s Stream[R]) failure(ctx context.Context) error {
	if s.f == nil {
		return ErrZero
	}
	return await(ctx, &s.f.Future)
}

// newStream registers a generator task, whose calls carry an error.
func newStream[R, A any](fn any, opts []TaskOption, pos []position[A]) *remote[A, None] {
	if _, err := typeOf[R](); err != nil {
		_, where := caller()
		panic(fmt.Errorf("kadre: items of a stream (%s): %w", where, err))
	}
	run := func(context.Context, *A) (None, error) { return None{}, later("Stream") }
	r := newRemote(fn, taskChange(opts), run, pos)
	fail(&r.opts, later("Stream"))
	return r
}

// RemoteStream0 is a generator task of no argument.
type RemoteStream0[R any] struct{ r *remote[tuple0, None] }

// Stream0 registers a generator task.
func Stream0[R any](fn func(context.Context) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream0[R] {
	return &RemoteStream0[R]{newStream[R](fn, opts, []position[tuple0](nil))}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream0[R]) Remote(ctx context.Context) Stream[R] {
	return Stream[R]{s.r.submit(ctx, tuple0{}, nil).f}
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream0[R]) With(ctx context.Context) Stream[R] {
	return Stream[R]{s.r.with(ctx, given[tuple0]{}).f}
}

// Options gives a copy of s with other options.
func (s *RemoteStream0[R]) Options(opts ...TaskOption) *RemoteStream0[R] {
	return &RemoteStream0[R]{s.r.changed(taskChange(opts))}
}

// RemoteStream1 is a generator task of one argument.
type RemoteStream1[A, R any] struct{ r *remote[tuple1[A], None] }

// Stream1 registers a generator task.
func Stream1[A, R any](fn func(context.Context, A) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream1[A, R] {
	return &RemoteStream1[A, R]{newStream[R](fn, opts, positions1[A]())}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream1[A, R]) Remote(ctx context.Context, a A) Stream[R] {
	return Stream[R]{s.r.submit(ctx, tuple1[A]{a}, nil).f}
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream1[A, R]) With(ctx context.Context, a Arg[A]) Stream[R] {
	return Stream[R]{s.r.with(ctx, given1(a)).f}
}

// Options gives a copy of s with other options.
func (s *RemoteStream1[A, R]) Options(opts ...TaskOption) *RemoteStream1[A, R] {
	return &RemoteStream1[A, R]{s.r.changed(taskChange(opts))}
}

// RemoteStream2 is a generator task of two arguments.
type RemoteStream2[A, B, R any] struct{ r *remote[tuple2[A, B], None] }

// Stream2 registers a generator task.
func Stream2[A, B, R any](fn func(context.Context, A, B) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream2[A, B, R] {
	return &RemoteStream2[A, B, R]{newStream[R](fn, opts, positions2[A, B]())}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream2[A, B, R]) Remote(ctx context.Context, a A, b B) Stream[R] {
	return Stream[R]{s.r.submit(ctx, tuple2[A, B]{a, b}, nil).f}
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream2[A, B, R]) With(ctx context.Context, a Arg[A], b Arg[B]) Stream[R] {
	return Stream[R]{s.r.with(ctx, given2(a, b)).f}
}

// Options gives a copy of s with other options.
func (s *RemoteStream2[A, B, R]) Options(opts ...TaskOption) *RemoteStream2[A, B, R] {
	return &RemoteStream2[A, B, R]{s.r.changed(taskChange(opts))}
}

// RemoteStream3 is a generator task of three arguments.
type RemoteStream3[A, B, C, R any] struct {
	r *remote[tuple3[A, B, C], None]
}

// Stream3 registers a generator task.
func Stream3[A, B, C, R any](fn func(context.Context, A, B, C) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream3[A, B, C, R] {
	return &RemoteStream3[A, B, C, R]{newStream[R](fn, opts, positions3[A, B, C]())}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream3[A, B, C, R]) Remote(ctx context.Context, a A, b B, c C) Stream[R] {
	return Stream[R]{s.r.submit(ctx, tuple3[A, B, C]{a, b, c}, nil).f}
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream3[A, B, C, R]) With(ctx context.Context, a Arg[A], b Arg[B], c Arg[C]) Stream[R] {
	return Stream[R]{s.r.with(ctx, given3(a, b, c)).f}
}

// Options gives a copy of s with other options.
func (s *RemoteStream3[A, B, C, R]) Options(opts ...TaskOption) *RemoteStream3[A, B, C, R] {
	return &RemoteStream3[A, B, C, R]{s.r.changed(taskChange(opts))}
}

// RemoteStream4 is a generator task of four arguments.
type RemoteStream4[A, B, C, D, R any] struct {
	r *remote[tuple4[A, B, C, D], None]
}

// Stream4 registers a generator task.
func Stream4[A, B, C, D, R any](fn func(context.Context, A, B, C, D) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream4[A, B, C, D, R] {
	return &RemoteStream4[A, B, C, D, R]{newStream[R](fn, opts, positions4[A, B, C, D]())}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream4[A, B, C, D, R]) Remote(ctx context.Context, a A, b B, c C, d D) Stream[R] {
	return Stream[R]{s.r.submit(ctx, tuple4[A, B, C, D]{a, b, c, d}, nil).f}
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream4[A, B, C, D, R]) With(ctx context.Context, a Arg[A], b Arg[B], c Arg[C], d Arg[D]) Stream[R] {
	return Stream[R]{s.r.with(ctx, given4(a, b, c, d)).f}
}

// Options gives a copy of s with other options.
func (s *RemoteStream4[A, B, C, D, R]) Options(opts ...TaskOption) *RemoteStream4[A, B, C, D, R] {
	return &RemoteStream4[A, B, C, D, R]{s.r.changed(taskChange(opts))}
}
