package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
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
	// constant
	n  int
	p  *proc.Process
	h  *holding    // memory of its own; nil where it has a lease
	vs *views      // where lease came from
	r  *proc.Ready // alike: the argument that it is a view of

	mu    sync.Mutex
	over  bool   // released
	lease *lease // a part in memory that other Arrays of the same object share
	data  []T
	f     *future[Array[T]] // the sealed object; nil before, after Release, and as given is set

	// given names the object where it became the result of a task that somebody else wanted. It is theirs, and
	// may be gone when this Array is to be passed on.
	given func(context.Context) *proc.Future
}

// holding is the memory of an Array. It knows nothing of the Array, so that it can outlive it, and is guarded
// by the Array's mu until then.
type holding struct {
	buf  *proc.Buffer // until it is sealed
	view *proc.View   // from then on
}

// release gives the memory back, once.
func (h *holding) release() {
	if h.buf != nil {
		h.buf.Abort()
	}
	if h.view != nil {
		h.view.Release()
	}
	*h = holding{}
}

// array is what an *Array is whatever its elements are.
type array interface {
	object(ctx context.Context) (*proc.Future, error)
	becomeResult(f *proc.Future) bool
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
	return newArrayIn[T](ctx, p, n)
}

func newArrayIn[T Number](ctx context.Context, p *proc.Process, n int) (Array[T], error) {
	typ, err := typeOf[Array[T]]()
	if err != nil {
		return Array[T]{}, err
	}
	f := newObject[Array[T]](p, typ)
	size := n * int(reflect.TypeFor[T]().Size())
	buf, err := p.NewBuffer(ctx, &f.head, int64(codec.HeadLen+size))
	if err != nil {
		return Array[T]{}, err
	}
	copy(buf.Bytes(), typ.Plan.TopHead(size, len(buf.Bytes())))
	data, err := elementsOf[T](codec.TopBody(buf.Bytes()))
	if err != nil {
		buf.Abort()
		return Array[T]{}, err
	}
	return hold(p, f, data, &holding{buf: buf}), nil
}

// hold makes an Array whose memory is given back when it is forgotten.
func hold[T Number](p *proc.Process, f *future[Array[T]], data []T, h *holding) Array[T] {
	s := &arrayState[T]{n: len(data), p: p, h: h, f: f, data: data}
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
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	if a.s.over {
		panic(errReleased)
	}
	return a.s.data
}

var errReleased = errors.New("kadre: the Array is released: use it before Release")

// Release gives the memory back to the node; other Arrays of the same object are not touched. Slices from
// Data must not be used any more.
func (a Array[T]) Release() {
	s := a.s
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	switch {
	case s.h != nil:
		s.h.release()
	case s.r != nil:
		s.r.Release()
	default:
		s.vs.back(s.lease)
	}
	s.lease, s.f, s.given, s.data = nil, nil, nil, nil
}

// object gives the Array's object, sealing it first where it is still being filled; nil for the zero Array.
func (a *Array[T]) object(ctx context.Context) (*proc.Future, error) {
	s := a.s
	if s == nil {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return nil, errReleased
	case s.h != nil && s.h.buf != nil:
		s.f.v = shared[T]()
		view, err := s.h.buf.Seal()
		if err != nil {
			return nil, err
		}
		s.keepLocked(view)
	case s.f == nil || s.f.head.Freed():
		var f *proc.Future
		switch {
		case s.given != nil:
			f = s.given(ctx)
			s.given = nil
		case s.r != nil && s.f == nil:
			if typ, err := typeOf[Array[T]](); err == nil {
				f = s.r.StillThere(ctx, typ)
			}
		}
		if f != nil {
			s.f = typed[Array[T]](f)
		} else if err := s.copyLocked(ctx); err != nil {
			return nil, err
		}
	}
	return &s.f.head, nil
}

// copyLocked makes another object of the elements, for an Array whose object is gone.
func (s *arrayState[T]) copyLocked(ctx context.Context) error {
	c, err := newArrayIn[T](ctx, s.p, s.n)
	if err != nil {
		return err
	}
	defer c.Release()
	copy(c.s.data, s.data)
	if _, err := c.object(ctx); err != nil {
		return err
	}
	s.f = c.s.f
	return nil
}

// keepLocked goes from filling to reading.
func (s *arrayState[T]) keepLocked(view *proc.View) {
	s.h.buf, s.h.view = nil, view
	s.data, _ = elementsOf[T](codec.TopBody(view.Data()))
}

// becomeResult makes an Array that was filled in the task of f the result of f, and ends f. It is false where
// the Array has to be a value with a reference.
func (a *Array[T]) becomeResult(f *proc.Future) bool {
	if a.s == nil || !f.IsResult() {
		return false
	}
	buf, err := a.s.sealResult(f)
	switch {
	case err != nil:
		f.Fail(err)
	case buf == nil:
		return false
	default:
		f.SetStored(buf)
	}
	return true
}

