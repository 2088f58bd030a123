package actor

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/kadrehq/kadre/sched"
)

// Mailbox runs the calls on one actor, one at a time.
type Mailbox struct {
	// constant after construction
	e  *sched.Engine
	fn sched.Func // of drain tasks

	mu       sync.Mutex
	queue    queue
	drainer  *sched.Task // submitted and not started
	draining bool
	running  *sched.Task // the call that runs
	getter   *sched.Task // the task on whose goroutine it does; nil: on none's
	closed   error
}

// call is one call that waits.
type call struct {
	t   *sched.Task
	run func(*sched.Task)
}

// NewMailbox makes the mailbox of an actor whose calls run on e.
func NewMailbox(e *sched.Engine) *Mailbox {
	m := &Mailbox{e: e}
	m.fn.Name = "actor's calls"
	m.fn.Run = m.start
	return m
}

// Push appends a call. t is external; run is called once, runs the method, and finishes or fails t. A t that
// is ready when its turn comes is passed over. It returns a *DiedError after Close, or ErrFull; t is the
// caller's to fail then.
func (m *Mailbox) Push(t *sched.Task, run func(*sched.Task)) error {
	m.mu.Lock()
	if why := m.closed; why != nil {
		m.mu.Unlock()
		return &DiedError{Why: why}
	}
	if m.queue.len() >= maxCalls {
		m.mu.Unlock()
		return ErrFull
	}
	m.queue.push(call{t, run})
	d := m.drainerLocked()
	m.mu.Unlock()
	m.submit(d)
	return nil
}

// Assist runs calls on the calling goroutine up to t, when nobody else does so already, and says whether t is
// ready then. It is for getters that would wait for t however long it takes: the calls before t run too. Me is the task
// that waits, if it is one.
func (m *Mailbox) Assist(me, t *sched.Task) bool {
	m.mu.Lock()
	if m.draining || m.queue.len() == 0 || t.Ready() {
		m.mu.Unlock()
		return t.Ready()
	}
	m.draining, m.getter = true, me
	m.mu.Unlock()
	m.drain(t)
	return t.Ready()
}

// Len is the number of calls that wait; one that is running is not counted.
func (m *Mailbox) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queue.len()
}

// View is what a mailbox looks like at one moment.
type View struct {
	Running *sched.Task   // nil: none
	Getter  *sched.Task   // the task that waits for Running, or for a call behind it, and runs it itself; nil: none
	Waiting []*sched.Task // the oldest of those that wait
	More    int           // how many wait behind these
}

// Look tells what runs and what waits, at most most of the latter.
func (m *Mailbox) Look(most int) (v View) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v.Running, v.Getter = m.running, m.getter
	for i := m.queue.head; i < len(m.queue.calls) && len(v.Waiting) < most; i++ {
		v.Waiting = append(v.Waiting, m.queue.calls[i].t)
	}
	v.More = m.queue.len() - len(v.Waiting)
	return v
}

// Abandoned says whether a call still runs that Close found running.
func (m *Mailbox) Abandoned() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed != nil && m.running != nil
}

// Close ends the mailbox: calls that wait fail with a *DiedError, the one that is running with one that says
// that it may have run. It does not wait for that one. Only the first Close counts.
func (m *Mailbox) Close(why error) {
	m.mu.Lock()
	if m.closed != nil {
		m.mu.Unlock()
		return
	}
	m.closed = why
	waiting, running := m.queue.take(), m.running
	m.mu.Unlock()
	if running != nil {
		running.Fail(&DiedError{Why: why, MayHaveRun: true})
	}
	for _, c := range waiting {
		c.t.Fail(&DiedError{Why: why})
	}
}

// Finish is Close by the call that runs: that one goes on to its end.
func (m *Mailbox) Finish(why error) {
	m.mu.Lock()
	if m.closed != nil {
		m.mu.Unlock()
		return
	}
	m.closed = why
	waiting := m.queue.take()
	m.mu.Unlock()
	for _, c := range waiting {
		c.t.Fail(&DiedError{Why: why})
	}
}

// drainerLocked makes a drain task if one is needed.
func (m *Mailbox) drainerLocked() *sched.Task {
	if m.draining || m.drainer != nil || m.queue.len() == 0 {
		return nil
	}
	m.drainer = new(sched.Task)
	return m.drainer
}

func (m *Mailbox) submit(d *sched.Task) {
	if d == nil {
		return
	}
	m.e.Submit(context.Background(), d, &m.fn, sched.Opts{Milli: sched.NoSlot, NoInline: true})
	d.OnDone(func() { m.refused(d) })
}

// refused fails what waits when the engine did not start a drain task: it was closed, or is full.
func (m *Mailbox) refused(d *sched.Task) {
	m.mu.Lock()
	if m.drainer != d { // it was started
		m.mu.Unlock()
		return
	}
	m.drainer = nil
	var waiting []call
	if !m.draining { // who drains will try again at the end
		waiting = m.queue.take()
	}
	m.mu.Unlock()
	for _, c := range waiting {
		c.t.Fail(fmt.Errorf("%w: %w", errNotDrained, d.Failure()))
	}
}

// start is a drain task's run.
func (m *Mailbox) start(d *sched.Task) {
	m.mu.Lock()
	m.drainer = nil
	drain := !m.draining
	m.draining = true
	m.mu.Unlock()
	if drain {
		m.drain(nil)
	}
	d.Finish()
}

// drain runs calls until none waits, or until t is ready where that is not nil. The caller has set draining.
// It also hands over when a method ends the goroutine with Goexit.
func (m *Mailbox) drain(t *sched.Task) {
	defer func() {
		m.mu.Lock()
		m.draining, m.getter = false, nil
		d := m.drainerLocked()
		m.mu.Unlock()
		m.submit(d)
	}()
	for t == nil || !t.Ready() {
		m.mu.Lock()
		c, ok := m.queue.pop()
		m.running = c.t
		m.mu.Unlock()
		if !ok {
			return
		}
		m.call(c)
	}
}

// call runs one call. What ends without returning fails it.
func (m *Mailbox) call(c call) {
	normal := false
	defer func() {
		if !normal {
			if r := recover(); r != nil {
				c.t.Fail(&sched.PanicError{Value: r, Stack: debug.Stack()})
			} else {
				c.t.Func().SetExits()
				c.t.Fail(sched.ErrGoexit)
			}
		}
		m.mu.Lock()
		m.running = nil
		m.mu.Unlock()
	}()
	if !c.t.Ready() {
		c.run(c.t)
	}
	normal = true
}
