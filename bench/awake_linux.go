package bench

import (
	"errors"
	"io"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// keepAwake starts a process for each core that runs only when nothing else would, so that no core sleeps: on a
// virtual machine waking one takes longer than what a round trip measures.
func keepAwake() (end func() error, err error) {
	var all []*child
	end = func() (err error) {
		for _, c := range all {
			err = errors.Join(err, c.close())
		}
		return err
	}
	for range runtime.NumCPU() {
		c, err := spawn("awake")
		if err != nil {
			return nil, errors.Join(err, end())
		}
		all = append(all, c)
	}
	return end, nil
}

// awakeChild spins below everything else until its input ends.
func awakeChild() error {
	var over atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		over.Store(true)
	}()
	runtime.LockOSThread()
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0); err != nil {
		return err
	}
	for !over.Load() {
	}
	return nil
}
