package proc

import (
	"sync"
	"time"

	"github.com/kadrehq/kadre/objstore/arena"
)

const (
	// cpuYield is how long a free CPU is left to a process that deserves it more: it may be stopped.
	cpuYield = 10 * time.Millisecond
	// cpuForget is after how long without a wish a process has no claim from before.
	cpuForget = 100 * time.Millisecond
)

// cpus are the machine's CPU words as the engine takes them. Whose the next one is follows from what all processes
// write into shared memory (see sharer); nobody decides it for them. While no process waits a word is one CAS.
type cpus struct {
	a   *arena.Arena
	now func() time.Duration // never 0

	mu    sync.Mutex
	held  []int // words of ours
	want  bool
	used  time.Duration // CPU time of words while somebody waited, times crowd
	at    time.Duration // used is of then; 0: nobody waited
	since time.Duration // a free word is left to somebody else since then; 0: none is
	wish  time.Duration // when we last wanted one; 0: never
	users []arena.CPUUser
	all   []sharer // as last looked at
	me    sharer
}

func newCPUs(a *arena.Arena) *cpus {
	begin := time.Now()
	return &cpus{a: a, now: func() time.Duration { return time.Since(begin) + 1 }}
}

func (c *cpus) Claim() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countLocked()
	ok := c.claimLocked()
	if !ok && !c.want { // 1: want, 2: try again; whoever releases looks at the wish after its release
		c.wishLocked()
		ok = c.claimLocked()
	}
	if !ok {
		return false
	}
	c.since = 0
	c.unwantLocked()
	return true
}

// claimLocked takes a word unless another process deserves it more.
func (c *cpus) claimLocked() bool {
	if c.lookLocked() {
		left := false
		for _, o := range c.all {
			left = left || o.Client != c.me.Client && o.Wants && o.deserves(c.me)
		}
		if left && c.leaveLocked() {
			return false
		}
	}
	slot, ok := c.a.ClaimCPU()
	if ok {
		c.held = append(c.held, slot)
	}
	return ok
}

// leaveLocked says whether to leave a free word to somebody else, which is so for a while only.
func (c *cpus) leaveLocked() bool {
	free := c.a.CPUCount()
	for _, o := range c.all {
		free -= o.Words
	}
	now := c.now()
	if free <= 0 || c.since == 0 {
		c.since = now
	}
	return now-c.since < cpuYield
}

func (c *cpus) Release() {
	c.mu.Lock()
	c.countLocked()
	slot := c.held[len(c.held)-1]
	c.held = c.held[:len(c.held)-1]
	c.unwantLocked() // who of us still waits claims again
	c.mu.Unlock()
	c.a.ReleaseCPU(slot)
}

// Wanted says whether another process waits for a word.
func (c *cpus) Wanted() bool {
	n := c.a.CPUWaiters().Load()
	if n == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return n > 1 || !c.want
}

// Over says whether another process waits and this one has more than its share.
func (c *cpus) Over() bool {
	if c.a.CPUWaiters().Load() == 0 {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countLocked()
	if !c.lookLocked() {
		return false
	}
	for _, o := range c.all {
		if o.Client != c.me.Client && o.Wants && c.me.owes(o) {
			return true
		}
	}
	return false
}

// lookLocked looks at all who share; false when nobody else waits.
func (c *cpus) lookLocked() bool {
	if n := c.a.CPUWaiters().Load(); n == 0 || n == 1 && c.want {
		return false
	}
	me, in := c.a.Client(), false
	c.users = c.a.CPUUsers(c.users[:0])
	for i := range c.users {
		if u := &c.users[i]; u.Client == me {
			in, u.Wants, u.Words, u.Used = true, true, len(c.held), uint64(c.used)
		}
	}
	if !in {
		c.users = append(c.users, arena.CPUUser{Client: me, Party: c.a.CPUParty(), Wants: true, Used: uint64(c.used)})
	}
	c.all = sharers(c.all, c.users, c.a.CPUCount())
	for _, o := range c.all {
		if o.Client == me {
			c.me = o
		}
	}
	return true
}

// countLocked brings used up to now, where a process waits.
func (c *cpus) countLocked() {
	if c.a.CPUWaiters().Load() == 0 {
		c.at = 0
		return
	}
	now := c.now()
	if c.at != 0 {
		c.used += (now - c.at) * time.Duration(len(c.held)*max(c.me.crowd, 1))
		c.a.SetCPUUsed(uint64(c.used))
	}
	c.at = now
}

// wishLocked tells all that this process waits. Who comes anew begins where the others are.
func (c *cpus) wishLocked() {
	now := c.now()
	if c.wish == 0 || now-c.wish > cpuForget {
		c.users = c.a.CPUUsers(c.users[:0])
		for _, u := range c.users {
			if u.Client != c.a.Client() {
				c.used = max(c.used, time.Duration(u.Used)-cpuSlice)
			}
		}
		c.a.SetCPUUsed(uint64(c.used))
	}
	c.wish = now
	c.want = true
	c.a.WantCPU(true)
}

func (c *cpus) unwantLocked() {
	if c.want {
		c.want, c.wish = false, c.now()
		c.a.WantCPU(false)
	}
}
