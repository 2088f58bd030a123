package proc

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/owner"
)

// LazyPut is up to how many bytes a value that was put stays in Go memory until its reference leaves the process. A
// larger one is better copied once, to where others can read it.
const LazyPut = 32 << 10

// Put stores an encoded value as an object of this process and ends f with it.
func (p *Process) Put(ctx context.Context, f *Future, e codec.Encoded) error {
	if p.Closed() {
		return ErrClosed
	}
	if e.Len() <= LazyPut+codec.HeadLen {
		f.nameUnder(p, ctx)
		f.SetValue(&Value{Data: e.Bytes(), Keep: e.Keep})
		return nil
	}
	w, n, err := p.createUnder(ctx, int64(e.Len()))
	if err != nil {
		return err
	}
	e.CopyTo(w.Bytes())
	if _, err := w.Seal(false); err != nil {
		return err
	}
	p.own(f, n, uint64(e.Len()), e.Keep)
	return nil
}

// PutSet makes f, in which package api has stored the typed value, an object of this process.
func (p *Process) PutSet(ctx context.Context, f *Future) error {
	if p.Closed() {
		return ErrClosed
	}
	f.nameUnder(p, ctx)
	f.SetDone()
	return nil
}

// own makes f the future of an object that this process has just sealed in the arena.
func (p *Process) own(f *Future, n name, size uint64, keep []any) {
	o := p.newObject(&n)
	o.keep, o.size = keep, int64(size)
	o.info.Stored = true
	p.mu.Lock()
	todo := p.madeLocked(f, o)
	if !o.apart {
		todo = append(todo, p.stepLocked(owner.Sealed{ID: o.id, Attempt: o.attempt, Stored: true, Node: p.self.Node, Size: size})...)
	}
	p.mu.Unlock()
	todo.run()
	if !o.apart {
		p.grew(int64(size))
	}
	f.Finish()
}

// pace has Go's collector run as often for the bytes that references hold in the arena as it does for its
// own heap: the collector sees a reference of a few bytes, and would leave a gigabyte behind it for long.
type pace struct {
	held    atomic.Int64 // bytes of own objects in the arena
	next    atomic.Int64 // collect when held gets here; 0: not set yet
	running atomic.Bool
}

const (
	// paceLeast is how many bytes may be held without a collection.
	paceLeast = 64 << 20
	// paceSettle is how long the cleanups of a collection take to run, about.
	paceSettle = 2 * time.Millisecond
)

// grew counts bytes of a new object, and collects when they have doubled since the last collection.
func (p *Process) grew(n int64) {
	c := &p.pace
	if c.held.Add(n) < max(paceLeast, c.next.Load()) || !c.running.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer c.running.Store(false)
		runtime.GC()
		select {
		case <-p.ctx.Done():
		case <-time.After(paceSettle):
		}
		c.next.Store(2 * c.held.Load())
	}()
}

// putBytes seals data in the arena.
func (p *Process) putBytes(ctx context.Context, i id.Object, data []byte, attempt uint32) error {
	w, err := p.create(ctx, i, int64(len(data)), attempt)
	if err != nil {
		return err
	}
	copy(w.Bytes(), data)
	_, err = w.Seal(false)
	return err
}
