package lane

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Class orders frames: urgent ones (membership) overtake the others, never each other.
type Class byte

// Frame kinds.
const (
	FrameUser    Class = 1 // the layers above; of the bond, the others are of their lane
	FrameMember  Class = 2 // membership, urgent
	FrameAsk     Class = 3 // a request of the network layer's own (the directory)
	FrameAnswer  Class = 4 // its answer
	FrameConfirm Class = 5 // how many frames of the bond have come, urgent; never handed over
	frameClasses       = 6
)

// MaxFrame bounds the payload of a control frame; a little more than what users may send, for the layer's own headers.
const MaxFrame = 1<<20 + 64

const frameHead = 5 // payload length, class

// ErrFrame says that a peer sent what is no frame; the lane ends.
var ErrFrame = errors.New("lane: malformed frame")

func appendFrame(b []byte, k Class, head, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(head)+len(payload)))
	b = append(b, byte(k))
	return append(append(b, head...), payload...)
}

// parseFrame reads the first frame of b. need is how many bytes of b it takes in all; when b is shorter the
// rest must be read first. Limits are checked as soon as the head is there.
func parseFrame(b []byte) (k Class, payload []byte, need int, err error) {
	if len(b) < frameHead {
		return 0, nil, frameHead, nil
	}
	n := binary.BigEndian.Uint32(b)
	k = Class(b[4])
	if n > MaxFrame {
		return 0, nil, 0, fmt.Errorf("%w: %d bytes, at most %d", ErrFrame, n, MaxFrame)
	}
	if k == 0 || k >= frameClasses {
		return 0, nil, 0, fmt.Errorf("%w: class %d", ErrFrame, k)
	}
	need = frameHead + int(n)
	if len(b) < need {
		return k, nil, need, nil
	}
	return k, b[frameHead:need], need, nil
}
