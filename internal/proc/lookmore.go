package proc

import (
	"slices"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/waits"
	"github.com/kadrehq/kadre/sched"
)

// sent makes rows of own tasks that are elsewhere or on their way.
func (l *looker) sent() {
	p := l.p
	var sessions []*session
	var recs []*record
	early := map[*Future][]*Future{}
	p.mu.Lock()
	for _, o := range p.objects {
		if o.rec != nil && o.rec.f != nil {
			recs = append(recs, o.rec)
			l.gone[&o.rec.f.Task] = id.Addr{}
		}
	}
	for f, deps := range p.early {
		early[f] = deps
	}
	for s := range p.sessions {
		sessions = append(sessions, s)
	}
	p.mu.Unlock()
	for _, rec := range recs {
		at := p.whereIs(rec)
		p.mu.Lock()
		if rec.f != nil {
			l.gone[&rec.f.Task] = at
		}
		p.mu.Unlock()
	}
	for t := range l.gone {
		if l.full {
			l.away(t)
		}
	}
	for _, f := range p.inbox.all() { // nobody here may wait for those that take arguments
		if deps := f.Needs(); deps != nil {
			l.takes(&f.Task, deps)
		}
	}
	for f, deps := range early {
		if !f.Ready() {
			l.takes(&f.Task, tasksOf(deps))
		}
	}
	for _, s := range sessions {
		l.unborn(s)
	}
}

// feed makes rows of tasks that wait for this node's worker, by function, and notes which those are that it has.
func (l *looker) feed() {
	d := l.p.feed
	if d == nil {
		return
	}
	l.fed = map[*Future]uint64{}
	counts := map[string]int{}
	d.mu.Lock()
	d.eachLocked(func(_ uint32, _ int, o out) {
		l.fed[o.f], l.gone[&o.f.Task] = o.num, id.Addr{Node: l.p.self.Node, Proc: d.to}
	})
	d.queue.counts(counts)
	d.mu.Unlock()
	if !l.full {
		return
	}
	for f, n := range counts {
		l.out.Rows = append(l.out.Rows, l.counted(f, n))
	}
}

// counted is the row of queued tasks that are not told one by one.
func (l *looker) counted(fn string, n int) waits.Row {
	return waits.Row{Key: "queued of " + fn + " in " + l.p.self.Proc.String(), Job: l.p.job.String(), Func: fn, State: waits.Queued,
		Node: string(l.p.self.Node), PID: l.p.pid, Count: n}
}

// away makes the row of a task that is elsewhere, where it has none.
func (l *looker) away(t *sched.Task) {
	at, ok := l.gone[t]
	if _, here := l.at[t]; here || !ok || t.Ready() {
		return
	}
	r := l.row(t)
	r.Sure, r.PID, r.Node = sureSent, 0, string(at.Node)
	if at.Proc != 0 {
		r.At = at.Proc.String()
	}
}

// unborn makes rows of calls on an actor of which it is not known yet where it lives.
func (l *looker) unborn(s *session) {
	s.mu.Lock()
	var calls, handles []*sched.Task
	for _, c := range s.early[:min(len(s.early), maxCalls)] {
		calls, handles = append(calls, &c.f.Task), append(handles, &c.h.Task)
	}
	s.mu.Unlock()
	for i, t := range calls {
		if t.Ready() {
			continue
		}
		x := l.target(handles[i], "waits for the actor to be made by")
		r := l.row(t)
		r.State, r.For, r.Need, r.Wait = waits.Waiting, []waits.Target{x}, 1, number(t, handles[i])
	}
}

// takes makes the row of a task that waits for its arguments.
func (l *looker) takes(t *sched.Task, deps []*sched.Task) {
	r := l.row(t)
	if len(r.For) > 0 {
		return
	}
	open := deps[:0:0]
	for _, d := range deps {
		if !d.Ready() {
			open = append(open, d)
		}
	}
	if len(open) == 0 {
		return
	}
	var to []waits.Target
	for _, d := range open[:min(len(open), waits.MaxTargets)] {
		to = append(to, l.target(d, "takes the result of"))
	}
	r = l.row(t)
	r.State, r.For, r.More, r.Need, r.Wait = waits.Waiting, to, len(open)-len(to), len(open), number(append([]*sched.Task{t}, open...)...)
}

// queued makes rows of what waits for a CPU: some singly, the others counted by function.
func (l *looker) queued() {
	counts := map[*sched.Func]int{}
	known := map[*sched.Func]bool{}
	var singles, more []*sched.Task
	l.p.engine.EachQueued(func(t *sched.Task, n int) {
		f := t.Func()
		ours, ok := known[f]
		if !ok {
			ours = registered(f)
			known[f] = ours
		}
		switch {
		case !ours:
		case n == 1 && len(singles) < maxSingles:
			singles = append(singles, t)
		default:
			counts[f] += n
			if t.HasExt() != nil && len(more) < maxFollowed {
				more = append(more, t)
			}
		}
	})
	for _, t := range singles {
		if t.Queued() {
			l.row(t)
		}
	}
	for f, n := range counts {
		l.out.Rows = append(l.out.Rows, l.counted(f.Name, n))
	}
	l.follow(more)
}

// hung makes rows of tasks that wait for their arguments: those that hang on tasks with rows, and so on.
func (l *looker) hung() {
	for done := 0; done < len(l.order) && done < maxFollowed; {
		upto := len(l.order)
		l.follow(slices.Clone(l.order[done:upto]))
		done = upto
	}
}

// follow makes rows of what hangs on tasks.
func (l *looker) follow(on []*sched.Task) {
	var found []*sched.Task
	for _, t := range on {
		t.EachDependent(func(d *sched.Task) { found = append(found, d) })
	}
	for _, t := range found[:min(len(found), maxFollowed)] {
		if deps := t.Needs(); deps != nil && registered(t.Func()) {
			l.takes(t, deps)
		}
	}
}

// targets makes rows of what is waited for and waits itself: tasks that take arguments, calls far back in a queue.
func (l *looker) targets() {
	seen := map[*sched.Task]bool{}
	var look func(t *sched.Task)
	look = func(t *sched.Task) {
		if seen[t] || len(seen) > maxFollowed {
			return
		}
		seen[t] = true
		if !registered(t.Func()) || t.Ready() {
			return
		}
		if i, ok := l.at[t]; ok && len(l.out.Rows[i].For) > 0 {
			return
		}
		l.away(t)
		if deps := t.Needs(); deps != nil {
			l.takes(t, deps)
			for _, d := range deps {
				look(d)
			}
		}
		if a := futureOf(t).on(); a != nil && l.boxes[a].Running != t && l.boxes[a].Running != nil {
			l.call(t, a)
		}
	}
	for _, w := range l.p.engine.Waits(waits.MaxTargets) {
		for _, t := range w.For {
			look(t)
		}
	}
}
