package shm

import (
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// futex operations, from linux/futex.h; the shared ones, since the word is in two address spaces.
const (
	futexWait = 0
	futexWake = 1
)

// Wait sleeps while *addr is val, until someone wakes the word, at most for timeout; a negative timeout
// means no limit. It may return early: the caller looks again. It gives the P away while it sleeps.
func Wait(addr *atomic.Uint32, val uint32, timeout time.Duration) {
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		ts = &t
	}
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWait, uintptr(val), uintptr(unsafe.Pointer(ts)), 0, 0)
}

// Wake wakes up to n sleepers of the word. It does not block, so it keeps its P.
func Wake(addr *atomic.Uint32, n int) {
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWake, uintptr(n), 0, 0, 0)
}
