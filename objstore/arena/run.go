package arena

import "errors"

// errNoRoom says that the whole arena was searched; the caller turns it into a FullError.
var errNoRoom = errors.New("arena: no room")

// Where things go. Slabs and runs shorter than smallRun go to the lowest place that they fit in, so that what is
// small gathers at the low end. A longer run goes into the shortest run that is long enough, the highest of those,
// and to its upper end. This looks at what is nobody's, whether it has pages or not: if pages decided, then small
// objects would scatter over the places of large ones, and in the end no run would be long enough although most of
// the arena is free. Pages follow (fillLocked).

const (
	// smallRun is 2 MiB: a huge page.
	smallRun = hugePage / Granule
	// keepRuns bounds the runs that a process remembers.
	keepRuns = 64
)

// run is a row of granules.
type run struct{ g, n int64 }

// claimRunLocked takes n granules in a row: from below the mark, also after closing empty slabs, else from
// above it.
func (a *Arena) claimRunLocked(en *entry, n int64, t uint64) error {
	for range claimRounds {
		mark := a.committed()
		if a.claimWarmLocked(en, n, t) {
			return nil
		}
		g, ok, err := a.roomLocked(n)
		if ok {
			if a.claimGranules(en, g, n, t) {
				return nil
			}
			continue
		}
		if a.closeSlabs() > 0 {
			continue
		}
		if err == nil {
			err = a.growLocked(n)
		}
		if err != nil && !a.grewSince(mark, err) {
			return err
		}
	}
	return errNoRoom
}

// claimWarmLocked takes a run of just this length that this process freed a moment ago, whose memory is warm.
func (a *Arena) claimWarmLocked(en *entry, n int64, t uint64) bool {
	for i := len(a.runs) - 1; i >= 0; i-- {
		if r := a.runs[i]; r.n == n {
			a.runs = append(a.runs[:i], a.runs[i+1:]...)
			if a.claimGranules(en, r.g, n, t) {
				return true
			}
		}
	}
	return false
}

// roomLocked finds n granules in a row below the mark, and gives them pages where they have none. Where the system
// has no more pages it looks for a place that has them.
func (a *Arena) roomLocked(n int64) (g int64, ok bool, err error) {
	if a.closed.Load() {
		return 0, false, ErrClosed
	}
	in, g := a.fit(n, false)
	if in.n == 0 {
		return 0, false, nil
	}
	if err := a.fillLocked(g, n, in); err != nil {
		in, g = a.fit(n, true)
		return g, in.n > 0, err
	}
	return g, true, nil
}

// fit is where to put n granules, and the run of vacant ones around that place; no run where there is none.
func (a *Arena) fit(n int64, paged bool) (in run, at int64) {
	if n < smallRun {
		from := a.sp.low.Load()
		if r := a.lowest(n, int64(min(from, uint64(a.granules))), paged); r.n > 0 {
			return r, r.g
		}
		r := a.lowest(n, 0, paged)
		return r, r.g
	}
	in.n = 1 << 62
	for r := range a.vacantRuns(0, paged) {
		if r.n >= n && r.n <= in.n {
			in = r
		}
	}
	if in.n == 1<<62 {
		return run{}, 0
	}
	return in, in.g + in.n - n
}

// lowest is the first run from a granule on that has n granules. It notes where the first vacant one is.
func (a *Arena) lowest(n, from int64, paged bool) run {
	first := !paged
	for r := range a.vacantRuns(from, paged) {
		if first && r.g > from {
			a.sp.low.CompareAndSwap(uint64(from), uint64(r.g))
		}
		if first = false; r.n >= n {
			return r
		}
	}
	return run{}
}

// lower notes that a granule may be vacant now.
func (a *Arena) lower(g int64) {
	for {
		low := a.sp.low.Load()
		if low <= uint64(g) || a.sp.low.CompareAndSwap(low, uint64(g)) {
			return
		}
	}
}

// vacantRuns gives the runs of granules below the mark that are nobody's, as they look now, from one on; paged
// ones only those that have pages.
func (a *Arena) vacantRuns(from int64, paged bool) func(yield func(run) bool) {
	return func(yield func(run) bool) {
		end := a.committed()
		for g := from; g < end; {
			if w := a.grans[g].Load(); w == granFree || !paged && hole(w) {
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
			a.lower(g)
			return false
		}
		if i == n/2 {
			a.at(killMidRun)
		}
	}
	return true
}
