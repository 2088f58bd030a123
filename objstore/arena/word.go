package arena

import (
	"slices"

	"github.com/kadrehq/kadre/internal/invariant"
)

// state is what an entry is, see the drawing in doc.go.
type state uint8

const (
	free state = iota
	creating
	sealed
	doomed
	evicting
	states // how many there are
)

var stateNames = [states]string{"FREE", "CREATING", "SEALED", "DOOMED", "EVICTING"}

func (s state) String() string {
	if s < states {
		return stateNames[s]
	}
	return "INVALID"
}

// next lists the states that may follow each state. CREATING and SEALED follow themselves when a creator
// settles or loses, and when a holder comes or goes.
var next = [states][]state{
	free:     {creating},
	creating: {creating, sealed, free},
	sealed:   {sealed, doomed, evicting},
	doomed:   {doomed, evicting},
	evicting: {free},
}

// The main word of an entry, from the top: 3 bits of state, 29 bits of generation, and 32 bits that mean
//
//	SEALED, DOOMED       one bit for each of the clients 0 to 30 that holds the object, and one that says that
//	                     others may hold it, in their further words; without any nobody does
//	CREATING, EVICTING   the client that owns the entry, and in CREATING its phase
//	FREE                 nothing, 0
//
// The generation goes up by one with each FREE -> CREATING and wraps. Entries are reused in turn, so even
// the smallest batch of them wraps after days of nothing but puts and deletes; only someone who slept in the
// middle of one operation for exactly that long could take one generation for another.
const (
	genBits  = 29
	genMask  = 1<<genBits - 1
	genShift = 32
	stShift  = genShift + genBits

	nearClients = 31               // clients with a holder bit in the main word
	farTaken    = 1 << nearClients // the bit for all others together: it comes with the first and stays

	// Phases of a creation, above the owner's number in the low bits.
	phaseClaimed = 0 << 8 // the ID is being written and made known
	phaseSettled = 1 << 8 // it is the only one of its ID
	phaseLost    = 2 << 8 // another creator of the same ID was first and said so
	ownerMask    = 1<<8 - 1
)

func word(s state, gen, low uint32) uint64 {
	return uint64(s)<<stShift | uint64(gen)<<genShift | uint64(low)
}
func stateOf(w uint64) state { return state(w >> stShift) }
func genOf(w uint64) uint32  { return uint32(w>>genShift) & genMask }
func lowOf(w uint64) uint32  { return uint32(w) }

// nearOf is the holder bits of a SEALED or DOOMED word that have a client of their own.
func nearOf(w uint64) uint32 { return lowOf(w) &^ farTaken }

// owner is the client that a CREATING or EVICTING word names.
func owner(w uint64) int { return int(lowOf(w) & ownerMask) }

// live says whether w is an object, or will be one unless its creator fails.
func live(w uint64) bool { return stateOf(w) == creating || stateOf(w) == sealed }

// A further holder word has the generation it speaks of in its top half and 32 holder bits below. A word of
// another generation says nothing.
func farWord(gen, bits uint32) uint64 { return uint64(gen)<<32 | uint64(bits) }
func farGen(v uint64) uint32          { return uint32(v >> 32) }

// move is the one way an entry's main word changes.
func (en *entry) move(old, new uint64) bool {
	if invariant.Enabled {
		checkMove(stateOf(old), stateOf(new))
	}
	return en.main.CompareAndSwap(old, new)
}

func checkMove(from, to state) {
	ok := from < states && slices.Contains(next[from], to)
	invariant.Check(ok, "arena: an entry goes from %v to a state that follows it, not to %v", from, to)
}

// tag names an entry in a generation, in the words of the blocks that are its. It is never 0.
func tag(e, gen uint32) uint64 { return uint64(e+1)<<genBits | uint64(gen) }

// A granule's word has its kind in the top 2 bits.
const (
	kindShift = 62
	kindMask  = 3 << kindShift
	granFree  = 0              // the whole word is 0
	granHole  = 1              // free, but its pages were given back; above 2 bits the number of that trim
	granPunch = 2              // a client is just giving them back; above 2 bits which, above 10 the number
	granLarge = 1 << kindShift // below: the tag of the object it is part of
	granSlab  = 2 << kindShift // below: the class of the blocks it is cut into
	granClose = 3 << kindShift // a slab someone closes: class, and above it in 8 bits the client
)

// vacant says that a granule is nobody's, with pages or without.
func vacant(w uint64) bool { return w == granFree || hole(w) }
func hole(w uint64) bool   { return w&(kindMask|3) == granHole }

// punching says that a client is giving the pages of a granule back.
func punching(w uint64) bool { return w&(kindMask|3) == granPunch }

func punchWord(trim uint64, client int) uint64 { return granPunch | uint64(client)<<2 | trim<<10 }
func holeWord(trim uint64) uint64              { return granHole | trim<<2 }
func trimOf(punch uint64) uint64               { return punch >> 10 }
func puncher(punch uint64) int                 { return int(punch >> 2 & 0xff) }

func slabWord(class int) uint64          { return granSlab | uint64(class) }
func closeWord(class, client int) uint64 { return granClose | uint64(client)<<8 | uint64(class) }
