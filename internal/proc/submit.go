package proc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/owner"
	"github.com/kadrehq/kadre/sched"
)

// record is a task of this process that left it, kept until its result has come and, where the result lies
// in an arena and may be lost, for as long as somebody refers to it. Process.mu guards it.
type record struct {
	o       *object
	f       *Future // nil once it is done, also while it is made again
	out     bool    // an attempt has no outcome yet
	spec    []byte
	keep    []any // what the specification refers to and must outlive it
	deps    []any // the objects it takes: held until it is done
	attempt uint32
	weight  int64   // bytes that count as unfinished
	step    uint32  // of the last report of where it is
	left    int     // retries
	at      id.Addr // where it is; zero: not known yet
	placed  bool
	actor   bool
	session *session // KindCall: where the outcome goes
	seq     uint64
	bound   wire.Bound           // the context that bounds it
	remake  func(attempt uint32) // KindCall: makes another attempt

	group  *Group           // it runs in; nil: none
	retry  func(error) bool // asked after an error of the function's own; nil: no retry then
	paused int              // how many retries it has made possible
}

// Submit runs f's function under ctx: here, in another process of the node or on another node. deps must be
// done before it starts.
func (p *Process) Submit(ctx context.Context, f *Future, o *Options, deps []*Future) {
	f.SetOptions(o)
	for _, d := range deps {
		p.Demand(d)
	}
	placed := o.placed() || p.cfg.Isolate || o.milli() > uint32(p.engine.Slots())*1000
	if placed || o.managed() {
		if !p.waits.admit(ctx, f) {
			return
		}
		if p.feeds(f, o) {
			p.engine.Loose(ctx, &f.Task, f.Func())
			p.feed.addAfter(f, deps)
			return
		}
		p.engine.External(ctx, &f.Task, f.Func())
		p.place(ctx, f, wire.KindTask, placed, deps)
		return
	}
	so := sched.Opts{Milli: o.milli(), Priority: o.Priority != 0}
	if so.Milli == 0 {
		so.Milli = sched.NoSlot
	}
	if len(deps) > 0 {
		so.Deps = tasksOf(deps)
	}
	p.engine.Submit(ctx, &f.Task, f.Func(), so)
}

// Place says where a call under ctx goes that has plain options and neither needs nor has anything beside it;
// false where it has to be submitted as others are.
func (p *Process) Place(ctx context.Context) (sched.Place, bool) {
	if p.cfg.Isolate {
		return sched.Place{}, false
	}
	return p.engine.Place(ctx), true
}

// Full says whether a call of Place waits.
func (p *Process) Full() bool { return p.engine.Full() }

// Feeds says whether Feed may be called.
func (p *Process) Feeds() bool { return p.feed != nil }

// Feed is Submit of a call with plain options that neither needs nor has anything beside it, where all tasks of this
// process run in a worker: Feeds says whether they do.
func (p *Process) Feed(ctx context.Context, f *Future, fn *Func) {
	if !p.waits.admit(ctx, f) {
		return
	}
	p.engine.Loose(ctx, &f.Task, &fn.Run)
	p.feed.add(f)
}

// Bound is what bounds a submission under ctx. What is submitted under it does not end with the task whose context ctx
// may be.
func (p *Process) Bound(ctx context.Context) context.Context { return p.engine.Bounds(ctx) }

// priorityOf is the priority of a task of this process.
func priorityOf(t *sched.Task) int {
	f := futureOf(t)
	if in := f.inbound(); in != nil && in.short == nil {
		return int(in.full.Load().Priority)
	}
	if o := f.options(); o != nil {
		return o.Priority
	}
	return 0
}

func tasksOf(fs []*Future) []*sched.Task {
	ts := make([]*sched.Task, len(fs))
	for i, f := range fs {
		ts[i] = &f.Task
	}
	return ts
}

// place asks the node where f is to run, once its arguments are ready, or unless asked is set queues it here.
func (p *Process) place(ctx context.Context, f *Future, k wire.SpecKind, ask bool, deps []*Future) {
	if f.Ready() { // cancelled
		return
	}
	left, _ := remaining(ctx)
	g := f.options().Group
	if g != nil && g.p != p {
		f.Fail(errorf("kadre: InBundle of %s: %s was made by another process or runtime, and does not travel", f.Name(), g.name()))
		return
	}
	if g != nil && !g.gate.Ready() {
		deps = append(slices.Clip(deps), g.gate)
	}
	p.afterDeps(f, deps, func() {
		if g != nil {
			if err := g.err(); err != nil {
				f.Fail(err)
				return
			}
		}
		rec, _, err := p.specify(f, k, left)
		if err != nil {
			f.Fail(err)
			return
		}
		p.mu.Lock()
		rec.placed = ask
		spec := rec.spec
		p.mu.Unlock()
		switch {
		case spec == nil: // it has ended already
		case ask:
			p.askPlace(rec)
		default:
			p.runSpec(spec)
		}
	})
}

// afterDeps goes on with a submission once what f takes is done.
func (p *Process) afterDeps(f *Future, deps []*Future, then func()) {
	if len(deps) == 0 {
		then()
		return
	}
	p.mu.Lock()
	p.early[f] = deps
	p.mu.Unlock()
	p.waits.early.Add(1)
	p.waits.look()
	p.whenDone(deps, func() {
		p.mu.Lock()
		delete(p.early, f)
		p.mu.Unlock()
		p.waits.early.Add(-1)
		then()
	})
}

