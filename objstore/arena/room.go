package arena

import (
	"math/bits"

	"github.com/kadrehq/kadre/internal/shm"
)

const (
	// commitStep is the least by which the committed part grows: 64 MiB.
	commitStep = 64 << 20 / Granule
	// keepBlocks bounds the free blocks a process remembers in each class.
	keepBlocks = 256
)

// magazines are blocks that were free when last seen, the last one first, for each class; and the word of
// shared hints at which to look for more.
type magazines struct {
	free [classes][]uint32
	at   [classes]int64
}

// noBlock is no block.
const noBlock = ^uint32(0)

// popLocked is a block that was free when last seen, for an object of a size; noBlock where none is known.
func (m *magazines) popLocked(size int64) uint32 {
	c, ok := classOf(size)
	n := len(m.free[c])
	if !ok || n == 0 || size == 0 {
		return noBlock
	}
	b := m.free[c][n-1]
	m.free[c] = m.free[c][:n-1]
	return b
}

// classOf is the class of blocks for a size, or false where the object gets granules of its own.
func classOf(size int64) (c int, ok bool) {
	if size > Granule/2 {
		return 0, false
	}
	if size > minBlock {
		c = bits.Len64(uint64(size-1) / minBlock)
	}
	return c, true
}

// granulesOf is how many granules an object of its own takes.
func granulesOf(size int64) int64 { return (size + Granule - 1) / Granule }

// blockOff is where block b of a class starts in data, blockAt the reverse.
func blockOff(b uint32, class int) int64 {
	return int64(b)/perGranule*Granule + int64(b)%perGranule<<(10+class)
}
func blockAt(off int64, class int) uint32 {
	return uint32(off/Granule*perGranule + off%Granule>>(10+class))
}

// claimRoom takes blocks for an entry that is CREATING and ours, for a small one where hint says if it can.
// The size is in the entry, and the place is written there before a block is tagged, so that whoever finishes
// the entry for a dead process knows where to look.
func (a *Arena) claimRoom(e, gen uint32, size int64, hint uint32) error {
	if size == 0 {
		return nil
	}
	en := &a.entries[e]
	if c, ok := classOf(size); !ok || hint == noBlock || !a.claimBlock(en, hint, c, tag(e, gen)) {
		if err := a.searchRoom(en, size, tag(e, gen)); err != nil {
			return err
		}
	}
	// The granules may be read-only here since an earlier object of ours.
	off := int64(en.off.Load())
	if err := a.guard.lift(a, off/Granule, granulesOf(size)); err != nil {
		return &FullError{What: FullMemory, Size: size, Total: a.Size(), Cause: err}
	}
	return nil
}

// searchRoom takes blocks wherever there are some.
func (a *Arena) searchRoom(en *entry, size int64, t uint64) (err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := classOf(size); ok {
		err = a.claimBlockLocked(en, c, t)
	} else {
		err = a.claimRunLocked(en, granulesOf(size), granLarge|t)
	}
	if err == nil || err == ErrClosed {
		return err
	}
	return a.fullLocked(size, err)
}

// freeRoom clears the words of an object. Only words with its tag are cleared: it may be repeated, and may
// run over a place where nothing was claimed.
func (a *Arena) freeRoom(e, gen uint32) {
	en := &a.entries[e]
	off, size := int64(en.off.Load()), int64(en.size.Load())
	if size <= 0 || off < 0 || off >= a.Size() {
		return
	}
	if c, ok := classOf(size); ok {
		b := blockAt(off, c)
		if a.blocks[b].Load() == tag(e, gen) {
			set(&a.blocks[b], 0) // nobody else changes it while it has our tag
			a.keepBlock(b, c, e)
		}
		return
	}
	g, n := off/Granule, granulesOf(size)
	n = min(n, a.granules-g)
	for i := range n {
		a.grans[g+i].CompareAndSwap(granLarge|tag(e, gen), 0)
		if i == n/2 {
			a.at(killMidFree)
		}
	}
	a.lower(g)
	a.mu.Lock()
	a.keepRunLocked(run{g, n})
	a.mu.Unlock()
}

