package node

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/sched/steal"
)

const (
	tickSteal    = 50 * time.Millisecond
	tickSlow     = time.Second
	collectPause = 10 * time.Second // between garbage collections of idle processes that hold objects
	drainLook    = 5 * time.Millisecond
)

// tick does what has to be done from time to time, until the node closes.
func (n *Node) tick() {
	t := time.NewTimer(tickBusy)
	defer t.Stop()
	var told, stole, slow time.Time
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
		case <-n.stirred:
		}
		now := time.Now()
		busy := n.clusterBusy()
		if busy {
			n.steal.look(0)
			if now.Sub(stole) >= tickSteal {
				stole = now
				n.steal.post(steal.Tick{Rand: rand.Uint64()})
			}
		}
		if now.Sub(told) >= metaPause {
			told = now
			n.advertise()
		}
		n.mu.Lock()
		n.growOwnLocked()
		n.overLocked(now)
		n.mu.Unlock()
		if now.Sub(slow) >= tickSlow {
			slow = now
			n.sweepJobs()
			n.collectIdle(now)
			n.giveBack()
			n.tellReasons(now)
			n.placeCut()
		}
		t.Reset(n.pause(now, busy))
	}
}

// clusterBusy says whether there is any job in the cluster.
func (n *Node) clusterBusy() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.jobs) > 0 {
		return true
	}
	for _, m := range n.members {
		if m.load.Jobs > 0 {
			return true
		}
	}
	return false
}

// collectIdle asks processes that have nothing to do to collect garbage, so that objects which nothing refers
// to any more are freed.
func (n *Node) collectIdle(now time.Time) {
	if now.Sub(n.collected) < collectPause {
		return
	}
	held := false
	n.arena.List(func(arena.Entry) bool { held = true; return false })
	if total, free := n.arena.CPUs(); total != free || !held {
		return
	}
	n.collected = now
	n.tellProcesses(wire.KCollect, nil)
}

func (n *Node) isDraining() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.draining
}

// BeginDrain takes no new work from now on, tells processes and peers so, and closes Done: who runs the node
// goes on with [Node.Drain].
func (n *Node) BeginDrain() {
	n.mu.Lock()
	first := !n.draining && !n.stopped
	if first {
		n.draining = true
		close(n.done)
	}
	n.mu.Unlock()
	if first {
		n.log.Info("node: draining", "node", n.id.Short())
		n.tellProcesses(wire.KDrain, nil)
	}
}

// Drain begins to drain the node, waits until what is queued and runs here has ended or ctx has, and closes it.
func (n *Node) Drain(ctx context.Context) error {
	n.BeginDrain()
	t := time.NewTicker(drainLook)
	defer t.Stop()
	for n.isBusy() && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-n.closed:
			return n.closeErr
		case <-t.C:
		}
	}
	return n.Close()
}

// isBusy says whether anything is queued or runs here.
func (n *Node) isBusy() bool {
	total, free := n.arena.CPUs()
	if total != free {
		return true
	}
	for _, p := range *n.procs.Load() {
		if n.queuedOf(p) > 0 {
			return true
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range *n.procs.Load() {
		if len(p.errands) > 0 {
			return true
		}
	}
	waiting := n.place.waiting() + len(n.place.own) + len(n.place.cut)
	for _, j := range n.jobs {
		waiting += len(j.waiting)
	}
	for _, w := range n.workers {
		waiting += len(w.waiting)
	}
	return waiting > 0
}
