package sched

import (
	"time"

	"github.com/kadrehq/kadre/internal/trace"
)

// traced says whether marks of t are recorded while recording is on: of a function that is mostly slow all tasks, of another
// one in 64. Runs that turned out to be long are recorded, too.
func (t *Task) traced() bool { return t.Func().usuallySlow() || t.sampled() }

// markSubmit records a submission of a task that is traced, by me, which is nil outside of tasks.
func (e *Engine) markSubmit(t, me *Task) {
	if t.Func() == &spanFunc {
		return
	}
	m := trace.Mark{Kind: trace.Submitted, Task: uint64(t.address()), Func: t.Func().Name, Start: time.Now().UnixNano()}
	if me != nil {
		m.Other = uint64(me.address())
	}
	e.tape.Add(int(here()), m)
}

// markRun records a run that begins and ends now.
func (e *Engine) markRun(t *Task, start time.Time) {
	if t.Func() == &spanFunc || t.Func().Name == "" {
		return
	}
	d := time.Since(start)
	if d < alwaysTimed && !t.traced() {
		return
	}
	begin := start.UnixNano()
	e.tape.Add(int(here()), trace.Mark{Kind: trace.Ran, Task: uint64(t.address()), Func: t.Func().Name, Start: begin, End: begin + int64(d)})
}

// markWait records the end of a wait for one task.
func (e *Engine) markWait(w *wait) {
	t := w.one
	if t == nil && w.at != nil && w.n > 0 {
		t = w.at(w.n - 1) // GetAll waits for the last of those that are left
	}
	if t == nil || t.Func() == nil || !t.traced() {
		return
	}
	m := trace.Mark{Kind: trace.Waited, Other: uint64(t.address()), Func: t.Func().Name, Start: w.since.UnixNano(), End: time.Now().UnixNano()}
	if w.me != nil {
		m.Task = uint64(w.me.address())
	}
	e.tape.Add(int(here()), m)
}

// MarkName records by which ID other processes know a task.
func (e *Engine) MarkName(t *Task, id string) {
	e.tape.Add(int(here()), trace.Mark{Kind: trace.Named, Task: uint64(t.address()), ID: id, Start: time.Now().UnixNano()})
}

// Marks copies a part of what was recorded, and says how many parts there are.
func (e *Engine) Marks(part int) ([]trace.Mark, int) { return e.tape.Marks(part) }
