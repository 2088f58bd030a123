package sched

import (
	"context"
	"time"
)

// taskKey finds the task in a context made from a task's; userKey finds the runtime's own value.
type (
	taskKey struct{}
	userKey struct{}
)

// TaskOf is the task whose function was given ctx or a context that ctx was made from; nil outside of tasks.
func TaskOf(ctx context.Context) *Task {
	switch c := ctx.(type) {
	case *Task:
		return c
	case *Root:
		return nil
	case Carrier:
		return c.CarriedTask()
	}
	t, _ := ctx.Value(taskKey{}).(*Task)
	return t
}

// Carrier is a context of the layer above that knows whose task's it is.
type Carrier interface{ CarriedTask() *Task }

// taskOf is TaskOf without a search where this goroutine has just submitted under ctx, outside of tasks.
func (e *Engine) taskOf(ctx context.Context) *Task {
	if t, ok := ctx.(*Task); ok {
		return t
	}
	if r := e.shard().roots.last.Load(); r != nil && SameContext(r.ctx, ctx) {
		return nil
	}
	return TaskOf(ctx)
}

// WithUser gives a context that carries v for UserOf, here and in the tasks submitted under it. It is for
// the runtime above, which finds itself by it.
func WithUser(ctx context.Context, v any) context.Context {
	return context.WithValue(ctx, userKey{}, v)
}

// UserOf is what WithUser, or else Config.User, gave to ctx; nil where there is neither.
func UserOf(ctx context.Context) any { return ctx.Value(userKey{}) }

// scope is the own end of a task's context. It is made when somebody asks for it.
type scope struct {
	ctx    context.Context
	cancel context.CancelFunc
	e      *Engine
}

func (s *scope) close() {
	s.cancel()
	if s.e != nil {
		s.e.forget(s)
	}
}

// scope gives t's scope and makes it when make is set; nil when there is none, or t is done.
func (t *Task) scope(create bool) *scope {
	if !create && t.ext.Load() == nil {
		return nil
	}
	x := t.Ext()
	x.mu.Lock()
	defer x.mu.Unlock()
	if t.Ready() {
		return nil
	}
	head := x.list.Load()
	for n := head; n != nil; n = n.next {
		if n.scope != nil {
			return n.scope
		}
	}
	if !create {
		return nil
	}
	r := t.rootOf()
	if r == nil {
		return nil
	}
	s := &scope{e: r.e}
	s.ctx, s.cancel = context.WithCancel(r.ctx)
	x.list.Store(&node{next: head, scope: s})
	if t.Ready() { // as in attach: the finisher may have looked before the store
		x.list.Store(head)
		s.cancel()
		return nil
	}
	if s.e != nil && !s.e.remember(s) {
		s.cancel() // closing: the context ends at once
	}
	return s
}

var ended = func() context.Context {
	c, cancel := context.WithCancel(context.Background())
	cancel()
	return c
}()

// own is the context whose end is t's, without its values.
func (t *Task) own() context.Context {
	if s := t.scope(true); s != nil {
		return s.ctx
	}
	return ended
}

// Deadline is that of the context t was submitted under.
func (t *Task) Deadline() (d time.Time, ok bool) {
	if r := t.rootOf(); r != nil {
		return r.ctx.Deadline()
	}
	return d, false
}

// Done is closed when t returns, is cancelled, or the context it was submitted under ends. For the
// completion of t as a future see Ready, OnDone and Engine.Await.
func (t *Task) Done() <-chan struct{} { return t.own().Done() }

// Err is nil until Done is closed. For the future's error see Failure.
func (t *Task) Err() error {
	if t.Ready() {
		return context.Canceled
	}
	if s := t.scope(false); s != nil {
		return s.ctx.Err()
	}
	r := t.rootOf()
	if r == nil || r.e != nil && r.e.closed.Load() {
		return context.Canceled
	}
	return r.ctx.Err()
}

// Value knows the keys of this package only: values never travel into a task.
func (t *Task) Value(k any) any {
	switch k.(type) {
	case taskKey:
		return t
	case userKey:
		if r := t.rootOf(); r != nil {
			return r.user
		}
	}
	return nil
}

// AfterFunc is context.AfterFunc on t; package context finds it and saves a goroutine per derived context.
func (t *Task) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(t.own(), f) }

// Cancel ends t's context, and fails t when it has not started; false when it was done already. An
// external task's Cancel is the business of who made it external.
func (t *Task) Cancel() bool {
	if t.failFrom(ErrCancelled, stNew, stHung) {
		return true
	}
	s := t.scope(true)
	if s != nil {
		s.cancel()
	}
	return s != nil
}
