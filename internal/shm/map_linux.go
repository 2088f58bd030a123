package shm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// commitChunk bounds one fallocate, which a signal undoes as a whole.
	commitChunk = 16 << 20
	// commitRetries bounds how often one chunk is tried again after a signal.
	commitRetries = 100
)

// MapRW maps size bytes of the file from off on for reading and writing.
func MapRW(fd int, off, size int64) ([]byte, error) {
	return mmap(fd, off, size, unix.PROT_READ|unix.PROT_WRITE)
}

// MapRO maps size bytes of the file from off on for reading: a store through the view faults.
func MapRO(fd int, off, size int64) ([]byte, error) {
	return mmap(fd, off, size, unix.PROT_READ)
}

func mmap(fd int, off, size int64, prot int) ([]byte, error) {
	if size <= 0 || off < 0 || size > 1<<46 {
		return nil, fmt.Errorf("shm: map: offset %d and size %d make no mapping", off, size)
	}
	if have, err := FileSize(fd); err != nil {
		return nil, err
	} else if off > have || size > have-off {
		return nil, fmt.Errorf("shm: map: %d bytes at %d lie outside of a file of %d: not the file it was made as", size, off, have)
	}
	p, err := unix.MmapPtr(fd, off, nil, uintptr(size), prot, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("shm: map %d bytes at %d: %w", size, off, err)
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// FileSize is the size of an open file.
func FileSize(fd int) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("shm: stat descriptor %d: %w", fd, err)
	}
	return st.Size, nil
}

// Unmap ends a view. Its addresses may be given to anyone after it, so no one may still use the view.
func Unmap(b []byte) error {
	if err := unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b))); err != nil {
		return fmt.Errorf("shm: unmap %d bytes: %w", len(b), err)
	}
	return nil
}

// Revoke ends a view that someone may still hold: its addresses stay taken, and every access faults.
func Revoke(b []byte) error { return overlay(b, unix.PROT_NONE) }

// Blank ends a view that someone may still use: its addresses become private memory that reads as zero.
func Blank(b []byte) error { return overlay(b, unix.PROT_READ|unix.PROT_WRITE) }

func overlay(b []byte, prot int) error {
	const flags = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_FIXED | unix.MAP_NORESERVE
	if _, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)), prot, flags); err != nil {
		return fmt.Errorf("shm: replace a view of %d bytes: %w", len(b), err)
	}
	return nil
}

// Protect makes whole pages of a view read-only, or writable again.
func Protect(b []byte, writable bool) error {
	prot := unix.PROT_READ
	if writable {
		prot |= unix.PROT_WRITE
	}
	if err := unix.Mprotect(b, prot); err != nil {
		return fmt.Errorf("shm: protect %d bytes (writable %v): %w", len(b), writable, err)
	}
	return nil
}

// Populate enters the pages of a view, which exist, into the page table, so that reading does not fault.
func Populate(b []byte) error {
	if err := unix.Madvise(b, unix.MADV_POPULATE_READ); err != nil {
		return fmt.Errorf("shm: populate %d bytes: %w", len(b), err)
	}
	return nil
}

// AdviseHuge asks for huge pages where private memory is touched for the first time; b begins on a page. Where the system has
// none it stays as it was.
func AdviseHuge(b []byte) { unix.Madvise(b, unix.MADV_HUGEPAGE) }

// Commit makes sure that the pages of a range exist, so that touching them cannot fail. It is idempotent,
// and the place where a lack of memory shows as an error instead of a SIGBUS.
func Commit(fd int, off, n int64) error {
	for n > 0 {
		step := min(n, commitChunk)
		err := unix.Fallocate(fd, 0, off, step)
		for try := 0; err == unix.EINTR && try < commitRetries; try++ {
			err = unix.Fallocate(fd, 0, off, step)
		}
		if err != nil {
			return fmt.Errorf("shm: commit %d bytes at %d: %w; the machine, its control group or the file system has no memory left", n, off, err)
		}
		off, n = off+step, n-step
	}
	return nil
}

// Punch gives the pages of a range back to the system. The range reads as zero until it is written, which
// may fail, see [Commit].
func Punch(fd int, off, n int64) error {
	const mode = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	err := unix.Fallocate(fd, mode, off, n)
	for try := 0; err == unix.EINTR && try < commitRetries; try++ {
		err = unix.Fallocate(fd, mode, off, n)
	}
	if err != nil {
		return fmt.Errorf("shm: give back %d bytes at %d: %w", n, off, err)
	}
	return nil
}

// CloseFD closes a descriptor that [CreateFile] or a socket gave.
func CloseFD(fd int) error { return unix.Close(fd) }
