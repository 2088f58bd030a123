//go:build !linux

package wire

import (
	"errors"
	"net"
)

// PeerOf is for Linux.
func PeerOf(*net.UnixConn) (pid, uid int, err error) { return 0, 0, errors.ErrUnsupported }
