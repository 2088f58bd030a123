package sched

import (
	"sync"
	"sync/atomic"
)

// CPUs are the CPU words that the processes of a machine share. An engine holds one for each slot in use.
// All methods may be called concurrently and must not block.
type CPUs interface {
	Claim() bool  // takes a word; false when there is none, and then notes that this process waits for one
	Release()     // gives one back
	Wanted() bool // another process waits for one
	Over() bool   // and this one has more than its share
}

// slots is a counting semaphore whose slow path is first in, first out. It counts what runs tasks or
// looks for some.
type slots struct {
	// constant after construction
	cpu    CPUs   // nil: the engine has the machine for itself
	onWait func() // called by who has to wait for slots

	_ [40]byte
	// atomic
	limit   atomic.Int32 // the configured slots and what the monitor added
	running atomic.Int32 // slots in use
	waiting atomic.Int32 // len(queue)
	wides   atomic.Int32 // waiters that nobody overtakes, for more than one slot as a rule; plus rankedWaits
	spare   atomic.Int32 // words held for no slot, while somebody watches
	owed    atomic.Int32 // slots taken without a word, while the engine ends and by a carrier
	hold    atomic.Bool  // somebody watches: words that fall free are kept for a moment
	stop    atomic.Bool  // everybody gets a slot, so that the engine can end
	_       [36]byte

	mu    sync.Mutex
	queue []slotWaiter
}

type slotWaiter struct {
	ch   chan struct{}
	n    int32
	wide bool // counted in wides
}

// rankedWaits is added to slots.wides while a task with a priority is queued: a free slot is not for getters then.
const (
	rankedWaits = 1 << 24
	widesMask   = rankedWaits - 1
)

// take takes n slots and their words when there are as many.
func (s *slots) take(n int32) bool {
	for {
		r := s.running.Load()
		if r+n > s.limit.Load() && !s.stop.Load() {
			return false
		}
		if s.running.CompareAndSwap(r, r+n) {
			break
		}
	}
	if s.cpu == nil {
		return true
	}
	for i := range n {
		if s.word() {
			continue
		}
		if s.stop.Load() {
			s.owed.Add(1)
			continue
		}
		s.putWords(i)
		s.running.Add(-n)
		return false
	}
	return true
}

// tryAcquire takes slots for a getter; tryOwn for who runs what is queued.
func (s *slots) tryAcquire(n int32) bool { return s.wides.Load() == 0 && s.take(n) }
func (s *slots) tryOwn(n int32) bool     { return s.wides.Load()&widesMask == 0 && s.take(n) }

func (s *slots) acquire(n int32) { s.acquireAs(n, n > 1) }

// acquireAs waits for slots; where it is wide nobody overtakes.
func (s *slots) acquireAs(n int32, wide bool) {
	if s.tryOwn(n) {
		return
	}
	w := slotWaiter{make(chan struct{}, 1), n, wide}
	s.mu.Lock()
	s.queue = append(s.queue, w)
	s.waiting.Add(1) // 1: pairs with release
	if wide {
		s.wides.Add(1)
	}
	s.grantLocked() // 2
	s.mu.Unlock()
	s.onWait()
	<-w.ch
}

func (s *slots) release(n int32) {
	if s.cpu != nil {
		s.putWords(n)
	}
	s.running.Add(-n)         // 1
	if s.waiting.Load() > 0 { // 2
		s.grant()
	}
}

// grant gives what is free to those who wait longest.
func (s *slots) grant() {
	s.mu.Lock()
	s.grantLocked()
	s.mu.Unlock()
}

func (s *slots) grantLocked() {
	for len(s.queue) > 0 && s.take(s.queue[0].n) {
		w := s.queue[0]
		s.queue[0] = slotWaiter{}
		s.queue = s.queue[1:]
		s.waiting.Add(-1)
		if w.wide {
			s.wides.Add(-1)
		}
		w.ch <- struct{}{}
	}
	if len(s.queue) == 0 {
		s.queue = nil
	}
}

// word takes a CPU word, one that is held already if there is.
func (s *slots) word() bool {
	for {
		n := s.spare.Load()
		if n == 0 {
			return s.cpu.Claim()
		}
		if s.spare.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// putWords gives n words back, or keeps them for a moment while somebody watches who will.
func (s *slots) putWords(n int32) {
	for ; n > 0 && s.settleOwed(); n-- {
	}
	if n > 0 && s.hold.Load() && !s.cpu.Wanted() {
		s.spare.Add(n)      // 1: pairs with letGo
		if !s.hold.Load() { // 2
			s.flushWords()
		}
		return
	}
	for ; n > 0; n-- {
		s.cpu.Release()
	}
}

// settleOwed lets a slot that was taken without a word be the one that is given back.
func (s *slots) settleOwed() bool {
	for {
		n := s.owed.Load()
		if n <= 0 {
			return false
		}
		if s.owed.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// letGo ends hold.
func (s *slots) letGo() {
	s.hold.Store(false) // 1
	s.flushWords()      // 2
}

func (s *slots) flushWords() {
	if s.cpu == nil {
		return
	}
	for n := s.spare.Swap(0); n > 0; n-- {
		s.cpu.Release()
	}
}
