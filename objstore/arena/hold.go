package arena

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/id"
)

// busy in a process's count of an entry says that one goroutine is just dropping the process's holder bit, or
// setting it with its own seal. The others wait for it; it takes no lock and never sleeps.
const busy = 1 << 31

// Hold keeps a sealed object where it is. Whoever has one may read it until Release.
type Hold struct {
	a    *Arena
	data []byte
	e    uint32
	gen  uint32
	done atomic.Bool
}

// Bytes is the object, read-only: a store faults. It is nil after Release.
func (h *Hold) Bytes() []byte {
	if h.done.Load() {
		return nil
	}
	return h.data
}

// Size is the object's size in bytes.
func (h *Hold) Size() int64 { return int64(len(h.data)) }

// ID is the object's name. Like Job and Attempt it is for use before Release.
func (h *Hold) ID() ID { return h.a.entries[h.e].key().id() }

// Attempt is which attempt made the object.
func (h *Hold) Attempt() uint32 { return uint32(h.a.entries[h.e].idc.Load() >> 32) }

// Job is the job that the object belongs to.
func (h *Hold) Job() (j id.Job) {
	binary.LittleEndian.PutUint64(j[:], h.a.entries[h.e].job.Load())
	return j
}

// Release gives the hold back. Further calls, and calls after Close, do nothing.
func (h *Hold) Release() {
	if h.done.CompareAndSwap(false, true) && !h.a.closed.Load() {
		h.a.release(h.e)
	}
}

// Again takes a hold that was released once more, without looking for its object; false when that is gone.
func (h *Hold) Again() bool {
	if h.a.closed.Load() || !h.a.retain(h.e, h.gen) {
		return false
	}
	h.done.Store(false)
	return true
}

// fill makes h a hold on an entry that this process has a count on.
func (h *Hold) fill(a *Arena, e, gen uint32) {
	h.a, h.e, h.gen = a, e, gen
	en := &a.entries[e]
	off, size := en.off.Load(), en.size.Load()
	if size > 0 && off < uint64(len(a.ro)) && size <= uint64(len(a.ro))-off {
		h.data = a.ro[off : off+size : off+size]
	}
}

// Get takes a hold on a sealed object; false when there is none. It is inlined, so that the Hold of a caller
// that keeps it to itself costs no allocation.
func (a *Arena) Get(o ID) (*Hold, bool) {
	h := new(Hold)
	if !a.get(h, &o) {
		return nil, false
	}
	return h, true
}

func (a *Arena) get(to *Hold, o *ID) bool {
	k := keyOf(o)
	h := k.hash()
	for !a.closed.Load() {
		e, gen, ok := a.find(k, h)
		if !ok {
			return false
		}
		a.at(killFound)
		if a.retain(e, gen) {
			to.fill(a, e, gen)
			return true
		}
		// Deleted since we found it. Look again: there may be a new one of the same ID.
	}
	return false
}

// retain counts one more hold of this process and makes sure that its holder bit is set. The count comes
// first: while it is not 0 nobody of this process drops the bit. False when the entry is no more SEALED in
// this generation.
func (a *Arena) retain(e, gen uint32) bool {
	l := &a.local[e]
	for {
		n := l.Load()
		if n&busy == 0 && l.CompareAndSwap(n, n+1) {
			break
		} else if n&busy != 0 {
			runtime.Gosched()
		}
	}
	if !a.take(e, gen) {
		a.release(e)
		return false
	}
	a.at(killHeld)
	a.touch(e)
	return true
}

// touch notes that an entry, which this process holds, is used now. The clock stands still between two looks
// at it, so mostly there is nothing to write.
func (a *Arena) touch(e uint32) {
	if u, now := &a.entries[e].used, a.sp.clock.Load(); u.Load() != now {
		u.Store(now)
	}
}

// release counts one hold less, and drops the process's holder bit with the last.
func (a *Arena) release(e uint32) {
	l := &a.local[e]
	for {
		switch n := l.Load(); {
		case n&busy != 0:
			runtime.Gosched()
		case n == 0:
			return
		case n > 1:
			if l.CompareAndSwap(n, n-1) {
				return
			}
		case l.CompareAndSwap(1, busy):
			a.drop(e, genOf(a.entries[e].main.Load()), a.client)
			l.Store(0)
			return
		}
	}
}
