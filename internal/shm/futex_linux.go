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

// Yield lets another thread have the CPU if one waits for it. Who looks for what a process that was just woken will do
// calls it: the kernel likes to wake on the CPU of the waker.
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
