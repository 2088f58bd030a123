package arena

import (
	"encoding/binary"

	"github.com/kadrehq/kadre/internal/id"
)

// Delete takes a sealed object out of the arena: nobody finds it any more, and its room is free once the
// last hold is released. False when there was none.
func (a *Arena) Delete(o ID) bool { return a.DeleteAt(&o) }

// DeleteAt is Delete for whoever has the ID in memory, as [Arena.GetAt].
func (a *Arena) DeleteAt(o *ID) bool {
	k := keyOf(o)
	h := k.hash()
	for !a.closed.Load() {
		e, w, ok := a.find(k, h)
		if !ok {
			return false
		}
		if a.doom(h, e, genOf(w)) {
			return true
		}
	}
	return false
}

// doom takes a SEALED entry, whose ID has the hash h, out of the arena: by way of DOOMED where somebody may hold it.
func (a *Arena) doom(h uint64, e, gen uint32) bool {
	for {
		w := a.entries[e].main.Load()
		if genOf(w) != gen || stateOf(w) != sealed {
			return false
		}
		if a.take(h, e, w) {
			return true
		}
	}
}

// take is doom for an entry whose main word is w; false when it is not any more. One without any bit goes to EVICTING
// at once: whoever wants to hold it has to set one first.
func (a *Arena) take(h uint64, e uint32, w uint64) bool {
	en, gen := &a.entries[e], genOf(w)
	if lowOf(w) != 0 {
		if !en.move(w, word(doomed, gen, lowOf(w))) {
			return false
		}
		a.bury(h, e, gen)
		return true
	}
	if !en.move(w, word(evicting, gen, uint32(a.client))) {
		return false
	}
	a.at(killEvicting)
	a.unlinkOwn(slotOf(e, gen, h), h)
	a.at(killUnlinked)
	a.vacate(e, gen)
	return true
}

// bury takes a DOOMED entry out of the index and evicts it where nobody holds it.
func (a *Arena) bury(h uint64, e, gen uint32) {
	a.at(killDoomed)
	a.unlink(slotOf(e, gen, h), h)
	a.at(killUnlinked)
	if a.claimEviction(e, gen) {
		a.vacate(e, gen)
	}
}

// Evict deletes one attempt's sealed object if nobody holds it, and frees its room at once. It is for copies
// that are elsewhere too, or spilled. False when there is none, it is of another attempt, or held. Who takes
// a hold in the very same moment keeps it, as with [Arena.Delete].
func (a *Arena) Evict(o ID, attempt uint32) bool {
	if a.closed.Load() {
		return false
	}
	k := keyOf(&o)
	h := k.hash()
	e, w, ok := a.find(k, h)
	gen := genOf(w)
	// What is read is of the generation that the CAS insists on.
	if !ok || uint32(a.entries[e].idc.Load()>>32) != attempt || a.heldNear(e, w) || a.heldFar(e, gen) {
		return false
	}
	a.at(killFound)
	return a.take(h, e, w)
}

// DeleteJob deletes every sealed object of a job and says how many there were.
func (a *Arena) DeleteJob(job id.Job) (n int) {
	if a.closed.Load() {
		return 0
	}
	want := binary.LittleEndian.Uint64(job[:])
	for e := range a.high() {
		en := &a.entries[e]
		w := en.main.Load()
		if stateOf(w) != sealed || en.job.Load() != want {
			continue
		}
		// What was read is of the generation that doom insists on, or doom fails.
		if a.doom(en.key().hash(), e, genOf(w)) {
			n++
		}
	}
	return n
}

// State says whether there is, or is being created, an object of an ID, and whether it is sealed.
func (a *Arena) State(o ID) (exists, isSealed bool) {
	if a.closed.Load() {
		return false, false
	}
	k := keyOf(&o)
	a.matches(k, k.hash(), func(_ uint32, w uint64, _ int) bool {
		exists = true
		isSealed = stateOf(w) == sealed
		return !isSealed
	})
	return exists, isSealed
}
