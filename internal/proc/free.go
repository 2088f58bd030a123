package proc

import (
	"context"
	"slices"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/owner"
)

// Free deletes the object's data everywhere, whoever still refers to it. It asks the object's owner, and says what
// went wrong where that is another process.
func (p *Process) Free(ctx context.Context, f *Future) error {
	o := f.object()
	if o != nil {
		if at := p.ownerOf(o); at != p.self {
			return p.freeElsewhere(ctx, f, o, at)
		}
	}
	f.setFreed()
	if o = f.object(); o == nil || o.apart {
		return nil // its value is only in this process
	}
	p.mu.Lock()
	todo := p.deleteLocked(o)
	p.mu.Unlock()
	todo.run()
	return nil
}

// ownerOf is whose o is.
func (p *Process) ownerOf(o *object) id.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !o.given.IsZero() {
		return o.given
	}
	return o.owner
}

// freeElsewhere is Free for an object of another process. Only once its owner has deleted it is it gone here.
func (p *Process) freeElsewhere(ctx context.Context, f *Future, o *object, at id.Addr) error {
	_, err := p.call(ctx, at, wire.KDelete, wire.Marshal(&wire.IDs{IDs: []id.Object{o.id}}))
	if err != nil {
		return errorf("kadre: Free: object %s belongs to %s, which did not delete it: %w", o.id, at, err)
	}
	p.mu.Lock()
	o.info.Holders = nil // they are gone: the next one to ask asks the owner
	p.mu.Unlock()
	f.setFreed()
	return nil
}

// call is request for who waits.
func (p *Process) call(ctx context.Context, to id.Addr, k wire.Kind, body []byte) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	ch := make(chan answer, 1)
	left, _ := remaining(ctx)
	p.requestWithin(left, to, k, body, func(b []byte, err error) { ch <- answer{slices.Clone(b), replied(err)} })
	defer p.Block(ctx)()
	select {
	case a := <-ch:
		return a.body, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// deleteLocked deletes what there is of an own object's value.
func (p *Process) deleteLocked(o *object) (todo do) {
	t, ok := p.table.Info(o.id)
	if !ok {
		return nil
	}
	o.val = nil
	if !t.Stored {
		return nil
	}
	for _, n := range t.Holders {
		todo = append(todo, p.stepLocked(owner.Dropped{ID: o.id, Node: n})...)
	}
	return append(todo, p.freeLocked(o.id, t.Attempt, t.Holders)...)
}

// onDelete is Free by a process that refers to an object of this one.
func (p *Process) onDelete(f *wire.Frame) {
	m, ok := body[wire.IDs](p, f)
	if !ok {
		return
	}
	var todo do
	p.mu.Lock()
	for _, i := range m.IDs {
		o := p.objects[i]
		if o == nil || o.owner != p.self {
			continue
		}
		if h := o.fut.Value(); h != nil {
			h.setFreed()
		}
		todo = append(todo, p.deleteLocked(o)...)
	}
	p.mu.Unlock()
	todo.run()
	p.reply(f, nil)
}

// StillThere refers again to an object that this process gave to its owner, as r; nil where the owner does not keep that
// attempt's value any more.
func (p *Process) StillThere(ctx context.Context, r codec.Ref, t *Type) *Future {
	f := p.Borrow(r, t) // from here on the owner keeps what it has
	if r.Owner == p.self {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.haveLocked(r.ID, r.Attempt) {
			return nil
		}
		return f
	}
	q := wire.Copied{ID: r.ID, Attempt: r.Attempt, Node: p.self.Node}
	b, err := p.call(ctx, r.Owner, wire.KHave, wire.Marshal(&q))
	var m wire.IDs
	if err == nil {
		err = wire.Unmarshal(b, &m)
	}
	if err != nil || len(m.IDs) == 0 {
		return nil
	}
	return f
}

func (p *Process) haveLocked(i id.Object, attempt uint32) bool {
	t, ok := p.table.Info(i)
	if !ok || t.Attempt != attempt {
		return false
	}
	return t.State == owner.StatePending || t.State == owner.StateReady && t.Stored && len(t.Holders) > 0
}

func (p *Process) onHave(f *wire.Frame) {
	m, ok := body[wire.Copied](p, f)
	if !ok {
		return
	}
	var r wire.IDs
	p.mu.Lock()
	if p.haveLocked(m.ID, m.Attempt) {
		r.IDs = []id.Object{m.ID}
	}
	p.mu.Unlock()
	p.reply(f, wire.Marshal(&r))
}
