package sched

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/trace"
)

// NoSlot as Opts.Milli says that a task needs no CPU slot: it starts whatever else runs, up to maxFree.
const NoSlot uint32 = math.MaxUint32

// Opts are the wishes of one submission.
type Opts struct {
	// Milli is the CPU it needs in thousandths. Below 1000 it shares a slot with others of that kind; above, every started
	// thousand is one slot. 0 means 1000; NoSlot none.
	Milli uint32
	// Priority says that the task has one other than 0: Config.Priority gives it. Default false.
	Priority bool
	// NoInline keeps getters from running it on their own goroutine. Default false.
	NoInline bool
	// Deps must all be finished or failed before it is queued. Its Run looks at them itself. Default none.
	Deps []*Task
}

func (o *Opts) slots() uint16 {
	switch {
	case o.Milli == 0 || o.Milli == 1000:
		return 1
	case o.Milli < 1000:
		return share | uint16(o.Milli)
	case o.Milli == NoSlot:
		return 0
	}
	return uint16(min((o.Milli-1)/1000+1, uint32(maxTaskSlots)))
}

// Submit gives t to the engine, which runs f for it once, unless t fails before: with ErrCancelled when ctx
// ends, ErrClosed, ErrBusy or ErrTooWide. It waits as Place does. Ctx bounds the task; a task's context gives
// the context above it, so that a task's return does not cancel what it started.
func (e *Engine) Submit(ctx context.Context, t *Task, f *Func, o Opts) {
	t.shape = o.slots()
	if o.NoInline {
		t.shape |= noInline
	}
	if o.Priority {
		t.shape |= prior
	}
	p := e.Place(ctx)
	if !p.admit(t, f) {
		return
	}
	if len(o.Deps) > 0 {
		e.hang(t, p.w, p.r, o.Deps)
		return
	}
	e.enqueue(p.w, t)
}

// Place is where a submission under a context goes: whose queue, and what bounds it.
type Place struct {
	w *worker
	r *Root // nil: the context is that of a task that has ended
}

// Lanes is how many lanes there are.
const Lanes = 16

// Lane is a number below Lanes that submitters seldom share, to stripe what they would fight for.
func (p Place) Lane() int { return int(p.w.lane) % Lanes }

// Submit is Engine.Submit of a task that takes one slot and needs nothing else.
func (p Place) Submit(t *Task, f *Func) {
	t.shape = 1
	e := p.w.e
	if p.admit(t, f) {
		e.enqueue1(p.w, t)
	}
}

// admit gives t its root; false when that has ended, and t with it.
func (p Place) admit(t *Task, f *Func) bool {
	r := p.r
	if r == nil {
		t.setKin(p.w.e.base.kin(f))
		t.Fail(ErrCancelled)
		return false
	}
	t.setKin(r.kin(f))
	if r.done != nil && r.over() {
		t.Fail(r.overErr())
		return false
	}
	if trace.On() && t.traced() { // which task submits is looked for only then
		p.w.e.markSubmit(t, p.w.current())
	}
	return true
}

// InitExternal makes t a task that never enters a queue: somebody else calls Finish or Fail. Ctx, which may
// be nil, becomes what t as a context stands on.
func (t *Task) InitExternal(f *Func, ctx context.Context) {
	r := bare
	switch c := ctx.(type) {
	case nil:
	case *Root:
		r = c
	case *Task:
		if p := c.rootOf(); p != nil {
			r = p
		}
	default:
		r = &Root{ctx: ctx, done: ctx.Done(), user: ctx.Value(userKey{}), derived: TaskOf(ctx) != nil}
	}
	t.setKin(r.kin(f))
	t.state.Store(stExternal)
}

var bare = &Root{ctx: context.Background()}

