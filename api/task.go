package api

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"unsafe"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/sched"
)

// The generic types below name their parts and embed nothing: each promoted method would be compiled anew for each
// function that a program registers.

// future is what a Ref points to: the task's header, then its typed result.
type future[R any] struct {
	head proc.Future // first: headers are turned into futures by their address
	v    R
}

// call is a submitted task: its future, then its arguments as a tuple A.
type call[A, R any] struct {
	future future[R] // first, alike
	a      A
}

// extra is what few calls need beside that: see proc.Cold.
type extra struct {
	proc.Cold            // first: the engine's pointers are ours
	args      []argument // what is not in the tuple yet: encoded values, and futures whose values are wanted
}

// ownCall is a call in an allocation of its own.
type ownCall[A, R any] struct {
	call  call[A, R]
	extra extra
}

// newCall makes a call of fn in an allocation of its own.
func newCall[A, R any](fn *proc.Func, a A, args []argument) *call[A, R] {
	c := new(ownCall[A, R])
	c.call.a, c.extra.args = a, args
	c.call.future.head.InitCall(fn, &c.extra.Cold)
	return &c.call
}

// newObject makes an object of p, which the caller ends.
func newObject[R any](p *proc.Process, typ *proc.Type) *future[R] {
	x := new(struct {
		future future[R]
		cold   proc.Cold
	})
	x.future.head.Init(p, typ, &x.cold)
	return &x.future
}

// newExtra is what the engine makes for a call of a slab that needs it after all.
func newExtra() *sched.Ext { return &new(extra).Ext }

// argument is one argument until the task runs.
type argument struct {
	data []byte         // an encoded value
	keep []any          // what data refers to
	dep  *proc.Future   // its value is wanted
	list []*proc.Future // a slice of their values is wanted
	many bool           // list is set, perhaps to nothing

	ready *proc.Ready // an object's value is wanted, which is ready
}

// The casts of the task header. A *sched.Task is the start of a proc.Future, which is the start of a
// future[R], which is the start of a call[A, R].

func callOf[A, R any](t *sched.Task) *call[A, R] { return (*call[A, R])(unsafe.Pointer(t)) }
func typed[R any](f *proc.Future) *future[R]     { return (*future[R])(unsafe.Pointer(f)) }
func encodeAt[T any](c any, pl *codec.Plan, v *T) (codec.Encoded, error) {
	return pl.Encode(c, unsafe.Pointer(v))
}
func decodeAt[T any](c any, pl *codec.Plan, data []byte, v *T) error {
	return pl.Decode(c, data, unsafe.Pointer(v))
}
func decodeInto(c any, pl *codec.Plan, data []byte, v reflect.Value) error {
	return pl.Decode(c, data, v.UnsafePointer())
}

// elementsOf sees bytes as numbers, in the same memory.
func elementsOf[T Number](b []byte) ([]T, error) {
	var zero T
	size := int(unsafe.Sizeof(zero))
	at := unsafe.Pointer(unsafe.SliceData(b))
	if len(b)%size != 0 || uintptr(at)%unsafe.Alignof(zero) != 0 {
		return nil, fmt.Errorf("kadre: %d bytes at %p are no elements of %T", len(b), at, zero)
	}
	return unsafe.Slice((*T)(at), len(b)/size), nil
}

// decoding is the Context of codec's encoders and decoders: whose process the references join, what bounds
// waiting, and, when it is known, the object whose bytes are decoded, or the task whose result is encoded.
type decoding struct {
	p   *proc.Process
	ctx context.Context
	f   *proc.Future

	linked bool        // f was found by a reference
	ready  *proc.Ready // the argument that is decoded; who keeps its bytes sets it to nil
}

var types sync.Map // reflect.Type to *proc.Type

