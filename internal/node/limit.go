package node

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
)

const (
	// memoryLook is how often workers are weighed. What they take in between is theirs.
	memoryLook = 100 * time.Millisecond
	// processMemory is what a worker takes beside its tasks: its executable, its runtime, its caches.
	processMemory = 64 << 20
	// storeShare of a hundred is taken off for the object store where its size is not given.
	storeShare = 30
	// maxMemory is what a node says that it has where the system does not say.
	maxMemory = 1 << 42
)

// taskMemory is what a node's tasks may take together unless it is told: what the machine or the control group has,
// less the object store.
func taskMemory(cfg Config) int64 {
	all := min(arena.Memory(), maxMemory)
	store := cfg.ObjectStoreMemory
	if store == 0 {
		store = all / 100 * storeShare
	}
	return max(0, all-store)
}

// weighed is what one worker takes and may take.
type weighed struct {
	w        *worker
	used     int64
	limit    int64 // 0: none of its own
	names    []string
	retrying bool // what runs in it runs again
}

// weigh ends the workers that take more memory than they may: those of one task or actor that said how much it needs, and
// while all together take more than the node has for them, the largest of those whose tasks run again, else the largest.
func (n *Node) weigh() {
	ws := n.weighing()
	if len(ws) == 0 {
		return
	}
	n.mu.Lock()
	budget := n.place.total[wire.Memory] / 1e6
	n.mu.Unlock()
	total := int64(0)
	for i := range ws {
		v := &ws[i]
		v.used = anonymousBytes(v.w.pid)
		if v.limit > 0 && v.used > v.limit+processMemory {
			n.endWorker(v.w, fmt.Sprintf("it took %s of memory, and the HeapMemory of %s is %s", sizeText(v.used), strings.Join(v.names, ", "), sizeText(v.limit)))
			continue
		}
		total += v.used
	}
	if total <= budget+int64(len(ws))*processMemory {
		return
	}
	heaviest := slices.MaxFunc(ws, func(a, b weighed) int {
		if a.retrying != b.retrying {
			if a.retrying {
				return 1
			}
			return -1
		}
		return int(a.used - b.used)
	})
	n.endWorker(heaviest.w, fmt.Sprintf("the workers of the node took %s of memory, and may take %s (its resource %q): of those whose tasks can run again this one, with %s, took most: %s",
		sizeText(total), sizeText(budget), wire.Memory, strings.Join(heaviest.names, ", "), sizeText(heaviest.used)))
}

// weighing lists the workers that run.
func (n *Node) weighing() (ws []weighed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range n.workers {
		if w.pid == 0 || w.reaped || w.why != "" || w.proc == nil {
			continue
		}
		v := weighed{w: w, retrying: true}
		for _, e := range w.proc.errands {
			v.retrying = v.retrying && e.spec.Retries > 0
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
	return ws
}

// anonymousBytes is the memory that a process shares with nobody; 0 where there is no such process.
func anonymousBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if err != nil || len(f) < 3 {
		return 0
	}
	resident, _ := strconv.ParseInt(f[1], 10, 64) // the kernel writes numbers
	shared, _ := strconv.ParseInt(f[2], 10, 64)
	return (resident - shared) * int64(os.Getpagesize())
}

// sizeText prints a number of bytes for people.
func sizeText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}
