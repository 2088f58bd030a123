package deque

import "sync"

const (
	// Max bounds the entries of one deque: 64 MiB of pointers.
	Max = 1 << 23
	// minRing is the first ring's size, and what Trim leaves.
	minRing = 64
)

// Elem is what a deque holds. A stale element needs no run any more.
type Elem interface{ Stale() bool }

// Deque is a double-ended queue. The zero value is empty and open.
type Deque[E Elem] struct {
	mu         sync.Mutex
	ring       []E    // length a power of two
	head, tail uint64 // entries are [head, tail), at most len(ring)
	pushes     uint64
	closed     bool
	_          [64]byte // the next deque's owner writes its own line
}

// Push adds e at the tail, in the place of what is stale there, and says how many entries there are then; ok is false, and
// nothing is added, when the deque is closed or at Max.
func (d *Deque[E]) Push(e E) (n int, ok bool) {
	d.mu.Lock()
	d.dropStaleLocked()
	ok = d.roomLocked(1)
	if ok {
		d.pushLocked(e)
	}
	n = d.lenLocked()
	d.mu.Unlock()
	return n, ok
}

// PushAll adds all of es in order, or none of them.
func (d *Deque[E]) PushAll(es []E) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.roomLocked(len(es)) {
		return false
	}
	for _, e := range es {
		d.pushLocked(e)
	}
	return true
}

// Pop takes the newest entry.
func (d *Deque[E]) Pop() (e E, ok bool) {
	d.mu.Lock()
	if ok = d.tail > d.head; ok {
		e = d.popLocked()
	}
	d.mu.Unlock()
	return e, ok
}

// DropStale removes stale entries from the tail, as the next Push does. Who runs many elements without popping them calls it.
func (d *Deque[E]) DropStale() {
	d.mu.Lock()
	d.dropStaleLocked()
	d.mu.Unlock()
}

func (d *Deque[E]) dropStaleLocked() {
	for d.tail > d.head && d.ring[(d.tail-1)&d.mask()].Stale() {
		d.popLocked()
	}
}

// Steal moves the older half, at most len(dst), into dst, oldest first, where there are least entries or more. With
// try it gives up at once when the lock is taken; busy says so, and means try again where n = 0 alone means that there
// is nothing to steal.
func (d *Deque[E]) Steal(dst []E, least int, try bool) (n int, busy bool) {
	if !try {
		d.mu.Lock()
	} else if !d.mu.TryLock() {
		return 0, true
	}
	want := 0
	if k := d.lenLocked(); k >= least {
		want = min((k+1)/2, len(dst))
	}
	for n < want {
		dst[n] = d.shiftLocked()
		n++
	}
	d.mu.Unlock()
	return n, false
}

// Oldest shows the entry that a thief would get.
func (d *Deque[E]) Oldest() (e E, ok bool) {
	d.mu.Lock()
	if ok = d.tail > d.head; ok {
		e = d.ring[d.head&d.mask()]
	}
	d.mu.Unlock()
	return e, ok
}

// Len is the number of entries, stale ones included, and moves the count of all pushes, pops and steals so far.
func (d *Deque[E]) Len() (n int, moves uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lenLocked(), 2*d.pushes - d.tail + d.head // tail = pushes - pops
}

// Close closes an empty deque for good; false when it is not empty.
func (d *Deque[E]) Close() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = d.closed || d.tail == d.head
	return d.closed
}

// Trim gives the ring of an empty deque back to the collector.
func (d *Deque[E]) Trim() {
	d.mu.Lock()
	if d.tail == d.head && len(d.ring) > minRing {
		d.ring = nil
	}
	d.mu.Unlock()
}

func (d *Deque[E]) mask() uint64   { return uint64(len(d.ring) - 1) }
func (d *Deque[E]) lenLocked() int { return int(d.tail - d.head) }

func (d *Deque[E]) pushLocked(e E) {
	d.ring[d.tail&d.mask()] = e
	d.tail++
	d.pushes++
}

func (d *Deque[E]) popLocked() E {
	var zero E
	d.tail--
	p := &d.ring[d.tail&d.mask()]
	e := *p
	*p = zero
	return e
}

func (d *Deque[E]) shiftLocked() E {
	var zero E
	p := &d.ring[d.head&d.mask()]
	e := *p
	*p = zero
	d.head++
	return e
}

// roomLocked makes room for k more; false when that cannot be.
func (d *Deque[E]) roomLocked(k int) bool {
	n := d.lenLocked() + k
	if n <= len(d.ring) && !d.closed {
		return true
	}
	if d.closed || n > Max {
		return false
	}
	size := max(minRing, len(d.ring))
	for size < n {
		size *= 2
	}
	r := make([]E, size)
	for i := d.head; i < d.tail; i++ {
		r[i&uint64(size-1)] = d.ring[i&d.mask()]
	}
	d.ring = r
	return true
}
