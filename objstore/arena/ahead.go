package arena

import (
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/shm"
)

// aheadMost is how much of the data a reader enters into its page table at once on either side of an object: what is
// committed at once, about. On huge pages that takes some 10 us, which 32 faults would take as well, one for each 2 MiB that
// somebody waits for. It is only what has been written: a page that nobody has written to is cleared when it is first read,
// and may have to come from the host of a virtual machine (64 MiB took 180 ms).
const aheadMost = 64 << 20

const (
	perPage  = hugePage / Granule
	pageBits = 64 // pages in a word of looked
)

// looked notes of which huge pages this process has entered what was there.
type looked []atomic.Uint64

func newLooked(granules int64) looked { return make(looked, granules/perPage/pageBits+1) }

func (l looked) has(page int64) bool { return l[page/pageBits].Load()>>(page%pageBits)&1 != 0 }
func (l looked) add(page int64)      { l[page/pageBits].Or(1 << (page % pageBits)) }

// LookAhead enters the pages around an object that is held, and those beside it that have been written, into this process's
// page table, where pages are huge: objects that were made with it lie there.
func (h *Hold) LookAhead() {
	a := h.a
	if len(h.data) == 0 || a.backing.Kind != shm.KindHuge {
		return
	}
	off := int64(a.entries[h.e].off.Load())
	if end := off + h.Size(); !a.looked.has(off/hugePage) || !a.looked.has((end-1)/hugePage) {
		a.lookAhead(off, end)
	}
}

func (a *Arena) lookAhead(off, end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Load() {
		return
	}
	from, upto := a.writtenAround(off/Granule, granulesOf(end))
	for page := from / hugePage; page*hugePage < upto; page++ {
		a.looked.add(page)
	}
	shm.Populate(a.ro[from:upto]) // where it fails, pages come one by one
}

// writtenAround extends the granules from g up to h, which is not included, to those beside them that have been written and
// were not looked at, and to whole huge pages. It gives where they lie.
func (a *Arena) writtenAround(g, h int64) (from, upto int64) {
	least, most := max(g-aheadMost/Granule, 0), min(h+aheadMost/Granule, a.committed(), int64(len(a.ro))/Granule)
	h = min(h, g+2*aheadMost/Granule)
	for g > least && a.extends(g-1, g%perPage == 0) {
		g--
	}
	for h < most && a.extends(h, h%perPage == 0) {
		h++
	}
	return g * Granule, h * Granule
}

// extends says whether a granule is to be entered beside others: next of another huge page than they.
func (a *Arena) extends(g int64, next bool) bool {
	if next {
		return a.written(g) && !a.looked.has(g/perPage)
	}
	w := a.grans[g].Load()
	return !hole(w) && !punching(w)
}

// written says whether a granule is part of a slab or of a sealed object.
func (a *Arena) written(g int64) bool {
	switch w := a.grans[g].Load(); w & kindMask {
	case granSlab, granClose:
		return true
	case granLarge:
		e := (w&^kindMask)>>genBits - 1
		return e < uint64(len(a.entries)) && stateOf(a.entries[e].main.Load()) == sealed
	}
	return false
}
