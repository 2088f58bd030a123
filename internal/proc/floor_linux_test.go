package proc

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/objstore/arena"
)

// TestFloor looks at what an attached process has: the collector reckons with the floor once, and the young heap asks for huge pages.
func TestFloor(t *testing.T) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		t.Skip("its user has said how often to collect")
	}
	raiseFloor()
	defer lowerFloor()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.NextGC < 2*floorBytes || m.NextGC >= 2*(floorBytes+youngBytes) {
		t.Errorf("the next collection is at %d bytes; the floor has %d, and what adviseYoung made is to be gone", m.NextGC, floorBytes)
	}
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage/enabled"); err != nil || arena.Spare() < youngLeast {
		t.Skip("no huge pages, or little memory to spare")
	}
	if n := hugeAsked(t); n < youngBytes {
		t.Errorf("huge pages are asked for in %d bytes of addresses, want %d", n, youngBytes)
	}
}

// hugeAsked is in how many bytes of addresses of this process huge pages are asked for.
func hugeAsked(t *testing.T) (n int) {
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	size := 0
	for l := range strings.Lines(string(b)) {
		switch w := strings.Fields(l); w[0] {
		case "Size:":
			size, _ = strconv.Atoi(w[1])
		case "VmFlags:":
			for _, f := range w[1:] {
				if f == "hg" {
					n += size << 10
				}
			}
		}
	}
	return n
}
