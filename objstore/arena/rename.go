package arena

import "unsafe"

// Rename gives the object that w fills another ID and attempt, before it is sealed: who fills it need not know
// at first what it will be. On ErrExists or a FullError w is good for another Rename or Abort only. It must
// not run beside other methods of w.
//
// The entry goes back to where its creation was before it had a name, so that a kill leaves what it leaves
// there. The old slot goes before the old name, by which whoever finishes the entry finds it.
func (w *Writer) Rename(o ID, attempt uint32) error {
	a := w.a
	if a.closed.Load() {
		return ErrClosed
	}
	if w.done {
		return ErrSettled
	}
	en := &a.entries[w.e]
	claimed := word(creating, w.gen, uint32(a.client)|phaseClaimed)
	for {
		m := en.main.Load()
		if genOf(m) != w.gen || stateOf(m) != creating || owner(m) != a.client {
			return ErrSettled
		}
		if en.move(m, claimed) {
			break
		}
	}
	h := en.key().hash()
	a.unlink(slotOf(w.e, w.gen, h), h)
	a.at(killClaimed)
	k := keyOf(&o)
	w.h = k.hash()
	if err := a.introduce(w.e, w.gen, k, w.h, attempt); err != nil {
		return a.sized(err, int64(len(w.data)))
	}
	a.at(killSettled)
	return nil
}

// ObjectAt names the object whose bytes are at an address of this process, in either view. It looks at all
// entries: it is for telling what went wrong.
func (a *Arena) ObjectAt(addr uintptr) (ID, bool) {
	if a.closed.Load() {
		return ID{}, false
	}
	off := addr - uintptr(unsafe.Pointer(unsafe.SliceData(a.ro)))
	if off >= uintptr(a.Size()) {
		off = addr - uintptr(unsafe.Pointer(unsafe.SliceData(a.mem))) - uintptr(a.offData)
	}
	for e := range a.high() {
		en := &a.entries[e]
		w := en.main.Load()
		if s := stateOf(w); s != sealed && s != doomed {
			continue
		}
		if at := off - uintptr(en.off.Load()); at < uintptr(en.size.Load()) && genOf(en.main.Load()) == genOf(w) {
			return en.key().id(), true
		}
	}
	return ID{}, false
}
