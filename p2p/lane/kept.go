package lane

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// What a bond keeps of frames that the peer has not confirmed.
const (
	maxKept      = 16 << 20 // bytes to one peer; then Send refuses
	firstSegment = 4 << 10  // a quiet peer costs no more
	fullSegment  = 64 << 10 // larger only for one large frame
	maxSpare     = 4        // segments kept for later while frames flow; one when none is left
)

// kept has the numbered frames of one direction that the peer has not confirmed, encoded, and where in them
// the lane's writer stands. Frames are numbered from 1 in the order of add. On each lane the peer says first
// how many it has (resume), so numbers need not travel with the frames.
//
// It is a plain state machine; the caller's lock guards it. What next returned may be read without the lock
// until wrote: add only writes behind it, and confirm leaves the writer's segment alone.
type kept struct {
	segs      []segment
	at, off   int      // the next byte to be written: segs[at].b[off]
	sent      uint64   // the number of the last frame added
	confirmed uint64   // the peer has all up to this one
	bytes     int      // in segs
	spare     [][]byte // arrays of segments to use again
}

// segment holds whole frames. Its array never moves.
type segment struct {
	b     []byte
	first uint64 // the number of its first frame
}

// last is the number of the last frame of segs[i].
func (k *kept) last(i int) uint64 {
	if i+1 < len(k.segs) {
		return k.segs[i+1].first - 1
	}
	return k.sent
}

// add keeps a frame, copied.
func (k *kept) add(c Class, payload []byte) error {
	need := frameHead + len(payload)
	if k.bytes+need > maxKept {
		return ErrFull
	}
	i := len(k.segs) - 1
	if i < 0 || cap(k.segs[i].b)-len(k.segs[i].b) < need {
		k.segs = append(k.segs, segment{k.room(need), k.sent + 1})
		i++
		k.pass()
	}
	s := &k.segs[i]
	n := len(s.b)
	s.b = s.b[:n+need]
	f := s.b[n:]
	binary.BigEndian.PutUint32(f, uint32(len(payload)))
	f[4] = byte(c)
	copy(f[frameHead:], payload)
	k.bytes += need
	k.sent++
	return nil
}

// room finds an array for a segment: twice the last one's size, within the limits.
func (k *kept) room(need int) []byte {
	if i := len(k.spare) - 1; i >= 0 && need <= cap(k.spare[i]) {
		b := k.spare[i]
		k.spare = k.spare[:i]
		return b
	}
	size := firstSegment
	if n := len(k.segs); n > 0 {
		size = min(2*cap(k.segs[n-1].b), fullSegment)
	}
	return make([]byte, 0, max(size, need))
}

// next is what the writer should write: all that is left of its segment.
func (k *kept) next() []byte {
	if len(k.segs) == 0 {
		return nil
	}
	return k.segs[k.at].b[k.off:]
}

// wrote notes that n bytes of what next returned were written.
func (k *kept) wrote(n int) {
	k.off += n
	k.pass()
	k.drop()
}

// pass moves the writer over the end of a segment behind which there is another.
func (k *kept) pass() {
	if k.at+1 < len(k.segs) && k.off == len(k.segs[k.at].b) {
		k.at, k.off = k.at+1, 0
	}
}

// confirm notes that the peer has all frames up to n.
func (k *kept) confirm(n uint64) error {
	if n < k.confirmed || n > k.sent {
		return fmt.Errorf("%w: %d frames confirmed, after %d and of %d", ErrFrame, n, k.confirmed, k.sent)
	}
	k.confirmed = n
	k.drop()
	return nil
}

// drop lets go of segments that are written and confirmed.
func (k *kept) drop() {
	for k.at > 0 && k.last(0) <= k.confirmed {
		k.at--
		k.shift()
	}
	if len(k.segs) == 1 && k.sent == k.confirmed && k.off == len(k.segs[0].b) {
		k.off = 0
		k.shift()
	}
}

// shift takes the oldest segment away.
func (k *kept) shift() {
	b := k.segs[0].b
	k.bytes -= len(b)
	if cap(b) <= fullSegment && len(k.spare) < maxSpare {
		k.spare = append(k.spare, b[:0])
	}
	k.segs = slices.Delete(k.segs, 0, 1) // few, and cleared
	if len(k.segs) == 0 && len(k.spare) > 1 {
		k.spare = [][]byte{k.spare[len(k.spare)-1]}
	}
}

// resume puts the writer behind frame n, the last that the peer has: a new lane begins there.
func (k *kept) resume(n uint64) error {
	if err := k.confirm(n); err != nil {
		return err
	}
	k.at, k.off = 0, 0
	for len(k.segs) > 0 && k.last(0) <= n {
		k.shift()
	}
	if len(k.segs) == 0 {
		return nil
	}
	b := k.segs[0].b
	for range n + 1 - k.segs[0].first {
		_, _, need, err := parseFrame(b[k.off:])
		if err != nil {
			return err
		}
		k.off += need
	}
	return nil
}
