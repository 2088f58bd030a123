package shm

import (
	"fmt"
	"sync/atomic"
)

// Producer is the sending end of a ring. One goroutine at a time uses it.
type Producer struct {
	r    *Ring
	bell *atomic.Uint32 // the consumer's doorbell
	head uint64
	tail uint64 // the consumer's position as last seen
	err  error
}

// Producer takes the sending end. The bell is the doorbell of the consumer's process; nil when it polls.
func (r *Ring) Producer(bell *atomic.Uint32) *Producer {
	p := &Producer{r: r, bell: bell, head: r.h.head.Load(), tail: r.h.tail.Load()}
	if p.head%8 != 0 || p.head-p.tail > uint64(len(r.data)) {
		p.corrupt(p.tail)
	}
	return p
}

// TryPut sends one frame that is made of parts. It returns false when there is no room; then the consumer
// rings our doorbell (the one it was given) once half of the ring is free. A frame longer than
// [Ring.MaxFrame] never has room, and after [Producer.Err] nothing has. The consumer is not woken, see
// [Producer.Notify].
func (p *Producer) TryPut(parts ...[]byte) bool {
	n := 0
	for _, b := range parts {
		n += len(b)
	}
	if n > p.r.MaxFrame() {
		return false
	}
	need := padded(n)
	o := p.head & p.r.mask
	left := uint64(len(p.r.data)) - o
	total := need
	if need > left {
		total += left
	}
	if !p.room(total) {
		return false
	}
	if need > left {
		p.r.length(o).Store(skip)
		p.head += left
		o = 0
	}
	p.r.length(o).Store(uint32(n))
	at := o + frameHeader
	for _, b := range parts {
		at += uint64(copy(p.r.data[at:], b))
	}
	p.head += need
	p.r.h.head.Store(p.head)
	return true
}

// room says whether n bytes are free, and leaves word with the consumer when they are not.
func (p *Producer) room(n uint64) bool {
	if p.err != nil {
		return false
	}
	if p.free() >= n || p.look() && p.free() >= n {
		return true
	}
	p.r.h.wants.Store(1)
	if p.look() && p.free() >= n {
		p.r.h.wants.Store(0)
		return true
	}
	return false
}

func (p *Producer) free() uint64 { return uint64(len(p.r.data)) - (p.head - p.tail) }

// look reads the consumer's position and refuses one that it cannot have.
func (p *Producer) look() bool {
	t := p.r.h.tail.Load()
	if t%8 != 0 || t-p.tail > p.head-p.tail {
		p.corrupt(t)
		return false
	}
	p.tail = t
	return true
}

func (p *Producer) corrupt(tail uint64) {
	p.err = fmt.Errorf("%w: sent up to %d, and the receiver says it is at %d; close the ring and drop its other end", ErrCorrupt, p.head, tail)
	p.tail = p.head - uint64(len(p.r.data)) // full for ever
}

// Notify wakes the consumer when it is parked, and says whether it was.
func (p *Producer) Notify() bool {
	if p.r.h.parked.Load() == notParked {
		return false
	}
	switch p.r.h.parked.Swap(notParked) {
	case notParked:
		return false
	case dozing:
		Bell(&p.r.h.dozes)
	default:
		Bell(p.bell)
	}
	return true
}

// Parked says whether Notify would wake somebody.
func (p *Producer) Parked() bool { return p.r.h.parked.Load() != notParked }

// Sent is the position behind the last frame; [Producer.Taken] is how far the consumer has given frames back.
// A frame that ends beyond Taken when the consumer is dead was never looked at, or not to its end.
func (p *Producer) Sent() uint64 { return p.head }

// Taken looks how far the consumer is.
func (p *Producer) Taken() uint64 {
	if p.err == nil {
		p.look()
	}
	return p.tail
}

// MaxFrame is the longest payload that [Producer.TryPut] takes.
func (p *Producer) MaxFrame() int { return p.r.MaxFrame() }

// Err is [ErrCorrupt] once the other end was seen to misbehave.
func (p *Producer) Err() error { return p.err }
