package arena

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
)

// maxProblems bounds how many broken invariants an audit describes.
const maxProblems = 16

// Audit is what all words of the arena say, read one by one. While others work it may be inconsistent.
type Audit struct {
	Creating int `json:"creating"` // objects in each state, as the next
	Sealed   int `json:"sealed"`
	Doomed   int `json:"doomed"`
	Evicting int `json:"evicting"`

	Entries   int         `json:"entries"`   // high-water mark of entries
	Bytes     int64       `json:"bytes"`     // size of all objects
	Blocks    int         `json:"blocks"`    // tagged blocks
	Granules  int         `json:"granules"`  // tagged granules
	Slabs     int         `json:"slabs"`     // granules cut into blocks, also without any in use
	Closing   int         `json:"closing"`   // slabs being closed, and granules whose pages are being given back
	Committed int64       `json:"committed"` // bytes of data that have pages
	Slots     int         `json:"slots"`     // index slots filled
	Stale     int         `json:"stale"`     // words with a tag of nothing: they do no harm, but must go when their owner does
	Waits     int         `json:"waits"`     // wait bits
	Holders   map[int]int `json:"holders"`   // holder bits by client
	Clients   []int       `json:"clients"`   // clients admitted, beside the node
	CPUMilli  int         `json:"cpu_milli"` // thousandths of a CPU claimed

	Problems []string `json:"problems"` // invariants that do not hold
}

// Empty says that nothing is left: no object, no room, no index slot, no holder, no waiter.
func (u Audit) Empty() bool {
	return u.Creating+u.Sealed+u.Doomed+u.Evicting+u.Blocks+u.Granules+u.Closing+u.Slots+u.Stale+u.Waits+len(u.Holders) == 0
}

// Check is an error that lists the invariants which do not hold. It means something only while nobody works.
func (u Audit) Check() error {
	if len(u.Problems) == 0 {
		return nil
	}
	return errors.New("arena: audit: " + strings.Join(u.Problems, "; "))
}

func (u Audit) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "entries   creating %d sealed %d doomed %d evicting %d of %d used, %d bytes\n", u.Creating, u.Sealed, u.Doomed, u.Evicting, u.Entries, u.Bytes)
	fmt.Fprintf(&b, "room      blocks %d granules %d slabs %d closing %d, committed %d bytes\n", u.Blocks, u.Granules, u.Slabs, u.Closing, u.Committed)
	fmt.Fprintf(&b, "words     index %d stale %d waits %d, cpu %d/1000\n", u.Slots, u.Stale, u.Waits, u.CPUMilli)
	fmt.Fprintf(&b, "clients   %v holders", u.Clients)
	for _, c := range slices.Sorted(maps.Keys(u.Holders)) {
		fmt.Fprintf(&b, " %d:%d", c, u.Holders[c])
	}
	b.WriteByte('\n')
	for _, p := range u.Problems {
		b.WriteString("problem   " + p + "\n")
	}
	return b.String()
}

func (u *Audit) problem(format string, args ...any) {
	if len(u.Problems) < maxProblems {
		u.Problems = append(u.Problems, fmt.Sprintf(format, args...))
	}
}

// Audit reads every word in use and checks that they agree.
func (a *Arena) Audit() Audit {
	u := Audit{Holders: map[int]int{}}
	if a.closed.Load() {
		return u
	}
	u.Entries, u.Committed = int(a.high()), a.committed()*Granule
	for c := 1; c < a.clientHigh(); c++ {
		if a.clients[c].epoch.Load() != 0 {
			u.Clients = append(u.Clients, c)
		}
	}
	slots := a.auditIndex(&u)
	a.auditEntries(&u, slots)
	a.auditKept(&u)
	a.auditRoom(&u)
	for i := range a.shards {
		for j := range a.shards[i] {
			w := a.shards[i][j].Load()
			u.Waits += bits.OnesCount64(w)
			if w &^= a.sp.waiting[j].Load(); w != 0 {
				u.problem("shard %d has clients %x from %d on that do not wait", i, w, j*64)
			}
		}
	}
	words := a.cpuWords()
	for i := range words {
		w := words[i].Load()
		if c := cpuOwner(w); c >= 0 {
			u.CPUMilli += int(cpuMilli(w))
			a.auditClient(&u, c, "cpu slot", i)
		}
	}
	return u
}

