package p2p

import (
	"errors"

	"github.com/kadrehq/kadre/p2p/lane"
)

// Errors of a host's methods. Those of admission are in package admit.
var (
	ErrClosed = errors.New("p2p: host closed")
	ErrNoLane = errors.New("p2p: no connection to this node: it is no living member")
	ErrFull   = lane.ErrFull // too much waits for the peer
)

// RemoteError is a bulk request's refusal by the node asked.
type RemoteError = lane.RemoteError