// whenDone runs f on a goroutine of its own once all of deps are done; at once where there are none.
func (p *Process) whenDone(deps []*Future, f func()) {
	if len(deps) == 0 {
		f()
		return
	}
	b := &barrier{n: len(deps), f: f}
	for _, d := range deps {
		d.OnDone(func() {
			p.mu.Lock()
			b.n--
			last := b.n == 0
			p.mu.Unlock()
			if last {
				go b.f()
			}
		})
	}
}

func remaining(ctx context.Context) (time.Duration, bool) {
	d, ok := ctx.Deadline()
	if !ok {
		return 0, false
	}
	return max(1, time.Until(d)), true
}

// specify writes the specification of an own task and starts its record.
func (p *Process) specify(f *Future, k wire.SpecKind, left time.Duration) (*record, wire.Spec, error) {
	args, keep, err := f.fn().Export(f)
	if err != nil {
		return nil, wire.Spec{}, err
	}
	o := p.identify(f)
	p.markName(f, o.id.Task())
	s := wire.Spec{Kind: k, Job: p.job, Task: o.id.Task(), Epoch: p.epoch, Owner: p.self, Func: f.Name(),
		Args: args, Left: left, CPU: 1000, Hops: 1,
		Bound: p.bounds.nameOf(&f.Task), Line: p.lineOf(&f.Task)}
	rec := &record{bound: s.Bound, o: o, f: f, out: true, left: DefaultRetries, actor: k == wire.KindCreate}
	if x := f.options(); x != nil {
		s.Resources, s.OwnProcess, s.OnNode, s.Soft = x.resources(), x.OwnProcess, x.OnNode, x.Soft
		s.Labels, s.Spread, s.Timeout, s.Priority = x.Labels, x.Spread, x.Timeout, int32(x.Priority)
		if g := x.Group; g != nil {
			s.Group, s.Bundle, s.OnNode, s.Soft = g.id, uint32(x.Bundle), g.at, false
			rec.group = g
		}
		if x.Generator {
			s.Stream = uint32(x.buffer())
		}
		rec.retry = x.RetryErrors
		s.Retries, s.CPU = uint32(x.retries()), x.milli()
		if k == wire.KindCreate && x.CPU < 0 {
			s.CPU = 0
		}
		rec.left = x.retries()
	}
	if k == wire.KindCreate {
		s.Actor = id.Actor(s.Task)
		rec.left = 0
		if x := f.options(); x != nil && x.ActorName != "" {
			s.Name, s.Namespace, s.IfExists = x.ActorName, x.namespace(), x.IfExists
		}
	}
	var ids []id.Object
	for _, x := range keep {
		if d, ok := x.(*Future); ok && d.object() != nil {
			ids = append(ids, d.object().id)
			rec.deps = append(rec.deps, x)
		}
	}
	for i := range args {
		if args[i].Value != nil && len(keep) > 0 { // references inside plain values stay held with the lineage
			rec.keep = keep
		}
	}
	rec.spec = s.Append(nil)
	if len(rec.spec) > wire.MaxBody {
		return nil, s, fmt.Errorf("kadre: the arguments of %s take %d bytes in its specification, at most %d: put them first and pass references", s.Func, len(rec.spec), wire.MaxBody)
	}
	if k == wire.KindTask {
		p.waits.add(rec)
	}
	p.mu.Lock()
	o.rec = rec
	todo := p.stepLocked(owner.Made{ID: o.id, Remakeable: k == wire.KindTask, Args: ids, Spec: int64(len(rec.spec))})
	p.mu.Unlock()
	todo.run()
	if k == wire.KindTask {
		f.OnDone(func() { p.recall(rec) })
	}
	return rec, s, nil
}

// askPlace asks the node where to run a task; the answer says where it went.
func (p *Process) askPlace(rec *record) {
	p.stats.exported.Add(1)
	p.mu.Lock()
	attempt, spec := rec.attempt, rec.spec
	p.mu.Unlock()
	p.request(p.nodeAddr(), wire.KPlace, spec, func(b []byte, err error) {
		var m wire.Placed
		if err == nil {
			err = wire.Unmarshal(b, &m)
		}
		if err != nil {
			p.placeFailed(rec, attempt, replied(err))
			return
		}
		p.moved(rec.o.id.Task(), attempt, 3, m.To)
	})
}

// placeFailed asks again where the node that was chosen died first, and otherwise ends the task. One that was recalled has
// ended.
func (p *Process) placeFailed(rec *record, n uint32, err error) {
	var gone *UnavailableError
	p.mu.Lock()
	if _, is := p.recalled[attempt{rec.o.id.Task(), n}]; is {
		p.mu.Unlock()
		return
	}
	if rec.actor || p.closed != nil || !errors.As(err, &gone) || rec.f == nil && rec.left <= 0 {
		p.mu.Unlock()
		p.failRecord(rec, err)
		return
	}
	todo := p.retryLocked(rec, gone.Text)
	p.mu.Unlock()
	todo.run()
}
