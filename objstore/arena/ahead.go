package arena

import "github.com/kadrehq/kadre/internal/shm"

// aheadMost is how much of the data a reader enters into its page table at once: what is committed at once, about. On
// huge pages that takes some 10 us, which 32 faults would take as well, one for each 2 MiB that somebody waits for.
const aheadMost = 64 << 20

// LookAhead enters the pages around an object that is held, and those above it that are committed, into this process's
// page table, where pages are huge: objects that are made next lie there.
func (h *Hold) LookAhead() {
	a := h.a
	if len(h.data) == 0 || a.backing.Kind != shm.KindHuge {
		return
	}
	end := int64(a.entries[h.e].off.Load()) + h.Size()
	if end > a.seen.Load() {
		a.lookAhead(end)
	}
}

func (a *Arena) lookAhead(end int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := a.seen.Load() &^ (hugePage - 1)
	if from >= end || a.closed.Load() {
		return
	}
	upto := min(max(end, from+aheadMost), a.committed()*Granule, int64(len(a.ro)))
	from = max(from, upto-2*aheadMost)
	a.seen.Store(max(end, upto))
	for g := from / Granule; g < upto/Granule; g++ {
		if w := a.grans[g].Load(); hole(w) || punching(w) { // a look would give it pages
			upto = g * Granule &^ (hugePage - 1)
		}
	}
	if from < upto {
		shm.Populate(a.ro[from:upto]) // where it fails, pages come one by one
	}
}
