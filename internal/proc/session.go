package proc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"

	caller "github.com/kadrehq/kadre/actor/session"
	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// session carries this process's calls on one actor, in their order: into the mailbox where the actor lives
// here, by frames where it lives elsewhere. It lives as long as the handle.
//
// Lock order: session.mu, then Process.mu.
type session struct {
	// constant
	p     *Process
	id    uint64
	actor id.Actor

	mu    sync.Mutex
	m     *caller.Caller
	known bool // loc is known
	loc   Location
	local *instance // it lives here
	dead  *ActorDiedError
	early []*outCall // calls from before loc was known
	out   map[uint64]*outCall
}

// outCall is a call without an outcome. It keeps the handle, and so the actor, alive.
type outCall struct {
	f, h *Future
	deps []*Future
	rec  *record
	spec wire.Spec
}

// sessionOf is this process's session with the actor of a handle.
func (p *Process) sessionOf(h *Future) *session {
	if s := h.cold().session.Load(); s != nil {
		return s
	}
	o := p.identify(h)
	p.mu.Lock()
	if s := h.cold().session.Load(); s != nil {
		p.mu.Unlock()
		return s
	}
	s := &session{p: p, id: rand.Uint64(), actor: id.Actor(o.id.Task()), m: caller.NewCaller(0), out: map[uint64]*outCall{}}
	h.cold().session.Store(s)
	p.sessions[s] = struct{}{}
	runtime.AddCleanup(h, func(s *session) {
		s.p.mu.Lock()
		delete(s.p.sessions, s)
		s.p.mu.Unlock()
	}, s)
	p.mu.Unlock()
	p.Demand(h)
	h.OnDone(func() { s.settle(h) })
	return s
}

// Call runs f's method on the actor of h, after all earlier calls from this process.
func (p *Process) Call(ctx context.Context, h, f *Future, o *Options, deps []*Future) {
	f.SetOptions(o)
	for _, d := range deps {
		p.Demand(d)
	}
	p.engine.External(ctx, &f.Task, f.Func())
	s := p.sessionOf(h)
	c := &outCall{f: f, h: h, deps: deps}
	s.mu.Lock()
	if dead := s.dead; dead != nil {
		s.mu.Unlock()
		f.Fail(&ActorDiedError{Actor: s.actor, Why: dead.Why})
		return
	}
	switch {
	case !s.known:
		s.early = append(s.early, c)
		s.mu.Unlock()
	case s.local != nil:
		s.pushLocked(c)
		s.mu.Unlock()
	default:
		todo := s.sendLocked(c)
		s.mu.Unlock()
		todo.run()
	}
}

// settle learns where the actor is, or that it never came to be. It is called when h is done, and may be called again.
func (s *session) settle(h *Future) {
	var (
		loc  Location
		data []byte
	)
	err := h.Failure()
	if err == nil {
		data, _, err = h.encoded()
	}
	if err == nil {
		loc, err = codec.DecodeValue[Location](nil, data)
	}
	if err != nil {
		why := fmt.Sprintf("it could not be made: %v", h.explain(err))
		var dead *ActorDiedError
		if errors.As(err, &dead) {
			why = dead.Why
		}
		s.died(why)
		return
	}
	var todo do
	s.mu.Lock()
	if s.known || s.dead != nil {
		s.mu.Unlock()
		return
	}
	s.known, s.loc = true, loc
	if !loc.Actor.IsZero() {
		s.actor = loc.Actor
	}
	early := s.early
	s.early = nil
	if loc.addr() == s.p.self {
		s.p.mu.Lock()
		s.local = s.p.actors[s.actor]
		s.p.mu.Unlock()
		for _, c := range early {
			s.pushLocked(c)
		}
		gone := s.local == nil
		s.mu.Unlock()
		if gone {
			s.died(s.p.fateOf(s.actor))
		}
		return
	}
	todo = s.stepLocked(caller.Located{Addr: loc.addr(), Incarnation: loc.Incarnation})
	for _, c := range early {
		todo = append(todo, s.sendLocked(c)...)
	}
	s.mu.Unlock()
	todo.run()
}

