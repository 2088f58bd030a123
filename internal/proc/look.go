package proc

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/actor"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/waits"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

const (
	// maxSingles bounds the queued tasks that a listing names one by one; the others are counted by function.
	maxSingles = 200
	// maxCalls bounds the calls of one actor's queue likewise.
	maxCalls = 100
	// maxRows bounds the rows of one answer: beyond it alike ones are put together.
	maxRows = 1000
	// maxEvents bounds the events of one answer, to what fits a message.
	maxEvents = 1000
	// maxFollowed bounds the tasks that are looked at for others that hang on them.
	maxFollowed = 20_000
)

// Sure figures of rows, see waits.Row: who has a task knows more of it than who sent it away.
const (
	sureSent = 1
	sureHere = 3
)

// onStatus tells who asks what this process does.
func (p *Process) onStatus(f *wire.Frame) {
	m, ok := body[wire.StatusQuery](p, f)
	if !ok {
		return
	}
	to := f.Head()
	go func() {
		b, ok, err := p.traced(m.What)
		switch {
		case ok:
		case m.What == "events":
			es := p.engine.Events()
			b, err = json.Marshal(es[max(0, len(es)-maxEvents):])
		default:
			b, err = json.Marshal(p.survey(m.What == "tasks"))
		}
		if err != nil {
			p.refuse(to, err)
			return
		}
		p.reply(to, b)
	}()
}

// survey tells what the tasks of this process do: all of them, or those that wait.
func (p *Process) survey(full bool) waits.Process {
	l := &looker{p: p, full: full, now: time.Now(), at: map[*sched.Task]int{}, getter: map[*sched.Task]*sched.Task{}, gone: map[*sched.Task]id.Addr{}}
	l.feed()
	l.actors()
	l.runs()
	l.waiting()
	l.sent()
	if full {
		l.queued()
	}
	l.hung()
	l.targets()
	l.out.Abandoned = p.engine.Stats().Abandoned
	for _, s := range Functions() {
		l.out.Funcs = append(l.out.Funcs, waits.Func{Name: s.Name, Runs: s.Runs, Failed: s.Failed})
	}
	if !full {
		l.out.Rows = waitingOnly(l.out.Rows)
	}
	l.out.Rows = waits.Compact(l.out.Rows, maxRows)
	return l.out
}

func waitingOnly(rows []waits.Row) []waits.Row {
	kept := rows[:0]
	for _, r := range rows {
		if r.State == waits.Waiting || r.At != "" { // that process may be stopped
			kept = append(kept, r)
		}
	}
	return kept
}

// looker makes the rows of one look.
type looker struct {
	p      *Process
	full   bool
	now    time.Time
	out    waits.Process
	at     map[*sched.Task]int // the row of a task
	order  []*sched.Task       // tasks with rows
	waits  []sched.Wait
	getter map[*sched.Task]*sched.Task // the task on whose goroutine another one runs
	boxes  map[*instance]actor.View
	gone   map[*sched.Task]id.Addr // own tasks that are elsewhere, and where; zero: on their way
	fed    map[*Future]uint64      // numbers of the IDs of tasks that the worker of this node has, which came by short frames
}

// taskID is the ID of a task, if it has one that another process may know.
func (l *looker) taskID(f *Future) string {
	if in := f.inbound(); in != nil {
		if a := in.short; a != nil {
			return id.TaskOf(a.in.from.Proc, a.call.Num).String()
		}
		return in.full.Load().Task.String()
	}
	if o := f.object(); o != nil {
		return o.id.Task().String()
	}
	if n, ok := l.fed[f]; ok {
		return id.TaskOf(l.p.self.Proc, n).String()
	}
	return ""
}

// key names a future among those of all processes.
func (l *looker) key(f *Future) string {
	if i := l.taskID(f); i != "" {
		return i
	}
	return fmt.Sprintf("%v/%p", l.p.self.Proc, f)
}

