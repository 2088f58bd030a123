package arena

import "testing"

// TestAheadIsWritten looks ahead of an object: over those beside it, and no further than into the huge page where one begins
// that is being written.
func TestAheadIsWritten(t *testing.T) {
	c := newArena(t, Config{Size: 64 << 20})
	ahead := func() (from, upto int64) {
		h, ok := c.Get(oid(1))
		if !ok {
			t.Fatal("lost")
		}
		defer h.Release()
		off := int64(c.entries[h.e].off.Load())
		return c.writtenAround(off/Granule, granulesOf(off+h.Size()))
	}
	for n := range 3 {
		if err := put(c.Arena, n, 3<<20); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Create(oid(3), 20<<20, testJob, 0)
	if err != nil {
		t.Fatal(err)
	}
	off := func(i ID) int64 {
		h, ok := c.Get(i)
		if !ok {
			t.Fatal("lost", i)
		}
		defer h.Release()
		return int64(c.entries[h.e].off.Load())
	}
	is := func(first, last int) { // which of the objects are looked at: those that were made later lie lower
		t.Helper()
		least, end := off(oid(last)), off(oid(first))+3<<20
		if from, upto := ahead(); from > least || from <= least-hugePage || upto < end {
			t.Fatalf("looks at %d to %d, and %d to %d is written", from, upto, least, end)
		}
	}
	is(0, 2)
	copy(w.Bytes(), make([]byte, 20<<20))
	h, err := w.Seal(false)
	if err != nil {
		t.Fatal(err)
	}
	if h != nil {
		h.Release()
	}
	is(0, 3)
	c.looked.add((off(oid(0)) + 3<<20 - 1) / hugePage)
	if _, upto := ahead(); upto >= off(oid(0))+3<<20 {
		t.Fatal("looks again where it has looked")
	}
	for n := range 4 {
		c.Delete(oid(n))
	}
}
