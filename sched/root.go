package sched

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"weak"
)

// Root is a context that no task made and that tasks hang on: it bounds them. All tasks that a task
// submits under its own context share that task's Root.
type Root struct {
	// constant after construction
	ctx     context.Context
	done    <-chan struct{} // ctx.Done()
	e       *Engine         // nil for external tasks
	user    any
	derived bool   // ctx comes from a task's context
	brood   *brood // nil: no task's

	kins      kins
	note      atomic.Pointer[any] // of the layer above
	entrusted atomic.Int32        // tasks that it fails when r ends

	mu      sync.Mutex
	hung    map[*Task]struct{} // tasks that wait for their Deps; only where done is not nil
	leashed map[*Task]struct{} // external tasks that end with the context; likewise
	most    int                // len(leashed) at its longest
}

// NewRoot gives a context for tasks that come from elsewhere (another process, another node): what is
// submitted under it, and what that submits, ends when ctx ends. It carries ctx's deadline.
func (e *Engine) NewRoot(ctx context.Context) context.Context { return e.newRoot(ctx, false) }

func (e *Engine) newRoot(ctx context.Context, derived bool) *Root {
	r := &Root{ctx: ctx, done: ctx.Done(), e: e, user: ctx.Value(userKey{}), derived: derived}
	if r.user == nil {
		r.user = e.cfg.User
	}
	if r.done == nil {
		return r
	}
	// A long-lived context sees many roots. It holds each weakly, and a root that the collector takes away
	// takes its registration with it.
	w := weak.Make(r)
	stop := context.AfterFunc(ctx, func() {
		if r := w.Value(); r != nil {
			r.drop()
		}
	})
	runtime.AddCleanup(r, func(stop func() bool) { stop() }, stop)
	return r
}

// Bounds is the Root that bounds t and that no task has: that of a brood is what the brood stands on.
func (t *Task) Bounds() *Root {
	r := t.rootOf()
	if r != nil && r.brood != nil {
		return r.brood.real
	}
	return r
}

// Outer is the context that r was made from.
func (r *Root) Outer() context.Context { return r.ctx }

// SetNote keeps something for the layer above; Note gives it, or nil.
func (r *Root) SetNote(v any) { r.note.Store(&v) }

// Note is what SetNote was given.
func (r *Root) Note() any {
	if v := r.note.Load(); v != nil {
		return *v
	}
	return nil
}

// HomeOf is Config.User of the engine that ctx comes from, where it is a Root or that of a task; else nil.
func HomeOf(ctx context.Context) any {
	if r, ok := ctx.(*Root); ok {
		if r.e == nil {
			return nil
		}
		return r.e.cfg.User
	}
	if t := TaskOf(ctx); t != nil {
		return t.Home()
	}
	return nil
}

// over says whether the context has ended.
func (r *Root) over() bool {
	if b := r.brood; b != nil {
		if b.cut.Load() {
			return true
		}
		if r = b.real; r.done == nil {
			return false
		}
	}
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// overErr is what a submission under r, which is over, fails with.
func (r *Root) overErr() error {
	if r == r.e.tired {
		return ErrBusy
	}
	return &CancelledError{Cause: r.ctx.Err()}
}

// drop fails what is queued or hung under r.
func (r *Root) drop() {
	err := &CancelledError{Cause: r.ctx.Err()}
	for _, v := range *r.e.all.Load() {
		v.roots.last.CompareAndSwap(r, nil)
	}
	r.e.dropQueued(func(t *Task) bool { return t.rootOf() == r }, err)
	r.mu.Lock()
	hung, leashed := r.hung, r.leashed
	r.hung, r.leashed = nil, nil
	r.mu.Unlock()
	for t := range hung { // before those that they may wait for
		t.failFrom(err, stHung)
	}
	for t := range leashed {
		t.Fail(err)
	}
	if r.entrusted.Load() != 0 && r.e.cfg.Ended != nil {
		r.e.cfg.Ended(r, err)
	}
}

// hang notes that t waits for its Deps; unhang that it does not any more.
func (r *Root) hang(t *Task) {
	if r.done == nil {
		return
	}
	r.mu.Lock()
	if r.hung == nil {
		r.hung = make(map[*Task]struct{})
	}
	r.hung[t] = struct{}{}
	r.mu.Unlock()
	if r.over() { // drop may have been before the entry
		t.failFrom(&CancelledError{Cause: r.ctx.Err()}, stHung)
	}
}

func (r *Root) unhang(t *Task) {
	if r.done == nil {
		return
	}
	r.mu.Lock()
	delete(r.hung, t)
	r.mu.Unlock()
}

// Deadline is that of the context r was made from.
func (r *Root) Deadline() (time.Time, bool) { return r.ctx.Deadline() }

// Done is that of the context r was made from.
func (r *Root) Done() <-chan struct{} { return r.done }

// Err is that of the context r was made from.
func (r *Root) Err() error { return r.ctx.Err() }

// Value is that of the context r was made from, for who holds r; tasks under r do not see it.
func (r *Root) Value(k any) any {
	if _, ok := k.(userKey); ok {
		return r.user
	}
	return r.ctx.Value(k)
}

// rootCache remembers the last root of one shard, so that a loop of submissions under one context makes one.
type rootCache struct{ last atomic.Pointer[Root] }

func (c *rootCache) get(e *Engine, ctx context.Context) *Root {
	if r, ok := ctx.(*Root); ok && r.e == e {
		return r
	}
	r := c.last.Load()
	if r == nil || !SameContext(r.ctx, ctx) {
		r = e.newRoot(ctx, false)
		if r.over() {
			return r // nothing will run under it
		}
		c.last.Store(r)
	}
	return r
}
