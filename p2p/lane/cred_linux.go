package lane

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUser tells whose process is at the other end.
func peerUser(c *net.UnixConn) (uid int, err error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var e error
	if err := rc.Control(func(fd uintptr) { cred, e = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if e != nil {
		return 0, e
	}
	return int(cred.Uid), nil
}
