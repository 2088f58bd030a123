//go:build !linux

package lane

import (
	"errors"
	"net"
)

func peerUser(*net.UnixConn) (uid int, err error) {
	return 0, errors.ErrUnsupported
}
