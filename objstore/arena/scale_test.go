package arena

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kadrehq/kadre/internal/invariant"
	"github.com/kadrehq/kadre/internal/shm"
)

// TestAllClients attaches as many processes' handles as there are slots. Each holds one object, and puts one of its own.
func TestAllClients(t *testing.T) {
	c := newArena(t, Config{Size: 64 << 20})
	var all []*Arena
	for slot := 1; slot < maxClients; slot++ {
		got, err := c.Admit(1, uint64(slot)) // process 1 stands for any
		if err != nil || got != slot {
			t.Fatal(got, err)
		}
		fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		a, err := Open([]int{fd}, slot, uint64(slot))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	if _, err := c.Admit(1, 999); !errors.Is(err, ErrClientsFull) {
		t.Fatal(err)
	}
	if err := put(c.Arena, 0, 1000); err != nil {
		t.Fatal(err)
	}
	var holds []*Hold
	for i, a := range all {
		h, ok := a.Get(oid(0))
		if !ok {
			t.Fatal("client", a.client, "finds nothing")
		}
		holds = append(holds, h)
		if err := put(a, 1+i, 500); err != nil {
			t.Fatal(err)
		}
	}
	u := c.Audit()
	if err := u.Check(); err != nil || len(u.Clients) != maxClients-1 || len(u.Holders) != maxClients-1 || u.Sealed != maxClients {
		t.Fatalf("%v\n%v", err, u)
	}
	c.Delete(oid(0))
	for i, h := range holds {
		if u := c.Audit(); u.Doomed != 1 {
			t.Fatalf("freed before client %d of all let go", i+1)
		}
		if err := check(h.Bytes(), 0); err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	if u := c.Audit(); u.Doomed != 0 || len(u.Holders) != 0 {
		t.Fatalf("the last one let go:\n%v", u)
	}
	for _, a := range all {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		c.Reap(a.client)
	}
	if n := c.DeleteJob(testJob); n != maxClients-1 {
		t.Fatal("deleted", n)
	}
}

// TestMillion fills an arena with as many objects as there can be. Most of them are empty and own no block.
func TestMillion(t *testing.T) {
	const blocks = 10_000
	maxEntries := maxEntries
	if invariant.Enabled { // the slower run of the two
		maxEntries = 100_000
	}
	c := newArena(t, Config{Size: 64 << 20, Entries: maxEntries}, 1, 40)
	all := c.all()
	for n := range maxEntries {
		if err := put(all[n%len(all)], n, int64(100*count(n%(maxEntries/blocks) == 0))); err != nil {
			t.Fatal(n, err)
		}
	}
	var full *FullError
	if err := put(c.Arena, maxEntries, 0); !errors.As(err, &full) || full.What != FullEntries {
		t.Fatal("one too many:", err)
	}
	if u := c.Audit(); u.Check() != nil || u.Sealed != maxEntries || u.Blocks != blocks || u.Entries != maxEntries || u.Bytes != 100*blocks {
		t.Fatalf("%v\n%v", u.Check(), u)
	} else if tally := c.Tally(); tally != (Tally{Objects: maxEntries, Bytes: u.Bytes, Room: blocks, Committed: u.Committed}) {
		t.Fatalf("%+v\n%v", tally, u)
	}
	for n := 0; n < maxEntries; n += 7 {
		h, ok := all[n%len(all)].Get(oid(n))
		if !ok {
			t.Fatal("lost", n)
		}
		if err := check(h.Bytes(), n); err != nil || h.Attempt() != uint32(n) {
			t.Fatal(n, h.Attempt(), err)
		}
		h.Release()
	}
	for n := range maxEntries {
		if !all[n%len(all)].Delete(oid(n)) {
			t.Fatal("lost", n)
		}
	}
}

// TestEntriesTakeTurns shows that entries are used again first in, first out, so that their generations rise together.
func TestEntriesTakeTurns(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20, Entries: 3 * batch})
	const rounds = 5
	seen := map[uint32]int{}
	for n := range rounds * batch {
		w, err := c.Create(oid(n), 0, testJob, 0)
		if err != nil {
			t.Fatal(err)
		}
		if seen[w.e]++; seen[w.e] > n/batch+1 {
			t.Fatalf("object %d got entry %d for the %dth time", n, w.e, seen[w.e])
		}
		if _, err := w.Seal(false); err != nil {
			t.Fatal(err)
		}
		c.Delete(oid(n))
	}
	if least := slices.Min(slices.Collect(maps.Values(seen))); len(seen) != batch || least != rounds {
		t.Errorf("%d entries, the rarest used %d times", len(seen), least)
	}
}

// TestHighWaterMarks shows that what was never used is not looked at, and has no pages.
func TestHighWaterMarks(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 30, Entries: maxEntries, Kind: shm.KindMemfd})
	if c.high() != 0 || c.committed() != 0 || c.clientHigh() != 1 {
		t.Fatal(c.high(), c.committed(), c.clientHigh())
	}
	for n := range batch + 1 {
		if c.high() != uint32(min(n, 1)*batch) {
			t.Fatalf("%d objects, entries below %d", n, c.high())
		}
		if err := put(c.Arena, n, 100); err != nil {
			t.Fatal(err)
		}
	}
	if c.high() != 2*batch || c.committed() != commitStep {
		t.Fatal(c.high(), c.committed())
	}
	if _, err := c.Admit(1, 1); err != nil || c.clientHigh() != 2 {
		t.Fatal(err, c.clientHigh())
	}
	c.Reap(1)
	var st unix.Stat_t
	if err := unix.Fstat(c.fd, &st); err != nil || st.Blocks*512 > 160<<20 {
		t.Errorf("%v: %d bytes have pages", err, st.Blocks*512)
	}
	c.DeleteJob(testJob)
}
