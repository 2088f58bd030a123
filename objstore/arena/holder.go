package arena

import "sync/atomic"

// Clients 0 to 31 have their holder bit in the main word, where one CAS both checks the state and takes it.
// For the others the two are apart:
//
//	take                                 free
//	1 further word: set own bit          1 main word: SEALED -> DOOMED
//	2 * read main word: still SEALED?    2 * read all further words
//	3 no: clear the bit, as a release    3 no bit anywhere: DOOMED -> EVICTING
//
// Each side writes before it reads (*). Whoever clears a bit of a DOOMED entry tries to evict it, so the
// bit of a taker who came too late delays the eviction and never prevents it.

// nearBit is the bit of a client in main words, 0 for those from 32 on.
func nearBit(client int) uint64 {
	if client >= nearClients {
		return 0
	}
	return 1 << client
}

// farWord is the further word and the bit of a client from 32 on.
func (a *Arena) farWord(e uint32, client int) (w *atomic.Uint64, bit uint32) {
	return &a.fars[e].w[client/32-1], 1 << (client % 32)
}

// take makes sure that this client's holder bit is set, if the entry is SEALED in this generation. Another
// goroutine of the process may have set it, or be just about to.
func (a *Arena) take(en *entry, e, gen uint32) bool {
	if a.nearBit == 0 {
		return a.takeFar(e, gen)
	}
	for {
		w := en.main.Load()
		if genOf(w) != gen || stateOf(w) != sealed {
			return false
		}
		if w&a.nearBit != 0 || en.move(w, w|a.nearBit) {
			return true
		}
	}
}

func (a *Arena) takeFar(e, gen uint32) bool {
	w, bit := a.farWord(e, a.client)
	for {
		v := w.Load()
		// Read after v: if the generation stands, then v is of it or older, and may be replaced.
		if m := a.entries[e].main.Load(); genOf(m) != gen || stateOf(m) != sealed {
			return false
		}
		bits := bit
		if farGen(v) == gen {
			bits |= uint32(v)
		}
		if uint64(bits) == v&(1<<32-1) && farGen(v) == gen {
			return true // set before we read the main word, which step 2 is
		}
		a.at(killFarLook)
		if w.CompareAndSwap(v, farWord(gen, bits)) {
			break
		}
	}
	a.at(killFarHeld)
	m := a.entries[e].main.Load()
	return genOf(m) == gen && stateOf(m) == sealed
}

// drop clears a client's holder bit, and evicts the object if it is DOOMED and that was the last one. It is
// idempotent.
func (a *Arena) drop(e, gen uint32, client int) {
	if client >= nearClients {
		a.dropFar(e, gen, client)
		return
	}
	for {
		w := a.entries[e].main.Load()
		if genOf(w) != gen || stateOf(w) != sealed && stateOf(w) != doomed {
			return
		}
		left := w &^ (1 << client)
		if left == w {
			return
		}
		if !a.entries[e].move(w, left) {
			continue
		}
		if stateOf(w) == doomed && lowOf(left) == 0 {
			a.at(killDropped)
			a.tryEvict(e, gen)
		}
		return
	}
}

func (a *Arena) dropFar(e, gen uint32, client int) {
	w, bit := a.farWord(e, client)
	for {
		v := w.Load()
		if uint32(v)&bit == 0 || farGen(v) != gen {
			break
		}
		if w.CompareAndSwap(v, v&^uint64(bit)) {
			a.at(killFarDrop)
			break
		}
	}
	a.tryEvict(e, gen)
}

// heldFar says whether a client from 32 on holds the entry.
func (a *Arena) heldFar(e, gen uint32) bool {
	for c := nearClients; c < a.clientHigh(); c += 32 {
		w, _ := a.farWord(e, c)
		if v := w.Load(); farGen(v) == gen && uint32(v) != 0 {
			return true
		}
	}
	return false
}

// tryEvict frees a DOOMED entry that nobody holds. Anyone may try.
func (a *Arena) tryEvict(e, gen uint32) bool {
	if !a.claimEviction(e, gen) {
		return false
	}
	a.finish(e, gen, a.entries[e].key().hash())
	return true
}

// claimEviction moves an entry that nobody holds from DOOMED to EVICTING: one CAS decides who frees it.
func (a *Arena) claimEviction(e, gen uint32) bool {
	w := word(doomed, gen, 0)
	if a.entries[e].main.Load() != w || a.heldFar(e, gen) || !a.entries[e].move(w, word(evicting, gen, uint32(a.client))) {
		return false
	}
	a.at(killEvicting)
	return true
}
