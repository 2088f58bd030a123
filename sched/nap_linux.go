package sched

import (
	"time"

	"golang.org/x/sys/unix"
)

// napSlack is how late the kernel may wake a napping thread; its default is 50 us.
const napSlack = time.Microsecond

// sharpen makes the naps of the calling thread exact. Best effort: a refusal makes tasks start later.
func sharpen() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(napSlack), 0, 0, 0) }

// nap sleeps in a system call: a timer of the Go runtime may come a millisecond late.
func nap(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // an early return is one look more
}
