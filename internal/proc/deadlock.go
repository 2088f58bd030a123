package proc

import (
	"context"
	"errors"
	"strings"

	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// ErrDeadlock is matched by every *DeadlockError, also after a journey.
var ErrDeadlock = errors.New("kadre: deadlock")

// DeadlockError ends a wait that could never end: its task waits for one that waits, perhaps by way of others, for it.
type DeadlockError struct{ Chain []string } // one line for each wait, this one's first

func (e *DeadlockError) Error() string {
	return "kadre: deadlock, this wait could never end: " + strings.Join(e.Chain, "; ")
}

// Is makes errors.Is find ErrDeadlock.
func (e *DeadlockError) Is(target error) bool { return target == ErrDeadlock }

// onBreak ends a wait that the node found in a cycle.
func (p *Process) onBreak(f *wire.Frame) {
	m, ok := body[wire.Break](p, f)
	if !ok {
		return
	}
	if p.engine.Break(m.Wait, &DeadlockError{m.Chain}) {
		p.log.Error("kadre: deadlock: one of its waits ends with an error", "chain", strings.Join(m.Chain, "; "))
	}
}

// Blocked is a goroutine that waits for futures in a way of its own, see sched.Blocked.
type Blocked = sched.Blocked

// BlockFor is Block for who waits for need of n futures. Firm says that it cannot end its wait with an error.
func (p *Process) BlockFor(ctx context.Context, firm bool, n, need int, at func(int) *Future) *Blocked {
	return p.engine.BlockFor(ctx, "", firm, n, need, func(i int) *sched.Task { return &at(i).Task })
}
