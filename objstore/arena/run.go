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

// findRunLocked goes once round the committed granules.
func (a *Arena) findRunLocked(en *entry, n int64, t uint64) bool {
	end := a.committed()
	if n > end {
		return false
	}
	start := a.runAt % end
	return a.findRunIn(en, start, end, n, t) || a.findRunIn(en, 0, min(start+n-1, end), n, t)
}

func (a *Arena) findRunIn(en *entry, from, to, n int64, t uint64) bool {
	run := int64(0)
	for g := from; g < to; g++ {
		if a.grans[g].Load() != granFree {
			run = 0
			continue
		}
		if run++; run < n {
			continue
		}
		if a.claimGranules(en, g+1-n, n, t) {
			a.runAt = g + 1
			return true
		}
		run = 0
	}
	return false
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
