package sched

import "sync"

// shares are the slots that tasks of less than one CPU have together: so many thousandths as they need. Whole slots that
// none of them needs are given back.
type shares struct {
	mu     sync.Mutex
	free   int32 // thousandths that no task has, below 1000 while nobody waits
	queue  []shareWaiter
	asking bool // a goroutine waits for one more slot
}

type shareWaiter struct {
	ch    chan struct{}
	milli int32
}

// acquireOf takes what t needs to run, and waits for it; releaseOf gives it back.
func (e *Engine) acquireOf(t *Task) {
	if t.shape&share == 0 {
		e.acquire(int32(t.slots()))
		return
	}
	e.acquireShare(int32(t.shape & maxTaskSlots))
}

func (e *Engine) releaseOf(t *Task) {
	if t.shape&share == 0 {
		e.release(int32(t.slots()))
		return
	}
	s := &e.shares
	s.mu.Lock()
	s.free += int32(t.shape & maxTaskSlots)
	n := s.grantLocked()
	s.mu.Unlock()
	if n > 0 {
		e.release(n)
	}
}

func (e *Engine) acquireShare(milli int32) {
	s := &e.shares
	s.mu.Lock()
	if len(s.queue) == 0 && s.free >= milli {
		s.free -= milli
		s.mu.Unlock()
		return
	}
	w := shareWaiter{make(chan struct{}, 1), milli}
	s.queue = append(s.queue, w)
	ask := !s.asking
	s.asking = true
	s.mu.Unlock()
	if ask {
		e.enter()
		go e.moreShares()
	}
	<-w.ch
}

// moreShares takes slots until nobody waits for a share. Whoever runs leaves his slot to it after his task: many short ones
// would else go before it for ever.
func (e *Engine) moreShares() {
	defer e.leave()
	s := &e.shares
	for {
		if !e.tryOwn(1) {
			e.press.Or(pressSlots)
			e.acquireAs(1, true)
		}
		s.mu.Lock()
		s.free += 1000
		n := s.grantLocked()
		s.asking = len(s.queue) > 0
		again := s.asking
		s.mu.Unlock()
		if n > 0 {
			e.release(n)
		}
		if !again {
			return
		}
	}
}

// grantLocked gives shares to those who wait longest, and tells how many slots are to be given back.
func (s *shares) grantLocked() (slots int32) {
	for len(s.queue) > 0 && s.free >= s.queue[0].milli {
		s.free -= s.queue[0].milli
		s.queue[0].ch <- struct{}{}
		s.queue[0] = shareWaiter{}
		s.queue = s.queue[1:]
	}
	if len(s.queue) > 0 {
		return 0
	}
	s.queue = nil
	slots = s.free / 1000
	s.free %= 1000
	return slots
}
