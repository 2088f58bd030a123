package arena

import "github.com/kadrehq/kadre/internal/shm"

// A granule's pages are given back and come again like this. The number of the trim in the words makes each
// hole another one, so that whoever was slow to fill one does not take the next one there for it.
//
//	node: Trim                           anyone: refill
//	1 free -> punch, for a whole unit    1 read the hole
//	2 give the pages back                2 commit its pages
//	3 punch -> hole                      3 that same hole -> free
//
// Who claims room takes what is free, and so never touches a page that might not be there.

// refillStep is the least that comes back at a time: 2 MiB.
const refillStep = hugePage / Granule

// Trim gives pages of free room back to the system, as long as keep bytes that are free keep theirs, and says
// how many bytes it gave. Only the node does it, when objects are few for long: who needs the pages next
// waits for the system to clear them.
func (a *Arena) Trim(keep int64) (freed int64, err error) {
	if a.client != 0 {
		return 0, ErrNotNode
	}
	if a.closed.Load() {
		return 0, ErrClosed
	}
	a.admission.Lock()
	defer a.admission.Unlock()
	a.closeSlabs()
	end, spare := a.committed(), -max(keep, 0)
	for g := range end {
		if a.grans[g].Load() == granFree {
			spare += Granule
		}
	}
	for g := end/a.trimUnit*a.trimUnit - a.trimUnit; g >= 0 && spare >= a.trimUnit*Granule && err == nil; g -= a.trimUnit {
		if !a.claimTrim(g) {
			continue
		}
		a.at(killPunching)
		err = shm.Punch(a.fd, a.offData+g*Granule, a.trimUnit*Granule)
		a.sp.holes.Add(uint64(a.trimUnit))
		for i := range a.trimUnit { // also after an error: then they are filled in vain
			a.grans[g+i].Store(granHole | a.trims<<2)
		}
		freed += a.trimUnit * Granule
		spare -= a.trimUnit * Granule
	}
	return freed, err
}

// claimTrim moves a unit of granules from free to punch, or none.
func (a *Arena) claimTrim(g int64) bool {
	a.trims++
	for i := range a.trimUnit {
		if !a.grans[g+i].CompareAndSwap(granFree, granPunch|a.trims<<2) {
			for j := range i {
				a.grans[g+j].Store(granFree)
			}
			return false
		}
	}
	return true
}

// refillLocked gives n free granules in a row their pages again, below end. False where there are none.
func (a *Arena) refillLocked(end, n int64) (bool, error) {
	if a.sp.holes.Load() == 0 {
		return false, nil
	}
	run, holes := int64(0), int64(0)
	for g := range end {
		w := a.grans[g].Load()
		if !vacant(w) {
			run, holes = 0, 0
			continue
		}
		run++
		holes += int64(count(hole(w)))
		if last := g+1 == end || run >= max(n, refillStep) || !vacant(a.grans[g+1].Load()); last && run >= n && holes > 0 {
			return true, a.refill(g+1-run, run)
		}
	}
	return false, nil
}

func (a *Arena) refill(g, n int64) error {
	was := make([]uint64, n)
	for i := range was {
		was[i] = a.grans[g+int64(i)].Load()
	}
	if err := shm.Commit(a.fd, a.offData+g*Granule, n*Granule); err != nil {
		return err
	}
	a.at(killRefilled)
	for i, w := range was {
		if hole(w) && a.grans[g+int64(i)].CompareAndSwap(w, granFree) {
			a.sp.holes.Add(^uint64(0))
		}
	}
	return nil
}
