package arena

import (
	"strings"
	"sync/atomic"
	"testing"
)

// damaged plants a word, and takes it back in the end.
func damaged(w *atomic.Uint64, v uint64) (undo func()) {
	was := w.Swap(v)
	return func() { w.Store(was) }
}

// TestAuditNamesDamage breaks one invariant after the other in an arena with objects of each kind, and wants it named.
func TestAuditNamesDamage(t *testing.T) {
	c := newArena(t, Config{Size: 16 << 20, Entries: 1500}, 1, 40)
	if err := c.SetCPUs(2000); err != nil {
		t.Fatal(err)
	}
	const small, large, empty = 0, 1, 2
	for n, size := range []int64{small: 1000, large: 300 << 10, empty: 0} {
		if err := put(c.Arena, n, size); err != nil {
			t.Fatal(err)
		}
	}
	entryOf := func(n int) uint32 {
		o := oid(n)
		e, _, ok := c.find(keyOf(&o), hash(o))
		if !ok {
			t.Fatal("no object", n)
		}
		return e
	}
	at := func(n int) *entry { return &c.entries[entryOf(n)] }
	slot := func(n int) *atomic.Uint64 {
		for i := range c.index {
			for j := range c.index[i].slot {
				if s := &c.index[i].slot[j]; s.Load()>>slotShift == uint64(entryOf(n)+1) {
					return s
				}
			}
		}
		t.Fatal("no index slot of", n)
		return nil
	}
	vacantSlot := func() *atomic.Uint64 { return &c.index[len(c.index)-1].slot[bucketSlots-1] }
	offOf := func(n int) int64 { return int64(at(n).off.Load()) }
	h, ok := c.Get(oid(small)) // the node's bit is set
	if !ok {
		t.Fatal("no object")
	}
	defer h.Release()

	unused := uint32(batch - 1) // an entry that no object has
	far, farBit := c.farWord(entryOf(large), 35)
	for want, plant := range map[string]func() func(){
		"free entry 1023 has holders 4":                 func() func() { return damaged(&c.entries[unused].main, word(free, 3, 4)) },
		"has 0 index slots":                             func() func() { return damaged(slot(large), 0) },
		"has 2 index slots":                             func() func() { return damaged(vacantSlot(), slot(large).Load()) },
		"that no lookup of object":                      func() func() { s := slot(empty); return damaged(s, s.Load()^1<<(genBits+1)) },
		"names entry 4999 of 1024":                      func() func() { return damaged(vacantSlot(), 5000<<slotShift) },
		"misses 1 words of its room":                    func() func() { return damaged(&c.blocks[blockAt(offOf(small), 0)], 0) },
		"misses 5 words of its room":                    func() func() { return damaged(&at(large).size, 600<<10) },
		"has the bit of client 1, which does not keep":  func() func() { m := &at(large).main; return damaged(m, m.Load()|1<<1) },
		"names client 35, which is not admitted":        func() func() { return damaged(far, farWord(genOf(at(large).main.Load()), farBit)) },
		"client 1 is setting its bit":                   func() func() { return damaged(c.keptOf(1, entryOf(small)), keptBusy) },
		"client 2 keeps entry":                          func() func() { return damaged(c.keptOf(2, entryOf(small)), keptWord(1, keptSet)) },
		"client 0 keeps generation":                     func() func() { return damaged(c.keptOf(0, entryOf(empty)), keptWord(77, keptSet)) },
		"doomed entry":                                  func() func() { m := &at(empty).main; return damaged(m, word(doomed, genOf(m.Load()), 0)) },
		"in state 7":                                    func() func() { return damaged(&c.entries[unused].main, 7<<stShift) },
		"has the word 8":                                func() func() { return damaged(&c.grans[20], 8) },
		"is a slab of class 9":                          func() func() { return damaged(&c.grans[20], slabWord(9)) },
		"granule 20 names client 9":                     func() func() { return damaged(&c.grans[20], closeWord(0, 9)) },
		"holes are counted, there are":                  func() func() { return damaged(&c.grans[20], holeWord(5)) },
		"has clients 2 from 0 on that do not wait":      func() func() { return damaged(&c.shards[77][0], 2) },
		"cpu slot 0 names client 9, which is not admit": func() func() { return damaged(&c.cpus[0], cpuWord(1, 9, 1000)) },
	} {
		undo := plant()
		if u := c.Audit(); u.Check() == nil || !strings.Contains(u.Check().Error(), want) {
			t.Errorf("not found: %q in: %v", want, u.Check())
		}
		undo()
		if err := c.Audit().Check(); err != nil {
			t.Fatalf("after %q was mended: %v", want, err)
		}
	}
	c.DeleteJob(testJob)
}

// TestAuditFindsTwins plants an object twice.
func TestAuditFindsTwins(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20})
	for n := range 2 {
		if err := put(c.Arena, n, 0); err != nil {
			t.Fatal(err)
		}
	}
	a, b := &c.entries[0], &c.entries[1]
	undo := []func(){damaged(&b.ida, a.ida.Load()), damaged(&b.idb, a.idb.Load()), damaged(&b.idc, a.idc.Load())}
	if err := c.Audit().Check(); err == nil || !strings.Contains(err.Error(), "are both object") {
		t.Errorf("found: %v", err)
	}
	for _, f := range undo {
		f()
	}
	c.DeleteJob(testJob)
}
