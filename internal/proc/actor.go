package proc

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

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
	Named       bool     // its name is to be given back when it ends
	Actor       id.Actor // set where the name had an actor already, and this is that one
}

func (l Location) addr() id.Addr { return id.Addr{Node: l.Node, Proc: l.Proc} }

// instance is an actor that lives in this process.
type instance struct {
	id    id.Actor
	task  id.Task // that made it
	class string  // the function that made its state
	state any
	box   *actor.Mailbox
	owner id.Addr                // the process that holds the result of task
	claim *Claim                 // nil: it has no name
	leave atomic.Bool            // it ends when the call that runs returns
	last  atomic.Pointer[Future] // the call with which it ended so, where that came from another process

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

// creation gives the task of ctx, which makes an actor.
func creation(ctx context.Context) (*Future, error) {
	t := sched.TaskOf(ctx)
	if t == nil || !registered(t.Func()) {
		return nil, errors.New("kadre: internal: an actor is made by a task only")
	}
	f := futureOf(t)
	if f.inbound() == nil || f.spec().Kind != wire.KindCreate {
		return nil, errors.New("kadre: internal: an actor is made by its creation only")
	}
	return f, nil
}

// Host makes state an actor of this process. ctx is that of the task that makes it, c what Begin gave.
func Host(ctx context.Context, c *Claim, state any) (Location, error) {
	f, err := creation(ctx)
	if err != nil {
		return Location{}, err
	}
	p, s := f.Process(), f.spec()
	a := &instance{id: s.Actor, task: s.Task, owner: s.Owner, class: f.Name(), state: state, claim: c, box: actor.NewMailbox(p.engine), callers: map[uint64]*callee.Callee{}}
	p.mu.Lock()
	if c != nil && c.lost != "" {
		p.mu.Unlock()
		return Location{}, &Refused{&ActorDiedError{Actor: a.id, Why: c.lost}}
	}
	p.actors[a.id] = a
	p.mu.Unlock()
	if c != nil {
		c.made()
	}
	f.OnDone(func() { // the context of its making may have ended meanwhile
		if f.Failure() != nil {
			p.endActor(a.id, "it was made too late", nil)
		}
	})
	return Location{Node: p.self.Node, Proc: p.self.Proc, Incarnation: 1, Named: c != nil}, nil
}

// On gives the actor whose method's task has the context ctx: its state, and what is to be called when the method has
// returned.
func On(ctx context.Context) (state any, returned func(context.Context)) {
	if a := onActor(ctx); a != nil {
		return a.state, a.returned
	}
	return nil, nil
}

func onActor(ctx context.Context) *instance {
	if t := sched.TaskOf(ctx); t != nil && registered(t.Func()) {
		return futureOf(t).on()
	}
	return nil
}

// called runs a call that came from another process.
func (p *Process) called(f *Future, deps []*Future) {
	s := f.spec()
	p.mu.Lock()
	a := p.actors[s.Actor]
	if c := p.claims[s.Actor]; c != nil && c.waiting != nil {
		c.waiting = append(c.waiting, func() { p.called(f, deps) })
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	if a == nil {
		p.refuseCall(s, p.fateOf(s.Actor), false)
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
			f.InitExternal(f.Func(), p.bound(f.spec().Bound, f.spec().Line, f.spec().Left))
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
				if a.last.Load() == f {
					p.tellEnd(a)
				}
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
	return p.sessionOf(h).kill(ctx, h, "it was killed")
}

// onKill ends an actor of this process.
func (p *Process) onKill(f *wire.Frame) {
	m, ok := body[wire.Kill](p, f)
	if !ok {
		return
	}
	to := f.Head()
	p.endActor(m.Actor, m.Why, func() { p.reply(to, nil) })
}

// endActor ends an actor of this process, also one that is being made; then, which may be nil, is called once its name is free
// again.
func (p *Process) endActor(i id.Actor, why string, then func()) {
	p.mu.Lock()
	c := p.claims[i]
	if c != nil && p.actors[i] == nil {
		c.lost = why
	}
	p.mu.Unlock()
	a := p.removeActor(i)
	if a == nil && c == nil {
		if f := p.inbox.find(attempt{task: id.Task(i)}); f != nil {
			f.Fail(&ActorDiedError{Actor: i, Why: why}) // before it is hosted, or it ends when it is
		}
		a = p.removeActor(i) // or it was hosted meanwhile
	}
	if a == nil {
		if then != nil {
			then()
		}
		return
	}
	if a.claim != nil {
		p.noteFate(i, why)
	}
	a.box.Close(errors.New(why))
	a.claim.release(then)
	p.tellEnd(a)
}

// maxFates bounds the ends of actors that are remembered, for calls that come late.
const maxFates = 256

func (p *Process) noteFate(i id.Actor, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.fates) >= maxFates {
		clear(p.fates)
	}
	p.fates[i] = why
}

// fateOf says why an actor of this process is no more.
func (p *Process) fateOf(i id.Actor) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if why, ok := p.fates[i]; ok {
		return why
	}
	return "it has ended"
}

func (p *Process) removeActor(i id.Actor) *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.actors[i]
	delete(p.actors, i)
	return a
}

// tellEnd tells the node that an actor is no more; it may end the process then.
func (p *Process) tellEnd(a *instance) {
	p.notify(p.nodeAddr(), wire.KDone, wire.Marshal(&wire.Done{Tasks: []id.Task{a.task}}))
}

// ErrNoActor is what ExitActor gives elsewhere than in an actor's method.
var ErrNoActor = errors.New("kadre: ExitActor: the context is not that of an actor's method")

// ExitActor ends the actor whose method's task has the context ctx when that returns.
func ExitActor(ctx context.Context) error {
	a := onActor(ctx)
	if a == nil {
		return ErrNoActor
	}
	a.leave.Store(true)
	return nil
}

// returned is called when a method has returned and before its result is known.
func (a *instance) returned(ctx context.Context) {
	if !a.leave.Load() {
		return
	}
	p := ProcessOf(ctx)
	if p.removeActor(a.id) == nil {
		return
	}
	a.box.Finish(errors.New("it has left by ExitActor"))
	last := futureOf(sched.TaskOf(ctx))
	if in := last.inbound(); in != nil {
		a.last.Store(last) // the node hears of it when the caller has the result
	} else {
		last.OnDone(func() { p.tellEnd(a) })
	}
	free := make(chan struct{})
	a.claim.release(func() { close(free) })
	limit, cancel := context.WithTimeout(p.ctx, releaseWait)
	defer cancel()
	defer p.Block(ctx)()
	select {
	case <-free:
	case <-limit.Done(): // no majority can be had just now: the node goes on trying
	}
}