// auditClient notes where a word names a client that is none.
func (a *Arena) auditClient(u *Audit, c int, what string, i int) {
	if c != 0 && !slices.Contains(u.Clients, c) {
		u.problem("%s %d names client %d, which is not admitted", what, i, c)
	}
}

// auditIndex counts the slots of each entry, and what each bucket must know of slots further on.
func (a *Arena) auditIndex(u *Audit) []uint32 {
	slots := make([]uint32, a.high())
	past := make([]uint64, len(a.index))
	for i := range a.index {
		for j := range a.index[i].slot {
			v := a.index[i].slot[j].Load()
			if v == 0 {
				continue
			}
			u.Slots++
			e := uint32(v>>slotShift) - 1
			if high := a.high(); e >= high {
				u.problem("bucket %d names entry %d of %d", i, e, high)
				continue
			}
			if e >= uint32(len(slots)) {
				continue // it came since
			}
			if w := a.entries[e].main.Load(); !live(w) || genOf(w) != uint32(v)&genMask {
				u.Stale++
				continue
			}
			slots[e]++
			h, p := a.entries[e].key().hash(), 0
			for p < a.probes() && a.bucketAt(h, p) != uint64(i) {
				p++
			}
			if w := a.entries[e].main.Load(); stateOf(w) == sealed && (p == a.probes() || v != slotOf(e, genOf(w), h)) {
				u.problem("bucket %d has a slot of sealed entry %d that no lookup of object %s finds", i, e, a.entries[e].key().id())
				continue
			}
			for q := range p {
				past[a.bucketAt(h, q)]++
			}
		}
	}
	for b, n := range past {
		if have := a.index[b].past.Load(); have < n {
			u.problem("bucket %d counts %d slots further on, there are %d", b, have, n)
		}
	}
	return slots
}

// auditEntries looks at the entries that there were when their slots were counted.
func (a *Arena) auditEntries(u *Audit, slots []uint32) {
	seen := newSeen(len(slots))
	for e := range uint32(len(slots)) {
		en := &a.entries[e]
		w := en.main.Load()
		switch stateOf(w) {
		case free:
			if lowOf(w) != 0 {
				u.problem("free entry %d has holders %x", e, lowOf(w))
			}
			continue
		case creating:
			u.Creating++
			a.auditClient(u, owner(w), "entry", int(e))
			continue // the rest of it need not be written yet
		case evicting:
			u.Evicting++
			a.auditClient(u, owner(w), "entry", int(e))
			continue // part of it may be gone
		case sealed:
			u.Sealed++
			if slots[e] != 1 {
				u.problem("sealed entry %d has %d index slots", e, slots[e])
			}
			k := en.key()
			if other := seen.first(a, e, k); other != e {
				u.problem("entries %d and %d are both object %s", other, e, k.id())
			}
		case doomed:
			u.Doomed++
			if len(a.holders(e, w)) == 0 {
				u.problem("doomed entry %d has no holder and is still there", e)
			}
		default:
			u.problem("entry %d in state %d", e, stateOf(w))
			continue
		}
		u.Bytes += int64(en.size.Load())
		for _, c := range a.holders(e, w) {
			u.Holders[c]++
			a.auditClient(u, c, "entry", int(e))
			if c >= nearClients && w&farTaken == 0 {
				u.problem("client %d holds entry %d, whose main word %x does not say so", c, e, w)
			}
		}
		if n := a.untagged(e, genOf(w)); n != 0 {
			u.problem("entry %d misses %d words of its room", e, n)
		}
	}
}

// seen is the entries whose objects were met: a table with open addresses, of entries+1.
type seen []uint32

