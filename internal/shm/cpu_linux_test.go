package shm

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestChangeCPU keeps what a thread may use, and moves nowhere where that is one CPU.
func TestChangeCPU(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var was, is unix.CPUSet
	if err := unix.SchedGetaffinity(0, &was); err != nil {
		t.Fatal(err)
	}
	defer unix.SchedSetaffinity(0, &was)
	for range 10 {
		if moved := ChangeCPU(); moved != (was.Count() > 1) {
			t.Fatalf("moved is %v, with %d CPUs", moved, was.Count())
		}
		if err := unix.SchedGetaffinity(0, &is); err != nil || is != was {
			t.Fatalf("may use %v, and before %v (%v)", is, was, err)
		}
	}
	var one unix.CPUSet
	for cpu := 0; one.Count() == 0; cpu++ {
		if was.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	if ChangeCPU() {
		t.Error("left its only CPU")
	}
	if err := unix.SchedGetaffinity(0, &is); err != nil || is != one {
		t.Errorf("may use %v, and before %v (%v)", is, one, err)
	}
}
