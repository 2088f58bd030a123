package proc

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/owner"
)

// Stream is the reading end of a generator task, in the process that submitted it. When nobody holds it any more
// the generator is stopped. All methods may be called by anyone; each item goes to one caller.
type Stream struct{ s *stream }

// stream keeps items that came and were not read. An attempt sends at most limit of them beyond those read; an
// attempt after the first sends all again, of which those that came before are taken no second time.
//
// Lock order: Process.mu, then stream.mu.
type stream struct {
	// constant
	p     *Process
	f     *Future // the generator's task; its end is the stream's
	item  *Type
	limit uint32

	mu       sync.Mutex
	attempt  uint32           // whose items count
	next     uint32           // the index to be read next
	came     map[uint32]*item // from next on
	total    int64            // how many there are; -1: not known yet
	stopped  bool             // what comes is refused
	stopping bool             // somebody does that
	gate     *Future          // what readers wait for; nil: nobody waits
}

// item is an item that came, or an error in its place.
type item struct {
	f    *Future
	err  error
	read []func(error) // to be told that it was read
}

// ErrStopped says that a stream was left before its end, so that the rest of it was never made.
var ErrStopped = fmt.Errorf("kadre: the stream was stopped by an earlier reader: %w", ErrClosed)

// SubmitStream is Submit for a generator whose items are of type t.
func (p *Process) SubmitStream(ctx context.Context, f *Future, o *Options, deps []*Future, t *Type) *Stream {
	s := &stream{p: p, f: f, item: t, limit: uint32(o.buffer()), came: map[uint32]*item{}, total: -1}
	i := p.identify(f).id.Task()
	p.mu.Lock()
	p.streams[i] = s
	p.mu.Unlock()
	f.OnDone(s.wake)
	p.Submit(ctx, f, o, deps)
	h := &Stream{s}
	runtime.AddCleanup(h, func(s *stream) { go s.stop() }, s)
	return h
}

// onItem takes an item from the executor.
func (p *Process) onItem(f *wire.Frame) {
	m, ok := body[wire.Item](p, f)
	if !ok {
		return
	}
	to := f.Head()
	m.Inline = append([]byte(nil), m.Inline...)
	p.takeItem(&m, func(err error) {
		if err != nil {
			p.refuse(to, err)
			return
		}
		p.reply(to, nil)
	})
}

// takeItem notes an item; read is called once, with nil when somebody has read it and with an error when
// nobody will.
func (p *Process) takeItem(m *wire.Item, read func(error)) {
	p.mu.Lock()
	s := p.streams[m.Task]
	p.mu.Unlock()
	if s == nil {
		p.dropItem(m, nil)
		read(ErrStopped)
		return
	}
	s.mu.Lock()
	old := s.came[m.Index]
	switch {
	case s.stopped || m.Attempt != s.attempt || uint64(m.Index) >= uint64(s.next)+uint64(s.limit):
		s.mu.Unlock()
		p.dropItem(m, nil)
		read(ErrStopped)
		return
	case m.Index < s.next: // an earlier attempt's was read
		s.mu.Unlock()
		p.dropItem(m, nil)
		read(nil)
		return
	case old != nil:
		old.read = append(old.read, read)
		s.mu.Unlock()
		p.dropItem(m, old.f)
		return
	}
	it := &item{read: []func(error){read}}
	if m.Err != nil {
		it.err = failure(m.Err)
	} else {
		it.f = s.item.New(p)
	}
	s.came[m.Index] = it
	s.mu.Unlock()
	if it.f != nil {
		p.itemValue(it.f, m)
	}
	s.wake()
}

// dropItem deletes the copy of an item that is not taken, unless it is that of the one that was: f.
func (p *Process) dropItem(m *wire.Item, f *Future) {
	if !m.Stored {
		return
	}
	i := m.Task.Object(m.Index + 1)
	p.mu.Lock()
	_, known := p.table.Info(i)
	p.mu.Unlock()
	if f != nil || known {
		return // it may be the very copy: an attempt finds what one before it left on the node
	}
	p.free(i, 0, []id.Node{m.By.Node}, true)
}

