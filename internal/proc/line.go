package proc

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
	"weak"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// A line is the tasks under whose contexts a task was started that has left their process, one after the other. It travels
// with the specification, and what such a task starts elsewhere has it too. So who cancels a task with all that it has
// started finds also what was started by tasks that have returned: it tells every process the task's name, and each
// ends what it has of its line. A task that is never cancelled costs the names in the specification.
//
// Lock order: lines.mu is a leaf.
type lines struct {
	p *Process // constant

	mu   sync.Mutex
	all  map[lineKey]*line
	over recent[id.Task] // those that were cancelled with what they started
}

// lineKey tells lines apart.
type lineKey struct {
	bound wire.Bound
	ids   string // one after the other
}

// line is what tasks of one bound and one line hang on in this process.
type line struct {
	ids  []id.Task
	in   *bound // nil: they have none that could end
	root weak.Pointer[sched.Root]
	end  context.CancelFunc
}

// lineOf is the line of t, which leaves: the outermost task first. Of a long one the middle is left out.
func (p *Process) lineOf(t *sched.Task) (ids []id.Task) {
	for a := range t.Ancestors {
		if registered(a.Func()) {
			ids = append(ids, p.taskID(futureOf(a)))
		}
		if len(ids) == wire.MaxLine {
			break
		}
	}
	slices.Reverse(ids)
	if r := t.Bounds(); r != nil {
		if l, ok := r.Note().(*line); ok {
			ids = slices.Concat(l.ids, ids)
		}
	}
	return shortened(ids)
}

// shortened leaves out the middle of a long line.
func shortened(ids []id.Task) []id.Task {
	if n := len(ids); n > wire.MaxLine {
		return slices.Concat(ids[:wire.MaxLine/2], ids[n-wire.MaxLine/2:])
	}
	return ids
}

// taskID is the name of a task that runs in this process.
func (p *Process) taskID(f *Future) id.Task {
	switch in := f.inbound(); {
	case in == nil:
		return p.identify(f).id.Task()
	case in.short != nil:
		return id.TaskOf(in.short.in.from.Proc, in.short.call.Num)
	default:
		return in.full.Load().Task
	}
}

// root is what tasks of a line hang on that stand on outer, which is what tasks of their bound do.
func (l *lines) root(outer context.Context, name wire.Bound, ids []id.Task) context.Context {
	b := make([]byte, 0, len(ids)*len(id.Task{}))
	for _, t := range ids {
		b = append(b, t[:]...)
	}
	key := lineKey{name, string(b)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(ids, l.over.has) {
		return l.p.engine.NewRoot(ended)
	}
	if x := l.all[key]; x != nil {
		if r := x.root.Value(); r != nil {
			return r
		}
	}
	x := &line{ids: ids}
	if o, ok := outer.(*sched.Root); ok {
		x.in, _ = o.Note().(*bound)
	}
	ctx, end := context.WithCancel(outer)
	r := l.p.engine.NewRoot(ctx).(*sched.Root)
	r.SetNote(x)
	x.root, x.end = weak.Make(r), end
	if l.all == nil {
		l.all = map[lineKey]*line{}
	}
	l.all[key] = x
	runtime.AddCleanup(r, func(x *line) {
		x.end()
		l.mu.Lock()
		if l.all[key] == x {
			delete(l.all, key)
		}
		l.mu.Unlock()
	}, x)
	return r
}

// ended ends what is here of the lines of tasks.
func (l *lines) ended(ts []id.Task) {
	var those []*line
	l.mu.Lock()
	for _, t := range ts {
		l.over.add(t)
	}
	for _, x := range l.all {
		if slices.ContainsFunc(x.ids, func(t id.Task) bool { return slices.Contains(ts, t) }) {
			those = append(those, x)
		}
	}
	l.mu.Unlock()
	for _, x := range those {
		x.end()
	}
}

// endLine has every process end what it has of t's line.
func (p *Process) endLine(t id.Task) {
	p.lines.ended([]id.Task{t})
	p.notify(p.nodeAddr(), wire.KCancel, wire.Marshal(&wire.Cancel{Lines: []id.Task{t}}))
}

// bound is the context of a task that came from elsewhere. It outlives the task, since what the task submits has the same
// bound and does not end with it.
func (p *Process) bound(name wire.Bound, ids []id.Task, left time.Duration) context.Context {
	var r context.Context
	switch {
	case name.Num != 0:
		r = p.bounds.root(name, left)
	case left <= 0:
		r = p.root
	default:
		ctx, cancel := context.WithTimeout(p.ctx, left)
		context.AfterFunc(ctx, cancel)
		r = p.engine.NewRoot(ctx)
	}
	if len(ids) == 0 {
		return r
	}
	return p.lines.root(r, name, ids)
}
