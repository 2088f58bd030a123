package proc

import (
	"sync"

	"github.com/kadrehq/kadre/objstore/arena"
)

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

// cpus are the machine's CPU words as the engine takes them.
type cpus struct {
	a *arena.Arena

	mu   sync.Mutex
	held []int // words of ours
	want bool
}

func (c *cpus) Claim() bool {
	slot, ok := c.a.ClaimCPU()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok && !c.want { // 1: want, 2: try again; whoever releases looks at the wish after its release
		c.want = true
		c.a.WantCPU(true)
		slot, ok = c.a.ClaimCPU()
	}
	if !ok {
		return false
	}
	c.held = append(c.held, slot)
	if c.want {
		c.want = false
		c.a.WantCPU(false)
	}
	return true
}

func (c *cpus) Release() {
	c.mu.Lock()
	slot := c.held[len(c.held)-1]
	c.held = c.held[:len(c.held)-1]
	if c.want {
		c.want = false
		c.a.WantCPU(false)
	}
	c.mu.Unlock()
	c.a.ReleaseCPU(slot)
}

// Wanted says whether another process waits for a CPU while this one has more than one.
func (c *cpus) Wanted() bool {
	if c.a.CPUWaiters().Load() == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.want
}
