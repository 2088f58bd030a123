package lane

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
)

// confirmEvery is after how many bytes of frames the peer is told what came; smaller rests are told by Confirm.
const confirmEvery = 64 << 10

const confirmBytes = 8

// Bond is one side of what two nodes share from an Up to the next Down: the frames sent and not confirmed, and
// the count of those received. Lanes come and go under it, one at a time; on each the two sides first tell
// how many frames they have, and go on from there. So every frame arrives once, in order, unless the bond
// ends. Its methods may be called by anyone.
type Bond struct {
	got atomic.Uint64 // frames handed over; the reader of the one running lane sets it after each read, and at its end

	mu   sync.Mutex
	kept kept
	lane *Control // the newest; nil before the first
	over error
}

// NewBond makes a bond that nothing has passed yet.
func NewBond() *Bond { return &Bond{} }

// Lane makes a control lane of an agreed connection and lets the bond's frames go over it, in place of the
// lane before, which is cut. None is written before Run, and Run must be called.
func (b *Bond) Lane(c *Conn) *Control {
	l := &Control{c: c, bond: b, done: make(chan struct{})}
	l.wake.L, l.empty.L = &b.mu, &b.mu
	b.mu.Lock()
	l.prev, b.lane = b.lane, l
	b.mu.Unlock()
	if l.prev != nil {
		l.prev.Cut(errReplaced)
	}
	return l
}

// Send keeps a frame, copied, until the peer has it, and writes it as soon as there is a lane. It does not wait.
func (b *Bond) Send(payload []byte) error {
	if n := len(payload); n > MaxFrame {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, n, MaxFrame)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over != nil {
		return fmt.Errorf("%w: %w", ErrClosed, b.over)
	}
	if err := b.kept.add(FrameUser, payload); err != nil {
		return err
	}
	if b.lane != nil {
		b.lane.nudgeLocked()
	}
	return nil
}

// Kept tells how many bytes wait for being confirmed.
func (b *Bond) Kept() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept.bytes
}

// End lets go of all that is kept; Send refuses from now on. Lanes are cut by their owner.
func (b *Bond) End(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = why
}

// confirmed takes the peer's count: the first on a lane says where to begin.
func (l *Control) confirmed(p []byte) error {
	if len(p) != confirmBytes {
		return fmt.Errorf("%w: confirmation of %d bytes", ErrFrame, len(p))
	}
	n := binary.BigEndian.Uint64(p)
	b := l.bond
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.open {
		return b.kept.confirm(n)
	}
	if err := b.kept.resume(n); err != nil {
		return err
	}
	l.open = true
	l.nudgeLocked()
	return nil
}

// Confirm tells the peer how many frames came, if it has not been told.
func (l *Control) Confirm() {
	l.bond.mu.Lock()
	defer l.bond.mu.Unlock()
	if l.began && l.told != l.bond.got.Load() {
		l.confirmLocked()
		l.nudgeLocked()
	}
}

func (l *Control) confirmLocked() {
	l.told = l.bond.got.Load()
	l.urgent = appendFrame(l.urgent, FrameConfirm, nil, binary.BigEndian.AppendUint64(nil, l.told))
}
