package arena

import "errors"

// errNoRoom says that the whole arena was searched; the caller turns it into a FullError.
var errNoRoom = errors.New("arena: no room")

// claimRunLocked takes n granules in a row: from what is committed, else after closing empty slabs, else
// after committing more.
func (a *Arena) claimRunLocked(en *entry, n int64, t uint64) error {
	for range claimRounds {
		if a.findRunLocked(en, n, t) {
			return nil
		}
		if a.closeSlabs() > 0 {
			continue
		}
		if err := a.growLocked(n); err != nil {
			return err
		}
	}
	return errNoRoom
}

// keepRuns bounds the runs that a process remembers.
const keepRuns = 64

// run is a row of granules.
type run struct{ g, n int64 }

// findRunLocked takes a run of just this length that this process freed a moment ago, whose memory is warm.
// Without one it takes the shortest run that is long enough: anything else splits up what a larger object
// would need, and in the end three times as many pages are there as bytes live.
func (a *Arena) findRunLocked(en *entry, n int64, t uint64) bool {
	for i := len(a.runs) - 1; i >= 0; i-- {
		if r := a.runs[i]; r.n == n {
			a.runs = append(a.runs[:i], a.runs[i+1:]...)
			if a.claimGranules(en, r.g, n, t) {
				return true
			}
		}
	}
	best := run{n: 1 << 62}
	for r := range a.freeRuns {
		if r.n >= n && r.n < best.n {
			if best = r; r.n == n {
				break
			}
		}
	}
	return best.n < 1<<62 && a.claimGranules(en, best.g, n, t)
}

// freeRuns are the runs of free granules that have pages, as they look now.
func (a *Arena) freeRuns(yield func(run) bool) {
	end, from := a.committed(), int64(0)
	for g := int64(0); g < end; {
		if a.grans[g].Load() == granFree {
			g++
			continue
		}
		if g > from && !yield(run{from, g - from}) {
			return
		}
		g = a.behind(g)
		from = g
	}
	if end > from {
		yield(run{from, end - from})
	}
}

// behind is the granule after the object, or whatever it is, at g.
func (a *Arena) behind(g int64) int64 {
	w := a.grans[g].Load()
	if e := (w&^kindMask)>>genBits - 1; w&kindMask == granLarge && e < uint64(a.high()) {
		en := &a.entries[e]
		if off := int64(en.off.Load()) / Granule; genOf(en.main.Load()) == uint32(w)&genMask && off <= g {
			return max(g+1, min(off+granulesOf(int64(en.size.Load())), a.committed()))
		}
	}
	return g + 1
}

// keepRunLocked remembers a run that was just freed.
func (a *Arena) keepRunLocked(r run) {
	if len(a.runs) == keepRuns {
		copy(a.runs, a.runs[1:])
		a.runs = a.runs[:keepRuns-1]
	}
	a.runs = append(a.runs, r)
	a.blocky.gran = min(a.blocky.gran, r.g) // slabs gather at the low end, out of the way of runs
}

// claimGranules tags n granules from g on, or none where someone was faster.
func (a *Arena) claimGranules(en *entry, g, n int64, t uint64) bool {
	set(&en.off, uint64(g*Granule))
	a.at(killIntent)
	for i := range n {
		if !a.grans[g+i].CompareAndSwap(granFree, t) {
			for j := range i {
				a.grans[g+j].CompareAndSwap(t, granFree)
			}
			return false
		}
		if i == n/2 {
			a.at(killMidRun)
		}
	}
	return true
}
