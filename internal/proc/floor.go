package proc

import (
	"math"
	"os"
	"runtime/debug"
	"sync"

	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/objstore/arena"
)

// floorBytes is how much a process allocates between two collections at least, about. Values that are got and
// tasks that are submitted are small and short-lived, and most of what they cost in a program with a small heap
// is Go's collector, which starts a cycle every 4 MiB there: 660 ns for a copy of 1 KiB, 220 with this floor.
// Less makes the collector run for nothing, more leaves the CPU's caches.
const floorBytes = 32 << 20

// youngBytes of Go's heap lie on huge pages, if the system has some: as much as a program with a small heap allocates between two
// collections. Values that are got walk through all of it, and what they cost is mostly its pages: Go gives those that are
// free back to the system wherever a collection finds little in use, each is touched for the first time again, and more
// of them than the CPU knows the addresses of are walked through (put of 1 KiB: 664 ns, 449 with huge ones).
const youngBytes = 32 << 20

// youngLeast is how much memory the machine or the control group has to spare for that: one huge page is the least that a
// process takes then.
const youngLeast = 1 << 30

// floor is memory that nobody touches: it has addresses and no pages, and the collector reckons with it. It is
// there while this process is attached, and not at all where its user has set GOGC or a memory limit.
var floor struct {
	mu  sync.Mutex
	n   int // attachments
	mem []byte
}

func raiseFloor() {
	floor.mu.Lock()
	defer floor.mu.Unlock()
	if floor.n++; floor.n > 1 || os.Getenv("GOGC") != "" || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	percent := debug.SetGCPercent(-1) // a collection in between would take what adviseYoung drops for live
	if arena.Spare() >= youngLeast {
		adviseYoung()
	}
	floor.mem = make([]byte, floorBytes)
	debug.SetGCPercent(percent)
}

// adviseYoung has the heap grow and asks for huge pages there. Nothing is touched, and the next collection finds it free. What
// the heap grows by beyond stays as it is.
func adviseYoung() { shm.AdviseHuge(make([]byte, youngBytes)) }

func lowerFloor() {
	floor.mu.Lock()
	defer floor.mu.Unlock()
	if floor.n--; floor.n == 0 {
		floor.mem = nil
	}
}
