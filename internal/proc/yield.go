package proc

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/sched"
)

// Yielder is the writing end of a stream, in the process that runs the generator. It belongs to the generator's
// goroutine.
type Yielder struct {
	p  *Process
	f  *Future
	in *inbound

	sent uint32

	mu   sync.Mutex
	read uint32
	err  error   // nobody reads any more
	gate *Future // what the generator waits for
}

// YielderOf is the writing end for the task that ctx is of.
func YielderOf(ctx context.Context) *Yielder {
	f := futureOf(sched.TaskOf(ctx))
	return &Yielder{p: f.Process(), f: f, in: f.inbound()}
}

// Sent is how many items have been handed on.
func (y *Yielder) Sent() int { return int(y.sent) }

// Yield hands an item on, or fail in its place. It waits while as many are unread as the stream's buffer has
// room for, and says whether more are wanted; where they are not because of a failure of the system it is an error.
func (y *Yielder) Yield(e codec.Encoded, fail error) (bool, error) {
	if ok, err := y.room(); !ok {
		return false, err
	}
	s := y.f.spec()
	m := &wire.Item{Task: s.Task, Attempt: s.Attempt, Index: y.sent, By: y.p.self}
	switch data := e.Bytes(); {
	case fail != nil:
		m.Err = y.p.record(&TaskError{Func: y.f.Name(), Cause: fail}, y.f.Name())
	case len(data) <= wire.MaxInline:
		m.Inline = data
	default:
		// An attempt before this one may have left the item: it is the same, or the owner has taken that one.
		err := y.p.putBytes(&y.f.Task, s.Task.Object(m.Index+1), data, 0)
		if err != nil && !errors.Is(err, arena.ErrExists) {
			return false, err
		}
		m.Stored, m.Size = true, uint64(len(data))
		if s.Owner.Node != y.p.self.Node {
			y.p.publish(s, m.Index+1)
		}
	}
	if fail == nil {
		var err error
		if m.Refs, err = codec.Refs(e.Bytes()); err != nil {
			return false, err
		}
	}
	y.sent++
	y.in.items.Store(y.sent)
	y.send(m, e.Keep)
	return true, nil
}

// room waits until the buffer has room.
func (y *Yielder) room() (bool, error) {
	for {
		y.mu.Lock()
		if y.err != nil {
			y.mu.Unlock()
			return false, nil
		}
		if y.sent-y.read < y.f.spec().Stream {
			y.mu.Unlock()
			return y.f.Failure() == nil, nil
		}
		y.gate = newGate(y.p, readerGate)
		g := y.gate
		y.mu.Unlock()
		if err := y.p.engine.Await(&y.f.Task, &g.Task); err != nil {
			return false, nil // cancelled
		}
	}
}

// send hands an item to the owner; keep stays alive until it has been read.
func (y *Yielder) send(m *wire.Item, keep []any) {
	read := func(err error) {
		runtime.KeepAlive(keep)
		y.mu.Lock()
		if y.read++; err != nil {
			y.err = err
		}
		g := y.gate
		y.gate = nil
		y.mu.Unlock()
		if g != nil {
			g.Finish()
		}
	}
	if owner := y.f.spec().Owner; owner != y.p.self {
		y.p.afterBorrows(func() {
			y.p.request(owner, wire.KItem, wire.Marshal(m), func(_ []byte, err error) { read(err) })
		})
		return
	}
	y.p.takeItem(m, read)
}
