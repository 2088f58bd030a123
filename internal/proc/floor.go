package proc

import (
	"math"
	"os"
	"runtime/debug"
	"sync"
)

// floorBytes is how much a process allocates between two collections at least, about. Values that are got and
// tasks that are submitted are small and short-lived, and most of what they cost in a program with a small heap
// is Go's collector, which starts a cycle every 4 MiB there: 660 ns for a copy of 1 KiB, 220 with this floor.
// Less makes the collector run for nothing, more leaves the CPU's caches.
const floorBytes = 32 << 20

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
	floor.mem = make([]byte, floorBytes)
}

func lowerFloor() {
	floor.mu.Lock()
	defer floor.mu.Unlock()
	if floor.n--; floor.n == 0 {
		floor.mem = nil
	}
}
