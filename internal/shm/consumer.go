package shm

import (
	"fmt"
	"sync/atomic"
	"time"
)

// Consumer is the receiving end of a ring. One goroutine at a time uses it.
type Consumer struct {
	r    *Ring
	bell *atomic.Uint32 // the producer's doorbell
	tail uint64         // published: the producer may fill everything below
	next uint64         // the next frame to give out
	head uint64         // the producer's position as last seen
	err  error
}

// Consumer takes the receiving end. The bell is the doorbell of the producer's process; nil when it polls.
func (r *Ring) Consumer(bell *atomic.Uint32) *Consumer {
	t := r.h.tail.Load()
	c := &Consumer{r: r, bell: bell, tail: t, next: t, head: t}
	if t%8 != 0 {
		c.corrupt("position not a multiple of 8", t)
	}
	return c
}

// TryGet gives the next frame, or false when there is none. The frame lies in the ring, is valid until
// [Consumer.Advance] and is for reading; the producer's process could still change it, so what must hold
// is checked on a copy. Several frames may be taken before one Advance.
func (c *Consumer) TryGet() (frame []byte, ok bool, err error) {
	for c.err == nil {
		if c.next == c.head && !c.look() {
			break
		}
		o := c.next & c.r.mask
		left := uint64(len(c.r.data)) - o
		avail := c.head - c.next
		n := c.r.length(o).Load()
		if n == skip {
			if o == 0 || left > avail {
				c.corrupt("skip at offset", o)
				break
			}
			c.next += left
			continue
		}
		if int64(n) > int64(c.r.MaxFrame()) || padded(int(n)) > min(left, avail) {
			c.corrupt("frame of length", uint64(n))
			break
		}
		c.next += padded(int(n))
		at := o + frameHeader
		return c.r.data[at : at+uint64(n) : at+uint64(n)], true, nil
	}
	return nil, false, c.err
}

// look reads the producer's position, refuses one that it cannot have, and says whether there is more.
func (c *Consumer) look() bool {
	h := c.r.h.head.Load()
	if h%8 != 0 || h-c.tail > uint64(len(c.r.data)) || h-c.tail < c.next-c.tail {
		c.corrupt("sender's position", h)
		return false
	}
	c.head = h
	return h != c.next
}

func (c *Consumer) corrupt(what string, v uint64) {
	c.err = fmt.Errorf("%w: %s %d, read up to %d of %d; close the ring and drop its other end", ErrCorrupt, what, v, c.next, c.head)
}

// Advance gives the room of all frames taken so far back, and wakes a producer that waits for room once
// half of the ring is free.
func (c *Consumer) Advance() {
	if c.tail != c.next {
		c.tail = c.next
		c.r.h.tail.Store(c.tail)
	}
	if c.r.h.wants.Load() == 0 || c.r.h.head.Load()-c.tail > uint64(len(c.r.data))/2 {
		return
	}
	if c.r.h.wants.Swap(0) != 0 {
		Bell(c.bell)
	}
}

// Park announces that the consumer is about to sleep on its doorbell, having read the doorbell and given all
// frames back before. It
// returns false, and announces nothing, when there is something to get after all.
func (c *Consumer) Park() bool {
	return c.park(atBell)
}

func (c *Consumer) park(how uint32) bool {
	c.r.h.parked.Store(how)
	if c.r.h.head.Load() != c.next {
		c.r.h.parked.Store(notParked)
		return false
	}
	return true
}

// Doze sleeps until there is something to get, for timeout at most. It may return early. Nobody else of the process is
// woken for what comes meanwhile.
func (c *Consumer) Doze(timeout time.Duration) {
	last := c.r.h.dozes.Load()
	if c.park(dozing) {
		Wait(&c.r.h.dozes, last, timeout)
		c.Unpark()
	}
}

// Unpark takes the announcement back; a consumer that woke calls it, so that nobody wakes it for nothing.
func (c *Consumer) Unpark() {
	if c.r.h.parked.Load() != notParked { // else the line stays where it is
		c.r.h.parked.Store(notParked)
	}
}

// Pending says whether there is more than was taken.
func (c *Consumer) Pending() bool { return c.r.h.head.Load() != c.next }

// Err is [ErrCorrupt] once the other end was seen to misbehave.
func (c *Consumer) Err() error { return c.err }
