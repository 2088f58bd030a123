package proc

// The words of a client's statistics in the arena, which its node reads.
const (
	StatQueued  = 0 // tasks that wait
	StatRunning = 1 // slots in use when StatQueued was last written
)

// onQueued keeps the node informed of the queue, and wakes it when there is something to take.
func (p *Process) onQueued(n int) {
	st := p.arena.Stat(p.arena.Client())
	old := st[StatQueued].Swap(uint64(n))
	st[StatRunning].Store(uint64(p.engine.Stats().Running))
	if old == 0 && n > 0 {
		p.arena.Ring(0)
	}
}
