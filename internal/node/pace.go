package node

import "time"

// How often the node ticks. A job that exists is no work: where no CPU is in use and nothing is queued or waits, the
// node ticks seldom, and whoever brings news wakes it.
//
//	the ticker (pause)              who brings news (stir)
//	1 drowsy = true                 1 the news is there
//	2 * look for work               2 * read drowsy
//	3 sleep until a tick or woken   3 true -> false: wake the ticker
const (
	tickBusy = 5 * time.Millisecond   // while there is work
	tickCalm = 50 * time.Millisecond  // while there is a job in the cluster and others to steal from
	tickIdle = 250 * time.Millisecond // else
	linger   = 100 * time.Millisecond // how long there is work after the last of it
)

// pause says how long to wait for the next tick.
func (n *Node) pause(now time.Time, busy bool) time.Duration {
	n.drowsy.Store(true)
	if busy && n.atWork(now) {
		n.worked = now
	}
	if now.Sub(n.worked) < linger {
		n.drowsy.Store(false)
		return tickBusy
	}
	if busy && !n.steal.alone() {
		return tickCalm
	}
	return tickIdle
}

// atWork says whether a CPU of the node is in use, or anything is queued, waits or has just been stolen.
func (n *Node) atWork(now time.Time) bool {
	if total, free := n.arena.CPUs(); total != free || n.hasWaiting() || n.wantsCPU() || now.UnixNano() < n.steal.calm.Load() {
		return true
	}
	for _, p := range *n.procs.Load() {
		if n.queuedOf(p) > 0 {
			return true
		}
	}
	return false
}

// stir wakes a ticker that sleeps long.
func (n *Node) stir() {
	if n.drowsy.Load() && n.drowsy.CompareAndSwap(true, false) {
		select {
		case n.stirred <- struct{}{}:
		default:
		}
	}
}
