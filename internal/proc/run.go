package proc

import (
	"context"
	"errors"
	"os"
	"runtime"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/sched"
)

// onRun takes a task that another process submitted.
func (p *Process) onRun(f *wire.Frame) { p.runSpec(append([]byte{}, f.Body...)) }

// runSpec queues the task of an encoded specification; its outcome goes to its owner.
func (p *Process) runSpec(b []byte) {
	s, err := wire.ParseSpec(b)
	if err != nil {
		p.log.Warn("kadre: bad task specification", "err", err)
		return
	}
	for i := range s.Count() {
		p.runOne(s.Piece(i))
	}
}

// runOne is runSpec of one task.
func (p *Process) runOne(s wire.Spec) {
	p.stats.imported.Add(1)
	f, deps, err := p.importSpec(s)
	if err != nil {
		p.send1(&s, &wire.Result{Task: s.Task, Attempt: s.Attempt, By: p.self, Err: p.record(&UnschedulableError{Text: err.Error()}, s.Func)}, nil, nil)
		return
	}
	if s.Kind == wire.KindCall {
		p.called(f, deps)
		return
	}
	a := attempt{s.Task, s.Attempt}
	p.inbox.enter(a, f)
	f.OnDone(func() {
		p.inbox.leave(a)
		p.report(f)
	})
	so := sched.Opts{Milli: s.CPU, Deps: tasksOf(deps), NoInline: true, Priority: s.Priority != 0}
	if so.Milli == 0 {
		so.Milli = sched.NoSlot
	}
	if m := uint32(p.engine.Slots()) * 1000; so.Milli > m && so.Milli != sched.NoSlot {
		so.Milli = m
	}
	p.engine.Submit(p.bound(s.Bound, s.Line, s.Left), &f.Task, f.Func(), so)
}

// importSpec makes a task of a specification.
func (p *Process) importSpec(s wire.Spec) (*Future, []*Future, error) {
	fn, err := lookup(s.Func)
	if err != nil {
		return nil, nil, err
	}
	f, deps, err := fn.Import(p, s.Args)
	if err != nil {
		return nil, nil, err
	}
	s.Args = nil
	in := &inbound{}
	in.full.Store(&s)
	f.cold().in = in
	p.markName(f, s.Task)
	return f, deps, nil
}

// report sends the outcome of a task to its owner. It runs where the task ended and does not block.
func (p *Process) report(f *Future) {
	in, s := f.inbound(), f.spec()
	r := &wire.Result{Task: s.Task, Attempt: s.Attempt, By: p.self, Items: in.items.Load()}
	given := p.takeGiven(in)
	if err := f.Failure(); err != nil {
		r.Err = p.record(f.explain(err), s.Func)
		p.send1(s, r, f, in.taken)
		return
	}
	if n := f.cold().stored; n != 0 {
		p.reportStored(s, r, n, nil, in.taken)
		return
	}
	data, keep, err := f.encoded()
	if err == nil {
		r.Refs, err = codec.Refs(data)
	}
	if err == nil {
		r.Further = p.furtherOf(given, s)
		keep = append(keep[:len(keep):len(keep)], given)
	}
	if err != nil {
		r.Err = p.record(err, s.Func)
		p.send1(s, r, f, in.taken)
		return
	}
	if len(data) <= wire.MaxInline {
		r.Inline = data
		p.send1(s, r, keep, in.taken)
		return
	}
	go func() {
		i := s.Task.Object(0)
		err := p.putBytes(p.ctx, i, data, s.Attempt)
		if errors.Is(err, arena.ErrExists) && p.replaces(i, s.Attempt) {
			err = p.putBytes(p.ctx, i, data, s.Attempt)
		}
		if err != nil {
			r.Err, r.Refs = p.record(err, s.Func), nil
			p.notTaken(s.Owner, furtherIDs(r))
			r.Further = nil
			p.send1(s, r, keep, in.taken)
			return
		}
		p.reportStored(s, r, uint64(len(data)), keep, in.taken)
	}()
}

// reportStored is report for a result that lies in the arena.
func (p *Process) reportStored(s *wire.Spec, r *wire.Result, size uint64, keep any, taken func()) {
	r.Stored, r.Size = true, size
	if s.Owner.Node != p.self.Node {
		p.publish(s, 0)
	}
	p.send1(s, r, keep, taken)
}

// publish has the node record where a result is that others refer to.
func (p *Process) publish(s *wire.Spec, index uint32) {
	p.notify(p.nodeAddr(), wire.KPublish, wire.Marshal(&wire.IDs{IDs: []id.Object{s.Task.Object(index)}, Owner: s.Owner}))
}

