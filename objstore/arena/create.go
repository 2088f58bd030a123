package arena

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"github.com/kadrehq/kadre/internal/id"
)

// Writer fills an object that nobody sees yet. It is for one goroutine at a time; one of Seal and Abort ends it.
type Writer struct {
	a    *Arena
	h    uint64 // the ID's hash
	e    uint32
	gen  uint32
	done bool
	lent bool
	data []byte
}

// Create makes room for an object of size bytes that this process fills and seals. It returns ErrExists
// where one of that ID is or is being created, a FullError where there is no room, or ErrTooLarge. Like
// [Arena.Get] it is inlined.
func (a *Arena) Create(o ID, size int64, job id.Job, attempt uint32) (*Writer, error) {
	return a.create(new(Writer), &o, size, job, attempt)
}

// CreateAt is Create for whoever has the ID in memory, as [Arena.GetAt].
func (a *Arena) CreateAt(o *ID, size int64, job id.Job, attempt uint32) (*Writer, error) {
	return a.create(new(Writer), o, size, job, attempt)
}

func (a *Arena) create(w *Writer, o *ID, size int64, job id.Job, attempt uint32) (*Writer, error) {
	if a.closed.Load() {
		return nil, ErrClosed
	}
	if size < 0 || size > a.Size() {
		return nil, fmt.Errorf("%w: object %s of %d bytes, arena of %d: give the node a larger arena", ErrTooLarge, *o, size, a.Size())
	}
	k := keyOf(o)
	w.a, w.h = a, k.hash()
	var err error
	var block uint32 // where to look for room first
	if w.e, w.gen, block, err = a.claimEntry(size); err != nil {
		return nil, a.sized(err, size)
	}
	a.at(killClaimed)
	en := &a.entries[w.e]
	set(&en.job, binary.LittleEndian.Uint64(job[:]))
	set(&en.off, 0)
	set(&en.size, uint64(size))
	set(&en.used, a.sp.clock.Load())
	if err := a.introduce(w.e, w.gen, k, w.h, attempt); err != nil {
		a.finish(w.e, w.gen, w.h)
		return nil, a.sized(err, size)
	}
	a.at(killSettled)
	if err := a.claimRoom(w.e, w.gen, size, block); err != nil {
		a.finish(w.e, w.gen, w.h)
		return nil, err
	}
	a.at(killCreated)
	if size > 0 {
		at := a.offData + int64(en.off.Load())
		w.data = a.mem[at : at+size : at+size]
	}
	return w, nil
}

// introduce writes the ID of an entry and makes it the one entry of that ID.
func (a *Arena) introduce(e, gen uint32, k key, h uint64, attempt uint32) error {
	en := &a.entries[e]
	set(&en.ida, k.a)
	set(&en.idb, k.b)
	set(&en.idc, uint64(attempt)<<32|uint64(k.c))
	a.at(killNamed)
	pos, ok := a.link(slotOf(e, gen, h), h)
	if !ok {
		return &FullError{What: FullIndex}
	}
	a.at(killIndexed)
	if !a.settle(e, gen, k, h, pos) {
		return ErrExists
	}
	return nil
}

// sized fills the sizes into a FullError that was made where they were not known.
func (a *Arena) sized(err error, size int64) error {
	if f, ok := err.(*FullError); ok {
		f.Size, f.Total = size, a.Size()
	}
	return err
}

// finish takes an entry that is CREATING or EVICTING and ours, or of a dead client whom we reap, out of the
// index and frees it. Each step may be repeated.
func (a *Arena) finish(e, gen uint32, h uint64) {
	a.unlink(slotOf(e, gen, h), h)
	a.vacate(e, gen)
}

// vacate frees such an entry and its room. The last step gives the entry up.
func (a *Arena) vacate(e, gen uint32) {
	a.freeRoom(e, gen)
	a.at(killFreed)
	// A creator may still be marked as the loser of its ID, hence the second try.
	for range 2 {
		w := a.entries[e].main.Load()
		if genOf(w) == gen && (stateOf(w) == creating || stateOf(w) == evicting) && !a.entries[e].move(w, word(free, gen, 0)) {
			continue
		}
		return
	}
}

// Lend says that Bytes go to somebody who may keep them, so that Seal has to take them away. Objects up to
// half a granule share pages with others, and stay writable.
func (w *Writer) Lend() { w.lent = true }

// Bytes is where to write. What is there at first is not defined.
func (w *Writer) Bytes() []byte { return w.data }

// Seal publishes the object and wakes who waits for it. Nothing may be written afterwards: what was
// lent faults where the arena protects. With keep the caller gets a hold on it that nobody can come before.
func (w *Writer) Seal(keep bool) (*Hold, error) {
	if err := w.seal(keep); err != nil || !keep {
		return nil, err
	}
	h := new(Hold)
	h.fill(w.a, &w.a.entries[w.e], w.e, w.gen)
	return h, nil
}

func (w *Writer) seal(keep bool) error {
	a := w.a
	if a.closed.Load() {
		return ErrClosed
	}
	if w.done {
		return ErrSettled
	}
	w.done = true
	if len(w.data) > Granule/2 && (w.lent || a.guard.force) {
		a.guard.seal(a, (int64(a.entries[w.e].off.Load()))/Granule, granulesOf(int64(len(w.data))))
	}
	a.at(killSealing)
	low := uint32(0)
	if keep {
		low = a.prehold(w.e, w.gen)
	}
	ok := a.entries[w.e].move(word(creating, w.gen, uint32(a.client)|phaseSettled), word(sealed, w.gen, low))
	if keep {
		a.postSeal(w.e, w.gen, ok)
	}
	if !ok {
		return fmt.Errorf("%w: object %s was taken from client %d: was this process declared dead?", ErrSettled, a.entries[w.e].key().id(), a.client)
	}
	a.at(killSealed)
	a.announce(w.h, w.e)
	return nil
}

// prehold prepares the creator's own hold before anyone can see the object: the process's count is busy, a
// further holder bit is set. It returns the holder bits for the main word.
func (a *Arena) prehold(e, gen uint32) uint32 {
	if a.kept == nil {
		a.preholdFar(e, gen)
		return farTaken
	}
	for {
		if v := a.kept[e].Load(); v&keptBusy == 0 && a.kept[e].CompareAndSwap(v, keptWord(gen, keptBusy)) {
			return uint32(a.nearBit)
		}
		runtime.Gosched()
	}
}

// postSeal counts the creator's own hold, once it is sealed, or not.
func (a *Arena) postSeal(e, gen uint32, ok bool) {
	switch {
	case a.kept == nil:
		a.local[e].Store(uint32(count(ok)))
	case ok:
		a.kept[e].Store(keptWord(gen, keptSet|1))
	default:
		a.kept[e].Store(0)
	}
}

// Abort gives the room back. After Seal, or a second time, it does nothing.
func (w *Writer) Abort() {
	if !w.a.closed.Load() && !w.done {
		w.done = true
		w.a.finish(w.e, w.gen, w.h)
	}
}
