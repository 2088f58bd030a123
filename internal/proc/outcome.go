package proc

import (
	"fmt"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/owner"
)

// failRecord ends a task that left with an error of the system.
func (p *Process) failRecord(rec *record, err error) {
	p.mu.Lock()
	f := rec.f
	rec.f = nil
	rec.o.err = p.record(err, "")
	todo := p.stepLocked(owner.Failed{ID: rec.o.id, Attempt: rec.attempt})
	p.endRecordLocked(rec, false)
	p.mu.Unlock()
	todo.run()
	if f != nil {
		f.Fail(err)
	}
	if rec.session != nil {
		rec.session.arrived(rec.seq)
	}
}

// endRecordLocked lets go of what a task that is done does not need any more.
func (p *Process) endRecordLocked(rec *record, stored bool) {
	rec.f, rec.deps, rec.out = nil, nil, false
	p.waits.sub(rec)
	if !stored && !rec.actor {
		rec.o.rec, rec.keep, rec.spec = nil, nil, nil
	}
}

// onMoved notes where own tasks are now.
func (p *Process) onMoved(f *wire.Frame) {
	m, ok := body[wire.Moved](p, f)
	if !ok || len(m.Attempts) != len(m.Tasks) || len(m.Steps) != len(m.Tasks) || len(m.Counts) != len(m.Tasks) {
		return
	}
	for i, t := range m.Tasks {
		for j := range min(m.Counts[i], wire.MaxRange) {
			p.moved(t.Plus(uint64(j)), m.Attempts[i], m.Steps[i], m.To)
		}
	}
}

func (p *Process) moved(t id.Task, n, step uint32, to id.Addr) {
	p.mu.Lock()
	var todo do
	a := attempt{t, n}
	if x, is := p.recalled[a]; is {
		p.mu.Unlock()
		p.cancelAt(to, a, Cancelling{Recursive: x.how.Recursive})
		return
	}
	o := p.objects[t.Object(0)]
	if o != nil && o.rec != nil {
		p.bounds.went(o.rec.bound, to)
	}
	if o != nil && o.rec != nil && o.rec.out && !to.IsZero() && n == o.rec.attempt && step >= o.rec.step {
		o.rec.at, o.rec.step = to, step
		if p.isDeadLocked(to) {
			todo = p.retryLocked(o.rec, "it had ended before the task got there")
		}
	}
	p.mu.Unlock()
	todo.run()
}

func (p *Process) isDeadLocked(a id.Addr) bool {
	for _, d := range []id.Addr{a, {Node: a.Node}} {
		if t, ok := p.dead[d]; ok && time.Since(t) < deadKept {
			return true
		}
	}
	return false
}

// onDead is the end of processes and nodes: tasks there run again, objects and references there are gone.
func (p *Process) onDead(f *wire.Frame) {
	m, ok := body[wire.Dead](p, f)
	if !ok {
		return
	}
	for _, a := range m.Addrs {
		p.addrDead(a, m.Why)
	}
}

func (p *Process) addrDead(a id.Addr, why string) {
	p.groupsDead(a, why)
	if a.Node == p.self.Node {
		p.feed.lastWords(a.Proc)
	}
	is := func(b id.Addr) bool { return b == a || a.Proc == 0 && b.Node == a.Node }
	p.mu.Lock()
	for d, t := range p.dead {
		if time.Since(t) > deadKept {
			delete(p.dead, d)
		}
	}
	p.dead[a] = time.Now()
	todo := p.stepLocked(owner.AddrDead{Addr: a})
	var gone []*session
	for _, o := range p.objects {
		if o.rec != nil && o.rec.out && o.rec.session == nil && is(o.rec.at) {
			todo = append(todo, p.retryLocked(o.rec, why)...)
		}
	}
	for _, o := range p.objects {
		if is(o.given) {
			o.given = id.Addr{}
		}
	}
	for s := range p.sessions {
		gone = append(gone, s)
	}
	var links []*sibling
	if s := p.links[a.Proc]; s != nil && a.Node == p.self.Node {
		links = append(links, s)
		delete(p.links, a.Proc)
	}
	p.mu.Unlock()
	p.calls.FailAddr(a, &UnavailableError{Text: fmt.Sprintf("%s has ended: %s", a, why)})
	todo.run()
	if a.Node == p.self.Node {
		p.feed.died(a.Proc, why)
	}
	for _, s := range gone {
		s.addrDead(is, why)
	}
	for _, s := range links {
		go s.close() // not within a drain of it
	}
}

// name is what rec runs.
func (rec *record) name() string {
	if rec.f != nil {
		return rec.f.Name()
	}
	s, _ := wire.ParseSpec(rec.spec)
	return s.Func
}

// retryLocked runs a task again whose process or node is gone, or fails it when it has used its retries up.
func (p *Process) retryLocked(rec *record, why string) do {
	if rec.left <= 0 {
		at := rec.at
		name := rec.name()
		actor := rec.actor
		return do{func() {
			if actor {
				p.failRecord(rec, &ActorDiedError{Actor: id.Actor(rec.o.id.Task()), Why: "its process on node " + at.Node.Short() + " ended while it was made: " + why})
				return
			}
			p.failRecord(rec, &WorkerDiedError{Func: name, Node: at.Node, Why: why})
		}}
	}
	rec.left--
	rec.at = id.Addr{}
	return p.stepLocked(owner.Retry{ID: rec.o.id})
}

