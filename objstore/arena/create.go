package arena

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/id"
)

// Writer fills an object that nobody sees yet. Its methods may be called by any goroutine; one of Seal and
// Abort ends it.
type Writer struct {
	a    *Arena
	o    ID
	e    uint32
	gen  uint32
	done atomic.Bool
	data []byte
}

// Create makes room for an object of size bytes that this process fills and seals. It returns ErrExists
// where one of that ID is or is being created, a FullError where there is no room, or ErrTooLarge.
func (a *Arena) Create(o ID, size int64, job id.Job, attempt uint32) (*Writer, error) {
	if a.closed.Load() {
		return nil, ErrClosed
	}
	if size < 0 || size > a.Size() {
		return nil, fmt.Errorf("%w: object %s of %d bytes, arena of %d: give the node a larger arena", ErrTooLarge, o, size, a.Size())
	}
	e, gen, err := a.claimEntry()
	if err != nil {
		return nil, a.sized(err, size)
	}
	a.at(killClaimed)
	if err := a.introduce(o, e, gen, job, attempt); err != nil {
		a.finish(e, gen)
		return nil, a.sized(err, size)
	}
	a.at(killSettled)
	if err := a.claimRoom(e, gen, size); err != nil {
		a.finish(e, gen)
		return nil, err
	}
	a.at(killCreated)
	w := &Writer{a: a, o: o, e: e, gen: gen}
	if size > 0 {
		at := a.offData + int64(a.entries[e].off.Load())
		w.data = a.mem[at : at+size : at+size]
	}
	return w, nil
}

// introduce writes the ID of a new entry and makes it the one entry of that ID.
func (a *Arena) introduce(o ID, e, gen uint32, job id.Job, attempt uint32) error {
	en, k := &a.entries[e], keyOf(o)
	h := k.hash()
	en.ida.Store(k.a)
	en.idb.Store(k.b)
	en.idc.Store(uint64(attempt)<<32 | uint64(k.c))
	en.job.Store(binary.LittleEndian.Uint64(job[:]))
	en.used.Store(a.sp.clock.Load())
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

// finish frees an entry that is CREATING or EVICTING and ours, or of a dead client whom we reap. Each step
// may be repeated; the last one gives the entry up.
func (a *Arena) finish(e, gen uint32) {
	h := a.entries[e].key().hash()
	a.unlink(slotOf(e, gen, h), h)
	a.freeRoom(e, gen)
	a.at(killFreed)
	// A creator may still be marked as the loser of its ID, hence the second try.
	for range 2 {
		w := a.entries[e].main.Load()
		if genOf(w) == gen && (stateOf(w) == creating || stateOf(w) == evicting) && !a.move(e, w, word(free, gen, 0)) {
			continue
		}
		return
	}
}

// Bytes is where to write. What is there at first is not defined.
func (w *Writer) Bytes() []byte { return w.data }

// Seal publishes the object and wakes who waits for it. Nothing may be written afterwards: where the arena
// protects, a write faults. With keep the caller gets a hold on it that nobody can come before.
func (w *Writer) Seal(keep bool) (*Hold, error) {
	a := w.a
	if a.closed.Load() {
		return nil, ErrClosed
	}
	if !w.done.CompareAndSwap(false, true) {
		return nil, ErrSettled
	}
	if len(w.data) > Granule/2 {
		a.guard.seal(a, (int64(a.entries[w.e].off.Load()))/Granule, granulesOf(int64(len(w.data))))
	}
	a.at(killSealing)
	low := uint32(0)
	if keep {
		low = a.prehold(w.e, w.gen)
	}
	ok := a.move(w.e, word(creating, w.gen, uint32(a.client)|phaseSettled), word(sealed, w.gen, low))
	if keep {
		a.local[w.e].Store(uint32(count(ok)))
	}
	if !ok {
		return nil, fmt.Errorf("%w: object %s was taken from client %d: was this process declared dead?", ErrSettled, w.o, a.client)
	}
	a.at(killSealed)
	a.announce(w.o)
	if !keep {
		return nil, nil
	}
	return a.hold(w.e), nil
}

// prehold prepares the creator's own hold before anyone can see the object: the process's count is busy, a
// further holder bit is set. It returns the holder bits for the main word.
func (a *Arena) prehold(e, gen uint32) uint32 {
	for !a.local[e].CompareAndSwap(0, busy) {
		runtime.Gosched()
	}
	if a.client < nearClients {
		return 1 << a.client
	}
	w, bit := a.farWord(e, a.client)
	for {
		v := w.Load()
		bits := bit
		if farGen(v) == gen {
			bits |= uint32(v)
		}
		if w.CompareAndSwap(v, farWord(gen, bits)) {
			a.at(killFarSeal)
			return 0
		}
	}
}

// Abort gives the room back. After Seal, or a second time, it does nothing.
func (w *Writer) Abort() {
	if !w.a.closed.Load() && w.done.CompareAndSwap(false, true) {
		w.a.finish(w.e, w.gen)
	}
}
