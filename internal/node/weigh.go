package node

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/invariant"
	"github.com/kadrehq/kadre/internal/wire"
)

// weighShare bounds what weighing costs: it takes at most one part in so many of a CPU.
const weighShare = 20

// watchMemory weighs the workers until the node closes: the less is left of what they may take, the sooner again. A node
// without workers sleeps.
func (n *Node) watchMemory() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.hired:
		case <-t.C:
		}
		begin := time.Now()
		if next, some := n.weigh(); some {
			t.Reset(max(next, weighShare*time.Since(begin)))
		} else {
			t.Stop()
		}
	}
}

// weighSoon has the workers weighed at once: there is a new one, or one with another task.
func (n *Node) weighSoon() {
	select {
	case n.hired <- struct{}{}:
	default:
	}
}

// weigh looks at all workers, ends those that take too much and bounds what the others may map before the next look: what
// is faster than the looks fails in the system. It says when to look again, if there is any worker.
func (n *Node) weigh() (next time.Duration, some bool) {
	ws, some := n.weighing()
	if len(ws) == 0 {
		return memoryLook, some
	}
	for i := range ws {
		m := readStatm(ws[i].w.pid)
		ws[i].used, ws[i].mapped = m.own, m.mapped
	}
	_, asked := n.cfg.Resources[wire.Memory]
	j := judge(ws, n.memoryBudget(), asked)
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range ws {
		v := &ws[i]
		if v.w.reaped { // its number may be another's
			continue
		}
		if j.ends[i] != "" {
			n.endWorkerLocked(v.w, j.ends[i])
			continue
		}
		v.w.last = v
		n.capLocked(v, j.room[i])
	}
	return j.next, some
}

// memoryBudget is what all workers may take together.
func (n *Node) memoryBudget() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.place.total[wire.Memory] / 1e6
}

// capLocked bounds what a worker may map, or lifts the bound where nobody asked for one any more.
func (n *Node) capLocked(v *weighed, room int64) {
	most := int64(0)
	if room != unbounded {
		most = v.mapped + room + mapSlack
	}
	if most == v.w.capped || invariant.Race { // the race detector maps several times what a program takes: no bound on that says anything
		return
	}
	if err := capData(v.w.pid, most); err != nil {
		n.log.Debug("node: a worker's memory is watched and not bounded", "pid", v.w.pid, "err", err)
		return
	}
	v.w.capped = most
}

// weighing lists the workers that run, and says whether there are any others or these.
func (n *Node) weighing() (ws []weighed, some bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.workers {
		if w.pid == 0 || w.reaped || w.why != "" || w.proc == nil {
			continue
		}
		v := weighed{w: w, retrying: true}
		for _, e := range w.proc.errands {
			v.retrying = v.retrying && e.spec.Retries > 0 && e.spec.Kind != wire.KindCreate
			if !slices.Contains(v.names, e.spec.Func) && len(v.names) < 3 {
				v.names = append(v.names, e.spec.Func)
			}
			if w.duty != sharedDuty {
				v.limit += int64(e.spec.Resources[wire.Memory])
			}
		}
		if len(v.names) == 0 {
			v.names = []string{"tasks of job " + w.job.id.String()}
		}
		ws = append(ws, v)
	}
	return ws, len(n.workers) > 0
}

// statm is what the kernel says in /proc/PID/statm that a process takes, in bytes.
type statm struct {
	resident int64
	own      int64 // of that, what it shares with nobody
	mapped   int64 // for itself, resident or not
}

// readStatm tells what a process takes; nothing where there is no such process.
func readStatm(pid int) statm {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if err != nil || len(f) < 6 {
		return statm{}
	}
	pages := func(i int) int64 { // the kernel writes numbers
		k, _ := strconv.ParseInt(f[i], 10, 64)
		return k * int64(os.Getpagesize())
	}
	const resident, shared, data = 1, 2, 5
	return statm{resident: pages(resident), own: pages(resident) - pages(shared), mapped: pages(data)}
}
