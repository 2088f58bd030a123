package arena

import "math/bits"

// A slab is a granule cut into blocks of one class. Its blocks are claimed one by one; the slab itself
// belongs to nobody. It is closed, when it is empty and granules are short, like this:
//
//	claim a block                        close a slab
//	1 block: 0 -> tag                    1 granule: slab -> closing, by whom
//	2 * read granule: still this slab?   2 * read all blocks
//	3 no: tag -> 0, look elsewhere       3 all 0: closing -> free, else closing -> slab
//
// Each side writes before it reads (*), so a block claimed while its slab closes is seen by one of them.

// claimBlockLocked takes one block of a class.
func (a *Arena) claimBlockLocked(en *entry, c int, t uint64) error {
	for range claimRounds {
		mark := a.committed()
		for n := len(a.blocky.free[c]); n > 0; n = len(a.blocky.free[c]) {
			b := a.blocky.free[c][n-1]
			a.blocky.free[c] = a.blocky.free[c][:n-1]
			if a.claimBlock(en, b, c, t) {
				return nil
			}
		}
		if a.hintedSlabLocked(c) || a.newSlabLocked(c) || a.anySlabLocked(c) || a.closeSlabs() > 0 {
			continue
		}
		g, ok, err := a.roomLocked(1)
		if ok {
			a.makeSlabLocked(g, c)
		} else if err == nil {
			err = a.growLocked(1)
		}
		if !ok && err != nil && !a.grewSince(mark, err) {
			return err
		}
	}
	return errNoRoom
}

func (a *Arena) claimBlock(en *entry, b uint32, c int, t uint64) bool {
	set(&en.off, uint64(blockOff(b, c)))
	a.at(killIntent)
	if !a.blocks[b].CompareAndSwap(0, t) {
		return false
	}
	a.at(killBlock)
	if a.grans[b/perGranule].Load() != slabWord(c) {
		a.blocks[b].CompareAndSwap(t, 0)
		return false
	}
	return true
}

// keepBlock remembers a block that was just freed, here and in the shared hint of its slab, and its entry, which is
// about to be.
func (a *Arena) keepBlock(b uint32, c int, e uint32) {
	a.hintSlab(int64(b/perGranule), c)
	a.mu.Lock()
	a.spare.keepLocked(e)
	if len(a.blocky.free[c]) < keepBlocks {
		a.blocky.free[c] = append(a.blocky.free[c], b)
	}
	a.mu.Unlock()
}

// hintSlab notes for all processes that a slab may have a free block.
func (a *Arena) hintSlab(g int64, c int) {
	h := &a.hints[int64(c)*a.hintWords+g/64]
	if bit := uint64(1) << (g % 64); h.Load()&bit == 0 {
		h.Or(bit)
	}
}

// takeBlocksLocked remembers the free blocks of a granule if it is a slab of the class.
func (a *Arena) takeBlocksLocked(g int64, c int) bool {
	if a.grans[g].Load() != slabWord(c) {
		return false
	}
	for i := int64(perGranule>>c) - 1; i >= 0; i-- {
		if b := g*perGranule + i; a.blocks[b].Load() == 0 {
			a.blocky.free[c] = append(a.blocky.free[c], uint32(b))
		}
	}
	return len(a.blocky.free[c]) > 0
}

// hintedSlabLocked takes the hint of one slab and its free blocks.
func (a *Arena) hintedSlabLocked(c int) bool {
	n := (a.committed() + 63) / 64
	for range n {
		if a.blocky.at[c] >= n {
			a.blocky.at[c] = 0
		}
		h := &a.hints[int64(c)*a.hintWords+a.blocky.at[c]]
		for v := h.Load(); v != 0; v = h.Load() {
			bit := v & -v
			if !h.CompareAndSwap(v, v&^bit) {
				continue
			}
			g := a.blocky.at[c]*64 + int64(bits.TrailingZeros64(bit))
			if g < a.granules && a.takeBlocksLocked(g, c) {
				return true
			}
		}
		a.blocky.at[c]++
	}
	return false
}

// newSlabLocked makes a slab of the lowest vacant granule if that has pages.
func (a *Arena) newSlabLocked(c int) bool {
	in, g := a.fit(1, false)
	return in.n > 0 && a.makeSlabLocked(g, c)
}

// makeSlabLocked makes a slab of a granule if that is free.
func (a *Arena) makeSlabLocked(g int64, c int) bool {
	return a.grans[g].CompareAndSwap(granFree, slabWord(c)) && a.takeBlocksLocked(g, c)
}

// anySlabLocked looks for a free block whose hint was lost with a process, or is in another's memory.
func (a *Arena) anySlabLocked(c int) bool {
	for g := range a.committed() {
		if a.takeBlocksLocked(g, c) {
			return true
		}
	}
	return false
}

// closeSlabs turns empty slabs back into free granules, and says how many.
func (a *Arena) closeSlabs() (n int) {
	for g := range a.committed() {
		w := a.grans[g].Load()
		if w&kindMask != granSlab || !a.emptySlab(g) {
			continue
		}
		c := int(w & 0xff)
		a.at(killEmpty)
		closing := closeWord(c, a.client)
		if !a.grans[g].CompareAndSwap(w, closing) {
			continue
		}
		a.at(killClosing)
		if a.emptySlab(g) && a.grans[g].CompareAndSwap(closing, granFree) {
			a.lower(g)
			n++
		} else {
			a.reopenSlab(g, closing)
		}
	}
	return n
}

// reopenSlab undoes the closing of a slab.
func (a *Arena) reopenSlab(g int64, closing uint64) {
	c := int(closing & 0xff)
	a.grans[g].CompareAndSwap(closing, slabWord(c))
	a.hintSlab(g, c)
}

func (a *Arena) emptySlab(g int64) bool {
	for i := g * perGranule; i < (g+1)*perGranule; i++ {
		if a.blocks[i].Load() != 0 {
			return false
		}
	}
	return true
}
