package shm

import (
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page on the machines we run on.
const hugePage = 2 << 20

// fsconfig commands, from linux/mount.h; x/sys has no wrapper.
const (
	fsconfigSetString = 1
	fsconfigCreate    = 6
)

var makers = []maker{{KindHuge, createHuge}, {KindMemfd, createMemfd}, {KindFile, createFile}}

// createHuge makes a file on a tmpfs that is mounted nowhere. The file keeps the file system alive.
func createHuge(size int64, _ string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen: %w", err)
	}
	defer unix.Close(fs)
	room := (size+hugePage-1)&^(hugePage-1) + hugePage
	for _, kv := range [][2]string{{"huge", "always"}, {"size", strconv.FormatInt(room, 10)}, {"mode", "0700"}} {
		if err := fsconfig(fs, fsconfigSetString, kv[0], kv[1]); err != nil {
			return -1, fmt.Errorf("%s=%s: %w", kv[0], kv[1], err)
		}
	}
	if err := fsconfig(fs, fsconfigCreate, "", ""); err != nil {
		return -1, fmt.Errorf("create: %w", err)
	}
	mnt, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("fsmount: %w", err)
	}
	defer unix.Close(mnt)
	fd, err := unix.Openat(mnt, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return -1, fmt.Errorf("open: %w", err)
	}
	return sized(fd, size)
}

func fsconfig(fs, cmd int, key, value string) error {
	var k, v *byte
	if key != "" {
		var err error
		if k, err = unix.BytePtrFromString(key); err != nil {
			return err
		}
		if v, err = unix.BytePtrFromString(value); err != nil {
			return err
		}
	}
	_, _, e := unix.Syscall6(unix.SYS_FSCONFIG, uintptr(fs), uintptr(cmd), uintptr(unsafe.Pointer(k)), uintptr(unsafe.Pointer(v)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// createMemfd makes a memfd that nobody can shrink or grow, so that no mapping of it loses its pages.
func createMemfd(size int64, _ string) (int, error) {
	fd, err := unix.MemfdCreate("kadre", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("memfd_create: %w", err)
	}
	if fd, err = sized(fd, size); err != nil {
		return -1, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("seal: %w", err)
	}
	return fd, nil
}

func createFile(size int64, dir string) (int, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	f, err := os.CreateTemp(dir, "kadre-shm-*")
	if err != nil {
		return -1, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return -1, err
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("dup: %w", err)
	}
	return sized(fd, size)
}

// sized gives the file its size and closes it where that fails.
func sized(fd int, size int64) (int, error) {
	if err := unix.Ftruncate(fd, size); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("size %d: %w", size, err)
	}
	return fd, nil
}
