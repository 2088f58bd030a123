package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/sched"
)

// Number is what Arrays hold.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 |
		~float32 | ~float64 | ~complex64 | ~complex128
}

// Array is numbers in the node's shared memory. Fill Data in place; putting, returning or passing the Array
// seals it without a copy, and receivers on the same node read the very same memory. Inside a task an
// Array that came as an argument or by Get is held until the task returns; elsewhere release it:
// slices from Data must not be used when neither the Array nor its release is still to come. It is one
// pointer; the zero Array has no elements. Its methods may be called by many goroutines.
type Array[T Number] struct{ s *arrayState[T] }

type arrayState[T Number] struct {
	n int
	h *holding

	// guarded by h.mu
	f    *future[arrayBody[T]] // the sealed object; nil after Release
	data []T
}

// holding is the memory of an Array. It knows nothing of the Array, so that it can outlive it.
type holding struct {
	mu   sync.Mutex
	buf  *proc.Buffer // until it is sealed
	view *proc.View   // from then on
	over bool
}

// release gives the memory back.
func (h *holding) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked()
}

func (h *holding) releaseLocked() {
	if h.over {
		return
	}
	h.over = true
	if h.buf != nil {
		h.buf.Abort()
	}
	if h.view != nil {
		h.view.Release()
	}
	h.buf, h.view = nil, nil
}

// arrayBody is the object that an Array refers to: its elements behind the codec's head.
type arrayBody[T Number] struct{ Data []T }

// EncodeTop gives the elements as they lie. It is for the codec.
func (b *arrayBody[T]) EncodeTop(*codec.Encoder) ([]byte, error) { return bytesOf(b.Data), nil }

// DecodeTop views the elements in place. It is for the codec.
func (b *arrayBody[T]) DecodeTop(_ *codec.Decoder, body []byte) (err error) {
	b.Data, err = elementsOf[T](body)
	return err
}

// NewArray allocates n zeros in the node's object store.
func NewArray[T Number](ctx context.Context, n int) (Array[T], error) {
	a, err := newArray[T](ctx, n)
	if err == nil {
		clear(a.s.data)
	}
	return a, err
}

// ArrayOf makes an Array of a copy of s.
func ArrayOf[T Number](ctx context.Context, s []T) (Array[T], error) {
	a, err := newArray[T](ctx, len(s))
	if err == nil {
		copy(a.s.data, s)
	}
	return a, err
}

func newArray[T Number](ctx context.Context, n int) (Array[T], error) {
	p, err := processOf(ctx)
	if err != nil {
		return Array[T]{}, err
	}
	size := int(reflect.TypeFor[T]().Size())
	if n < 0 || n > codec.MaxValue/size {
		return Array[T]{}, fmt.Errorf("kadre: an Array of %d elements: there can be 0 to %d", n, codec.MaxValue/size)
	}
	typ, err := typeOf[arrayBody[T]]()
	if err != nil {
		return Array[T]{}, err
	}
	f := &future[arrayBody[T]]{}
	f.Init(p, typ, nil)
	buf, err := p.NewBuffer(ctx, &f.Future, int64(codec.HeadLen+n*size))
	if err != nil {
		return Array[T]{}, err
	}
	data, err := elementsOf[T](buf.Bytes()[codec.HeadLen:])
	if err == nil {
		err = writeHead(buf.Bytes(), typ.Plan, data)
	}
	if err != nil {
		buf.Abort()
		return Array[T]{}, err
	}
	return hold(n, f, data, &holding{buf: buf}), nil
}

// writeHead writes the codec's head before data, which lies behind it.
func writeHead[T Number](to []byte, pl *codec.Plan, data []T) error {
	e, err := encodeAt(nil, pl, &arrayBody[T]{data})
	copy(to[:codec.HeadLen], e.Head)
	return err
}

// hold makes an Array whose memory is given back when it is forgotten.
func hold[T Number](n int, f *future[arrayBody[T]], data []T, h *holding) Array[T] {
	s := &arrayState[T]{n: n, h: h, f: f, data: data}
	runtime.AddCleanup(s, (*holding).release, h)
	return Array[T]{s}
}

// Len is the number of elements.
func (a Array[T]) Len() int {
	if a.s == nil {
		return 0
	}
	return a.s.n
}

// Data gives the elements: to be filled until the Array is sealed, to be read from then on. It panics after
// Release.
func (a Array[T]) Data() []T {
	if a.s == nil {
		return nil
	}
	a.s.h.mu.Lock()
	defer a.s.h.mu.Unlock()
	if a.s.h.over {
		panic(errReleased)
	}
	return a.s.data
}

var errReleased = errors.New("kadre: the Array is released: use it before Release")

// Release gives the memory back to the node; other Arrays of the same object are not touched. Slices from
// Data must not be used any more.
func (a Array[T]) Release() {
	if a.s == nil {
		return
	}
	h := a.s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	h.releaseLocked()
	a.s.f, a.s.data = nil, nil
}

// sealed gives the Array's object, sealing it first where it is still being filled.
func (s *arrayState[T]) sealed() (*proc.Future, error) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.h.over {
		return nil, errReleased
	}
	if s.h.buf == nil {
		return &s.f.Future, nil
	}
	if err := s.h.buf.Seal(); err != nil {
		return nil, err
	}
	s.h.buf = nil
	view, data, err := viewOf(context.Background(), s.f)
	if err != nil {
		return nil, err
	}
	s.h.view, s.data = view, data
	return &s.f.Future, nil
}

func viewOf[T Number](ctx context.Context, f *future[arrayBody[T]]) (*proc.View, []T, error) {
	view, err := f.Process().View(ctx, &f.Future)
	if err != nil {
		return nil, nil, err
	}
	var body arrayBody[T]
	if err := decodeAt(nil, f.Type().Plan, view.Data(), &body); err != nil {
		view.Release()
		return nil, nil, err
	}
	return view, body.Data, nil
}

// EncodeSpecial seals the Array and adds it to the references of a value. It is for the codec.
func (a *Array[T]) EncodeSpecial(e *codec.Encoder) error {
	if a.s == nil {
		return encodeRef(e, nil)
	}
	f, err := a.s.sealed()
	if err != nil {
		return err
	}
	if c, ok := e.Context.(*decoding); ok {
		guard(c.ctx)
	}
	return encodeRef(e, f)
}

// DecodeSpecial makes the Array a view of the object that a value refers to. It is for the codec.
func (a *Array[T]) DecodeSpecial(d *codec.Decoder) error {
	typ, err := typeOf[arrayBody[T]]()
	if err != nil {
		return err
	}
	b, err := decodeRef(d, typ)
	if err != nil || b == nil {
		return err
	}
	f := typed[arrayBody[T]](b)
	ctx := d.Context.(*decoding).ctx
	view, data, err := viewOf(ctx, f)
	if err != nil {
		return err
	}
	*a = hold(len(data), f, data, &holding{view: view})
	if t := guard(ctx); t != nil {
		s := a.s
		t.AfterFunc(func() { runtime.KeepAlive(s) }) // slices of it may outlive the Array until t returns
	}
	return nil
}

// guard gives the task whose context ctx is, and makes writes to sealed memory panic on its goroutine, which
// is the calling one. Elsewhere they end the process.
func guard(ctx context.Context) *sched.Task {
	t := sched.TaskOf(ctx)
	if t != nil {
		debug.SetPanicOnFault(true)
	}
	return t
}
