package arena

import (
	"math/bits"
	"runtime"
	"sync/atomic"
)

// Clients 0 to 30 have their holder bit in the main word, where one CAS both checks the state and takes it (kept.go).
// For the others the two are apart:
//
//	take                                      free
//	1 main word: SEALED -> SEALED + farTaken  1 main word: SEALED -> DOOMED
//	2 further word: set own bit               2 * read all further words
//	3 * read main word: still SEALED?         3 no bit anywhere: DOOMED -> EVICTING
//	4 no: clear the bit, as a release
//
// Each side writes before it reads (*). Whoever clears a bit of a DOOMED entry tries to evict it, so the
// bit of a taker who came too late delays the eviction and never prevents it. Step 1 is for who frees an object that
// nobody took: a main word without any bit says that nobody did, and goes from SEALED to EVICTING at once, with which
// every taker's next CAS fails (delete.go).

// nearBit is the bit of a client in main words, 0 for those from nearClients on.
func nearBit(client int) uint64 {
	if client >= nearClients {
		return 0
	}
	return 1 << client
}

// farWord is the further word and the bit of a client from 32 on.
func (a *Arena) farWord(e uint32, client int) (w *atomic.Uint64, bit uint32) {
	client -= nearClients
	return &a.fars[e].w[client/32], 1 << (client % 32)
}

// busy in a further client's count of an entry says that one goroutine is just dropping the process's holder bit, or
// setting it with its own seal. The others wait for it; it takes no lock and never sleeps.
const busy = 1 << 31

// retainFar is retain of a further client. The count comes first: while it is not 0 nobody of this process drops the
// bit.
func (a *Arena) retainFar(e, gen uint32) bool {
	l := &a.local[e]
	for {
		n := l.Load()
		if n&busy == 0 && l.CompareAndSwap(n, n+1) {
			break
		} else if n&busy != 0 {
			runtime.Gosched()
		}
	}
	if !a.takeFar(e, gen) {
		a.releaseFar(e)
		return false
	}
	return true
}

// releaseFar counts one hold less, and drops the process's holder bit with the last.
func (a *Arena) releaseFar(e uint32) {
	l := &a.local[e]
	for !a.closed.Load() {
		switch n := l.Load(); {
		case n&busy != 0:
			runtime.Gosched()
		case n == 0:
			return
		case n > 1:
			if l.CompareAndSwap(n, n-1) {
				return
			}
		case l.CompareAndSwap(1, busy):
			a.dropFar(e, genOf(a.entries[e].main.Load()), a.client)
			l.Store(0)
			return
		}
	}
}

// preholdFar is prehold of a further client.
func (a *Arena) preholdFar(e, gen uint32) {
	for !a.local[e].CompareAndSwap(0, busy) {
		runtime.Gosched()
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
			return
		}
	}
}

func (a *Arena) takeFar(e, gen uint32) bool {
	w, bit := a.farWord(e, a.client)
	for {
		v := w.Load()
		// Read after v: if the generation stands, then v is of it or older, and may be replaced.
		m := a.entries[e].main.Load()
		if genOf(m) != gen || stateOf(m) != sealed {
			return false
		}
		if m&farTaken == 0 && !a.entries[e].move(m, m|farTaken) {
			continue
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

// dropDead clears the holder bit of a dead client, whose kept word is 0, and evicts the object if it is DOOMED and that
// was the last one. It is idempotent.
func (a *Arena) dropDead(e, gen uint32, client int) {
	if client >= nearClients {
		a.dropFar(e, gen, client)
		return
	}
	for {
		w := a.entries[e].main.Load()
		if genOf(w) != gen || stateOf(w) != sealed && stateOf(w) != doomed || lowOf(w)>>client&1 == 0 {
			return
		}
		if a.entries[e].move(w, w&^(1<<client)) {
			a.tryEvict(e, gen)
			return
		}
	}
}

// dropFar is a release of a further client's last hold.
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

// heldFar says whether a client from nearClients on holds the entry.
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

// claimEviction moves an entry that nobody holds from DOOMED to EVICTING: one CAS decides who frees it. Before that
// it takes the bits of clients away that only kept them.
func (a *Arena) claimEviction(e, gen uint32) bool {
	en := &a.entries[e]
	for {
		w := en.main.Load()
		if genOf(w) != gen || stateOf(w) != doomed {
			return false
		}
		if nearOf(w) == 0 {
			if w&farTaken != 0 && a.heldFar(e, gen) {
				return false
			}
			if en.move(w, word(evicting, gen, uint32(a.client))) {
				a.at(killEvicting)
				return true
			}
			continue
		}
		for m := nearOf(w); m != 0; m &= m - 1 {
			if !a.revoke(bits.TrailingZeros32(m), e, gen) {
				return false
			}
		}
		a.at(killRevoked)
		if en.move(w, w&^(1<<nearClients-1)) {
			a.at(killDropped)
		}
	}
}
