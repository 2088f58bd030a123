package arena

import "encoding/binary"

const (
	probes   = 64 // bounds how many buckets of the large table an ID may be away from its home
	farShift = 12 // the large table goes by other bits of the hash than the near one
)

// An index slot has entry+1 in its top 20 bits, then 15 bits of the hash, then the generation. It points at
// nothing unless that entry is live in that generation, so a stale one does no harm.
const (
	fpBits    = 15
	fpMask    = 1<<fpBits - 1
	slotShift = fpBits + genBits
)

func slotOf(e, gen uint32, h uint64) uint64 {
	return uint64(e+1)<<slotShift | h>>(64-fpBits)<<genBits | uint64(gen)
}

// key is an ID as an entry stores it: c is its first 4 bytes, then come a and b. An ID travels by value, and
// Go copies 20 bytes by two overlapping stores of 16. Loads that lie in one of them do not wait for either;
// one of the first 8 bytes would, for as long as the rest of a get takes.
type key struct {
	a, b uint64
	c    uint32
}

func keyOf(o *ID) key {
	return key{binary.LittleEndian.Uint64(o[4:12]), binary.LittleEndian.Uint64(o[12:]), binary.LittleEndian.Uint32(o[:4])}
}

func (k key) id() (o ID) {
	binary.LittleEndian.PutUint32(o[:4], k.c)
	binary.LittleEndian.PutUint64(o[4:12], k.a)
	binary.LittleEndian.PutUint64(o[12:], k.b)
	return o
}

func (en *entry) key() key { return key{en.ida.Load(), en.idb.Load(), uint32(en.idc.Load())} }

// matches gives each index slot that may lead to the ID: its entry, the entry's main word while it had the
// ID, and the position of the slot. It ends when f returns false.
func (a *Arena) matches(k key, h uint64, f func(e uint32, w uint64, pos int) bool) {
	for p := range a.probes() {
		b := a.bucket(h, p)
		for i := range b.slot {
			v := b.slot[i].Load()
			if v == 0 || v>>genBits&fpMask != h>>(64-fpBits) {
				continue
			}
			e := uint32(v>>slotShift) - 1
			if int64(e) >= int64(len(a.entries)) {
				continue
			}
			en := &a.entries[e]
			w := en.main.Load()
			if genOf(w) != uint32(v)&genMask || !live(w) || en.key() != k {
				continue
			}
			// The ID was written before the slot: it is this generation's if that still stands.
			if w = en.main.Load(); genOf(w) == uint32(v)&genMask && live(w) && !f(e, w, p*bucketSlots+i) {
				return
			}
		}
		if b.past.Load() == 0 {
			return
		}
	}
}

// probes is how many buckets an ID may be in.
func (a *Arena) probes() int { return int(min(probes, a.buckets)) + 1 }

// bucket is where to look for a hash after p others: one of the near buckets at first, then those of the large
// table in turn. As long as objects are few the whole index lies in the near ones, and those in the CPU's cache.
func (a *Arena) bucket(h uint64, p int) *bucket { return &a.index[a.bucketAt(h, p)] }

func (a *Arena) bucketAt(h uint64, p int) uint64 {
	if p == 0 {
		return h & uint64(a.near-1)
	}
	return uint64(a.near) + (h>>farShift+uint64(p-1))&uint64(a.buckets-1)
}

// find gives the sealed entry of an ID, and its main word. It is matches, unrolled by hand for the fastest of
// our paths, but does not look whether the entry changed since: the caller's CAS on the generation does.
func (a *Arena) find(k key, h uint64) (e uint32, w uint64, ok bool) {
	print := h >> (64 - fpBits) << genBits
	for p := 0; p < a.probes(); p++ {
		b := a.bucket(h, p)
		for i := range b.slot {
			v := b.slot[i].Load()
			if (v^print)&(fpMask<<genBits) != 0 {
				continue
			}
			e := v>>slotShift - 1 // of an empty slot: more than there are
			if e >= uint64(len(a.entries)) {
				continue
			}
			en := &a.entries[e]
			w := en.main.Load()
			if w>>genShift == uint64(sealed)<<genBits|v&genMask && en.idb.Load() == k.b && en.ida.Load() == k.a && uint32(en.idc.Load()) == k.c {
				return uint32(e), w, true
			}
		}
		if b.past.Load() == 0 {
			break
		}
	}
	return 0, 0, false
}

// link fills an index slot and gives its position. A bucket it passes is told first, so that whoever looks
// for the ID goes on; a process that dies in between leaves a count too high, which costs a look.
func (a *Arena) link(v, h uint64) (pos int, ok bool) {
	for p := range a.probes() {
		b := a.bucket(h, p)
		for i := range b.slot {
			if b.slot[i].Load() == 0 && b.slot[i].CompareAndSwap(0, v) {
				return p*bucketSlots + i, true
			}
		}
		b.past.Add(1)
	}
	a.unpass(h, a.probes())
	return 0, false
}

// unlink empties the slot of exactly this value. It is idempotent: one caller wins.
func (a *Arena) unlink(v, h uint64) {
	for p := range a.probes() {
		b := a.bucket(h, p)
		for i := range b.slot {
			if b.slot[i].Load() == v {
				if b.slot[i].CompareAndSwap(v, 0) {
					a.unpass(h, p)
				}
				return
			}
		}
		if b.past.Load() == 0 {
			return
		}
	}
}

// unlinkOwn is unlink for an entry that is EVICTING and ours. Nobody else empties its slot, so that a plain store does,
// see set; and whoever looks from now on does not heed it anyway.
func (a *Arena) unlinkOwn(v, h uint64) {
	for p := range a.probes() {
		b := a.bucket(h, p)
		for i := range b.slot {
			if b.slot[i].Load() == v {
				set(&b.slot[i], 0)
				a.unpass(h, p)
				return
			}
		}
		if b.past.Load() == 0 {
			return
		}
	}
}

// unpass takes back that a key passed n buckets.
func (a *Arena) unpass(h uint64, n int) {
	for p := range n {
		a.bucket(h, p).past.Add(^uint64(0))
	}
}

// alone says that the bucket has no slot which may be of the ID of the one at i, and that none is further on.
func (b *bucket) alone(i int) bool {
	own := b.slot[i].Load()
	for j := range b.slot {
		if v := b.slot[j].Load(); j != i && v != 0 && (v^own)&(fpMask<<genBits) == 0 {
			return false
		}
	}
	return b.past.Load() == 0
}

// settle makes a new entry the only one of its ID, or says that it lost. Two creators of one ID see each
// other, because each fills its slot before it looks; then the one further back in the index loses, and the
// other marks it, so that it cannot settle having looked too early. A settled or sealed one always wins.
func (a *Arena) settle(e, gen uint32, k key, h uint64, pos int) bool {
	own := word(creating, gen, uint32(a.client)|phaseClaimed)
	if pos < bucketSlots && a.bucket(h, 0).alone(pos) {
		return a.entries[e].move(own, own|phaseSettled)
	}
	won := true
	a.matches(k, h, func(o uint32, w uint64, at int) bool {
		for won && o != e && live(w) {
			switch phase := lowOf(w) &^ ownerMask; {
			case stateOf(w) == sealed || phase == phaseSettled || phase == phaseClaimed && at < pos:
				won = false
			case phase == phaseLost || a.entries[o].move(w, w|phaseLost):
				a.at(killMarked)
				return true
			default: // it just settled, sealed or gave up
				now := a.entries[o].main.Load()
				if genOf(now) != genOf(w) {
					return true
				}
				w = now
			}
		}
		return won
	})
	return won && a.entries[e].move(own, own|phaseSettled)
}
