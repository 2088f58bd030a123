package deque

// Peek shows up to max entries from a place on, the oldest first from 0, and gives the place to go on from and whether
// there is more. F runs under the lock.
func (d *Deque[E]) Peek(from uint64, max int, f func(E)) (next uint64, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	next = min(d.head, d.tail)
	if from > next {
		next = min(from, d.tail)
	}
	for ; next < d.tail && max > 0; max-- {
		f(d.ring[next&d.mask()])
		next++
	}
	return next, next < d.tail
}