// pushLocked hands a call to the mailbox of an actor of this process.
func (s *session) pushLocked(c *outCall) {
	if s.local == nil {
		c.f.Fail(&ActorDiedError{Actor: s.actor, Why: "it has ended"})
		return
	}
	if c.f.options().RetryErrors != nil {
		s.pushAttemptLocked(c)
		return
	}
	c.f.cold().at.Store(s.local)
	s.p.push(s.local, c.f, c.deps, c.h)
}

// sendLocked sends a call to where the actor lives.
func (s *session) sendLocked(c *outCall) do {
	left, _ := remaining(&c.f.Task)
	rec, spec, err := s.p.specify(c.f, wire.KindCall, left)
	if err != nil {
		return do{func() { c.f.Fail(err) }}
	}
	spec.Actor, spec.Session = s.actor, s.id
	c.rec, c.spec = rec, spec
	seq := s.m.Next()
	s.p.mu.Lock()
	rec.session, rec.seq = s, seq
	rec.remake = func(attempt uint32) { s.resend(c, attempt) }
	s.p.mu.Unlock()
	s.out[seq] = c
	return s.stepLocked(caller.Call{})
}

// stepLocked gives the machine an event and turns its actions into things to be done without the lock;
// sending is done at once, so that frames keep their order.
func (s *session) stepLocked(ev caller.Event) (todo do) {
	for _, a := range s.m.Step(ev, 0) {
		switch a := a.(type) {
		case caller.Send:
			c := s.out[a.Seq]
			if c == nil {
				continue
			}
			c.spec.Seq, c.spec.Acked, c.spec.Incarnation = a.Seq, a.Acked, a.Incarnation
			s.p.notify(a.Addr, wire.KRun, c.spec.Append(nil))
		case caller.Done:
			delete(s.out, a.Seq)
		case caller.Fail:
			c := s.out[a.Seq]
			delete(s.out, a.Seq)
			if c != nil {
				err := &ActorDiedError{Actor: s.actor, Why: fmt.Sprint(a.Why), MayRan: a.MayHaveRun}
				todo = append(todo, func() { s.p.failRecord(c.rec, err) })
			}
		case caller.Full:
			seq := s.m.Next()
			c := s.out[seq]
			delete(s.out, seq)
			if c != nil {
				todo = append(todo, func() { s.p.failRecord(c.rec, ErrBusy) })
			}
		}
	}
	return todo
}

// arrived notes that a call has its outcome, which its future has.
func (s *session) arrived(seq uint64) {
	s.mu.Lock()
	delete(s.out, seq)
	todo := s.stepLocked(caller.Result{Seq: seq})
	s.mu.Unlock()
	todo.run()
}

// died ends the session: calls without an outcome fail, and so does every later one.
func (s *session) died(why string) {
	s.mu.Lock()
	if s.dead != nil {
		s.mu.Unlock()
		return
	}
	s.dead = &ActorDiedError{Actor: s.actor, Why: why}
	early := s.early
	s.early = nil
	todo := s.stepLocked(caller.Dead{Why: errors.New(why)})
	s.mu.Unlock()
	for _, c := range early {
		c.f.Fail(&ActorDiedError{Actor: s.actor, Why: why})
	}
	todo.run()
}

// addrDead ends the session when the actor lived there.
func (s *session) addrDead(is func(id.Addr) bool, why string) {
	s.mu.Lock()
	gone := s.known && s.local == nil && is(s.loc.addr())
	s.mu.Unlock()
	if gone {
		s.died("its process or node ended: " + why)
	}
}

// kill ends the actor of h, which is done, and returns when its name is free again. Who waits for h may be here before
// settle has been: what kill does not know it could not end, and the calls that settle then hands over would be nobody's.
func (s *session) kill(ctx context.Context, h *Future, why string) error {
	s.settle(h)
	s.mu.Lock()
	actor, loc, local, dead := s.actor, s.loc, s.local, s.dead
	s.mu.Unlock()
	if dead != nil {
		return nil
	}
	free := make(chan struct{})
	body := wire.Marshal(&wire.Kill{Actor: actor, Why: why})
	switch {
	case local != nil:
		s.p.endActor(actor, why, func() { close(free) })
	case loc.Named:
		s.p.request(loc.addr(), wire.KKill, body, func([]byte, error) { close(free) }) // or its process is gone
	default:
		s.p.notify(loc.addr(), wire.KKill, body)
	}
	s.died(why)
	if !loc.Named {
		return nil
	}
	defer s.p.Block(ctx)()
	select {
	case <-free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
