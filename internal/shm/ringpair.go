package shm

import (
	"fmt"
	"sync/atomic"
)

// RingPair is one side's two ends of a pair of rings in one memfd.
type RingPair struct {
	Out *Producer
	In  *Consumer
	mem []byte
}

// CreateRingPair makes the memfd of a pair of rings with capacity data bytes each way, all of it committed.
// The capacity is a power of two; 0 means [RingCapacity]. Each side then calls [OpenRingPair].
func CreateRingPair(capacity int) (fd int, err error) {
	if capacity == 0 {
		capacity = RingCapacity
	}
	if capacity < minRing || capacity > maxRing || capacity&(capacity-1) != 0 {
		return -1, fmt.Errorf("shm: ring pair of capacity %d: it must be a power of two from %d to %d", capacity, minRing, maxRing)
	}
	size := 2 * int64(RingSize(capacity))
	fd, _, err = CreateFile(size, KindMemfd, "")
	if err != nil {
		return -1, err
	}
	if err := Commit(fd, 0, size); err != nil {
		CloseFD(fd)
		return -1, err
	}
	return fd, nil
}

// OpenRingPair takes one side, 0 or 1, of the pair in fd; side 0 sends where side 1 receives. The bell is
// the doorbell of the other side's process: it is rung when the other side parked and a frame was sent to it,
// and when the other side wants room and got it. The descriptor stays the caller's and may be closed.
func OpenRingPair(fd, side int, bell *atomic.Uint32) (*RingPair, error) {
	if side != 0 && side != 1 {
		return nil, fmt.Errorf("shm: ring pair: side %d is neither 0 nor 1", side)
	}
	size, err := FileSize(fd)
	if err != nil {
		return nil, err
	}
	if size > 2*int64(RingSize(maxRing)) || size%2 != 0 {
		return nil, fmt.Errorf("shm: ring pair: a file of %d bytes holds none", size)
	}
	mem, err := MapRW(fd, 0, size)
	if err != nil {
		return nil, err
	}
	var r [2]*Ring
	for i := range r {
		if r[i], err = NewRing(mem[int(size/2)*i : int(size/2)*(i+1)]); err != nil {
			Unmap(mem)
			return nil, err
		}
	}
	return &RingPair{Out: r[side].Producer(bell), In: r[1-side].Consumer(bell), mem: mem}, nil
}

// Close ends this side. Its owner calls it once, after the last use of both ends and of any frame.
func (p *RingPair) Close() error { return Unmap(p.mem) }
