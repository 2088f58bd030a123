package proc

import (
	"context"
	"errors"
	"runtime"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/owner"
)

// Buffer is an object that is being filled in place. One of Seal, SealResult and Abort ends it.
type Buffer struct {
	p *Process
	f *Future
	w *arena.Writer
	n name
}

// NewBuffer makes room for an object of at least so many encoded bytes; f becomes its future when it is sealed. There is
// more where it is to have pages of its own, so that it can be protected.
func (p *Process) NewBuffer(ctx context.Context, f *Future, size int64) (*Buffer, error) {
	if size > codec.HeadLen {
		size = max(size, p.arena.LeastForced())
	}
	w, n, err := p.createUnder(ctx, size)
	if err != nil {
		return nil, err
	}
	w.Lend() // the caller gets slices of it
	return &Buffer{p, f, w, n}, nil
}

// Bytes is the writable memory of the whole encoded object.
func (b *Buffer) Bytes() []byte { return b.w.Bytes() }

// Seal ends the filling; the future is done then. The object belongs to this process.
func (b *Buffer) Seal() (*View, error) {
	h, err := b.w.Seal(true)
	if err != nil {
		return nil, err
	}
	b.p.own(b.f, b.n, uint64(len(b.w.Bytes())), nil)
	return &View{*h, b.f}, nil
}

// IsResult says whether SealResult may make an object that f's task filled its result.
func (f *Future) IsResult() bool {
	if f.fn() == nil {
		return false
	}
	return f.inbound() == nil || f.spec().Kind == wire.KindTask || f.spec().Kind == wire.KindCall
}

// Wanted gives the result of f as a reference where another process wants it.
func (f *Future) Wanted() (codec.Ref, bool) {
	if f.inbound() == nil {
		return codec.Ref{}, false
	}
	s := f.spec()
	return codec.Ref{ID: s.Task.Object(0), Owner: s.Owner, Attempt: s.Attempt}, true
}

// SealResult ends the filling; the object is the result of f, whose task the caller runs, and belongs to the owner of f.
// The caller ends f with SetStored.
func (b *Buffer) SealResult(f *Future) (*View, error) {
	p := b.p
	size := uint64(len(b.w.Bytes()))
	var o *object
	var err error
	if f.inbound() == nil {
		o = p.identify(f)
		err = b.w.Rename(o.id, 0)
	} else {
		i, attempt := f.spec().Task.Object(0), f.spec().Attempt
		err = b.w.Rename(i, attempt)
		if errors.Is(err, arena.ErrExists) && p.replaces(i, attempt) {
			err = b.w.Rename(i, attempt)
		}
	}
	var h *arena.Hold
	if err == nil {
		h, err = b.w.Seal(true)
	}
	if err != nil {
		b.w.Abort()
		return nil, p.outOfMemory(err, int64(size))
	}
	if o != nil {
		p.sealedHere(o, size)
	}
	return &View{*h, f}, nil
}

// sealedHere tells the table of the result of an own task that lies in the arena.
func (p *Process) sealedHere(o *object, size uint64) {
	p.mu.Lock()
	o.info.Stored, o.size = true, int64(size)
	todo := p.stepLocked(owner.Sealed{ID: o.id, Stored: true, Node: p.self.Node, Size: size})
	p.mu.Unlock()
	todo.run()
	p.grew(int64(size))
}

// SetStored ends a task whose result SealResult has sealed.
func (f *Future) SetStored(b *Buffer) bool {
	f.cold().stored = uint64(len(b.w.Bytes()))
	return f.Finish()
}

// Abort gives the memory back unsealed.
func (b *Buffer) Abort() { b.w.Abort() }

// View is a read-only look at a stored object's encoded bytes. It is for one goroutine at a time.
type View struct {
	h arena.Hold
	f *Future // whose references keep the object, while there is a hold
}

// View waits until the object's bytes are in the node's arena and holds them there.
func (p *Process) View(ctx context.Context, f *Future) (*View, error) {
	if err := p.Await(ctx, f); err != nil {
		return nil, err
	}
	h, err := p.fetch(ctx, f)
	if err != nil {
		return nil, err
	}
	return &View{*h, f}, nil
}

// TryView makes v a view of f's object where f is done and its bytes are at hand; else false. v is new, or was released.
func (f *Future) TryView(v *View) bool {
	o := f.object()
	if o == nil || !f.Ready() || !f.Process().arena.GetInto(&v.h, &o.id) {
		return false
	}
	v.f = f
	return true
}

// Data is the object's bytes, until Release.
func (v *View) Data() []byte { return v.h.Bytes() }

// Attempt is which attempt made the object.
func (v *View) Attempt() uint32 { return v.h.Attempt() }

// Again takes a view of f's object that was released once more; false where it is new, or the object is not in the arena any
// more. The bytes lie where they lay.
func (v *View) Again(f *Future) bool {
	if !v.h.Again() {
		return false
	}
	v.f = f
	return true
}

// Release gives the hold back; the future may go too.
func (v *View) Release() {
	v.h.Release()
	runtime.KeepAlive(v.f)
	v.f = nil
}
