package deque

// Filter removes the entries that drop says yes to, and keeps the order of the others. Drop runs under the lock.
func (d *Deque[E]) Filter(drop func(E) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keepLocked(d.lenLocked(), drop)
}

// Take removes up to max of the oldest entries that want says yes to, and stale ones on its way, looking
// at no more than look entries. It appends what it took to dst. Want runs under the lock.
func (d *Deque[E]) Take(dst []E, max, look int, want func(E) bool) []E {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	d.keepLocked(min(look, d.lenLocked()), func(e E) bool {
		if n < max && want(e) {
			dst = append(dst, e)
			n++
			return true
		}
		return e.Stale()
	})
	return dst
}

// keepLocked asks drop about the oldest k entries and closes the gaps towards the tail.
func (d *Deque[E]) keepLocked(k int, drop func(E) bool) {
	var zero E
	end := d.head + uint64(k)
	var kept []E
	for i := d.head; i < end; i++ {
		p := &d.ring[i&d.mask()]
		if !drop(*p) {
			kept = append(kept, *p)
		}
		*p = zero
	}
	d.head = end - uint64(len(kept))
	for i, e := range kept {
		d.ring[(d.head+uint64(i))&d.mask()] = e
	}
}
