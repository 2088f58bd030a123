package wire

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// PeerOf says who is at the other end of a unix socket: its process, 0 where it cannot be seen from here, and its
// user.
func PeerOf(c *net.UnixConn) (pid, uid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, fmt.Errorf("wire: peer of a socket: %w", err)
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, 0, fmt.Errorf("wire: peer of a socket: %w", err)
	}
	if cerr != nil {
		return 0, 0, fmt.Errorf("wire: peer of a socket: %w", cerr)
	}
	return int(cred.Pid), int(cred.Uid), nil
}