// itemValue ends the future of an item with its value.
func (p *Process) itemValue(f *Future, m *wire.Item) {
	if !m.Stored && len(m.Refs) == 0 {
		p.fill(f, m.Inline)
		return
	}
	o := &object{id: m.Task.Object(m.Index + 1), owner: p.self, shared: m.By.Node != p.self.Node}
	p.mu.Lock()
	pins, todo := p.pinLocked(m.Refs)
	todo = append(todo, p.stepLocked(owner.Made{ID: o.id})...)
	todo = append(todo, p.enterLocked(f, o)...)
	if m.Stored {
		o.info = wire.ObjectInfo{ID: o.id, Owner: p.self, State: wire.ObjectReady, Stored: true, Size: m.Size}
	} else {
		o.val = &Value{Data: m.Inline}
	}
	todo = append(todo, p.stepLocked(owner.Sealed{ID: o.id, Stored: m.Stored, Node: m.By.Node,
		Size: max(m.Size, uint64(len(m.Inline))), Contains: pins})...)
	p.mu.Unlock()
	todo.run()
	if m.Stored {
		f.Finish()
		return
	}
	p.fill(f, m.Inline)
}

// ended notes how many items an attempt that ended well has sent.
func (s *stream) ended(total uint32) {
	s.mu.Lock()
	s.total = int64(total)
	s.mu.Unlock()
}

// restart makes the items of another attempt count.
func (s *stream) restart(attempt uint32) {
	s.mu.Lock()
	s.attempt = attempt
	s.mu.Unlock()
}

// wake has readers look again.
func (s *stream) wake() {
	s.mu.Lock()
	g := s.gate
	s.gate = nil
	s.mu.Unlock()
	if g != nil {
		g.Finish()
	}
}

// Next gives the next item, or an error in its place, and says whether there was one. The end of the stream is no
// item and no error; what ended it early is no item and an error.
func (h *Stream) Next(ctx context.Context) (f *Future, more bool, err error) {
	defer runtime.KeepAlive(h)
	s := h.s
	for {
		s.mu.Lock()
		if it := s.came[s.next]; it != nil {
			delete(s.came, s.next)
			s.next++
			s.mu.Unlock()
			for _, read := range it.read {
				read(nil)
			}
			return it.f, true, it.err
		}
		if s.stopped {
			s.mu.Unlock()
			return nil, false, ErrStopped
		}
		if done := s.f.Ready(); done && (s.total < 0 || int64(s.next) >= s.total) {
			s.mu.Unlock()
			s.leave()
			return nil, false, s.p.FailureOf(s.f)
		}
		if s.gate == nil {
			s.gate = newGate(s.p, itemGate)
		}
		g := s.gate
		s.mu.Unlock()
		if err := s.p.engine.Await(ctx, &g.Task); err != nil {
			return nil, false, err
		}
	}
}

// Stop ends the generator: nobody reads any more.
func (h *Stream) Stop() { h.s.stop() }

func (s *stream) stop() {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return
	}
	s.stopping = true
	s.mu.Unlock()
	s.f.Fail(ErrCancelled) // ends the generator's context before any yield of it returns; too late where it has ended
	s.mu.Lock()
	s.stopped = true
	came := s.came
	s.came = nil
	s.mu.Unlock()
	for _, it := range came {
		for _, read := range it.read {
			read(ErrStopped)
		}
	}
	s.leave()
	s.wake()
}

// leave takes the stream out of the process's table: no item of it is wanted.
func (s *stream) leave() {
	i := s.f.object().id.Task()
	s.p.mu.Lock()
	delete(s.p.streams, i)
	s.p.mu.Unlock()
}
