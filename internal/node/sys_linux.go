package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidfd tells of the death of one process, whatever becomes of its number.
type pidfd struct{ f *os.File }

func openPidfd(pid int) (*pidfd, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("node: watching process %d: %w", pid, err)
	}
	return &pidfd{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// watchPeer watches the process that connected a socket, whose number was pid. It may have died since, and its number
// may be another's: the kernel then still gives the dead one where it knows SO_PEERPIDFD (Linux 6.5). Elsewhere
// a process that began after the connection came is not the one.
func watchPeer(c *net.UnixConn, pid int, since uint64) (*pidfd, error) {
	p, err := peerPidfd(c)
	if err == nil {
		return p, nil
	}
	if !errors.Is(err, unix.ENOPROTOOPT) {
		return nil, err
	}
	return watchNumber(pid, since)
}

func peerPidfd(c *net.UnixConn) (*pidfd, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("node: peer of a socket: %w", err)
	}
	fd, ferr := -1, error(nil)
	if err := raw.Control(func(s uintptr) { fd, ferr = unix.GetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_PEERPIDFD) }); err != nil {
		return nil, fmt.Errorf("node: peer of a socket: %w", err)
	}
	if ferr == nil {
		ferr = unix.SetNonblock(fd, true)
	}
	if ferr != nil {
		return nil, fmt.Errorf("node: watching the process at a socket: %w", ferr)
	}
	return &pidfd{os.NewFile(uintptr(fd), "pidfd")}, nil
}

// watchNumber watches the process that has a number, if it began before since. The pidfd is opened first, so that
// the time of the beginning is of the process watched, or that one is dead.
func watchNumber(pid int, since uint64) (*pidfd, error) {
	p, err := openPidfd(pid)
	if err != nil {
		return nil, err
	}
	if began, ok := beganAt(pid); !ok || began > since {
		p.close()
		return nil, fmt.Errorf("node: watching process %d: it has died, and its number is another's or nobody's", pid)
	}
	return p, nil
}

// ticksPerSecond is the unit of times in /proc on all systems of today.
const ticksPerSecond = 100

// bootTicks is the time since the machine's start.
func bootTicks() uint64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return uint64(t.Nano() / (1e9 / ticksPerSecond))
}

// beganAt is when a process began, in ticks since the machine's start.
func beganAt(pid int) (uint64, bool) {
	const field = 22 - 3 // starttime; the first of statFields is the third
	f := statFields(pid)
	if len(f) <= field {
		return 0, false
	}
	n, err := strconv.ParseUint(f[field], 10, 64)
	return n, err == nil
}

// wait returns true once the process is dead, false when close was called first.
func (p *pidfd) wait() bool {
	raw, err := p.f.SyscallConn()
	if err != nil {
		return false
	}
	dead := false
	err = raw.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		dead = err == nil && n == 1
		return dead
	})
	return dead && err == nil
}

func (p *pidfd) close() { p.f.Close() }

// openExe opens the executable that a process runs, whatever became of its path.
func openExe(pid int) (*os.File, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return nil, fmt.Errorf("node: executable of process %d: %w", pid, err)
	}
	return f, nil
}

// exePath is a path by which a child of this process can run f.
func exePath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// leashed makes a command's process die with this one, in a session and process group of its own. It is
// started from a locked thread: the kernel signals it with the end of the thread that started it. The signal is
// SIGTERM, so that a worker can take its children with it (internal/embed); before it serves it dies of it.
func leashed(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
}

// killGroup ends what a worker left in its process group. It is called before the worker is waited for, so
// that the number still is its own.
func killGroup(pid int) error {
	if err := unix.Kill(-pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("node: killing the process group of worker %d: %w", pid, err)
	}
	return nil
}

// capData bounds what a process may map for itself, 0: not. Go ends its program where a mapping is refused, and says so.
func capData(pid int, most int64) error {
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &was); err != nil {
		return fmt.Errorf("node: limits of worker %d: %w", pid, err)
	}
	l := unix.Rlimit{Cur: was.Max, Max: was.Max}
	if most > 0 {
		l.Cur = min(uint64(most), was.Max)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, &l, nil); err != nil {
		return fmt.Errorf("node: bounding the memory of worker %d: %w", pid, err)
	}
	return nil
}
