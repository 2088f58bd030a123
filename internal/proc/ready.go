package proc

import (
	"context"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
)

// A task for the worker that shares a ring with this process takes arguments whose objects are ready: the driver waits
// for them, and holds them until the task has ended there. So the worker looks an object up in the arena and asks
// nobody; it registers as a borrower with references inside values only, and does so before it answers.

// PackReady appends a done future as an argument of a ShortCall: its value where that is small and here, else its name.
// False where neither can be. It takes no lock.
func (p *Process) PackReady(b []byte, f *Future) ([]byte, bool) {
	if !f.Finished() || f.Freed() {
		return b, false
	}
	if f.value() != nil || f.IsSet() {
		data, keep, err := f.encoded()
		if err != nil || len(data) > wire.MaxShortArgs || len(keep) > 0 || codec.HoldsRefs(data) {
			return b, false
		}
		return append(wire.AppendArg(b, wire.ArgHead, len(data)), data...), true
	}
	o := f.object()
	if o == nil || o.apart {
		return b, false
	}
	var room [128]byte
	ref := wire.AppendReady(room[:0], o.id, o.owner, p.self)
	return append(wire.AppendArg(b, wire.ArgRef, len(ref)), ref...), true
}

// Ready is an argument that came as an ArgRef. Its object is ready and stays so while the task runs.
type Ready struct {
	p     *Process
	id    id.Object
	owner id.Addr
	h     arena.Hold
}

// ReadyArg takes an ArgRef apart that from sent.
func (p *Process) ReadyArg(b []byte, from id.Addr) (*Ready, error) {
	r := &Ready{p: p}
	var err error
	r.id, r.owner, err = wire.ParseReady(b, from)
	return r, err
}

// Hold takes the object's bytes, once; false where they are not in the arena, or refer to others.
func (r *Ready) Hold() bool {
	if !r.p.arena.GetInto(&r.h, &r.id) {
		return false
	}
	if codec.HoldsRefs(r.h.Bytes()) {
		r.h.Release()
		return false
	}
	r.h.LookAhead()
	return true
}

// Data is the object's bytes between Hold and Release.
func (r *Ready) Data() []byte { return r.h.Bytes() }

// Release ends Hold.
func (r *Ready) Release() { r.h.Release() }

// Future is a future of the object. It is not in the table of objects.
func (r *Ready) Future() *Future {
	f := newRaw(r.p)
	f.cold().obj.Store(&object{id: r.id, owner: r.owner, replaced: true})
	f.Finish()
	return f
}

// StillThere refers to the object whose bytes were held; nil where its owner does not keep them any more.
func (r *Ready) StillThere(ctx context.Context, t *Type) *Future {
	return r.p.StillThere(ctx, codec.Ref{ID: r.id, Owner: r.owner, Attempt: r.h.Attempt()}, t)
}

// ReadyValue makes a future of an encoded value.
func (p *Process) ReadyValue(data []byte) *Future {
	f := newRaw(p)
	f.SetValue(&Value{Data: data})
	return f
}

// Stow makes an object of an encoded argument of a call.
func (p *Process) Stow(call *Future, data []byte, keep []any) (*Future, error) {
	f := newRaw(p)
	n := p.newName()
	if err := p.putBytes(&call.Task, n.id, data, 0); err != nil {
		return nil, err
	}
	p.own(f, *n, uint64(len(data)), keep)
	return f, nil
}
