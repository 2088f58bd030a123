package proc

import (
	caller "github.com/kadrehq/kadre/actor/session"
	"github.com/kadrehq/kadre/internal/wire"
)

// Calls of actors that may have another attempt, after an error of the method's own (RetryErrors). Each attempt is a call
// of its own to the actor, after those that came meanwhile.

// pushAttemptLocked hands a call to the mailbox of an actor of this process by its specification, so that there may be
// another attempt. The session's lock keeps the order of the first ones.
func (s *session) pushAttemptLocked(c *outCall) {
	left, _ := remaining(&c.f.Task)
	rec, spec, err := s.p.specify(c.f, wire.KindCall, left)
	if err != nil {
		c.f.Fail(err)
		return
	}
	spec.Actor = s.actor
	c.rec, c.spec = rec, spec
	s.p.mu.Lock()
	rec.remake = func(attempt uint32) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.attemptLocked(c, attempt)
	}
	s.p.mu.Unlock()
	s.attemptLocked(c, 0)
}

// attemptLocked runs one attempt in this process; its outcome goes to the record as one from elsewhere does.
func (s *session) attemptLocked(c *outCall, attempt uint32) {
	p := s.p
	if s.dead != nil || s.local == nil {
		go p.failRecord(c.rec, &ActorDiedError{Actor: s.actor, Why: "it has ended"})
		return
	}
	spec := c.spec
	spec.Attempt = attempt
	g, deps, err := p.importSpec(spec)
	if err != nil {
		go p.failRecord(c.rec, err)
		return
	}
	g.cold().at.Store(s.local)
	g.InitExternal(g.Func(), p.bound(spec.Bound, spec.Line, spec.Left))
	g.OnDone(func() { p.report(g) })
	c.f.OnDone(func() { g.Fail(ErrCancelled) }) // or it is done already
	p.push(s.local, g, deps, c.h)
}

// resend makes the next attempt at a call of an actor that lives elsewhere.
func (s *session) resend(c *outCall, attempt uint32) {
	s.mu.Lock()
	if dead := s.dead; dead != nil {
		s.mu.Unlock()
		s.p.failRecord(c.rec, &ActorDiedError{Actor: s.actor, Why: dead.Why})
		return
	}
	c.spec.Attempt = attempt
	seq := s.m.Next()
	s.p.mu.Lock()
	c.rec.seq = seq
	s.p.mu.Unlock()
	s.out[seq] = c
	todo := s.stepLocked(caller.Call{})
	s.mu.Unlock()
	todo.run()
}
