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
	limit   atomic.Int32  // the configured slots and what the monitor added
	use     atomic.Uint64 // below: slots in use; above: words held for no slot, while somebody watches. One operation changes both
	waiting atomic.Int32  // len(queue)
	wides   atomic.Int32  // waiters that nobody overtakes, for more than one slot as a rule; plus rankedWaits
	owed    atomic.Int32  // slots taken without a word, while the engine ends and by a carrier
	hold    atomic.Bool   // somebody watches: words that fall free are kept for a moment
	stop    atomic.Bool   // everybody gets a slot, so that the engine can end
	_       [32]byte

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

// spareOne is a spare word in slots.use.
const spareOne = 1 << 32

// running is how many slots are in use.
func (s *slots) running() int32 { return int32(s.use.Load()) }

// take takes n slots and their words when there are as many. Spare words go first.
func (s *slots) take(n int32) bool {
	var have int32
	for {
		u := s.use.Load()
		if int32(u)+n > s.limit.Load() && !s.stop.Load() {
			return false
		}
		have = min(n, int32(u>>32))
		if s.use.CompareAndSwap(u, u+uint64(n)-uint64(have)*spareOne) {
			break
		}
	}
	return have == n || s.cpu == nil || s.claimWords(n, have)
}

// claimWords gets the words of n slots that are taken, beyond the first have; where there are too few it gives all back.
func (s *slots) claimWords(n, have int32) bool {
	for i := have; i < n; i++ {
		if s.cpu.Claim() {
			continue
		}
		if s.stop.Load() {
			s.owed.Add(1)
			continue
		}
		s.putBack(n, i)
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
	s.putBack(n, n)           // 1
	if s.waiting.Load() > 0 { // 2
		s.grant()
	}
}

// putBack gives n slots back and words of theirs, or keeps these for a moment while somebody watches who will end that.
func (s *slots) putBack(n, words int32) {
	if s.cpu == nil {
		s.use.Add(-uint64(n))
		return
	}
	for ; words > 0 && s.settleOwed(); words-- {
	}
	if words > 0 && s.hold.Load() && !s.cpu.Wanted() {
		s.use.Add(uint64(words)*spareOne - uint64(n)) // 1: pairs with letGo
		if !s.hold.Load() {                           // 2
			s.flushWords()
		}
		return
	}
	for ; words > 0; words-- {
		s.cpu.Release()
	}
	s.use.Add(-uint64(n))
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
	for u := s.use.Load(); u >= spareOne; u = s.use.Load() {
		if !s.use.CompareAndSwap(u, u%spareOne) {
			continue
		}
		for ; u >= spareOne; u -= spareOne {
			s.cpu.Release()
		}
	}
}
