package arena

import (
	"unsafe"

	"github.com/kadrehq/kadre/internal/shm"
)

const (
	// batch is how many entries are looked at, or added, at a time.
	batch = 1 << 10
	// enough is how many free ones a batch must have; with fewer the high-water mark rises.
	enough = batch / 16
	// claimRounds bounds the search for room when others take what we found.
	claimRounds = 64
)

// spares are entries that were free when last seen, in the order in which to use them. The cursor goes round
// all entries below the high-water mark, which makes reuse first in, first out without a shared list. What this process
// frees itself waits in a ring for as many others as make a batch worth its while: their lines are still in the cache.
type spares struct {
	q      []uint32
	at     int // how many of q are used up
	cur    int64
	missed int // how many of q someone else took first

	ring     [2 * enough]uint32
	in, away uint32 // how many came into the ring, and left it
}

// keepLocked notes an entry that is about to be free; with a full ring the cursor will find it.
func (s *spares) keepLocked(e uint32) {
	if s.in-s.away < uint32(len(s.ring)) {
		s.ring[s.in%uint32(len(s.ring))] = e
		s.in++
	}
}

// takeLocked is the next one, if there is one.
func (s *spares) takeLocked() (e uint32, ok bool) {
	if s.in-s.away > enough {
		e = s.ring[s.away%uint32(len(s.ring))]
		s.away++
		return e, true
	}
	if s.at == len(s.q) {
		return 0, false
	}
	e = s.q[s.at]
	s.at++
	return e, true
}

// claimEntry takes a free entry: FREE -> CREATING, owned by this client. For a small object it also says
// which block may be free, so that mostly one turn of the lock does for both.
func (a *Arena) claimEntry(size int64) (e, gen, block uint32, err error) {
	a.mu.Lock()
	for round := range claimRounds {
		if round == claimRounds-1 { // unlucky so often: look at all before saying that there is none
			high := int64(a.sp.entHigh.Load())
			a.spare.q, a.spare.at = a.spare.q[:0], 0
			a.scanEntriesLocked(high, high)
		}
		for e, ok := a.spare.takeLocked(); ok; e, ok = a.spare.takeLocked() {
			en := &a.entries[e]
			w := en.main.Load()
			gen := (genOf(w) + 1) & genMask
			if stateOf(w) == free && en.move(w, word(creating, gen, uint32(a.client)|phaseClaimed)) {
				block := a.blocky.popLocked(size)
				a.mu.Unlock()
				return e, gen, block, nil
			}
			if a.spare.missed++; a.spare.missed > enough {
				a.spare.at = len(a.spare.q)
			}
		}
		if err := a.findEntriesLocked(); err != nil {
			a.mu.Unlock()
			return 0, 0, 0, err
		}
	}
	a.mu.Unlock()
	return 0, 0, 0, &FullError{What: FullEntries}
}

// findEntriesLocked fills the queue from the next batch, from above the mark, or from wherever there is one. It
// leaves it empty only where another process raised the mark first.
func (a *Arena) findEntriesLocked() error {
	a.spare.q, a.spare.at = a.spare.q[:0], 0
	a.spare.away = a.spare.in // what is in the ring will be found, and is not to be twice
	high := int64(a.sp.entHigh.Load())
	crowded := a.spare.missed > enough
	a.spare.missed = 0
	if crowded && high < int64(len(a.entries)) && high < 2*batch*int64(a.clientHigh()) {
		return a.raiseEntriesLocked(high)
	}
	if crowded { // go where the others are not
		a.spare.cur = (a.spare.cur + int64(2*a.client+1)*batch) % high
	}
	a.scanEntriesLocked(high, min(high, batch))
	if len(a.spare.q) >= enough {
		return nil
	}
	if high < int64(len(a.entries)) {
		return a.raiseEntriesLocked(high)
	}
	if len(a.spare.q) == 0 {
		a.scanEntriesLocked(high, high)
	}
	if len(a.spare.q) == 0 {
		return &FullError{What: FullEntries}
	}
	return nil
}

// scanEntriesLocked looks at up to n entries from the cursor on, until a batch is found.
func (a *Arena) scanEntriesLocked(high, n int64) {
	for ; n > 0 && len(a.spare.q) < batch; n-- {
		if a.spare.cur >= high {
			a.spare.cur = 0
		}
		if stateOf(a.entries[a.spare.cur].main.Load()) == free {
			a.spare.q = append(a.spare.q, uint32(a.spare.cur))
		}
		a.spare.cur++
	}
}

// raiseEntriesLocked puts the next batch of entries into use. Their pages come first.
func (a *Arena) raiseEntriesLocked(high int64) error {
	if a.closed.Load() {
		return ErrClosed
	}
	to := min(high+batch, int64(len(a.entries)))
	for _, r := range [][2]int64{{a.offEntries, int64(unsafe.Sizeof(entry{}))}, {a.offFars, int64(unsafe.Sizeof(far{}))}} {
		if err := shm.Commit(a.fd, r[0]+high*r[1], (to-high)*r[1]); err != nil {
			if len(a.spare.q) > 0 {
				return nil
			}
			return &FullError{What: FullMemory, Cause: err}
		}
	}
	if a.sp.entHigh.CompareAndSwap(uint64(high), uint64(to)) {
		for e := high; e < to; e++ {
			a.spare.q = append(a.spare.q, uint32(e))
		}
		return nil
	}
	a.spare.cur = high // another process was first: what it raised is there for all
	a.scanEntriesLocked(int64(a.sp.entHigh.Load()), batch)
	return nil
}

// high is the number of entries that were ever in use, and never more than there are.
func (a *Arena) high() uint32 { return uint32(min(a.sp.entHigh.Load(), uint64(len(a.entries)))) }