// typeOf gives the one proc.Type of R, or why values of R cannot cross.
func typeOf[R any]() (*proc.Type, error) {
	rt := reflect.TypeFor[R]()
	if t, ok := types.Load(rt); ok {
		return t.(*proc.Type), nil
	}
	pl, err := codec.PlanFor(rt)
	if err != nil {
		return nil, err
	}
	var f future[R]
	t := carried(pl, unsafe.Offsetof(f.v))
	t.New = func(p *proc.Process) *proc.Future { return &newObject[R](p, t).head }
	got, _ := types.LoadOrStore(rt, t)
	return got.(*proc.Type), nil
}

// carried is a type by its plan and by where a future has its value.
func carried(pl *codec.Plan, at uintptr) *proc.Type {
	value := func(f *proc.Future) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(f), at) }
	return &proc.Type{
		Plan:   pl,
		Set:    func(f *proc.Future, data []byte) error { return pl.Decode(nil, data, value(f)) },
		Encode: func(f *proc.Future) (codec.Encoded, error) { return pl.Encode(nil, value(f)) },
		Pack:   func(f *proc.Future, b []byte) ([]byte, bool) { return pl.AppendBare(b, value(f)) },
		Unpack: func(f *proc.Future, b []byte) error { return pl.DecodeBare(b, value(f)) },
	}
}

// valueOf gives a copy of a done future's value. It and settle keep what has to be encoded out of the way of
// what has not, since the address of an encoded value makes it a piece of memory of its own.
func valueOf[R any](ctx context.Context, f *future[R]) (v R, err error) {
	if f.head.IsSet() && !f.head.Freed() {
		copyValue(f.head.Type().Plan, &v, &f.v)
		return v, nil
	}
	if f.head.Type().Plan.TopLevel() {
		if a, ok := any(f.v).(interface {
			again(context.Context, *proc.Future) any
		}); ok {
			if b := a.again(ctx, &f.head); b != nil {
				return b.(R), nil
			}
		}
	}
	return decodedValue(ctx, f)
}

// copyValue makes *dst a copy of *src, of an Immediate or Flat type.
func copyValue[T any](pl *codec.Plan, dst, src *T) {
	if pl.Flat() {
		pl.Copy(unsafe.Pointer(dst), unsafe.Pointer(src))
		return
	}
	*dst = *src
}

// smallCopy says that *v is small and that copyValue copies it.
func smallCopy[T any](pl *codec.Plan, v *T) bool {
	if !pl.Immediate() && !pl.Flat() {
		return false
	}
	n, ok := pl.Size(unsafe.Pointer(v))
	return ok && n <= proc.LazyPut
}

func decodedValue[R any](ctx context.Context, f *future[R]) (v R, err error) {
	if held := f.head.Held(); held != nil && !f.head.Type().Plan.HasRefs() {
		err = decodeAt(nil, f.head.Type().Plan, held.Data, &v)
		return v, err
	}
	err = f.head.Process().Read(ctx, &f.head, func(data []byte) error {
		return decodeAt(&decoding{p: f.head.Process(), ctx: ctx, f: &f.head}, f.head.Type().Plan, data, &v)
	})
	return v, err
}

// settle ends the task of f with the result v.
func settle[R any](ctx context.Context, f *future[R], v R) {
	if pl := f.head.Type().Plan; pl.Immediate() || pl.Flat() {
		copyValue(pl, &f.v, &v)
		f.head.SetDone()
		return
	}
	settleEncoded(ctx, f, v)
}

func settleEncoded[R any](ctx context.Context, f *future[R], v R) {
	if a, ok := any(&v).(array); ok && a.becomeResult(&f.head) {
		return
	}
	e, err := encodeAt(&decoding{p: f.head.Process(), ctx: ctx, f: &f.head}, f.head.Type().Plan, &v)
	if err != nil {
		f.head.Fail(&TaskError{Func: f.head.Name(), Cause: err})
		return
	}
	f.head.SetValue(&proc.Value{Data: e.Bytes(), Keep: e.Keep})
}

// tuples is xs as tuples of one, which lie in memory as what they hold.
func tuples[A any](xs []A) []tuple1[A] {
	return unsafe.Slice((*tuple1[A])(unsafe.Pointer(unsafe.SliceData(xs))), len(xs))
}
