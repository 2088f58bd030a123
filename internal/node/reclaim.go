package node

import (
	"context"

	"github.com/kadrehq/kadre/objstore/arena"
)

const stoppedWhy = "a signal had stopped it, and the object store needed what it held"

// reclaim kills workers that hold objects and that a signal has stopped: they cannot let go, and nothing else could
// be moved out of the store. It never kills a driver, which is somebody's own program, nor what a debugger stopped.
// It returns once what they held is free, and says whether there were any.
func (n *Node) reclaim(ctx context.Context) bool {
	holds := map[int]bool{}
	n.arena.List(func(e arena.Entry) bool {
		for _, c := range e.Holders {
			holds[c] = true
		}
		return true
	})
	var ended []*worker
	for _, p := range *n.procs.Load() {
		if p.worker == nil || !holds[p.slot] || processState(p.pid) != stoppedState {
			continue
		}
		n.log.Warn("node: killing a stopped worker for the memory that it holds", "pid", p.pid, "job", p.job)
		n.event("worker", "reclaim", p.job.String(), int64(p.pid), stoppedWhy)
		n.endWorker(p.worker, stoppedWhy)
		ended = append(ended, p.worker)
	}
	for _, w := range ended {
		select {
		case <-w.done:
		case <-ctx.Done():
			return false
		}
	}
	return len(ended) > 0
}
