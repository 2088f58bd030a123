package session

// CalleeEvent is one thing that happened at the actor: Arrived, Finished or Taken.
type CalleeEvent interface{ calleeEvent() }

// Arrived is a call from the network.
type Arrived struct {
	Seq         uint64
	Acked       uint64
	Incarnation uint64
	Payload     any
}

// Finished is the result of a call that ran. A failure of the method is a result too.
type Finished struct {
	Seq    uint64
	Result any
}

// Taken says that the caller has the result of one call.
type Taken struct{ Seq uint64 }

func (Arrived) calleeEvent()  {}
func (Finished) calleeEvent() {}
func (Taken) calleeEvent()    {}

// CalleeAction is one thing the actor's shell has to do: Run, Answer or Refuse.
type CalleeAction interface{ calleeAction() }

// Run runs a call; Runs come in the order of their numbers, each once, and are to be run in that order.
type Run struct {
	Seq     uint64
	Payload any
}

// Answer sends a result, for the first time or again.
type Answer struct {
	Seq    uint64
	Result any
}

// Refuse tells a caller that its call was meant for another incarnation than this one.
type Refuse struct {
	Seq         uint64
	Incarnation uint64
}

func (Run) calleeAction()    {}
func (Answer) calleeAction() {}
func (Refuse) calleeAction() {}

// Callee is the actor's side of one caller's session. Calls up to base are over, calls below next were run or
// are running, calls from next on came early: base < next <= base+Window+1.
type Callee struct {
	inc   uint64
	base  uint64
	next  uint64
	slots map[uint64]*slot // calls above base; at most Window
}

// slot is one call: waiting, running, finished, or taken.
type slot struct {
	finished bool
	taken    bool
	value    any // the payload while it waits, the result while it is kept
}

// NewCallee makes the actor's side of a session for one incarnation.
func NewCallee(incarnation uint64) *Callee {
	return &Callee{inc: incarnation, next: 1, slots: map[uint64]*slot{}}
}

// Len is the number of calls and results kept.
func (c *Callee) Len() int { return len(c.slots) }

// Step takes one event and gives what is to be done, in order. No rule depends on time; now is there because
// all machines are driven alike.
func (c *Callee) Step(ev CalleeEvent, _ int64) []CalleeAction {
	switch e := ev.(type) {
	case Arrived:
		return c.arrived(e)
	case Finished:
		if s := c.slots[e.Seq]; s != nil && e.Seq < c.next && !s.finished {
			s.finished, s.value = true, e.Result
			return []CalleeAction{Answer(e)}
		}
	case Taken:
		if s := c.slots[e.Seq]; s != nil && s.finished {
			s.taken, s.value = true, nil
			c.trim()
		}
	}
	return nil
}

func (c *Callee) arrived(e Arrived) []CalleeAction {
	if e.Incarnation != c.inc {
		return []CalleeAction{Refuse{e.Seq, c.inc}}
	}
	if e.Acked < e.Seq {
		c.forget(e.Acked)
	}
	if e.Seq <= c.base || e.Seq > c.base+Window {
		return nil // over, or from a caller that does not keep to the window
	}
	switch s := c.slots[e.Seq]; {
	case s == nil:
		c.slots[e.Seq] = &slot{value: e.Payload}
	case s.finished && !s.taken:
		return []CalleeAction{Answer{e.Seq, s.value}}
	}
	return c.run()
}

// run starts the calls that have no gap before them.
func (c *Callee) run() (acts []CalleeAction) {
	for s := c.slots[c.next]; s != nil; s = c.slots[c.next] {
		acts = append(acts, Run{c.next, s.value})
		s.value = nil
		c.next++
	}
	return acts
}

// forget drops the calls that have had their outcome at the caller. Calls that never came here need not any more.
func (c *Callee) forget(acked uint64) {
	for c.base < acked && len(c.slots) > 0 {
		c.base++
		delete(c.slots, c.base)
	}
	c.base = max(c.base, acked)
	c.next = max(c.next, c.base+1)
}

func (c *Callee) trim() {
	for s := c.slots[c.base+1]; s != nil && s.taken; s = c.slots[c.base+1] {
		c.base++
		delete(c.slots, c.base)
	}
}
