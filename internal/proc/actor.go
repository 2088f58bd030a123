package proc

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/kadrehq/kadre/actor"
	callee "github.com/kadrehq/kadre/actor/session"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// Location is where an actor lives: the value of its handle's future.
type Location struct {
	Node        id.Node
	Proc        id.Proc
	Incarnation uint64
}

func (l Location) addr() id.Addr { return id.Addr{Node: l.Node, Proc: l.Proc} }

// instance is an actor that lives in this process.
type instance struct {
	id    id.Actor
	task  id.Task // that made it
	class string  // the function that made its state
	state any
	box   *actor.Mailbox

	mu      sync.Mutex
	callers map[uint64]*callee.Callee // by session
}

// Create makes an actor: f's function makes its state, and f ends with its Location.
func (p *Process) Create(ctx context.Context, f *Future, o *Options, deps []*Future) {
	f.SetOptions(o)
	for _, d := range deps {
		p.Demand(d)
	}
	p.engine.External(ctx, &f.Task, f.Func())
	p.place(ctx, f, wire.KindCreate, true, deps)
}

// Host makes state an actor of this process. ctx is that of the task that makes it.
func Host(ctx context.Context, state any) (Location, error) {
	t := sched.TaskOf(ctx)
	if t == nil || !registered(t.Func()) {
		return Location{}, errors.New("kadre: internal: an actor is made by a task only")
	}
	f := futureOf(t)
	if f.inbound() == nil || f.spec().Kind != wire.KindCreate {
		return Location{}, errors.New("kadre: internal: an actor is made by its creation only")
	}
	p := f.Process()
	a := &instance{id: f.spec().Actor, task: f.spec().Task, class: f.Name(), state: state, box: actor.NewMailbox(p.engine), callers: map[uint64]*callee.Callee{}}
	p.mu.Lock()
	p.actors[a.id] = a
	p.mu.Unlock()
	return Location{Node: p.self.Node, Proc: p.self.Proc, Incarnation: 1}, nil
}

// Receiver is the state of the actor whose method's task has the context ctx.
func Receiver(ctx context.Context) any {
	if t := sched.TaskOf(ctx); t != nil && registered(t.Func()) {
		if a := futureOf(t).on(); a != nil {
			return a.state
		}
	}
	return nil
}

// called runs a call that came from another process.
func (p *Process) called(f *Future, deps []*Future) {
	s := f.spec()
	p.mu.Lock()
	a := p.actors[s.Actor]
	p.mu.Unlock()
	if a == nil {
		p.refuseCall(s, "it has ended", false)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.callers[s.Session]
	if c == nil {
		c = callee.NewCallee(1)
		a.callers[s.Session] = c
	}
	p.stepCallee(a, c, callee.Arrived{Seq: s.Seq, Acked: s.Acked, Incarnation: s.Incarnation, Payload: inCall{f, deps}})
}

// inCall is a call that arrived.
type inCall struct {
	f    *Future
	deps []*Future
}

// stepCallee is called with the instance's lock held.
func (p *Process) stepCallee(a *instance, c *callee.Callee, ev callee.CalleeEvent) {
	for _, act := range c.Step(ev, 0) {
		switch act := act.(type) {
		case callee.Run:
			in := act.Payload.(inCall)
			seq := act.Seq
			f := in.f
			f.cold().at.Store(a)
			f.InitExternal(f.Func(), p.bound(f.spec().Bound, f.spec().Left))
			f.OnDone(func() {
				go func() {
					a.mu.Lock()
					p.stepCallee(a, c, callee.Finished{Seq: seq, Result: f})
					a.mu.Unlock()
				}()
			})
			p.push(a, f, in.deps, nil)
		case callee.Answer:
			f := act.Result.(*Future)
			f.inbound().taken = func() {
				a.mu.Lock()
				p.stepCallee(a, c, callee.Taken{Seq: act.Seq})
				a.mu.Unlock()
			}
			p.report(f)
		case callee.Refuse: // this process makes one incarnation of an actor, so the call is for an earlier one
			p.log.Warn("kadre: call for another incarnation", "actor", a.id, "incarnation", act.Incarnation)
		}
	}
}

// push puts a call into an actor's mailbox. It keeps the handle, and so the actor, until the call has run.
func (p *Process) push(a *instance, f *Future, deps []*Future, handle *Future) {
	err := a.box.Push(&f.Task, func(t *sched.Task) {
		if len(deps) > 0 {
			if err := p.engine.WaitN(t, tasksOf(deps), len(deps)); errors.Is(err, ErrDeadlock) {
				t.Fail(&TaskError{Func: f.Name(), Cause: err})
			}
		}
		if !t.Ready() { // its context may have ended
			f.Func().Sample(t, func() { f.Func().Run(t) })
		}
		runtime.KeepAlive(handle)
	})
	if err != nil {
		f.Fail(err)
	}
}

// refuseCall answers a call on an actor that is not here any more.
func (p *Process) refuseCall(s *wire.Spec, why string, ran bool) {
	p.send1(s, &wire.Result{Task: s.Task, Attempt: s.Attempt, By: p.self,
		Err: p.record(&ActorDiedError{Actor: s.Actor, Why: why, MayRan: ran}, s.Func)}, nil, nil)
}

// Kill ends an actor for good. Calls that have not run fail.
func (p *Process) Kill(ctx context.Context, h *Future) error {
	if err := p.Await(ctx, h); err != nil {
		var dead *ActorDiedError
		if errors.As(err, &dead) {
			return nil
		}
		return err
	}
	p.sessionOf(h).kill(h, "it was killed")
	return nil
}

// onKill ends an actor of this process.
func (p *Process) onKill(f *wire.Frame) {
	if m, ok := body[wire.Kill](p, f); ok {
		p.endActor(m.Actor, m.Why)
	}
}

func (p *Process) endActor(i id.Actor, why string) {
	p.mu.Lock()
	a := p.actors[i]
	delete(p.actors, i)
	p.mu.Unlock()
	if a == nil {
		return
	}
	a.box.Close(errors.New(why))
	p.notify(p.nodeAddr(), wire.KDone, wire.Marshal(&wire.Done{Tasks: []id.Task{a.task}}))
}
