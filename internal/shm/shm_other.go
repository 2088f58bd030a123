//go:build !linux

package shm

import (
	"errors"
	"sync/atomic"
	"time"
)

var errSystem = errors.New("shm: shared memory needs Linux; this system is not supported yet")

var makers []maker

// MapRW is not supported on this system.
func MapRW(fd int, off, size int64) ([]byte, error) { return nil, errSystem }

// MapRO is not supported on this system.
func MapRO(fd int, off, size int64) ([]byte, error) { return nil, errSystem }

// FileSize is not supported on this system.
func FileSize(fd int) (int64, error) { return 0, errSystem }

// Unmap is not supported on this system.
func Unmap(b []byte) error { return errSystem }

// Revoke is not supported on this system.
func Revoke(b []byte) error { return errSystem }

// Blank is not supported on this system.
func Blank(b []byte) error { return errSystem }

// Protect is not supported on this system.
func Protect(b []byte, writable bool) error { return errSystem }

// Commit is not supported on this system.
func Commit(fd int, off, n int64) error { return errSystem }

// Punch is not supported on this system.
func Punch(fd int, off, n int64) error { return errSystem }

// Populate is not supported on this system.
func Populate(b []byte) error { return errSystem }

// AdviseHuge does nothing on this system.
func AdviseHuge(b []byte) {}

// CloseFD is not supported on this system.
func CloseFD(fd int) error { return errSystem }

// Wait only sleeps a little on this system: no memory is shared here that could change.
func Wait(addr *atomic.Uint32, val uint32, timeout time.Duration) { time.Sleep(time.Millisecond) }

// Wake does nothing on this system.
func Wake(addr *atomic.Uint32, n int) {}

// Yield does nothing on this system.
func Yield() {}

// ChangeCPU does nothing on this system.
func ChangeCPU() bool { return false }
