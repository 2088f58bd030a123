package node

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
)

const (
	// memoryLook is how long workers go without being weighed at most, and memoryHaste at least; in between it is as long
	// as they need at fastestGrowth bytes a second to take what is left.
	memoryLook    = 100 * time.Millisecond
	memoryHaste   = 5 * time.Millisecond
	fastestGrowth = 8 << 30
	// mapSlack is what a process may map beyond the memory that it may still take: Go maps 64 MiB at a time, and its
	// tables beside.
	mapSlack = 128 << 20
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
	used     int64 // bytes that it shares with nobody
	mapped   int64 // bytes that it could take so without another mapping
	limit    int64 // what its task said; 0: nothing
	names    []string
	retrying bool // what runs in it runs again
}

// unbounded is the room of a worker for which nobody said how much it may take.
const unbounded = math.MaxInt64

// judgement says what is to be done about the memory of workers.
type judgement struct {
	ends []string // of each, why it is to be ended; "" is not
	room []int64  // of each, how much more it may take
	left int64    // of the node's memory, as far as somebody said how much that is
	next time.Duration
}

// judge ends the workers that take more memory than they may: those of one task or actor that said how much it needs, and
// while all together take more than the budget, the largest of those whose tasks run again, else the largest. Who takes no
// more than a process does without tasks is spared: its end would free next to nothing. The budget bounds a worker's
// room if it was asked for.
func judge(ws []weighed, budget int64, asked bool) judgement {
	j := judgement{ends: make([]string, len(ws)), room: make([]int64, len(ws)), left: unbounded}
	total, heaviest := int64(0), -1
	for i, v := range ws {
		j.room[i] = unbounded
		if v.limit > 0 {
			if j.room[i] = v.limit + processMemory - v.used; j.room[i] < 0 {
				j.ends[i], j.room[i] = fmt.Sprintf("it took %s of memory, and %s", sizeText(v.used), v.said()), unbounded
				continue
			}
		}
		total += v.used
		if heaviest < 0 || cmp.Or(cmp.Compare(v.blame(), ws[heaviest].blame()), cmp.Compare(v.used, ws[heaviest].used)) > 0 {
			heaviest = i
		}
	}
	left := budget + int64(len(ws))*processMemory - total
	if left < 0 && heaviest >= 0 {
		v := ws[heaviest]
		of := "this one"
		if v.retrying {
			of = "of those whose tasks can run again this one"
		}
		j.ends[heaviest] = fmt.Sprintf("the workers of the node took %s of memory, and %s: %s, with %s, took most: %s",
			sizeText(total), nodeSaid(budget), of, strings.Join(v.names, ", "), sizeText(v.used))
		left += v.used
	}
	if asked {
		j.left = max(0, left)
	}
	tightest := left
	for i := range ws {
		j.room[i] = min(j.room[i], j.left)
		tightest = min(tightest, j.room[i])
	}
	j.next = time.Duration(float64(max(0, tightest)) / fastestGrowth * float64(time.Second))
	j.next = min(max(j.next, memoryHaste), memoryLook)
	return j
}

// blame orders workers by how little is lost with them when the node runs out of memory.
func (v *weighed) blame() int {
	switch {
	case v.used <= processMemory:
		return 0
	case v.retrying:
		return 2
	}
	return 1
}

// said tells of a worker's own limit.
func (v *weighed) said() string {
	return fmt.Sprintf("the HeapMemory of %s is %s", strings.Join(v.names, ", "), sizeText(v.limit))
}

// nodeSaid tells of the limit for all workers.
func nodeSaid(budget int64) string {
	return fmt.Sprintf("may take %s (its resource %q)", sizeText(budget), wire.Memory)
}

// ranOut says why a worker has ended by itself whose last mapping the system refused because of what it was told.
func (v *weighed) ranOut(budget int64) string {
	why := fmt.Sprintf("it ran out of memory with %s: when last looked at it had taken %s", strings.Join(v.names, ", "), sizeText(v.used))
	if v.limit > 0 {
		return why + ", and " + v.said()
	}
	return why + ", and the workers of the node " + nodeSaid(budget)
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
