package sched

import "context"

// A carrier is a goroutine outside of the engine that runs tasks itself, because they are short and came to it
// from elsewhere: a wake-up would cost more. It holds a CPU slot while it does, so that a carried task is like
// any other, and may block. Who carries hands what it has not started over to the engine when a task holds it up:
// the claim decides who runs it.

// Borrow takes a CPU slot for a carrier, beyond the limit when none is free: there is one carrier at a time, and
// what it carries is short. Repay gives it back.
func (e *Engine) Borrow() {
	if e.tryOwn(1) {
		return
	}
	e.use.Add(1)
	if e.cpu != nil {
		e.owed.Add(1)
	}
}

// Repay ends Borrow.
func (e *Engine) Repay() { e.release(1) }

// Contended says whether tasks of this process wait for a slot, or another process for a CPU.
func (e *Engine) Contended() bool {
	return e.waiting.Load() > 0 || e.cpu != nil && e.cpu.Wanted()
}

// Prepare makes t a task of one slot that Carry or Queue starts; false when it has failed instead. Ctx is as for
// Submit.
func (e *Engine) Prepare(ctx context.Context, t *Task, f *Func) bool {
	t.shape = 1 | noInline | carried
	_, r := e.place(ctx)
	if r == nil {
		t.setKin(e.base.kin(f))
		t.Fail(ErrCancelled)
		return false
	}
	t.setKin(r.kin(f))
	return true
}

// Carry runs t on the calling goroutine, which holds a slot; false when somebody else runs it or it has ended.
// A task that calls runtime.Goexit ends the goroutine.
func (e *Engine) Carry(t *Task) bool {
	if !t.claim() {
		return false
	}
	e.shard().exec(t, 0, nil)
	return true
}

// Queue leaves t to the executors.
func (e *Engine) Queue(t *Task) { e.enqueue(e.shard(), t) }