// place says whose queue a submission under ctx goes to and what bounds it; nil when the task whose own
// context ctx is has ended.
func (e *Engine) place(ctx context.Context) (*worker, *Root) {
	p, ok := ctx.(*Task)
	if ok {
		if k := p.kinOf(); p.lane != 0 && k.root != nil && k.root.e == e && !p.Ready() { // a task that runs here, as nearly always
			w := e.byLane[p.lane].Load()
			if k.fn.short() {
				return w, k.root
			}
			return w, e.broodOf(w, p, k.root)
		}
	} else {
		w := e.shard()
		if r := w.roots.last.Load(); r != nil && SameContext(r.ctx, ctx) {
			return w, r
		}
		if p = TaskOf(ctx); p == nil {
			return w, w.roots.get(e, ctx)
		}
	}
	w := e.worker(p)
	if w == nil {
		w = e.shard()
	}
	if ctx != context.Context(p) && ctx.Done() != p.Done() {
		return w, e.newRoot(ctx, true) // a context that the task made: its end counts
	}
	r := p.rootOf()
	if r == nil || p.Ready() {
		return w, nil
	}
	if r.e != e {
		return w, w.roots.get(e, r)
	}
	if p.Func().short() {
		return w, r
	}
	return w, e.broodOf(w, p, r)
}

// enqueue makes a task in state New findable and sees to it that somebody looks.
func (e *Engine) enqueue(w *worker, t *Task) {
	switch {
	case t.slots() == 1 && t.shape&prior != 0:
		e.addRanked(t)
	case t.slots() == 1:
		e.enqueue1(w, t)
		return
	case t.slots() == 0:
		e.free.add(t)
	case t.shape&share != 0:
		e.part.add(t)
	default:
		e.wide.add(t)
	}
	e.checkClosed(t)
}

func (e *Engine) enqueue1(w *worker, t *Task) {
	n, ok := w.q.Push(t)
	if !ok {
		if n, ok = e.shard().q.Push(t); !ok {
			t.failFrom(ErrBusy, stNew)
			return
		}
	}
	e.pushed(n)
	e.checkClosed(t)
}

func (e *Engine) checkClosed(t *Task) {
	if e.closed.Load() { // after the push: pairs with Close, which sets closed and then empties the queues
		t.failFrom(ErrClosed, stNew)
	}
}

// hang is a task that waits for others.
type hang struct {
	t    *Task
	w    *worker
	deps []*Task
	left atomic.Int32
}

func (e *Engine) hang(t *Task, w *worker, r *Root, deps []*Task) {
	h := &hang{t: t, w: w, deps: deps}
	h.left.Store(int32(len(deps)))
	t.state.Store(stHung)
	t.attach(&node{needs: h})
	if n := int(e.crowd.hung.Add(1)); n >= e.crowd.near {
		e.crowded(n)
	}
	r.hang(t)
	for _, d := range deps {
		d.attach(&node{dep: h})
	}
}

// signal counts one dependency; the last makes the task claimable and queues it.
func (h *hang) signal() {
	if h.left.Add(-1) != 0 {
		return
	}
	t := h.t
	r := t.rootOf()
	waited := t.unneed(h)
	if r == nil || !t.state.CompareAndSwap(stHung, stNew) {
		return // cancelled meanwhile
	}
	r.unhang(t)
	e := r.e
	e.enqueue(h.w, t)
	if waited && t.slots() == 1 {
		e.pushed(2) // somebody waits for it: do not leave it to the watcher
	}
}

// unneed takes h's node off t and says whether others hang on t.
func (t *Task) unneed(h *hang) bool {
	x := t.Ext()
	x.mu.Lock()
	defer x.mu.Unlock()
	prev := (*node)(nil)
	for n := x.list.Load(); n != nil; prev, n = n, n.next {
		if n.needs != h {
			continue
		}
		h.w.e.crowd.hung.Add(-1)
		if prev == nil {
			x.list.Store(n.next)
		} else {
			prev.next = n.next
		}
		break
	}
	return x.list.Load() != nil
}

// needs is what a hung task still waits for.
func (t *Task) needs() []*Task {
	x := t.Ext()
	x.mu.Lock()
	defer x.mu.Unlock()
	for n := x.list.Load(); n != nil; n = n.next {
		if n.needs != nil {
			return n.needs.deps
		}
	}
	return nil
}

func (e *Engine) tooWide(t *Task) error {
	return fmt.Errorf("%w: %s wants %d, the engine has %d: lower its CPUs or run it on a larger node", ErrTooWide, t.Func().Name, t.slots(), e.cfg.Slots)
}