// remakeLocked submits an own task again, as another attempt.
func (p *Process) remakeLocked(i id.Object, attempt uint32) do {
	o := p.objects[i]
	if o == nil || o.rec == nil {
		return nil
	}
	rec := o.rec
	rec.attempt, rec.at, rec.step, rec.out = attempt, id.Addr{}, 0, true
	if s := p.streams[i.Task()]; s != nil {
		s.restart(attempt)
	}
	o.info.Stored = false
	p.stats.retried.Add(1)
	if again := rec.remake; again != nil {
		return do{func() { again(attempt) }}
	}
	return do{func() {
		s, err := wire.ParseSpec(rec.spec)
		if err != nil {
			p.failRecord(rec, err)
			return
		}
		s.Attempt = attempt
		b := s.Append(nil)
		if rec.placed {
			p.mu.Lock()
			rec.spec = b
			p.mu.Unlock()
			p.askPlace(rec)
			return
		}
		p.runSpec(b)
	}}
}

// onResult takes the outcome of an own task.
func (p *Process) onResult(f *wire.Frame) {
	m, ok := body[wire.Result](p, f)
	if !ok {
		return
	}
	if n := len(m.Further); n > maxFurther {
		p.refuse(f, fmt.Errorf("kadre: a result with %d further objects, the limit is %d: start all processes from the same build", n, maxFurther))
		return
	}
	to := f.Head()
	p.result(&m, func(not []id.Object) {
		if len(not) == 0 {
			p.reply(to, nil)
			return
		}
		p.reply(to, wire.Marshal(&wire.IDs{IDs: not}))
	})
}

// result takes an outcome in, unless another attempt is to come; done is called when the references inside are
// registered here, with what of the further objects stays with who made them.
func (p *Process) result(m *wire.Result, done func(notTaken []id.Object)) {
	if !p.retries(m, done) {
		p.settleResult(m, done)
	}
}

func (p *Process) settleResult(m *wire.Result, done func(notTaken []id.Object)) {
	p.mu.Lock()
	if o := p.objects[m.Task.Object(0)]; o != nil && o.rec != nil && o.rec.f != nil {
		f, g := o.rec.f, o.rec.group
		var lost error
		if g != nil {
			lost = g.lost
		}
		p.mu.Unlock()
		f.Expire()
		if lost != nil { // it ended, or found room, as others of its group had ended
			f.Fail(lost)
		}
		p.mu.Lock()
	}
	o := p.objects[m.Task.Object(0)]
	if o == nil || o.rec == nil || p.closed != nil {
		p.mu.Unlock()
		if m.Stored {
			p.free(m.Task.Object(0), m.Attempt, []id.Node{m.By.Node}, true)
		}
		done(furtherIDs(m))
		return
	}
	rec := o.rec
	p.bounds.went(rec.bound, m.By)
	var todo do
	var not []id.Object
	f := rec.f
	accepted := false
	if m.Err != nil {
		if o.err == nil && o.val == nil {
			o.err = m.Err
		}
		todo = p.stepLocked(owner.Failed{ID: o.id, Attempt: m.Attempt})
		accepted = f != nil && m.Attempt == rec.attempt
		rec.out = rec.out && m.Attempt != rec.attempt
	} else {
		before, _ := p.table.Info(o.id)
		var further []owner.Further
		after := func() do { return nil }
		if before.State == owner.StatePending && before.Attempt == m.Attempt {
			further, after, todo = p.takeFurther(m)
		}
		pins, more := p.pinLocked(notFurther(m))
		todo = append(todo, more...)
		if before.State == owner.StatePending && before.Attempt == m.Attempt {
			accepted = true
			if m.Stored {
				o.info = wire.ObjectInfo{ID: o.id, Owner: p.self, State: wire.ObjectReady, Stored: true, Size: m.Size, Hash: m.Hash, Attempt: m.Attempt}
			} else {
				o.val = &Value{Data: append([]byte{}, m.Inline...)}
			}
		}
		todo = append(todo, p.stepLocked(owner.Sealed{ID: o.id, Attempt: m.Attempt, Stored: m.Stored,
			Node: m.By.Node, Size: max(m.Size, uint64(len(m.Inline))), Hash: m.Hash, Contains: pins, Further: further})...)
		todo = append(todo, after()...)
		not = p.notTakenLocked(m)
	}
	if m.Stored && p.isDeadLocked(id.Addr{Node: m.By.Node}) { // the news of its death overtook the result
		todo = append(todo, p.stepLocked(owner.Dropped{ID: o.id, Node: m.By.Node})...)
	}
	for i := range m.Further {
		for _, n := range m.Further[i].Nodes {
			if p.isDeadLocked(id.Addr{Node: n}) {
				todo = append(todo, p.stepLocked(owner.Dropped{ID: m.Further[i].ID, Node: n})...)
			}
		}
	}
	val := o.val
	sess, seq := rec.session, rec.seq
	if s := p.streams[m.Task]; s != nil && accepted && (m.Err == nil || m.Err.Class == wire.ErrorTask) {
		s.ended(m.Items)
	}
	if accepted {
		if m.By.Node != p.self.Node {
			o.shared = true
		}
		p.endRecordLocked(rec, m.Stored || slices.ContainsFunc(m.Further, func(x wire.Further) bool { return x.Stored && x.Again }))
	}
	p.mu.Unlock()
	todo.run()
	if accepted && f != nil {
		switch {
		case m.Err != nil:
			f.Fail(failure(m.Err))
		case m.Stored:
			f.Finish()
		default:
			p.fill(f, val.Data)
		}
	}
	if accepted && sess != nil {
		if m.Err != nil && m.Err.Class == wire.ErrorActorDied {
			sess.died(m.Err.Text)
		}
		sess.arrived(seq)
	}
	p.afterBorrows(func() { done(not) })
}
