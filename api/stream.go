package api

import (
	"context"
	"fmt"
	"iter"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
)

// Stream is what a generator task yields, each item as soon as it is yielded. It belongs to the process that started
// the generator and is read once: each item goes to one reader, and who leaves the loop early ends the generator's
// context. So does dropping the Stream. As an AnyRef it stands for the end of the generator.
type Stream[R any] struct {
	f *future[None]
	s *proc.Stream // nil where the call carries an error
}

// ID names the stream. It is the same in all processes.
func (s Stream[R]) ID() ObjectID { return Ref[None]{s.f}.ID() }

// IsZero says whether s names nothing.
func (s Stream[R]) IsZero() bool { return s.f == nil }

func (s Stream[R]) base() *proc.Future { return Ref[None]{s.f}.base() }

// Refs gives a reference to each item in turn, without fetching it. An error that the generator yielded comes in its
// place, and the stream goes on; an error that ended the generator comes last. Ctx bounds only the waiting.
func (s Stream[R]) Refs(ctx context.Context) iter.Seq2[Ref[R], error] {
	return func(yield func(Ref[R], error) bool) {
		if s.s == nil {
			yield(Ref[R]{}, s.failure(ctx))
			return
		}
		for {
			f, more, err := s.s.Next(ctx)
			switch {
			case f != nil:
				if !yield(Ref[R]{typed[R](f)}, nil) {
					s.s.Stop()
					return
				}
			case err != nil:
				if !yield(Ref[R]{}, err) && more {
					s.s.Stop()
					return
				}
			}
			if !more {
				return
			}
		}
	}
}

