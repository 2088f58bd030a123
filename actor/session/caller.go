package session

import "github.com/kadrehq/kadre/internal/id"

// Window bounds how far calls are sent ahead of the oldest one without an outcome, and so what a callee keeps.
const Window = 1024

// DefaultPending bounds the calls of one caller on one actor that have no outcome yet.
const DefaultPending = 1 << 16

// Event is one thing that happened at the caller: Call, Located, Result, Resend or Dead.
type Event interface{ callerEvent() }

// Call is a new call. Its number is [Caller.Next] before the step.
type Call struct{}

// Located says where the actor is. The same place and incarnation again is no news: many refused calls may
// each bring it.
type Located struct {
	Addr        id.Addr
	Incarnation uint64
}

// Result says that the outcome of a call arrived.
type Result struct{ Seq uint64 }

// Resend says that messages may have been lost: calls without an outcome are sent again.
type Resend struct{}

// Dead says that the actor has ended for good.
type Dead struct{ Why error }

func (Call) callerEvent()    {}
func (Located) callerEvent() {}
func (Result) callerEvent()  {}
func (Resend) callerEvent()  {}
func (Dead) callerEvent()    {}

// Action is one thing the caller's shell has to do: Send, Done, Fail or Full.
type Action interface{ callerAction() }

// Send sends a call, for the first time or again.
type Send struct {
	Seq         uint64
	Acked       uint64
	Addr        id.Addr
	Incarnation uint64
}

// Done gives the result that just arrived to its caller.
type Done struct{ Seq uint64 }

// Fail ends a call without a result.
type Fail struct {
	Seq        uint64
	MayHaveRun bool
	Why        error // of Dead; nil where the actor came back as another incarnation
}

// Full refuses the new call: too many have no outcome. No number was used.
type Full struct{}

func (Send) callerAction() {}
func (Done) callerAction() {}
func (Fail) callerAction() {}
func (Full) callerAction() {}

// Caller is one process's side of its calls on one actor. Calls up to acked have their outcome, calls up to
// sent were sent to this incarnation, calls below next exist: acked <= sent < next.
type Caller struct {
	limit   uint64
	next    uint64
	sent    uint64
	acked   uint64
	settled map[uint64]struct{} // calls above acked with an outcome; at most Window
	addr    id.Addr
	inc     uint64
	dead    bool
	why     error
}

// NewCaller makes a caller with at most limit calls without an outcome; 0 means [DefaultPending].
func NewCaller(limit int) *Caller {
	if limit <= 0 {
		limit = DefaultPending
	}
	return &Caller{limit: uint64(limit), next: 1, settled: map[uint64]struct{}{}}
}

// Next is the number that the next call gets.
func (c *Caller) Next() uint64 { return c.next }

// Acked says up to which call all have their outcome.
func (c *Caller) Acked() uint64 { return c.acked }

// Pending is the number of calls without an outcome.
func (c *Caller) Pending() int { return int(c.next-1-c.acked) - len(c.settled) }

// Step takes one event and gives what is to be done, in order. No rule depends on time; now is there because
// all machines are driven alike.
func (c *Caller) Step(ev Event, _ int64) []Action {
	switch e := ev.(type) {
	case Call:
		return c.call()
	case Located:
		return c.located(e)
	case Result:
		return c.result(e.Seq)
	case Resend:
		return c.resend()
	case Dead:
		return c.die(e.Why)
	}
	return nil
}

func (c *Caller) call() []Action {
	if !c.dead && uint64(c.Pending()) >= c.limit {
		return []Action{Full{}}
	}
	c.next++
	if c.dead {
		return c.fail(c.next-1, nil)
	}
	return c.send(nil)
}

// send sends what the window allows.
func (c *Caller) send(acts []Action) []Action {
	if c.addr.IsZero() {
		return acts
	}
	for c.sent+1 < c.next && c.sent < c.acked+Window {
		c.sent++
		acts = append(acts, Send{c.sent, c.acked, c.addr, c.inc})
	}
	return acts
}

func (c *Caller) located(e Located) []Action {
	if c.dead || !c.addr.IsZero() && e.Incarnation < c.inc || e == (Located{c.addr, c.inc}) {
		return nil
	}
	var acts []Action
	if !c.addr.IsZero() && e.Incarnation != c.inc {
		acts = c.fail(c.sent, nil)
	}
	c.addr, c.inc = e.Addr, e.Incarnation
	return append(acts, c.resend()...)
}

// resend sends the calls without an outcome again, then those that were waiting.
func (c *Caller) resend() []Action {
	if c.dead || c.addr.IsZero() {
		return nil
	}
	var acts []Action
	for s := c.acked + 1; s <= c.sent; s++ {
		if !c.has(s) {
			acts = append(acts, Send{s, c.acked, c.addr, c.inc})
		}
	}
	return c.send(acts)
}

func (c *Caller) result(seq uint64) []Action {
	if c.dead || seq <= c.acked || seq > c.sent || c.has(seq) {
		return nil
	}
	c.settle(seq)
	return c.send([]Action{Done{seq}})
}

func (c *Caller) die(why error) []Action {
	if c.dead {
		return nil
	}
	c.dead, c.why = true, why
	return c.fail(c.next-1, nil)
}

// fail ends all calls up to a number. Those that were sent may have run.
func (c *Caller) fail(upto uint64, acts []Action) []Action {
	for s := c.acked + 1; s <= upto; s++ {
		if s > c.acked && !c.has(s) { // settle moves acked over those that were out of order
			acts = append(acts, Fail{s, s <= c.sent, c.why})
			c.settle(s)
		}
	}
	return acts
}

func (c *Caller) has(seq uint64) bool {
	_, ok := c.settled[seq]
	return ok
}

// settle notes that a call has its outcome.
func (c *Caller) settle(seq uint64) {
	c.settled[seq] = struct{}{}
	for c.has(c.acked + 1) {
		delete(c.settled, c.acked+1)
		c.acked++
	}
}
