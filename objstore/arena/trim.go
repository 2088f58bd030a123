package arena

import (
	"cmp"
	"slices"

	"github.com/kadrehq/kadre/internal/shm"
)

// A granule's pages are given back and come again like this. The number of the trim in the words makes each
// hole another one, so that whoever was slow to fill one does not take the next one there for it.
//
//	trim                                 refill
//	1 free -> punch, for a whole run     1 read the hole
//	2 give the pages back                2 commit its pages
//	3 punch -> hole                      3 that same hole -> free
//
// Who claims room takes what is free, and so never touches a page that might not be there. A punch names its
// client; what a dead one did not finish its reaper makes a hole.
//
// Two rules keep pages close to what is used. Who commits pages gives others back first, so that fragments do
// not add up (commitInstead). And what was used a while ago and is free now goes in time: the node does this with
// Trim.

// spareShift is how much free room keeps its pages when others are committed: a sixteenth of what is taken, or
// commitStep if that is more.
const spareShift = 4

// Trim gives pages of free room back to the system, as long as keep bytes that are free keep theirs and until
// it gave most bytes, and says how many it gave. Who needs the pages next waits for the system to clear them,
// so it is for what was not used for a while. Empty slabs become free room first.
func (a *Arena) Trim(keep, most int64) (freed int64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Load() {
		return 0, ErrClosed
	}
	a.closeSlabs()
	n, err := a.trimLocked(max(keep, 0)/Granule, most/Granule, run{})
	return n * Granule, err
}

// trimLocked has up to most granules give their pages back while more than keep free ones have theirs; but not
// those of a run that is about to be used. Whole units go first, from the upper end down. Where they do not
// suffice the longest fragments go, though it breaks huge pages up: a node that is full of fragments would
// otherwise take a quarter more than it uses.
func (a *Arena) trimLocked(keep, most int64, but run) (freed int64, err error) {
	_, spare := a.pages()
	give := func(r run) bool {
		if r.g < but.g+but.n && but.g < r.g+r.n {
			return true
		}
		n := min(r.n, spare-keep, most-freed)
		if n < r.n && r.n == a.trimUnit || n <= 0 {
			return false
		}
		var done int64
		done, err = a.punch(run{r.g, n})
		freed += done
		spare -= done
		return err == nil
	}
	for g := a.committed()/a.trimUnit*a.trimUnit - a.trimUnit; g >= 0; g -= a.trimUnit {
		if !give(run{g, a.trimUnit}) {
			break
		}
	}
	if err != nil || spare <= keep || freed >= most {
		return freed, err
	}
	rest := slices.Collect(a.vacantRuns(0, true))
	slices.SortFunc(rest, func(a, b run) int { return cmp.Compare(b.n, a.n) })
	for _, r := range rest {
		if !give(r) {
			break
		}
	}
	return freed, err
}

// punch has a run of free granules give its pages back, and says how many did: none where one of them was not free.
func (a *Arena) punch(r run) (int64, error) {
	n := a.claimTrim(r)
	if n == 0 {
		return 0, nil
	}
	a.at(killPunching)
	err := shm.Punch(a.fd, a.offData+r.g*Granule, r.n*Granule)
	a.sp.holes.Add(uint64(r.n))
	for i := range r.n { // also after an error: then they are filled in vain
		a.grans[r.g+i].Store(holeWord(n))
	}
	a.lower(r.g)
	return r.n, err
}

// pages counts the granules that are in use, and those that are free and have pages.
func (a *Arena) pages() (taken, spare int64) {
	for g := range a.committed() {
		switch w := a.grans[g].Load(); {
		case w == granFree:
			spare++
		case !hole(w):
			taken++
		}
	}
	return taken, spare
}

// claimTrim moves a run from free to punch and gives the number of the trim, or moves none and gives 0.
func (a *Arena) claimTrim(r run) uint64 {
	for i := range r.n {
		if a.grans[r.g+i].Load() != granFree { // mostly, and then no number is used up
			return 0
		}
	}
	n := a.sp.trims.Add(1)
	for i := range r.n {
		if !a.grans[r.g+i].CompareAndSwap(granFree, punchWord(n, a.client)) {
			for j := range i {
				a.grans[r.g+j].Store(granFree)
			}
			a.lower(r.g)
			return 0
		}
	}
	return n
}

// reapPunch makes a hole of a granule whose pages a dead client was giving back.
func (a *Arena) reapPunch(g int64, w uint64) {
	a.sp.holes.Add(1)
	a.grans[g].CompareAndSwap(w, holeWord(trimOf(w)))
	a.lower(g)
}

// paged says that none of n granules is a hole.
func (a *Arena) paged(g, n int64) bool {
	for i := range n {
		if hole(a.grans[g+i].Load()) {
			return false
		}
	}
	return true
}

// refill gives the holes in a run their pages again.
func (a *Arena) refill(r run) error {
	was := make([]uint64, r.n)
	for i := range was {
		was[i] = a.grans[r.g+int64(i)].Load()
	}
	if err := a.headroom.take(r.n * Granule); err != nil {
		return err
	}
	if err := shm.Commit(a.fd, a.offData+r.g*Granule, r.n*Granule); err != nil {
		return err
	}
	a.at(killRefilled)
	for i, w := range was {
		if hole(w) && a.grans[r.g+int64(i)].CompareAndSwap(w, granFree) {
			a.sp.holes.Add(^uint64(0))
		}
	}
	return nil
}