// Values gives each item in turn; errors as with Refs.
func (s Stream[R]) Values(ctx context.Context) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for ref, err := range s.Refs(ctx) {
			var v R
			if err == nil {
				v, err = ref.Get(ctx)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// failure is what the stream of a call carries that was never submitted.
func (s Stream[R]) failure(ctx context.Context) error {
	if s.f == nil {
		return ErrZero
	}
	return await(ctx, &s.f.head)
}

// generator is a registered generator task.
type generator[A, R any] struct {
	r    *remote[A, None]
	item *proc.Type
}

// newStream registers a generator task; fn is the user's, for its name, and run calls it.
func newStream[R, A any](fn any, opts []TaskOption, run func(context.Context, *A) iter.Seq2[R, error], pos []position) generator[A, R] {
	typ, err := typeOf[R]()
	if err != nil {
		_, where := caller()
		panic(fmt.Errorf("kadre: items of a stream (%s): %w", where, err))
	}
	change := func(o *proc.Options) {
		o.Generator = true
		taskChange(opts)(o)
	}
	body := func(ctx context.Context, a *A) (None, error) { return None{}, yieldAll(ctx, typ, run(ctx, a)) }
	return generator[A, R]{newRemote(fn, change, body, pos), typ}
}

// yieldAll hands on what seq yields until nobody wants more.
func yieldAll[R any](ctx context.Context, typ *proc.Type, seq iter.Seq2[R, error]) error {
	y := proc.YielderOf(ctx)
	p, err := processOf(ctx)
	if err != nil {
		return err
	}
	for v, fail := range seq {
		var e codec.Encoded
		if fail == nil {
			if e, err = encodeAt(&decoding{p: p, ctx: ctx}, typ.Plan, &v); err != nil {
				return fmt.Errorf("item %d: %w", y.Sent(), err)
			}
		}
		more, err := y.Yield(e, fail)
		if err != nil {
			return fmt.Errorf("item %d: %w", y.Sent(), err)
		}
		if !more {
			return ctx.Err()
		}
	}
	return nil
}

// submit starts the generator.
func (g generator[A, R]) submit(ctx context.Context, a A, rest []argument) Stream[R] {
	c := newCall[A, None](g.r.fn, a, rest)
	p, err := g.r.start(ctx, c)
	if err != nil {
		return Stream[R]{f: failed[None](p, g.r.typ, err).f}
	}
	return Stream[R]{&c.future, p.SubmitStream(ctx, &c.future.head, &g.r.opts, deps(&c.future.head), g.item)}
}

func (g generator[A, R]) with(ctx context.Context, w given[A]) Stream[R] {
	if w.err != nil {
		return Stream[R]{f: g.r.refuse(w.err).f}
	}
	return g.submit(ctx, w.values, w.rest)
}

func (g generator[A, R]) changed(opts []TaskOption) generator[A, R] {
	g.r = g.r.changed(taskChange(opts))
	return g
}

// RemoteStream0 is a generator task of no argument.
type RemoteStream0[R any] struct{ g generator[tuple0, R] }

// Stream0 registers a generator task.
func Stream0[R any](fn func(context.Context) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream0[R] {
	return &RemoteStream0[R]{newStream[R](fn, opts, func(ctx context.Context, _ *tuple0) iter.Seq2[R, error] { return fn(ctx) }, nil)}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream0[R]) Remote(ctx context.Context) Stream[R] {
	return s.g.submit(ctx, tuple0{}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream0[R]) With(ctx context.Context) Stream[R] {
	return s.g.with(ctx, given[tuple0]{})
}

// Options gives a copy of s with other options.
func (s *RemoteStream0[R]) Options(opts ...TaskOption) *RemoteStream0[R] {
	return &RemoteStream0[R]{s.g.changed(opts)}
}

// RemoteStream1 is a generator task of one argument.
type RemoteStream1[A, R any] struct{ g generator[tuple1[A], R] }

// Stream1 registers a generator task.
func Stream1[A, R any](fn func(context.Context, A) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream1[A, R] {
	return &RemoteStream1[A, R]{newStream[R](fn, opts, func(ctx context.Context, t *tuple1[A]) iter.Seq2[R, error] { return fn(ctx, t.a) }, positions1[A]())}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream1[A, R]) Remote(ctx context.Context, a A) Stream[R] {
	return s.g.submit(ctx, tuple1[A]{a}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream1[A, R]) With(ctx context.Context, a Arg[A]) Stream[R] {
	return s.g.with(ctx, given1(a))
}

// Options gives a copy of s with other options.
func (s *RemoteStream1[A, R]) Options(opts ...TaskOption) *RemoteStream1[A, R] {
	return &RemoteStream1[A, R]{s.g.changed(opts)}
}

// RemoteStream2 is a generator task of two arguments.
type RemoteStream2[A, B, R any] struct{ g generator[tuple2[A, B], R] }

// Stream2 registers a generator task.
func Stream2[A, B, R any](fn func(context.Context, A, B) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream2[A, B, R] {
	return &RemoteStream2[A, B, R]{newStream[R](fn, opts, func(ctx context.Context, t *tuple2[A, B]) iter.Seq2[R, error] { return fn(ctx, t.a, t.b) }, positions2[A, B]())}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream2[A, B, R]) Remote(ctx context.Context, a A, b B) Stream[R] {
	return s.g.submit(ctx, tuple2[A, B]{a, b}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream2[A, B, R]) With(ctx context.Context, a Arg[A], b Arg[B]) Stream[R] {
	return s.g.with(ctx, given2(a, b))
}

// Options gives a copy of s with other options.
func (s *RemoteStream2[A, B, R]) Options(opts ...TaskOption) *RemoteStream2[A, B, R] {
	return &RemoteStream2[A, B, R]{s.g.changed(opts)}
}

// RemoteStream3 is a generator task of three arguments.
type RemoteStream3[A, B, C, R any] struct{ g generator[tuple3[A, B, C], R] }

// Stream3 registers a generator task.
func Stream3[A, B, C, R any](fn func(context.Context, A, B, C) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream3[A, B, C, R] {
	return &RemoteStream3[A, B, C, R]{newStream[R](fn, opts, func(ctx context.Context, t *tuple3[A, B, C]) iter.Seq2[R, error] { return fn(ctx, t.a, t.b, t.c) }, positions3[A, B, C]())}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream3[A, B, C, R]) Remote(ctx context.Context, a A, b B, c C) Stream[R] {
	return s.g.submit(ctx, tuple3[A, B, C]{a, b, c}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream3[A, B, C, R]) With(ctx context.Context, a Arg[A], b Arg[B], c Arg[C]) Stream[R] {
	return s.g.with(ctx, given3(a, b, c))
}

// Options gives a copy of s with other options.
func (s *RemoteStream3[A, B, C, R]) Options(opts ...TaskOption) *RemoteStream3[A, B, C, R] {
	return &RemoteStream3[A, B, C, R]{s.g.changed(opts)}
}

// RemoteStream4 is a generator task of four arguments.
type RemoteStream4[A, B, C, D, R any] struct {
	g generator[tuple4[A, B, C, D], R]
}

// Stream4 registers a generator task.
func Stream4[A, B, C, D, R any](fn func(context.Context, A, B, C, D) iter.Seq2[R, error], opts ...TaskOption) *RemoteStream4[A, B, C, D, R] {
	return &RemoteStream4[A, B, C, D, R]{newStream[R](fn, opts, func(ctx context.Context, t *tuple4[A, B, C, D]) iter.Seq2[R, error] {
		return fn(ctx, t.a, t.b, t.c, t.d)
	}, positions4[A, B, C, D]())}
}

// Remote starts the generator and gives its stream at once.
func (s *RemoteStream4[A, B, C, D, R]) Remote(ctx context.Context, a A, b B, c C, d D) Stream[R] {
	return s.g.submit(ctx, tuple4[A, B, C, D]{a, b, c, d}, nil)
}

// With is Remote with arguments that may be the results of other tasks.
func (s *RemoteStream4[A, B, C, D, R]) With(ctx context.Context, a Arg[A], b Arg[B], c Arg[C], d Arg[D]) Stream[R] {
	return s.g.with(ctx, given4(a, b, c, d))
}

// Options gives a copy of s with other options.
func (s *RemoteStream4[A, B, C, D, R]) Options(opts ...TaskOption) *RemoteStream4[A, B, C, D, R] {
	return &RemoteStream4[A, B, C, D, R]{s.g.changed(opts)}
}
