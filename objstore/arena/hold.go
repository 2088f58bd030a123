package arena

import (
	"encoding/binary"

	"github.com/kadrehq/kadre/internal/id"
)

// Hold keeps a sealed object where it is. Whoever has one may read it until Release. A Hold is for one
// goroutine at a time; a process may have any number of them on one object.
type Hold struct {
	a    *Arena
	data []byte
	e    uint32
	gen  uint32
	done bool
}

// Bytes is the object, read-only: a store faults. It is nil after Release.
func (h *Hold) Bytes() []byte {
	if h.done {
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

// Release gives the hold back. Further calls, and calls after Close, do nothing, nor do those of a process whose node
// has reaped it already: its words are 0, and may be another's.
func (h *Hold) Release() {
	if h.done {
		return
	}
	h.done = true
	a := h.a
	if a.kept == nil {
		a.releaseFar(h.e)
		return
	}
	kw := &a.kept[h.e]
	for {
		v := kw.Load()
		if !keeps(v, h.gen) || v&keptCount == 0 {
			return
		}
		if kw.CompareAndSwap(v, v-1) {
			if (v-1)&keptCount == 0 {
				a.lastReleased(h.e, h.gen)
			}
			return
		}
	}
}

// Again takes a hold that was released once more, without looking for its object; false when that is gone, or h is new.
func (h *Hold) Again() bool {
	if h.a == nil || h.a.closed.Load() || !h.a.retain(&h.a.entries[h.e], h.e, h.gen) {
		return false
	}
	h.done = false
	return true
}

// fill makes h a hold on an entry that this process has a count on.
func (h *Hold) fill(a *Arena, en *entry, e, gen uint32) {
	h.a, h.e, h.gen = a, e, gen
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

// GetAt is Get for whoever has the ID in memory: a copy of it costs a sixth of a get.
func (a *Arena) GetAt(o *ID) (*Hold, bool) {
	h := new(Hold)
	if !a.get(h, o) {
		return nil, false
	}
	return h, true
}

// GetInto is Get for whoever keeps the Hold in something of its own. h is new, or was released.
func (a *Arena) GetInto(h *Hold, o *ID) bool {
	*h = Hold{done: true}
	if !a.get(h, o) {
		return false
	}
	h.done = false
	return true
}

// get has what mostly happens in one piece: the object is in its first bucket, and this process has its holder bit
// set. All else is for search.
func (a *Arena) get(to *Hold, o *ID) bool {
	k := keyOf(o)
	h := k.hash()
	if a.kept == nil {
		return a.search(to, k, h)
	}
	b := a.bucket(h, 0)
	for i := range b.slot {
		v := b.slot[i].Load()
		if (v^h>>(64-fpBits)<<genBits)&(fpMask<<genBits) != 0 {
			continue
		}
		e := v>>slotShift - 1 // of an empty slot: more than there are
		if e >= uint64(len(a.entries)) {
			continue
		}
		en := &a.entries[e]
		w := en.main.Load()
		if w>>genShift != uint64(sealed)<<genBits|v&genMask || en.ida.Load() != k.a || en.idb.Load() != k.b || uint32(en.idc.Load()) != k.c {
			continue
		}
		a.at(killFound)
		kw := &a.kept[e]
		if kv := kw.Load(); !keeps(kv, genOf(w)) || !kw.CompareAndSwap(kv, kv+1) {
			break
		}
		a.at(killHeld)
		a.touch(en)
		to.fill(a, en, uint32(e), genOf(w))
		return true
	}
	return a.search(to, k, h)
}

// search is get for everybody and every case.
func (a *Arena) search(to *Hold, k key, h uint64) bool {
	for !a.closed.Load() {
		e, w, ok := a.find(k, h)
		if !ok {
			return false
		}
		a.at(killFound)
		en := &a.entries[e]
		if a.retain(en, e, genOf(w)) {
			to.fill(a, en, e, genOf(w))
			return true
		}
		// Deleted since we found it. Look again: there may be a new one of the same ID.
	}
	return false
}

// retain counts one more hold of this process and makes sure that its holder bit is set. False when the entry is no
// more SEALED in this generation.
func (a *Arena) retain(en *entry, e, gen uint32) bool {
	if a.kept == nil && !a.retainFar(e, gen) || a.kept != nil && !a.keep(en, e, gen) {
		return false
	}
	a.at(killHeld)
	a.touch(en)
	return true
}

// touch notes that an entry, which this process holds, is used now. The clock stands still between two looks
// at it, so mostly there is nothing to write.
func (a *Arena) touch(en *entry) {
	if u, now := &en.used, a.sp.clock.Load(); u.Load() != now {
		u.Store(now)
	}
}
