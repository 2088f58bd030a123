package lane

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Kind says which lane a connection becomes.
type Kind byte

// The kinds of lane.
const (
	KindControl Kind = 1
	KindBulk    Kind = 2
)

// Limits of a hello.
const (
	maxHello    = 64 << 10
	helloFixed  = 1 + 8 + 8 + 8 + 8 + 1
	maxWhyBytes = 512
)

// Hello is what each side says of itself once admitted, the dialer first.
type Hello struct {
	Kind  Kind
	Epoch uint64
	Lane  uint64 // the lane's name, drawn by the dialer; the listener repeats it
	Last  uint64 // the control lane to this peer that the sender has lost and not replaced; 0: none
	Bond  uint64 // the name of the bond that the sender has with this peer; 0: none. Equal ones go on
	Found byte   // how the dialer found the peer; the listener's is ignored
	Info  []byte // what the sender says of itself, for the membership
}

// ErrHello says that a hello is malformed.
var ErrHello = errors.New("lane: malformed hello")

// Append encodes h.
func (h Hello) Append(b []byte) []byte {
	b = append(b, byte(h.Kind))
	for _, v := range [...]uint64{h.Epoch, h.Lane, h.Last, h.Bond} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, h.Found)
	return append(b, h.Info...)
}

// ParseHello decodes what Append wrote; Info points into b.
func ParseHello(b []byte) (h Hello, err error) {
	if len(b) < helloFixed {
		return h, fmt.Errorf("%w: %d bytes", ErrHello, len(b))
	}
	h.Kind = Kind(b[0])
	if h.Kind != KindControl && h.Kind != KindBulk {
		return h, fmt.Errorf("%w: kind %d", ErrHello, b[0])
	}
	for i, v := range [...]*uint64{&h.Epoch, &h.Lane, &h.Last, &h.Bond} {
		*v = binary.BigEndian.Uint64(b[1+8*i:])
	}
	h.Found = b[33]
	h.Info = b[helloFixed:]
	return h, nil
}

// Hello exchanges hellos: the dialer's goes first, so that a listener knows the peer's before it makes its own.
func (c *Conn) Hello(ours func(theirs *Hello) Hello) (Hello, error) {
	if c.Dialed {
		if err := c.say(ours(nil).Append(nil)); err != nil {
			return Hello{}, err
		}
		b, err := c.hear(maxHello)
		if err != nil {
			return Hello{}, err
		}
		return ParseHello(b)
	}
	b, err := c.hear(maxHello)
	if err != nil {
		return Hello{}, err
	}
	h, err := ParseHello(b)
	if err != nil {
		return h, err
	}
	return h, c.say(ours(&h).Append(nil))
}

// Decide ends the handshake: the side that decides says yes (an empty string) or why not.
func (c *Conn) Decide(no string) error {
	return c.say([]byte(no[:min(len(no), maxWhyBytes)]))
}

// Await waits for the other side's decision and returns its reason to refuse, if it has one.
func (c *Conn) Await() (no string, err error) {
	b, err := c.hear(maxWhyBytes)
	return string(b), err
}

// Settle ends the handshake's deadline.
func (c *Conn) Settle() { c.raw.SetDeadline(time.Time{}) }

func (c *Conn) say(b []byte) error {
	m := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...)
	if _, err := c.rw.Write(m); err != nil {
		return fmt.Errorf("lane: handshake: %w", err)
	}
	return nil
}

func (c *Conn) hear(limit uint32) ([]byte, error) {
	var l [4]byte
	if _, err := io.ReadFull(c.rw, l[:]); err != nil {
		return nil, fmt.Errorf("lane: handshake: %w", err)
	}
	n := binary.BigEndian.Uint32(l[:])
	if n > limit {
		return nil, fmt.Errorf("%w: %d bytes", ErrHello, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.rw, b); err != nil {
		return nil, fmt.Errorf("lane: handshake: %w", err)
	}
	return b, nil
}
