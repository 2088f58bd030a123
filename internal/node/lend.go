package node

import "time"

// Placed tasks that wait in Get or Wait give their CPU words back, and may wait for tasks that find no CPU to hold: what
// they gave back is lent, that is promised once more. What a task holds that runs, or that waits in any other way, is not.

// overAfter is how long a CPU must be idle until what was given back is lent, and how long after a process was given its last
// task: that one may not have got its words yet.
const overAfter = 10 * time.Millisecond

// holding is how much CPU of a pool the placed tasks of a process hold.
type holding struct {
	micro int64
	last  time.Time // when the last of them was given to it
}

// hold notes the CPU of an errand that the process runs: sign is 1, or -1 once it has ended.
func (p *process) hold(e *errand, sign int64) {
	for _, a := range e.need {
		if a.name != cpuName {
			continue
		}
		if e.firm() {
			p.firm += sign * a.micro
			continue
		}
		h := p.cpu[e.pool]
		if h.micro += sign * a.micro; h.micro == 0 {
			delete(p.cpu, e.pool)
			continue
		}
		if sign > 0 {
			h.last = time.Now()
		}
		if p.cpu == nil {
			p.cpu = map[*pool]holding{}
		}
		p.cpu[e.pool] = h
	}
}

// lentLocked says how much CPU of each pool tasks hold and have given back: in a process, what they hold beyond the CPU words
// it has. Those may be at work for what its actors hold, which is never lent.
func (n *Node) lentLocked(now time.Time) map[*pool]int64 {
	lent := map[*pool]int64{}
	for _, p := range *n.procs.Load() {
		if len(p.cpu) == 0 {
			continue
		}
		given := p.firm
		for _, h := range p.cpu {
			given += h.micro
		}
		given -= max(p.firm, int64(n.arena.CPUsOf(p.slot))*1000)
		for of, h := range p.cpu {
			if given > 0 && now.Sub(h.last) >= overAfter {
				lent[of] += min(h.micro, given)
			}
		}
	}
	return lent
}

// wantsCPU says whether something waits for CPU that others hold.
func (pl *placement) wantsCPU() bool {
	for _, s := range pl.shapes {
		for _, a := range s.queue[0].need {
			if a.name == cpuName && !s.queue[0].pool.fits(a, 0) {
				return true
			}
		}
	}
	return false
}

func (n *Node) wantsCPU() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.place.wantsCPU()
}

// overLocked lets one more errand start that waits for CPU, on what those gave back that hold it.
func (n *Node) overLocked(now time.Time) {
	pl := &n.place
	total, free := n.arena.CPUs()
	if free < min(total, 1000) || !pl.wantsCPU() {
		pl.idle = time.Time{}
		return
	}
	if pl.idle.IsZero() {
		pl.idle = now
	}
	if now.Sub(pl.idle) < overAfter {
		return
	}
	lent := n.lentLocked(now)
	if len(lent) == 0 {
		return
	}
	pl.lent = lent
	n.advanceLocked()
	if pl.lent == nil { // one has started
		pl.idle = time.Time{}
	}
	pl.lent = nil
}