// row gives the row of a task, a new one where it has none.
func (l *looker) row(t *sched.Task) *waits.Row {
	if i, ok := l.at[t]; ok {
		return &l.out.Rows[i]
	}
	f := futureOf(t)
	r := waits.Row{Key: l.key(f), Task: l.taskID(f), Job: l.p.job.String(), Func: f.Name(), State: waits.Queued, Node: string(l.p.self.Node), PID: l.p.pid, Sure: sureHere}
	if in := f.inbound(); in != nil && in.short == nil {
		s := in.full.Load()
		r.Attempt = int(s.Attempt)
		if s.Actor != (id.Actor{}) {
			r.Actor = s.Actor.String()
		}
	}
	if a := f.on(); a != nil {
		r.Actor = a.id.String()
	}
	l.at[t] = len(l.out.Rows)
	l.out.Rows = append(l.out.Rows, r)
	l.order = append(l.order, t)
	return &l.out.Rows[len(l.out.Rows)-1]
}

// target names a future that is waited for.
func (l *looker) target(t *sched.Task, how string) waits.Target {
	f := futureOf(t)
	x := waits.Target{Key: l.key(f), Func: f.Name(), How: how}
	if o := f.object(); o != nil && x.Func == "" {
		x.Func = "object " + o.id.String()
	}
	if x.Func == "" {
		x.Func = f.kind().Run.Name
	}
	return x
}

// whereIs says where a task is that left; zero: it is on its way.
func (p *Process) whereIs(rec *record) id.Addr {
	p.mu.Lock()
	at, s := rec.at, rec.session
	p.mu.Unlock()
	if s != nil { // a call is where its actor is
		s.mu.Lock()
		at = s.loc.addr()
		s.mu.Unlock()
	}
	return at
}

// number makes a wait's number of what does not change while it lasts.
func number(ts ...*sched.Task) uint64 {
	h := uint64(14695981039346656037)
	for _, t := range ts {
		h = (h ^ t.Number()) * 1099511628211
	}
	return h | 1
}

// actors makes rows of the calls that run on this process's actors and wait for them.
func (l *looker) actors() {
	p := l.p
	p.mu.Lock()
	all := make([]*instance, 0, len(p.actors))
	for _, a := range p.actors {
		all = append(all, a)
	}
	p.mu.Unlock()
	l.boxes = make(map[*instance]actor.View, len(all))
	for _, a := range all {
		v := a.box.Look(maxCalls)
		l.boxes[a] = v
		x := waits.Actor{ID: a.id.String(), Class: a.class, Job: p.job.String(), State: "idle", Node: string(p.self.Node), PID: p.pid, Queued: len(v.Waiting) + v.More}
		if a.claim != nil {
			x.Name, x.Namespace = a.claim.query.Name, a.claim.query.Namespace
		}
		if v.Running != nil {
			r := l.row(v.Running)
			r.State, x.State, x.Running = waits.Running, waits.Running, r.Func
			if v.Getter != nil {
				l.getter[v.Running] = v.Getter
			}
		}
		for _, t := range v.Waiting {
			l.call(t, a)
		}
		if v.More > 0 && l.full {
			l.out.Rows = append(l.out.Rows, waits.Row{Key: "calls of " + a.id.String(), Job: x.Job, Func: "calls on it", Actor: x.ID, State: waits.Queued,
				Node: x.Node, PID: x.PID, Count: v.More})
		}
		l.out.Actors = append(l.out.Actors, x)
	}
}

// call makes the row of a call that waits for its actor.
func (l *looker) call(t *sched.Task, a *instance) {
	v := l.boxes[a]
	if t.Ready() || v.Running == nil || v.Running == t {
		if !t.Ready() && v.Running != t {
			l.row(t)
		}
		return
	}
	x := l.target(v.Running, "waits for the actor, which runs")
	r := l.row(t)
	r.State, r.For, r.Need, r.Wait = waits.Waiting, []waits.Target{x}, 1, number(t, v.Running)
}

