package wire

import "time"

// Grab takes the baton of the link when nobody has it and the link is open; the sender at the other end need
// not ring meanwhile. Drop gives it back.
func (l *Link) Grab() bool {
	if !l.drain.TryLock() {
		return false
	}
	if l.pair == nil {
		l.drain.Unlock()
		return false
	}
	l.pair.In.Unpark()
	return true
}

// Drop gives the baton back. With park the sender at the other end rings from now on; then it returns false,
// and the caller still has the baton, when a frame has come.
func (l *Link) Drop(park bool) bool {
	if park && !l.pair.In.Park() {
		return false
	}
	l.drain.Unlock()
	return true
}

// Pending says whether there is a frame to take out. The caller has the baton.
func (l *Link) Pending() bool { return l.pair.In.Pending() }

// Pump gives at most most of the frames that have come to f, and sends what waited for room. A frame is valid
// during its call only. It returns how many there were; an error means that the link is of no more use. The
// caller has the baton.
func (l *Link) Pump(f func(frame []byte), most int) (n int, err error) {
	if l.backlog.Load() {
		l.mu.Lock()
		l.flushLocked()
		l.mu.Unlock()
	}
	in := l.pair.In
	if l.rang.Load() && in.Pending() {
		l.rang.Store(false)
	}
	for n < most {
		b, ok, err := in.TryGet()
		if !ok {
			in.Advance()
			return n, err
		}
		f(b)
		if n++; n%drainBatch == 0 {
			in.Advance()
		}
	}
	in.Advance()
	return n, nil
}

// Drain is Pump for who does not have the baton. Nothing comes of it where somebody else has.
func (l *Link) Drain(f func(frame []byte)) (n int, err error) { return l.drainSome(f, drainMost) }

func (l *Link) drainSome(f func(frame []byte), most int) (n int, err error) {
	if !l.drain.TryLock() {
		return 0, nil
	}
	defer l.drain.Unlock()
	if l.pair == nil {
		return 0, ErrLinkClosed
	}
	return l.Pump(f, most)
}

// DrainLast takes out what is left of a link whose other end is gone, waiting for the baton.
func (l *Link) DrainLast(f func(frame []byte)) {
	l.drain.Lock()
	defer l.drain.Unlock()
	for l.pair != nil {
		if n, err := l.Pump(f, drainMost); n == 0 || err != nil {
			return
		}
	}
}

// park announces that the poll goroutine is about to sleep on its doorbell; false when there is something to
// take out. Where somebody else has the baton, that is who parks.
func (l *Link) park() bool {
	if !l.drain.TryLock() {
		return true
	}
	defer l.drain.Unlock()
	return l.pair == nil || l.pair.In.Park()
}

// unpark takes park back.
func (l *Link) unpark() {
	if !l.drain.TryLock() {
		return
	}
	defer l.drain.Unlock()
	if l.pair != nil {
		l.pair.In.Unpark()
	}
}

// Doze sleeps until a frame comes, for timeout at most; it may return early. The caller has the baton.
func (l *Link) Doze(timeout time.Duration) { l.pair.In.Doze(timeout) }

// Put sends a frame and gives the position in the ring where it ends, for Taken. It returns false, and sends
// nothing, where frames wait for room already. The caller calls Ring afterwards, for one or many.
func (l *Link) Put(frame []byte) (end uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.wait) > 0 || !l.pair.Out.TryPut(frame) {
		return 0, false
	}
	if l.pair.Out.Parked() {
		l.owes.Store(true)
	}
	return l.pair.Out.Sent(), true
}

// Owes says whether Put has found the process at the other end asleep and nobody has called Ring since.
func (l *Link) Owes() bool { return l.owes.Load() }

// Ring wakes the process at the other end where it sleeps.
func (l *Link) Ring() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.owes.Store(false)
		l.notifyLocked()
	}
}

func (l *Link) notifyLocked() {
	if l.pair.Out.Notify() {
		l.rang.Store(true)
	}
}

// Rang says whether a frame has woken the process at the other end and nothing has come from it since.
func (l *Link) Rang() bool { return l.rang.Load() }

// Taken is how far the process at the other end has given frames back: those that end beyond it, when that
// process is dead, were never acted upon to their end.
func (l *Link) Taken() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0
	}
	return l.pair.Out.Taken()
}
