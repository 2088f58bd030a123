package bench

import (
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/shm"
)

const (
	lockSpins   = 100
	lockTaken   = 1
	lockWanted  = lockTaken | 1<<31 // taken, and somebody sleeps or is about to
	lockRecheck = time.Second       // bounds a sleep whose wake-up went to nobody
)

// lock is one mutex for all processes of an arena: what a store has that is not lock-free. Rows take it
// around each operation of the reference, as the prototype did. A nil lock is none.
type lock struct{ word *atomic.Uint32 }

func (l *lock) lock() {
	if l == nil {
		return
	}
	for range lockSpins {
		if l.word.Load() == 0 && l.word.CompareAndSwap(0, lockTaken) {
			return
		}
	}
	for !l.word.CompareAndSwap(0, lockWanted) {
		v := l.word.Load()
		if v == 0 || v == lockTaken && !l.word.CompareAndSwap(v, lockWanted) {
			continue
		}
		shm.Wait(l.word, lockWanted, lockRecheck)
	}
}

func (l *lock) unlock() {
	if l != nil && l.word.Swap(0) == lockWanted {
		shm.Wake(l.word, 1)
	}
}