// committed is how many granules have pages.
func (a *Arena) committed() int64 { return int64(min(a.sp.committed.Load(), uint64(a.granules))) }

// spareFor is how many free granules keep their pages when n more are taken.
func (a *Arena) spareFor(n int64) int64 {
	taken, _ := a.pages()
	return max(commitStep, (taken+n)>>spareShift)
}

// fillLocked gives n granules from g on, in a run of vacant ones, their pages again, and with them the rest of the
// huge pages in which they are. Free room elsewhere gives its pages back first as far as it is more than is good to
// have; all of it where the system has no more.
func (a *Arena) fillLocked(g, n int64, in run) error {
	if a.paged(g, n) {
		return nil
	}
	r := run{g: max(g/a.trimUnit*a.trimUnit, in.g)}
	r.n = min(a.toUnit(g+n), in.g+in.n) - r.g
	return a.commitInstead(a.spareFor(n)-(r.n-n), r, func() error { return a.refill(r) })
}

// growLocked commits room above the mark, so that a run of at least n granules ends there.
func (a *Arena) growLocked(n int64) error {
	if a.closed.Load() {
		return ErrClosed
	}
	have := a.committed()
	left := a.granules - have
	if left == 0 {
		return errNoRoom
	}
	tail := run{have, 0}
	for n > 1 && tail.g > 0 && vacant(a.grans[tail.g-1].Load()) {
		n-- // is nobody's already
		tail = run{tail.g - 1, tail.n + 1}
	}
	step := min(a.toUnit(have+max(commitStep, n))-have, left)
	err := a.commitInstead(a.spareFor(n)-(step-n), tail, func() error { return a.commitAbove(have, step) })
	if err != nil && n < step {
		err = a.commitAbove(have, n)
	}
	return err
}

// grewSince says that somebody else got pages after we looked for room below the mark, so that there may be some.
func (a *Arena) grewSince(mark int64, err error) bool {
	return err == errNoRoom && a.committed() != mark
}

// toUnit rounds up to whole units, which is what the system has pages for anyway.
func (a *Arena) toUnit(n int64) int64 { return (n + a.trimUnit - 1) / a.trimUnit * a.trimUnit }

// commitInstead has commit get pages after all but keep free granules gave theirs back, and but a run that is to
// be used. Where that was not enough all others do.
func (a *Arena) commitInstead(keep int64, but run, commit func() error) error {
	if _, err := a.trimLocked(max(keep, 0), a.granules, but); err != nil {
		return err
	}
	err := commit()
	if err == nil {
		return nil
	}
	if freed, e := a.trimLocked(0, a.granules, but); freed == 0 || e != nil {
		return err
	}
	return commit()
}

// commitAbove gives n granules above the mark their pages. The pages come before the mark.
func (a *Arena) commitAbove(have, n int64) error {
	if err := a.commit(have, n); err != nil {
		return err
	}
	a.raise(have + n)
	return nil
}

func (a *Arena) commit(from, n int64) error {
	const words = perGranule * 8
	if err := a.headroom.take(n * (Granule + words)); err != nil {
		return err
	}
	if err := shm.Commit(a.fd, a.offBlocks+from*words, n*words); err != nil {
		return err
	}
	return shm.Commit(a.fd, a.offData+from*Granule, n*Granule)
}

// raise lifts the committed mark to n unless another process lifted it higher.
func (a *Arena) raise(n int64) {
	for {
		old := a.sp.committed.Load()
		if old >= uint64(n) || a.sp.committed.CompareAndSwap(old, uint64(n)) {
			return
		}
	}
}

// fullLocked says what there was too little of.
func (a *Arena) fullLocked(size int64, cause error) error {
	f := &FullError{What: FullBytes, Size: size, Total: a.Size()}
	if cause != errNoRoom {
		f.What, f.Cause = FullMemory, cause
	}
	f.Free, f.Run = a.leftLocked()
	return f
}