func newSeen(entries int) seen { return make(seen, 1<<bits.Len(uint(2*entries))) }

// first gives the first entry whose object has the key of e: e, or one that was met before.
func (s seen) first(a *Arena, e uint32, k key) uint32 {
	for i := k.hash(); ; i++ {
		at := &s[i&uint64(len(s)-1)]
		if *at == 0 {
			*at = e + 1
		}
		if other := *at - 1; other == e || a.entries[other].key() == k {
			return other
		}
	}
}

// auditKept checks that kept words and holder bits agree.
func (a *Arena) auditKept(u *Audit) {
	for c := range min(a.clientHigh(), nearClients) {
		admitted := c == 0 || slices.Contains(u.Clients, c)
		for e := range a.high() {
			v, w := a.keptOf(c, e).Load(), a.entries[e].main.Load()
			bit := stateOf(w) == sealed && lowOf(w)>>c&1 != 0
			switch {
			case v&keptBusy != 0:
				u.problem("client %d is setting its bit of entry %d", c, e)
			case v != 0 && !admitted:
				u.problem("client %d keeps entry %d and is not admitted", c, e)
			case v&keptSet != 0 && (uint32(v>>32) != genOf(w) || !bit && stateOf(w) != doomed):
				u.problem("client %d keeps generation %d of entry %d, which is at %d", c, v>>32, e, genOf(w))
			case v&keptSet == 0 && bit:
				u.problem("entry %d has the bit of client %d, which does not keep it", e, c)
			}
		}
	}
}

// untagged is how many words of an object's room do not have its tag.
func (a *Arena) untagged(e, gen uint32) (n int) {
	off, size := int64(a.entries[e].off.Load()), int64(a.entries[e].size.Load())
	if size == 0 {
		return 0
	}
	if size < 0 || off < 0 || off > a.Size()-size {
		return 1
	}
	if c, ok := classOf(size); ok {
		return count(a.blocks[blockAt(off, c)].Load() != tag(e, gen)) + count(a.grans[off/Granule].Load() != slabWord(c))
	}
	for i := range granulesOf(size) {
		n += count(a.grans[off/Granule+i].Load() != granLarge|tag(e, gen))
	}
	return n
}

// auditRoom checks that each tag is of an entry that says it is there.
func (a *Arena) auditRoom(u *Audit) {
	holes := uint64(0)
	for g := range a.committed() {
		w := a.grans[g].Load()
		switch w & kindMask {
		case granLarge:
			u.Granules++
			u.Stale += count(!a.owns(w&^kindMask, g*Granule))
		case granSlab:
			u.Slabs++
			if w&0xff >= classes {
				u.problem("granule %d is a slab of class %d", g, w&0xff)
			}
		case granClose:
			u.Closing++
			a.auditClient(u, int(w>>8&0xff), "granule", int(g))
		default:
			if hole(w) {
				u.Committed -= Granule
				holes++
			} else if punching(w) {
				u.Closing++
				a.auditClient(u, puncher(w), "granule", int(g))
			} else if w != granFree {
				u.problem("granule %d has the word %x", g, w)
			}
		}
		for b := g * perGranule; b < (g+1)*perGranule; b++ {
			t := a.blocks[b].Load()
			if t == 0 {
				continue
			}
			u.Blocks++
			ok := w&kindMask >= granSlab && a.owns(t, blockOff(uint32(b), int(w&0xff)))
			u.Stale += count(!ok)
		}
	}
	if n := a.sp.holes.Load(); n < holes {
		u.problem("%d holes are counted, there are %d", n, holes)
	}
}

// owns says whether a tag is of an entry that is not free and claims the place at off.
func (a *Arena) owns(t uint64, off int64) bool {
	e := t>>genBits - 1
	if e >= uint64(a.high()) {
		return false
	}
	en := &a.entries[e]
	w := en.main.Load()
	at := int64(en.off.Load())
	return stateOf(w) != free && genOf(w) == uint32(t)&genMask && off >= at && off < at+max(int64(en.size.Load()), 1)
}