// runs makes rows of what runs.
func (l *looker) runs() {
	for _, run := range l.p.engine.Runs() {
		if !registered(run.Task.Func()) {
			continue
		}
		if run.Getter != nil {
			l.getter[run.Task] = run.Getter
		}
		if !l.full {
			continue
		}
		r := l.row(run.Task)
		r.State = waits.Running
		if !run.Since.IsZero() {
			r.AgeSec = l.now.Sub(run.Since).Seconds()
		}
		if run.Task.Ready() {
			r.Why = "(abandoned: its result is not wanted any more)"
		}
	}
}

// waiting makes rows of what goroutines wait for.
func (l *looker) waiting() {
	l.waits = l.p.engine.Waits(waits.MaxTargets)
	for _, w := range l.waits {
		if w.Task == nil || !registered(w.Task.Func()) {
			if l.full && w.Task == nil {
				l.outside(&w)
			}
			continue
		}
		if w.Frames == 0 || w.Task.Ready() {
			continue // another goroutine of the task: it may go on
		}
		r := l.row(w.Task)
		if r.Wait != 0 && w.Frames < 0 {
			continue
		}
		l.fill(r, &w)
		r = l.row(w.Task)
		if w.Frames < 0 {
			continue
		}
		r.Wait = w.Seq
		if !w.Firm && len(w.For) > 0 {
			r.Proc = l.p.self.Proc.String()
		}
		l.stack(w.Task, w.Frames)
	}
	for t, g := range l.getter { // for listings: they may do something else than wait
		if l.full {
			l.running(g, t, 0)
		}
	}
}

// fill notes what a row waits for.
func (l *looker) fill(r *waits.Row, w *sched.Wait) {
	r.State, r.Why, r.Need, r.More = waits.Waiting, w.Why, w.Need, w.Open-len(w.For)
	r.AgeSec = l.now.Sub(w.Since).Seconds()
	for _, t := range w.For {
		r.For = append(r.For, l.target(t, ""))
	}
}

// stack notes that the tasks below one on the stack of its goroutine wait for it: n of them with it.
func (l *looker) stack(t *sched.Task, n int) {
	for n > 1 {
		g, levels := l.getter[t], 1
		if g == nil {
			g, levels = l.getterOf(t, n)
		}
		if g == nil || !registered(g.Func()) {
			return
		}
		l.running(g, t, number(g, t))
		t, n = g, n-levels
	}
}

// getterOf finds the task whose getter runs t, and of which nothing is noted since t's function is known to be fast: one
// of those that executors run or that somebody waits for. Where it is none of them nobody waits for it, and the one at the
// bottom of the stack stands for all. Levels says how far below t it is.
func (l *looker) getterOf(t *sched.Task, n int) (g *sched.Task, levels int) {
	try := func(x *sched.Task) {
		if g == nil && t.RunBy(x) {
			g = x
		}
	}
	l.p.engine.Running(try)
	for _, w := range l.waits {
		for _, x := range w.For {
			try(x)
		}
	}
	for _, x := range l.order {
		try(x)
	}
	if g != nil {
		return g, 1
	}
	return l.p.engine.BaseOf(t, n), n - 1
}

// running makes the row of a task that runs another one while it waits for it.
func (l *looker) running(g, t *sched.Task, n uint64) {
	if !registered(g.Func()) || g.Ready() {
		return
	}
	if i, ok := l.at[g]; ok && len(l.out.Rows[i].For) > 0 {
		if l.out.Rows[i].Wait == 0 {
			l.out.Rows[i].Wait = n
		}
		return
	}
	x := l.target(t, "waits for what it has begun to run itself,")
	r := l.row(g)
	r.State, r.For, r.Need, r.Wait = waits.Waiting, []waits.Target{x}, 1, n
}

// outside makes the row of a goroutine of the program that is no task's.
func (l *looker) outside(w *sched.Wait) {
	r := waits.Row{Key: fmt.Sprintf("%v/%d", l.p.self.Proc, w.Seq), Job: l.p.job.String(), Func: waits.OutsideFunc, Node: string(l.p.self.Node), PID: l.p.pid, Sure: sureHere}
	l.fill(&r, w)
	l.out.Rows = append(l.out.Rows, r)
}
