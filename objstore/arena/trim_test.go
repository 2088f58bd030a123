package arena

import (
	"math"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kadrehq/kadre/internal/shm"
)

const all = math.MaxInt64

func TestTrim(t *testing.T) {
	for _, kind := range []string{"", shm.KindMemfd} {
		c := newArena(t, Config{Size: 64 << 20, Kind: kind}, 1)
		pages := func() int64 {
			var st unix.Stat_t
			if err := unix.Fstat(c.fd, &st); err != nil {
				t.Fatal(err)
			}
			return st.Blocks * 512
		}
		for n, size := range []int64{1 << 10, 40 << 20, 100, 20 << 20} {
			if err := put(c.Arena, n, size); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := c.Trim(0, all); n >= 4<<20 || err != nil {
			t.Fatal("trimmed what is in use:", n, err)
		}
		c.Delete(oid(1))
		before := pages()
		n, err := c.Trim(30<<20, all)
		if err != nil || n < 8<<20 || n > 12<<20 || before-pages() < n/2 {
			t.Fatalf("trimmed %d (%v), pages from %d to %d", n, err, before, pages())
		}
		if n, err = c.Trim(0, all); err != nil || n < 26<<20 || before-pages() < 30<<20 {
			t.Fatalf("trimmed %d (%v), pages from %d to %d", n, err, before, pages())
		}
		u := c.Audit()
		if err := u.Check(); err != nil || u.Committed > 28<<20 {
			t.Fatalf("%v\n%v", err, u)
		}
		for _, n := range []int{0, 2, 3} {
			h, ok := c.Get(oid(n))
			if !ok {
				t.Fatal("lost", n)
			}
			if err := check(h.Bytes(), n); err != nil {
				t.Fatal(err)
			}
			h.Release()
		}
		for n, a := range c.all() { // room comes back, for large and small
			if err := put(a, 10+n, 38<<20); err != nil {
				t.Fatal(err)
			}
			c.Delete(oid(10 + n))
			if _, err := c.Trim(0, all); err != nil {
				t.Fatal(err)
			}
			if err := put(a, 20+n, 3000); err != nil {
				t.Fatal(err)
			}
		}
		c.DeleteJob(testJob)
		if n, err := c.Trim(0, all); err != nil || n == 0 || c.Audit().Committed > 2<<20 {
			t.Fatal("in the end", n, err, c.Audit())
		}
	}
}

// TestTurnsTrim lets clients come and go in two granules while they and the node give them back.
func TestTurnsTrim(t *testing.T) {
	c := newArena(t, Config{Size: 2 * Granule, Entries: 3}, 1, 32)
	c.trimUnit = 1
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 5))
		takeTurns(r, c.all(), func(i int, a *Arena) {
			for range 6 {
				if i == 0 || r.IntN(4) == 0 {
					if _, err := a.Trim(0, all); err != nil {
						t.Error(err)
					}
				} else if err := turn(a, r); err != nil {
					t.Errorf("seed %d, client %d: %v", seed, i, err)
				}
			}
		})
		if err := c.Audit().Check(); err != nil || t.Failed() {
			t.Fatalf("seed %d: %v", seed, err)
		}
		c.DeleteJob(testJob)
	}
}
