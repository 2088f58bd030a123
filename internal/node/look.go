package node

import (
	"math/rand/v2"
	"time"

	"github.com/kadrehq/kadre/sched/steal"
)

// longest finds the process with the most queued tasks that may be stolen.
func (s *stealer) longest() (best *process, queued int) {
	for _, p := range *s.n.procs.Load() {
		if p.worker != nil && p.worker.duty != sharedDuty {
			continue
		}
		if q := s.n.queuedOf(p); q > queued {
			best, queued = p, q
		}
	}
	return best, queued
}

// queuedOf reads how many tasks a process has queued.
func (n *Node) queuedOf(p *process) int {
	return int(min(n.arena.Stat(p.slot)[statQueued].Load(), 1<<30))
}

// poked is called by the poll goroutine in each round: some process may have queued tasks.
func (s *stealer) poked() {
	s.look(lookPause)
	s.n.stir()
}

// alone says whether there is nobody to steal from.
func (s *stealer) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers) == 0
}

// look tells the machine how much is queued here and whether this node is idle, unless that was done less
// than a pause ago.
func (s *stealer) look(pause time.Duration) {
	now := time.Now().UnixNano()
	if last := s.looked.Load(); now-last < int64(pause) || !s.looked.CompareAndSwap(last, now) {
		return
	}
	if s.alone() {
		return
	}
	queued := 0
	for _, p := range *s.n.procs.Load() {
		if p.worker == nil || p.worker.duty == sharedDuty {
			queued += s.n.queuedOf(p)
		}
	}
	_, free := s.n.arena.CPUs()
	if queued > 0 || now < s.calm.Load() || s.n.hasWaiting() {
		free = 0
	}
	s.post(steal.Idle{Free: uint32(free), Rand: rand.Uint64()})
	s.post(steal.HasWork{N: queued})
}

// hasWaiting says whether errands wait for a process of this node, or this node takes no work.
func (n *Node) hasWaiting() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.draining || len(n.place.own) > 0 {
		return true
	}
	for _, j := range n.jobs {
		if len(j.waiting) > 0 {
			return true
		}
	}
	for _, w := range n.workers {
		if len(w.waiting) > 0 {
			return true
		}
	}
	return false
}
