package proc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

const (
	carryTick = time.Millisecond // between two looks at the carrier
	carryRest = 20               // looks without a task before the watch sleeps
)

// carrier is the poll goroutine's other role: it runs the short tasks that come. When one of them blocks or takes
// long after all, another goroutine becomes the poll goroutine, what was not started goes to the engine, and
// the one that is held up ends with its task.
type carrier struct {
	p *Process

	// of the poll goroutine
	fresh []*Future // came since the last round
	spare []*Future
	slot  bool // it has a CPU slot
	by    lastBound

	into   atomic.Pointer[intake] // where results wait for those of the tasks behind them
	now    atomic.Uint64          // the turn, and in the low half a number of the task that runs or 0
	rounds atomic.Uint64          // of tasks to carry
	asleep atomic.Bool            // the watch is
	awake  chan struct{}

	mu   sync.Mutex // held while the role is passed on
	work []*Future  // the round that runs
}

// lastBound is what bounds the task that came last by a short frame.
type lastBound struct {
	in   *intake
	num  uint64
	root context.Context
}

// bound is what a call stands on that came by in. What it gave last is kept until the poll goroutine sleeps.
func (c *carrier) bound(in *intake, call *wire.Call) context.Context {
	switch {
	case call.Bound == 0 && call.Left == 0:
		return c.p.root
	case call.Bound == 0:
		return c.p.bound(wire.Bound{}, nil, call.Left)
	}
	if c.by.in != in || c.by.num != call.Bound || c.by.root.Err() != nil {
		c.by = lastBound{in, call.Bound, c.p.bound(in.bound(call), nil, call.Left)}
	}
	return c.by.root
}

func newCarrier(p *Process) *carrier { return &carrier{p: p, awake: make(chan struct{}, 1)} }

// came is called on the poll goroutine.
func (c *carrier) came(f *Future) { c.fresh = append(c.fresh, f) }

// run is a turn of the poll goroutine.
func (c *carrier) run(turn uint64) {
	p, normal := c.p, false
	var in carried
	defer func() {
		if !normal { // a task ended the goroutine
			p.engine.Repay()
			c.pass(in.at)
			in.f.inbound().answer(in.f)
			c.flush()
		}
	}()
	h := wire.Hooks{Work: func() bool { return c.round(turn, &in) }, Each: p.engine.WordsFreed, Spin: p.idleCPU, Rest: c.rest}
	if p.feed == nil { // else it is the worker who goes
		h.Move = shm.ChangeCPU
	}
	mine := p.poller.Run(turn, p.pollEnd.Load, h)
	normal = true
	if mine {
		c.rest()
		p.wg.Done()
	}
}

// carried is the task that a poll goroutine is in.
type carried struct {
	f  *Future
	at uint64 // what carrier.now is meanwhile
}

// round starts what has come; it says whether there was anything.
func (c *carrier) round(turn uint64, in *carried) bool {
	if len(c.fresh) == 0 {
		return false
	}
	work := c.spare[:0]
	for _, f := range c.fresh {
		if f.inbound().short.in.start(f) {
			work = append(work, f)
		}
	}
	clear(c.fresh)
	c.fresh = c.fresh[:0]
	if len(work) == 0 {
		return true
	}
	c.hold()
	c.mu.Lock()
	c.work = work
	c.mu.Unlock()
	for i, f := range work {
		*in = carried{f, turn<<32 | uint64(i+1)}
		a := f.inbound().short
		a.carried = true
		if c.into.Load() != a.in {
			c.flush()
			c.into.Store(a.in)
		}
		c.now.Store(in.at)
		ran := c.p.engine.Carry(&f.Task)
		kept := c.now.CompareAndSwap(in.at, turn<<32)
		if ran {
			f.inbound().answer(f)
		}
		if !kept {
			a.in.flush()
			c.p.engine.Repay() // the slot was this goroutine's
			c.mu.Lock()
			c.mu.Unlock() //lint:ignore SA2001 until the next one has its turn
			return true
		}
	}
	c.flush()
	c.mu.Lock()
	c.work = nil
	c.mu.Unlock()
	clear(work)
	c.spare = work
	return true
}

// flush sends the results that wait for others.
func (c *carrier) flush() {
	if in := c.into.Load(); in != nil {
		in.flush()
	}
}

// hold takes a CPU slot until the poll goroutine sleeps, or others wait for one.
func (c *carrier) hold() {
	if c.slot && c.p.engine.Contended() {
		c.slot = false
		c.p.engine.Repay()
	}
	if !c.slot {
		c.p.engine.Borrow()
		c.slot = true
	}
	c.rounds.Add(1)
	if c.asleep.Load() && c.asleep.CompareAndSwap(true, false) {
		c.awake <- struct{}{}
	}
}

func (c *carrier) rest() {
	c.by = lastBound{}
	if c.slot {
		c.slot = false
		c.p.engine.Repay()
	}
}

// pass makes a new goroutine the poll goroutine, in place of the one that is in the task at.
func (c *carrier) pass(at uint64) {
	c.mu.Lock()
	if uint32(at) == 0 || !c.now.CompareAndSwap(at, (at>>32+1)<<32) {
		c.mu.Unlock()
		return
	}
	work := c.work
	c.work, c.spare, c.slot, c.by = nil, nil, false, lastBound{}
	next := c.p.poller.Turn()
	c.mu.Unlock()
	c.flush() // the one that is held up may wait for who waits for these
	for _, f := range work {
		if !f.Stale() {
			f.inbound().short.carried = false
			f.OnDone(func() { f.inbound().answer(f) })
			c.p.engine.Queue(&f.Task)
		}
	}
	go c.run(next)
}

// blocked is called when a task that may be carried is about to block.
func (c *carrier) blocked(t *sched.Task) {
	at := c.now.Load()
	if uint32(at) == 0 {
		return
	}
	c.mu.Lock()
	held := false
	for _, f := range c.work {
		held = held || &f.Task == t
	}
	c.mu.Unlock()
	if held {
		c.pass(at)
	}
}

// watch passes the role on when a task takes long.
func (c *carrier) watch() {
	t := time.NewTicker(carryTick)
	defer t.Stop()
	var last, was uint64
	quiet := 0
	for {
		select {
		case <-t.C:
		case <-c.p.ctx.Done():
			return
		}
		at, n := c.now.Load(), c.rounds.Load()
		if uint32(at) != 0 && at == was && n == last {
			c.pass(at)
		}
		was = at
		if quiet++; n != last {
			quiet = 0
		}
		last = n
		if quiet < carryRest {
			continue
		}
		c.asleep.Store(true)
		if c.rounds.Load() != last {
			if c.asleep.CompareAndSwap(true, false) {
				quiet = 0
				continue
			}
		}
		t.Stop()
		select {
		case <-c.awake:
		case <-c.p.ctx.Done():
			return
		}
		quiet = 0
		t.Reset(carryTick)
	}
}
