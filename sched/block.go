package sched

import "context"

// Block gives back the CPU slots of the task whose context ctx is, for a wait that the engine does not see.
// The function it returns takes them again; it must be called once.
func (e *Engine) Block(ctx context.Context) (unblock func()) {
	t := TaskOf(ctx)
	if t == nil || !e.give(t) {
		return func() {}
	}
	return func() { e.takeBack(t) }
}
