package proc

import (
	"context"
	"reflect"
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// A bound is a context that somebody can end, of a task that leaves the process. It gets a name there, which travels with the
// specification and with those of all that the task starts, wherever that is. Each process that gets such a task has one
// root of the engine for all of a bound's tasks; who sends one notes where it went, and tells the bound's end there.
// So what a task has started ends with the context also after the task has returned.
//
// Lock order: bounds.mu is a leaf.
type bounds struct {
	p *Process // constant

	mu   sync.Mutex
	num  uint64
	own  map[context.Context]*bound // those of this process whose contexts may be compared
	all  map[wire.Bound]*bound
	over recent[wire.Bound] // of other processes
	done bool
}

// overLocked says whether a bound that is not among all has ended.
func (b *bounds) overLocked(name wire.Bound) bool {
	return b.over.has(name) || name.At == b.p.self
}

// addLocked makes an entry.
func (b *bounds) addLocked(x *bound) *bound {
	if b.all == nil {
		b.own, b.all = map[context.Context]*bound{}, map[wire.Bound]*bound{}
	}
	b.all[x.name] = x
	return x
}

// bound is one that this process has named, or that it knows by its name.
type bound struct {
	name wire.Bound
	ctx  context.Context          // nil: of another process
	stop func() bool              // of ctx
	root weak.Pointer[sched.Root] // of another process: what its tasks here hang on
	end  context.CancelFunc       // ends that
	went map[id.Addr]struct{}     // where tasks of it were sent
}

var ended = func() context.Context {
	c, cancel := context.WithCancel(context.Background())
	cancel()
	return c
}()

// boundOf names what bounds t, which leaves; nil where nothing does that could end.
func (b *bounds) boundOf(t *sched.Task) *bound {
	r := t.Bounds()
	if r == nil || r.Done() == nil || context.Context(r) == b.p.root {
		return nil
	}
	switch x := r.Note().(type) {
	case *bound:
		return x
	case *line:
		return x.in
	}
	ctx := r.Outer()
	same := reflect.ValueOf(ctx).Comparable()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return nil
	}
	var x *bound
	if same {
		x = b.own[ctx]
	}
	if x == nil {
		b.num++
		x = b.addLocked(&bound{name: wire.Bound{At: b.p.self, Num: b.num}, ctx: ctx})
		if same {
			b.own[ctx] = x
		}
		x.stop = context.AfterFunc(ctx, func() { b.ended(x.name) })
	}
	r.SetNote(x)
	return x
}

// nameOf is what a specification of t carries.
func (b *bounds) nameOf(t *sched.Task) wire.Bound {
	if x := b.boundOf(t); x != nil {
		return x.name
	}
	return wire.Bound{}
}

// went notes where a task with the name has gone.
func (b *bounds) went(name wire.Bound, to id.Addr) {
	if name.Num == 0 || to.Proc == 0 || to == b.p.self {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.all[name]
	switch {
	case b.done:
		return
	case x == nil && b.overLocked(name):
		go b.tell(name, []id.Addr{to}) // the caller may have locks
		return
	case x == nil:
		x = b.addLocked(&bound{name: name})
	}
	if x.went == nil {
		x.went = map[id.Addr]struct{}{}
	}
	x.went[to] = struct{}{}
}

// root is what tasks hang on here that came with a name. Left, where it is not 0, is until the bound's deadline.
func (b *bounds) root(name wire.Bound, left time.Duration) context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.all[name]
	switch {
	case x != nil && x.ctx != nil: // it has come home
		r := b.p.engine.NewRoot(x.ctx).(*sched.Root)
		r.SetNote(x)
		return r
	case x != nil:
		if r := x.root.Value(); r != nil {
			return r
		}
	case b.done:
		return b.p.root
	case b.overLocked(name):
		return b.p.engine.NewRoot(ended)
	default:
		x = b.addLocked(&bound{name: name})
	}
	ctx, end := context.WithCancel(b.p.ctx)
	if left > 0 {
		ctx, end = context.WithTimeout(b.p.ctx, left)
	}
	r := b.p.engine.NewRoot(ctx).(*sched.Root)
	r.SetNote(x)
	x.root, x.end = weak.Make(r), end
	w := x.root
	runtime.AddCleanup(r, func(x *bound) {
		end()
		b.mu.Lock()
		if x.root == w && len(x.went) == 0 { // nobody here or from here needs to know of its end
			delete(b.all, x.name)
		}
		b.mu.Unlock()
	}, x)
	return r
}

// ended ends a bound here and everywhere its tasks went from here.
func (b *bounds) ended(name wire.Bound) {
	b.mu.Lock()
	x := b.all[name]
	delete(b.all, name)
	if x != nil && x.ctx != nil && b.own[x.ctx] == x {
		delete(b.own, x.ctx)
	}
	done := b.done
	if name.At != b.p.self && !done {
		b.over.add(name)
	}
	b.mu.Unlock()
	if x == nil || done {
		return
	}
	if x.end != nil {
		x.end()
	}
	to := make([]id.Addr, 0, len(x.went)) // nobody else has x any more
	for a := range x.went {
		to = append(to, a)
	}
	b.tell(name, to)
}

func (b *bounds) tell(name wire.Bound, to []id.Addr) {
	for _, a := range to {
		b.p.notify(a, wire.KCancel, wire.Marshal(&wire.Cancel{Bounds: []wire.Bound{name}}))
	}
}

// close lets go of contexts: the end of the process is told otherwise.
func (b *bounds) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = true
	for _, x := range b.all {
		if x.stop != nil {
			x.stop()
		}
	}
	b.own, b.all = nil, nil
}
