package proc

import (
	"os"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/owner"
	"github.com/kadrehq/kadre/sched"
)

// Cancelling is how a task is ended before it is done.
type Cancelling struct {
	Force     bool // also its process, where that is its own
	Recursive bool // also what it has started
}

// Cancelling a task that has left. Its future fails here, whatever becomes of the rest; its record ends
// (recall), and whoever runs the attempt or has it queued is told (KCancel), now and whenever it is reported to
// have moved; the node that places it, while no process has it. There the task fails too, which ends its context and drops its result.

// inbox has the tasks of specifications that are queued or run in this process.
type inbox [16]struct {
	mu sync.Mutex
	m  map[attempt]*Future
}

type attempt struct {
	task id.Task
	n    uint32
}

// enter keeps f findable until it is done.
func (x *inbox) enter(a attempt, f *Future) {
	s := &x[a.task[15]%16]
	s.mu.Lock()
	if s.m == nil {
		s.m = map[attempt]*Future{}
	}
	s.m[a] = f
	s.mu.Unlock()
}

func (x *inbox) leave(a attempt) {
	s := &x[a.task[15]%16]
	s.mu.Lock()
	delete(s.m, a)
	s.mu.Unlock()
}

func (x *inbox) find(a attempt) *Future {
	s := &x[a.task[15]%16]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[a]
}

// all lists the tasks.
func (x *inbox) all() (fs []*Future) {
	for i := range x {
		s := &x[i]
		s.mu.Lock()
		for _, f := range s.m {
			fs = append(fs, f)
		}
		s.mu.Unlock()
	}
	return fs
}

// recalled remembers attempts that were cancelled: reports of where they are may still come.
type recalled map[attempt]recalling

type recalling struct {
	at  time.Time
	how Cancelling
}

const (
	recallKept = time.Minute // how long such a report may take
	maxRecalls = 1 << 16     // remembered; beyond that a task runs in vain
)

func (r recalled) add(a attempt, how Cancelling) {
	if len(r) >= maxRecalls {
		for a, x := range r {
			if time.Since(x.at) > recallKept {
				delete(r, a)
			}
		}
	}
	if len(r) < maxRecalls {
		r[a] = recalling{time.Now(), how}
	}
}

// recall ends a task that left and whose future was ended here, by its context or by Cancel.
func (p *Process) recall(rec *record) {
	p.mu.Lock()
	f := rec.f
	if f == nil || p.closed != nil {
		p.mu.Unlock()
		return // its outcome has ended it
	}
	a, at, placed := attempt{rec.o.id.Task(), rec.attempt}, rec.at, rec.placed
	rec.f = nil
	how := Cancelling{Force: f.cold().force.Load(), Recursive: f.endsAll()}
	rec.o.err = p.record(f.Failure(), f.Name())
	todo := p.stepLocked(owner.Failed{ID: rec.o.id, Attempt: rec.attempt})
	p.endRecordLocked(rec, false)
	p.recalled.add(a, how)
	p.mu.Unlock()
	todo.run()
	p.cancelAt(at, a, how)
	if at.IsZero() && placed { // it is on its way to a process, or waits on a node
		p.notify(p.nodeAddr(), wire.KCancel, wire.Marshal(&wire.Cancel{Tasks: []id.Task{a.task}, Attempts: []uint32{a.n}}))
	}
}

// endsAll says whether a future that failed takes with it what its task has started: that was asked for, or the context
// has ended that bounds both.
func (f *Future) endsAll() bool {
	if c := f.look(); c != nil && c.recursive.Load() {
		return true
	}
	err := f.Failure()
	_, cancelled := err.(*sched.CancelledError)
	return cancelled && err != ErrCancelled
}

// cancelAt tells who has an attempt that nobody wants its outcome; where that is not known yet, or it is on its
// way between nodes, a report is to come.
func (p *Process) cancelAt(at id.Addr, a attempt, how Cancelling) {
	if at.IsZero() || at == p.self {
		p.cancelHere(a, how)
		return
	}
	if at.Proc != 0 {
		p.notify(at, wire.KCancel, wire.Marshal(&wire.Cancel{Tasks: []id.Task{a.task}, Attempts: []uint32{a.n}, Force: how.Force, Recursive: how.Recursive}))
	}
}

// onCancel ends tasks that came from elsewhere.
func (p *Process) onCancel(f *wire.Frame) {
	m, ok := body[wire.Cancel](p, f)
	for _, name := range m.Bounds {
		p.bounds.ended(name)
	}
	if len(m.Lines) > 0 {
		p.lines.ended(m.Lines)
		return
	}
	how := Cancelling{Force: m.Force, Recursive: m.Recursive}
	switch {
	case !ok:
		return
	case len(m.Attempts) == 0:
		for _, t := range m.Tasks {
			p.cancelOwn(t, how)
		}
		return
	case len(m.Attempts) != len(m.Tasks):
		p.log.Warn("kadre: bad message", "kind", f.Kind, "from", f.From, "tasks", len(m.Tasks), "attempts", len(m.Attempts))
		return
	}
	for i, t := range m.Tasks {
		p.cancelHere(attempt{t, m.Attempts[i]}, how)
	}
}

// grace is how long a task may take to return after its context has ended, before its process is ended.
const grace = 5 * time.Second

func (p *Process) cancelHere(a attempt, how Cancelling) {
	f := p.inbox.find(a)
	if f == nil {
		return
	}
	if how.Recursive {
		p.engine.CancelStarted(&f.Task)
	}
	if !how.Force || !f.spec().OwnProcess {
		f.Fail(ErrCancelled)
		return
	}
	f.Task.Cancel() // it is done when it returns: until then the node gives its process nothing else
	time.AfterFunc(grace, func() {
		if !f.Ready() {
			p.log.Error("kadre: ending the process of a task that was cancelled by force and does not return", "task", f.Name())
			os.Exit(exitForced)
		}
	})
}

// exitForced is the exit status of a worker whose task was cancelled by force.
const exitForced = 3

// Cancel ends f's task for who waits for it: f fails with ErrCancelled, its context ends, and what it still gives
// is dropped. The task of a reference that was borrowed is ended by its owner.
func (p *Process) Cancel(f *Future, how Cancelling) {
	if o := f.object(); o != nil && o.owner != p.self {
		p.notify(o.owner, wire.KCancel, wire.Marshal(&wire.Cancel{Tasks: []id.Task{o.id.Task()}, Force: how.Force, Recursive: how.Recursive}))
		return
	}
	if !f.Ready() {
		f.cold().force.Store(how.Force)
		if how.Recursive {
			f.cold().recursive.Store(true)
			p.engine.CancelStarted(&f.Task)
		}
		known := f.object() != nil || p.feed != nil // what it started in other processes has its name, then
		f.Fail(ErrCancelled)
		p.feed.drop(f)
		if how.Recursive && known {
			p.endLine(f.ID().Task())
		}
	}
}

// cancelOwn is Cancel for another process.
func (p *Process) cancelOwn(t id.Task, how Cancelling) {
	p.mu.Lock()
	var f *Future
	if o := p.objects[t.Object(0)]; o != nil {
		if f = o.fut.Value(); f == nil && o.rec != nil {
			f = o.rec.f
		}
	}
	p.mu.Unlock()
	if f != nil {
		p.Cancel(f, how)
	}
}
