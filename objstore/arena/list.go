package arena

import (
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Entry is what List shows of one object.
type Entry struct {
	ID      ID
	State   string
	Size    int64
	Job     id.Job
	Attempt uint32
	LastUse time.Time // when it was created, or somebody last got it; to about a second
	Holders []int     // the clients that hold it; for an object being created or freed, the one that does it
}

// Sealed is the State of a sealed object.
var Sealed = sealed.String()

// List calls f for each object until f returns false. Objects that come, go or change meanwhile may or may
// not be seen.
func (a *Arena) List(f func(Entry) bool) { a.ListFrom(0, f) }

// ListFrom is List in pieces: it says where to go on after f returned false; 0 at the end.
func (a *Arena) ListFrom(from uint32, f func(Entry) bool) (next uint32) {
	if a.closed.Load() {
		return 0
	}
	for e := from; e < a.high(); e++ {
		en := &a.entries[e]
		w := en.main.Load()
		if stateOf(w) == free {
			continue
		}
		x := en.show(w)
		x.Holders = a.holders(e, w)
		if now := en.main.Load(); genOf(now) == genOf(w) && stateOf(now) != free && !f(x) {
			return e + 1
		}
	}
	return 0
}

// Idle calls f for each sealed object that nobody holds until f returns false. It is List for whoever looks
// for something to [Arena.Evict].
func (a *Arena) Idle(f func(Entry) bool) {
	if a.closed.Load() {
		return
	}
	for e := range a.high() {
		en := &a.entries[e]
		w := en.main.Load()
		if stateOf(w) != sealed || a.heldNear(e, w) || a.heldFar(e, genOf(w)) {
			continue
		}
		if x := en.show(w); en.main.Load() == w && !f(x) {
			return
		}
	}
}

// show is an entry in words of the outside, but for its holders.
func (en *entry) show(w uint64) Entry {
	x := Entry{
		ID: en.key().id(), State: stateOf(w).String(), Size: int64(en.size.Load()),
		Attempt: uint32(en.idc.Load() >> 32), LastUse: time.UnixMilli(int64(en.used.Load())),
	}
	binary.LittleEndian.PutUint64(x.Job[:], en.job.Load())
	return x
}

// holders are the clients that an entry names.
func (a *Arena) holders(e uint32, w uint64) (cs []int) {
	if s := stateOf(w); s == creating || s == evicting {
		return []int{owner(w)}
	}
	for near := nearOf(w); near != 0; near &= near - 1 {
		if c := bits.TrailingZeros32(near); a.holds(c, e, genOf(w)) {
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
