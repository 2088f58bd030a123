package sched

import (
	"time"

	"golang.org/x/sys/unix"
)

// napSlack is how late the kernel may wake a napping thread; its default is 50 us.
const napSlack = time.Microsecond

// nap sleeps in a system call: a timer of the Go runtime may come a millisecond late. The thread's naps are made exact
// each time, since the next one may be on another thread; a refusal makes tasks start later.
func nap(d time.Duration) {
	_, _, _ = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(napSlack), 0)
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // an early return is one look more
}