// replaces makes room for an attempt's result where an earlier attempt of the task ended on this node too.
func (p *Process) replaces(i id.Object, attempt uint32) bool {
	h, ok := p.arena.Get(i)
	if !ok {
		return true
	}
	older := h.Attempt() < attempt
	if older {
		p.arena.Delete(i)
	}
	h.Release()
	return older
}

// send1 sends a result when the owners of the references that the task kept know of this process; keep stays
// alive until the owner has it, and taken is called then.
func (p *Process) send1(s *wire.Spec, r *wire.Result, keep any, taken func()) {
	done := func() {
		if s.Kind == wire.KindTask || s.Kind == wire.KindCreate && r.Err != nil { // an actor lasts
			p.notify(p.nodeAddr(), wire.KDone, wire.Marshal(&wire.Done{Tasks: []id.Task{s.Task}}))
		}
	}
	if s.Owner == p.self {
		p.result(r, func([]id.Object) {})
		done()
		return
	}
	if taken == nil && alone(r) && s.Kind == wire.KindTask {
		p.afterBorrows(func() { p.outbox.add(s.Owner, r) })
		return
	}
	p.afterBorrows(func() {
		p.publishFurther(s.Owner, r)
		p.request(s.Owner, wire.KResult, wire.Marshal(r), func(b []byte, err error) {
			runtime.KeepAlive(keep)
			p.tookFurther(s.Owner, r, b, err)
			if errors.Is(err, wire.ErrFrameTooBig) && r.Err == nil {
				p.sendTooLong(s, r, taken)
				return
			}
			if taken != nil {
				go taken()
			}
			if s.Kind == wire.KindCreate {
				done() // the node may end the process now, and results do not go by it
			}
		})
		if s.Kind != wire.KindCreate {
			done()
		}
	})
}

// sendTooLong fails a task whose result is there and has so many references that no message takes them. Somebody waits for it.
func (p *Process) sendTooLong(s *wire.Spec, r *wire.Result, taken func()) {
	if r.Stored {
		p.arena.Delete(s.Task.Object(0))
	}
	err := errorf("kadre: the result of %s holds %d references, which do not fit into a message of %d bytes: put parts of it into objects of their own", s.Func, len(r.Refs), wire.RingCapacity/2)
	p.send1(s, &wire.Result{Task: r.Task, Attempt: r.Attempt, By: r.By, Items: r.Items, Err: p.record(err, s.Func)}, nil, taken)
}

// Info is what a task may know of itself.
type Info struct {
	Job     id.Job
	Task    id.Task
	Actor   id.Actor
	Node    id.Node
	Attempt int
	PID     int
}

// ProcessOf is the process whose task's context ctx is, or that of what bounds one; nil for other contexts.
func ProcessOf(ctx context.Context) *Process {
	p, _ := sched.HomeOf(ctx).(*Process)
	return p
}

// InfoOf tells the task whose context ctx is about itself; false outside of tasks.
func InfoOf(ctx context.Context) (Info, bool) {
	t := sched.TaskOf(ctx)
	if t == nil || !registered(t.Func()) {
		return Info{}, false
	}
	f := futureOf(t)
	p := f.Process()
	i := Info{Job: p.job, Node: p.self.Node, PID: os.Getpid()}
	if f.inbound() != nil {
		s := f.spec()
		i.Task, i.Actor, i.Attempt = s.Task, s.Actor, int(s.Attempt)
	} else {
		i.Task = f.ID().Task()
	}
	if a := f.on(); a != nil {
		i.Actor = a.id
	}
	return i, true
}

// Nodes lists the living nodes.
func (p *Process) Nodes(ctx context.Context) ([]wire.NodeInfo, error) {
	b, err := p.call(ctx, p.nodeAddr(), wire.KNodes, nil)
	if err != nil {
		return nil, err
	}
	var m wire.Nodes
	err = wire.Unmarshal(b, &m)
	return m.Nodes, err
}

// onLog prints a line that a worker wrote.
func (p *Process) onLog(f *wire.Frame) {
	if m, ok := body[wire.LogLine](p, f); ok && p.cfg.LogToDriver {
		p.printed.add(&m)
	}
}

// onNote logs what the user should know of a task.
func (p *Process) onNote(f *wire.Frame) {
	if m, ok := body[wire.LogLine](p, f); ok {
		p.log.Warn("kadre: a task waits", "why", m.Line)
	}
}

// lastLines prints what the node has passed on of workers' lines before this process ends. The poll goroutine has ended.
func (p *Process) lastLines() {
	p.node.DrainLast(func(b []byte) {
		if f, err := wire.ParseFrame(b); err == nil && f.Kind == wire.KLog {
			p.onLog(&f)
		}
	})
	p.printed.flush()
}