// sealResult gives nil where the Array is not being filled.
func (s *arrayState[T]) sealResult(f *proc.Future) (*proc.Buffer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.h == nil || s.h.buf == nil || f.Process() != s.p {
		return nil, nil
	}
	buf := s.h.buf
	typ := s.f.head.Type()
	view, err := buf.SealResult(f)
	if err != nil {
		s.h.buf, s.over = nil, true
		return nil, err
	}
	s.keepLocked(view)
	if ref, theirs := f.Wanted(); theirs {
		p := s.p
		s.f, s.given = nil, func(ctx context.Context) *proc.Future { return p.StillThere(ctx, ref, typ) }
	} else {
		s.f = typed[Array[T]](f)
		s.f.v = shared[T]()
	}
	return buf, nil
}

// EncodeTop and EncodeSpecial seal the Array and add it to the references of a value: what is written is
// where it lies. They are for the codec, as the next two.
func (a *Array[T]) EncodeTop(e *codec.Encoder) ([]byte, error) {
	f, err := a.object(contextOf(e))
	if err != nil || f == nil {
		return nil, err
	}
	_, err = e.AddRef(escape(e, f))
	e.Keep(f)
	return nil, err
}

// EncodeSpecial is for an Array inside another value.
func (a *Array[T]) EncodeSpecial(e *codec.Encoder) error {
	f, err := a.object(contextOf(e))
	if err != nil {
		return err
	}
	return encodeRef(e, f)
}

// contextOf is the context under which a value is encoded.
func contextOf(e *codec.Encoder) context.Context {
	if c, ok := e.Context.(*decoding); ok {
		return c.ctx
	}
	return context.Background()
}

// DecodeTop makes the Array a view of the object that is decoded, or of the one that it refers to.
func (a *Array[T]) DecodeTop(d *codec.Decoder, body []byte) error {
	c, ok := d.Context.(*decoding)
	if !ok {
		return errors.New("kadre: an Array can only be decoded by a runtime")
	}
	if d.Refs() > 0 {
		ref, err := d.Ref(0)
		if err != nil {
			return err
		}
		return a.view(c, ref)
	}
	data, err := elementsOf[T](body)
	if err != nil {
		return err
	}
	if r := c.ready; r != nil {
		c.ready = nil
		s := &arrayState[T]{n: len(data), p: c.p, r: r, data: data}
		runtime.AddCleanup(s, (*proc.Ready).Release, r)
		*a = Array[T]{s} // who runs the task holds its arguments
		return nil
	}
	if c.f == nil || c.f.Held() != nil { // these bytes are no object's
		*a = hold(c.p, nil, append([]T{}, data...), &holding{})
		return nil
	}
	typ, err := typeOf[Array[T]]()
	if err != nil {
		return err
	}
	view, err := c.p.View(c.ctx, c.f)
	if err != nil {
		return err
	}
	*a = hold(c.p, nil, data, &holding{view: view})
	if c.f.Type() == typ {
		a.s.f = typed[Array[T]](c.f)
	} else { // an argument's bytes: their object is looked for when the Array is passed on
		p, arg, attempt := c.p, c.f, view.Attempt()
		a.s.given = func(ctx context.Context) *proc.Future { return p.StillThere(ctx, p.EscapeAs(arg, attempt), typ) }
	}
	a.untilReturn(c.ctx)
	return nil
}

// untilReturn holds the Array until the task returns whose context ctx is: slices may outlive the Array.
func (a *Array[T]) untilReturn(ctx context.Context) {
	if t := sched.TaskOf(ctx); t != nil {
		s := a.s
		t.OnDone(func() { runtime.KeepAlive(s) })
	}
}

// DecodeSpecial is for an Array inside another value.
func (a *Array[T]) DecodeSpecial(d *codec.Decoder) error {
	i, err := d.Uvarint()
	if err != nil || i == 0 {
		return err
	}
	c, ok := d.Context.(*decoding)
	if !ok {
		return errors.New("kadre: an Array can only be decoded by a runtime")
	}
	ref, err := d.Ref(int(i - 1))
	if err != nil {
		return err
	}
	return a.view(c, ref)
}

// view makes the Array a view of the object of a reference.
func (a *Array[T]) view(c *decoding, ref codec.Ref) error {
	typ, err := typeOf[Array[T]]()
	if err != nil {
		return err
	}
	if c.linked {
		return fmt.Errorf("kadre: object %s is damaged: a reference to an Array leads to another reference", ref.ID)
	}
	f := c.p.Borrow(proc.Within(c.f, ref), typ)
	if err := c.p.Await(c.ctx, f); err != nil {
		return err
	}
	return c.p.Read(c.ctx, f, func(data []byte) error {
		return decodeAt(&decoding{p: c.p, ctx: c.ctx, f: f, linked: true}, typ.Plan, data, a)
	})
}
