package arena

import (
	"math/bits"
	"runtime"
	"sync/atomic"
)

// Clients 0 to 30 have a holder bit in the main word, and beside it a kept word of their own for each entry, which
// counts the process's holds. The bit stays set when the last of them is released, until the object is deleted: so
// whoever gets an object again, or releases it, changes nothing but its own word. Who deletes takes the bits away.
//
//	take                                  free
//	1 kept word: busy, where not set      1 main word: SEALED -> DOOMED
//	2 main word: SEALED -> SEALED + bit   2 * each kept word: set and no hold -> 0; else it is held
//	3 kept word: set, one hold            3 main word: DOOMED without bits -> EVICTING
//
//	take again                            release
//	1 kept word: set -> set, one more     1 * kept word: one less
//	                                      2 none left: main word DOOMED? then free from 2 on
//
// A word that is set, in a generation, says that the bit is set in that generation; the entry stays what it is as long
// as that is so. Nobody but its client sets a word, and only with an entry that it saw SEALED after the word was busy.
// So once the entry is DOOMED a word that is not set stays so, and its bit, if there is one, means nothing. The last
// releaser and who frees both write before they read (*): one of them sees the other. What a dead client left there
// its reaper makes 0.

// A kept word has the generation in its top half, and below it two flags and 30 bits of count.
const (
	keptBusy  = 1 << 31 // a goroutine of the client is about to set the bit, or to seal with it: the others wait
	keptSet   = 1 << 30
	keptCount = keptSet - 1
)

func keptWord(gen, low uint32) uint64 { return uint64(gen)<<32 | uint64(low) }

// keeps says that the word is set in a generation.
func keeps(v uint64, gen uint32) bool { return v>>30 == uint64(gen)<<2|keptSet>>30 }

// keptOf is the kept word of any client up to nearClients.
func (a *Arena) keptOf(client int, e uint32) *atomic.Uint64 {
	return &a.kepts[client*len(a.entries)+int(e)]
}

// keep is take, and take again.
func (a *Arena) keep(en *entry, e, gen uint32) bool {
	kw := &a.kept[e]
	for {
		if w := en.main.Load(); genOf(w) != gen || stateOf(w) != sealed {
			return false
		}
		a.at(killNearLook)
		switch v := kw.Load(); {
		case v&keptBusy != 0:
			runtime.Gosched()
		case keeps(v, gen):
			if kw.CompareAndSwap(v, v+1) {
				return true
			}
		case v&keptSet != 0: // the entry has become another object
			return false
		case kw.CompareAndSwap(v, keptWord(gen, keptBusy)):
			return a.setBit(en, e, gen)
		}
	}
}

// setBit does the rest of take. Where it comes too late it tries to free the object: others may have left that to us.
func (a *Arena) setBit(en *entry, e, gen uint32) bool {
	a.at(killKeeping)
	for {
		w := en.main.Load()
		if genOf(w) != gen || stateOf(w) != sealed {
			a.kept[e].Store(0)
			a.tryEvict(e, gen)
			return false
		}
		if w&a.nearBit != 0 || en.move(w, w|a.nearBit) {
			a.kept[e].Store(keptWord(gen, keptSet|1))
			return true
		}
	}
}

// lastReleased frees the object if it was deleted meanwhile.
func (a *Arena) lastReleased(e, gen uint32) {
	a.at(killReleased)
	if stateOf(a.entries[e].main.Load()) == doomed {
		a.tryEvict(e, gen)
	}
}

// revoke takes from a client its bit of a DOOMED entry; false where it holds the object.
func (a *Arena) revoke(client int, e, gen uint32) bool {
	if client >= len(a.clients) {
		return true
	}
	kw := a.keptOf(client, e)
	for {
		v := kw.Load()
		if uint32(v>>32) == gen && v&(keptBusy|keptCount) != 0 {
			return false
		}
		if !keeps(v, gen) || kw.CompareAndSwap(v, 0) {
			return true
		}
	}
}

// holds says whether a client whose bit is set has holds too.
func (a *Arena) holds(client int, e, gen uint32) bool {
	if client >= len(a.clients) {
		return false
	}
	v := a.keptOf(client, e).Load()
	return uint32(v>>32) == gen && v&(keptBusy|keptCount) != 0
}

// heldNear says whether a client up to nearClients holds the entry with that main word.
func (a *Arena) heldNear(e uint32, w uint64) bool {
	for m := nearOf(w); m != 0; m &= m - 1 {
		if a.holds(bits.TrailingZeros32(m), e, genOf(w)) {
			return true
		}
	}
	return false
}

// forget makes a dead client's kept word 0, and says whether it held anything.
func (a *Arena) forget(client int, e uint32) (held bool) {
	if client >= nearClients {
		return false
	}
	kw := a.keptOf(client, e)
	v := kw.Load()
	if v != 0 {
		kw.Store(0)
	}
	return v&keptSet != 0 && v&keptCount != 0 || v&keptBusy != 0
}
