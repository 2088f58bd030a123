package sched

import (
	"context"

	"github.com/kadrehq/kadre/internal/trace"
)

// External makes t a task that somebody else finishes, under ctx as Submit would have it: the end of ctx
// fails t, and t as a context stands on ctx.
func (e *Engine) External(ctx context.Context, t *Task, f *Func) {
	e.Loose(ctx, t, f)
	t.Leash()
}

// Loose is External of a task that is to be entrusted or leashed: it fails where ctx has ended, and nothing fails it yet
// when ctx ends later.
func (e *Engine) Loose(ctx context.Context, t *Task, f *Func) {
	_, r := e.place(ctx)
	if r == nil {
		t.InitExternal(f, e.base)
		t.Fail(ErrCancelled)
		return
	}
	t.InitExternal(f, r)
	if trace.On() && t.traced() {
		e.markSubmit(t, TaskOf(ctx))
	}
	t.Expire()
}

// Entrust says that the layer above fails t, which is loose, when Config.Ended tells of what it stands on. It costs
// a count where a leash costs an entry in a map. It is false where t needs a leash: a task made its context. Steps of
// the two sides:
//
//	entrusting                           the context ends
//	1 Entrust: count t                   1 its Done is closed
//	2 note t where Ended finds it        2 * read the count: not 0 -> Ended
//	3 * Expire: Done is closed -> fail t
func (t *Task) Entrust() bool {
	r := t.rootOf()
	if r == nil || r.done == nil {
		return true
	}
	if !r.derived {
		r.entrusted.Add(1)
	}
	return !r.derived
}

// Redeem ends Entrust, before t is finished or leashed.
func (t *Task) Redeem() {
	if r := t.rootOf(); r != nil && r.done != nil && !r.derived {
		r.entrusted.Add(-1)
	}
}

// On says whether t stands on r itself.
func (t *Task) On(r *Root) bool { return t.rootOf() == r }

// leashedKept is how many tasks of one context may leave the room that their list took.
const leashedKept = 1024

// Expire fails t, which is external, where the context that it stands on has ended: it is for who has an outcome that came
// before the news of that. It says whether it did.
func (t *Task) Expire() bool {
	r := t.rootOf()
	return r != nil && r.done != nil && r.over() && t.Fail(&CancelledError{Cause: r.ctx.Err()})
}

// Leash makes the end of the context that t stands on fail t, which is external. After Take the engine does
// so no more.
func (t *Task) Leash() {
	r := t.rootOf()
	if r == nil || r.done == nil {
		return
	}
	r.mu.Lock()
	if r.leashed == nil {
		r.leashed = make(map[*Task]struct{})
	}
	r.leashed[t] = struct{}{}
	r.most = max(r.most, len(r.leashed))
	r.mu.Unlock()
	if r.over() { // drop may have been before the entry
		t.Fail(&CancelledError{Cause: r.ctx.Err()})
	}
	t.OnDone(func() {
		r.mu.Lock()
		if delete(r.leashed, t); len(r.leashed) == 0 && r.most > leashedKept {
			r.leashed, r.most = nil, 0 // a map keeps the room of all that it ever had
		}
		r.mu.Unlock()
	})
}
