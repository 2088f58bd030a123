package shm

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ChangeCPU moves the calling thread to another CPU, if it may use one; it says whether it did. What it may use stays as it
// was, so that the system may move it back. It takes some 10 us, more where the other CPU sleeps.
func ChangeCPU() bool {
	runtime.LockOSThread() // a thread that Go starts from this one would inherit what is set meanwhile
	defer runtime.UnlockOSThread()
	var may unix.CPUSet
	if unix.SchedGetaffinity(0, &may) != nil {
		return false
	}
	var cpu uint32
	if _, _, e := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); e != 0 {
		return false
	}
	others := may
	others.Clear(int(cpu))
	if others.Count() == 0 || unix.SchedSetaffinity(0, &others) != nil {
		return false
	}
	return unix.SchedSetaffinity(0, &may) == nil
}
