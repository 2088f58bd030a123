package api

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
)

// Ref refers to the result of a task or to an object. It is one pointer: copy it freely, compare it with
// == within a process, keep it in values, pass it on. Dropping it cancels nothing; when no Ref of any
// process refers to an object any more, the object is freed. The zero Ref names nothing and gives
// ErrZero. All methods may be called by many goroutines.
type Ref[T any] struct{ f *future[T] }

// AnyRef is any Ref or Stream.
type AnyRef interface {
	ID() ObjectID
	base() *proc.Future
}

// Get waits until the task is done and gives a copy of its result, or its error. ctx bounds only the
// waiting: a bare ctx.Err() is about this call, one inside a *TaskError about the task.
func (r Ref[T]) Get(ctx context.Context) (v T, err error) {
	f := r.f
	if f == nil {
		return v, ErrZero
	}
	if err := await(ctx, &f.head); err != nil {
		return v, err
	}
	return valueOf(ctx, f)
}

// ID names the object. It is the same in all processes.
func (r Ref[T]) ID() ObjectID {
	if r.f == nil || r.f.head.Process() == nil {
		return ObjectID{}
	}
	return ObjectID(r.f.head.ID())
}

// IsZero says whether r names nothing.
func (r Ref[T]) IsZero() bool { return r.f == nil }

// String prints ObjectID(hex).
func (r Ref[T]) String() string { return r.ID().String() }

// MarshalJSON fails: a Ref means nothing outside the cluster.
func (r Ref[T]) MarshalJSON() ([]byte, error) {
	return nil, errors.New("kadre: a Ref cannot be written as JSON: Get its value, or pass the Ref to a task")
}

func (r Ref[T]) base() *proc.Future {
	if r.f == nil {
		return nil
	}
	return &r.f.head
}

func (r Ref[T]) arg() argOf[T] { return argOf[T]{f: r.base(), isRef: true} }

// EncodeSpecial adds r to the references of a value. It is for the codec.
func (r *Ref[T]) EncodeSpecial(e *codec.Encoder) error { return encodeRef(e, r.base()) }

// DecodeSpecial makes r the reference that a value holds. It is for the codec.
func (r *Ref[T]) DecodeSpecial(d *codec.Decoder) error {
	typ, err := typeOf[T]()
	if err != nil {
		return err
	}
	f, err := decodeRef(d, typ)
	if f != nil {
		r.f = typed[T](f)
	}
	return err
}

func encodeRef(e *codec.Encoder, f *proc.Future) error {
	if f == nil {
		e.Uvarint(0)
		return nil
	}
	if f.Process() == nil {
		return fmt.Errorf("kadre: a Ref that carries an error cannot be passed on: %w", f.Failure())
	}
	i, err := e.AddRef(escape(e, f))
	if err != nil {
		return err
	}
	e.Keep(f)
	e.Uvarint(uint64(i) + 1)
	return nil
}

// escape is what the reference to f carries that is written.
func escape(e *codec.Encoder, f *proc.Future) codec.Ref {
	if c, ok := e.Context.(*decoding); ok && c.f != nil {
		return f.Process().EscapeIn(c.f, f)
	}
	return f.Process().Escape(f)
}

func decodeRef(d *codec.Decoder, typ *proc.Type) (*proc.Future, error) {
	p, ref, err := readRef(d)
	if p == nil {
		return nil, err
	}
	return p.Borrow(ref, typ), nil
}

// readRef reads what encodeRef wrote. Without an error and a process it was nothing.
func readRef(d *codec.Decoder) (p *proc.Process, ref codec.Ref, err error) {
	i, err := d.Uvarint()
	if err != nil || i == 0 {
		return nil, ref, err
	}
	c, ok := d.Context.(*decoding)
	if !ok {
		return nil, ref, errors.New("kadre: a Ref can only be decoded by a runtime")
	}
	if ref, err = d.Ref(int(i - 1)); err != nil {
		return nil, ref, err
	}
	return c.p, proc.Within(c.f, ref), nil
}

// failed is a reference that carries an error.
func failed[R any](p *proc.Process, typ *proc.Type, err error) Ref[R] {
	f := newObject[R](p, typ)
	f.head.Fail(err)
	return Ref[R]{f}
}

// await returns nil once f is done, or what went wrong with it or with the waiting.
func await(ctx context.Context, f *proc.Future) error {
	p := f.Process()
	if p == nil {
		return f.Failure()
	}
	return p.Await(ctx, f)
}

// Get is r.Get(ctx).
func Get[T any](ctx context.Context, r Ref[T]) (T, error) { return r.Get(ctx) }

// GetAll waits for all of refs and gives their values in order. At the first failure it returns nil and an
// error that names the index; the other tasks keep running.
func GetAll[T any](ctx context.Context, refs []Ref[T]) ([]T, error) {
	for i, r := range refs {
		if r.f == nil {
			return nil, fmt.Errorf("ref %d: %w", i, ErrZero)
		}
	}
	if i, err := awaitAll(ctx, len(refs), func(i int) *proc.Future { return &refs[i].f.head }); err != nil {
		if i < 0 {
			return nil, err
		}
		return nil, fmt.Errorf("ref %d: %w", i, err)
	}
	vs := make([]T, len(refs))
	for i, r := range refs {
		v, err := valueOf(ctx, r.f)
		if err != nil {
			return nil, fmt.Errorf("ref %d: %w", i, err)
		}
		vs[i] = v
	}
	return vs, nil
}

// Wait returns when NumReturns (default 1) of refs are done, or ctx or WithTimeout ends: the ready ones, at
// most as many as asked for, and the rest, both in the order of refs. Running out of WithTimeout is no error.
func Wait[R AnyRef](ctx context.Context, refs []R, opts ...WaitOption) (ready, rest []R, err error) {
	o := waitOptions{n: 1, timeout: -1}
	for _, opt := range opts {
		opt.applyWait(&o)
	}
	fs, err := futures(refs)
	if err != nil {
		return nil, nil, err
	}
	if o.n < 0 {
		return nil, nil, fmt.Errorf("kadre: Wait: NumReturns(%d) is negative", o.n)
	}
	n := min(o.n, len(fs))
	if o.timeout != 0 {
		err = waitN(ctx, fs, n, o.timeout)
	} else {
		demand(fs)
	}
	for i, f := range fs {
		if f.Ready() && len(ready) < n {
			ready = append(ready, refs[i])
		} else {
			rest = append(rest, refs[i])
		}
	}
	if len(ready) >= n {
		err = nil
	}
	return ready, rest, err
}

func futures[R AnyRef](refs []R) ([]*proc.Future, error) {
	fs := make([]*proc.Future, len(refs))
	for i, r := range refs {
		if fs[i] = r.base(); fs[i] == nil {
			return nil, fmt.Errorf("ref %d: %w", i, ErrZero)
		}
	}
	return fs, nil
}

// Completed gives each of refs once, with its index, as they finish. It ends early when ctx ends.
func Completed[R AnyRef](ctx context.Context, refs []R) iter.Seq2[int, R] {
	return func(yield func(int, R) bool) {
		fs, err := futures(refs)
		if err != nil {
			panic(err)
		}
		done := make(chan int, len(fs))
		demand(fs)
		for i, f := range fs {
			f.OnDone(func() { done <- i })
		}
		for range fs {
			i, ok := receive(ctx, fs, done)
			if !ok || !yield(i, refs[i]) {
				return
			}
		}
	}
}
