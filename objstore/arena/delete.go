package arena

import (
	"encoding/binary"

	"github.com/kadrehq/kadre/internal/id"
)

// Delete takes a sealed object out of the arena: nobody finds it any more, and its room is free once the
// last hold is released. False when there was none.
func (a *Arena) Delete(o ID) bool {
	k := keyOf(o)
	h := k.hash()
	for !a.closed.Load() {
		e, gen, ok := a.find(k, h)
		if !ok {
			return false
		}
		if a.doom(h, e, gen) {
			return true
		}
	}
	return false
}

// doom moves an entry, whose ID has the hash h, from SEALED to DOOMED, takes it out of the index, and evicts it where nobody holds it.
// It never goes to EVICTING directly: a client with a further holder bit could come in between.
func (a *Arena) doom(h uint64, e, gen uint32) bool {
	for {
		w := a.entries[e].main.Load()
		if genOf(w) != gen || stateOf(w) != sealed {
			return false
		}
		if !a.move(e, w, word(doomed, gen, lowOf(w))) {
			continue
		}
		a.at(killDoomed)
		a.unlink(slotOf(e, gen, h), h)
		a.at(killUnlinked)
		a.tryEvict(e, gen)
		return true
	}
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
	k := keyOf(o)
	a.matches(k, k.hash(), func(_ uint32, w uint64, _ int) bool {
		exists = true
		isSealed = stateOf(w) == sealed
		return !isSealed
	})
	return exists, isSealed
}

// Entry is what List shows of one object.
type Entry struct {
	ID      ID
	State   string
	Size    int64
	Job     id.Job
	Attempt uint32
	Holders []int // the clients that hold it; for an object being created or freed, the one that does it
}

// List calls f for each object until f returns false. Objects that come, go or change meanwhile may or may
// not be seen.
func (a *Arena) List(f func(Entry) bool) {
	if a.closed.Load() {
		return
	}
	for e := range a.high() {
		en := &a.entries[e]
		w := en.main.Load()
		if stateOf(w) == free {
			continue
		}
		x := Entry{ID: en.key().id(), State: stateOf(w).String(), Size: int64(en.size.Load()), Attempt: uint32(en.idc.Load() >> 32), Holders: a.holders(e, w)}
		binary.LittleEndian.PutUint64(x.Job[:], en.job.Load())
		if now := en.main.Load(); genOf(now) == genOf(w) && stateOf(now) != free && !f(x) {
			return
		}
	}
}

// holders are the clients that an entry names.
func (a *Arena) holders(e uint32, w uint64) (cs []int) {
	if s := stateOf(w); s == creating || s == evicting {
		return []int{owner(w)}
	}
	for c := range nearClients {
		if lowOf(w)>>c&1 != 0 {
			cs = append(cs, c)
		}
	}
	for c := nearClients; c < a.clientHigh(); c++ {
		if v, bit := a.farWord(e, c); farGen(v.Load()) == genOf(w) && uint32(v.Load())&bit != 0 {
			cs = append(cs, c)
		}
	}
	return cs
}
