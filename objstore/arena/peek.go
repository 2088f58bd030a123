package arena

// Peek copies the beginning of a sealed object, as much as there is room for, and says how much it copied; false where there is none.
// It is no use of the object: it stays as old as it was.
func (a *Arena) Peek(o ID, to []byte) (n int, ok bool) {
	k := keyOf(&o)
	h := k.hash()
	for !a.closed.Load() {
		e, w, ok := a.find(k, h)
		if !ok {
			return 0, false
		}
		en := &a.entries[e]
		off, size := en.off.Load(), en.size.Load()
		n = 0
		if size > 0 && off < uint64(len(a.ro)) && size <= uint64(len(a.ro))-off {
			n = copy(to, a.ro[off:off+size])
		}
		// Sealed then and now, in one generation, it was so in between, and does not change.
		if now := en.main.Load(); genOf(now) == genOf(w) && stateOf(now) == sealed {
			return n, true
		}
	}
	return 0, false
}

// SetFiles says, for all processes, whether objects of the arena may be in files too: who deletes one has to tell the node then.
func (a *Arena) SetFiles(may bool) {
	v := uint64(0)
	if may {
		v = 1
	}
	if !a.closed.Load() && a.sp.files.Load() != v {
		a.sp.files.Store(v)
	}
}

// Files says whether objects may be in files too.
func (a *Arena) Files() bool { return !a.closed.Load() && a.sp.files.Load() != 0 }
