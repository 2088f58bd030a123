package arena

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// turns runs one function for each client, and lets exactly one of them go on at a time: at each kill point
// it draws who is next. The same seed gives the same order.
type turns struct {
	r     *rand.Rand
	ready []chan struct{} // of those who wait for their turn
	back  chan bool       // who had it is at a kill point, or with true at its end
}

func takeTurns(r *rand.Rand, as []*Arena, f func(i int, a *Arena)) {
	s := &turns{r: r, back: make(chan bool)}
	for i, a := range as {
		mine := make(chan struct{})
		s.ready = append(s.ready, mine)
		a.hook = func(killPoint) {
			s.ready = append(s.ready, mine)
			s.back <- false
			<-mine
		}
		go func() {
			<-mine
			f(i, a)
			s.back <- true
		}()
	}
	for left := len(as); left > 0; {
		k := r.IntN(len(s.ready))
		turn := s.ready[k]
		s.ready[k] = s.ready[len(s.ready)-1]
		s.ready = s.ready[:len(s.ready)-1]
		turn <- struct{}{}
		if <-s.back {
			left--
		}
	}
	for _, a := range as {
		a.hook = nil
	}
}

// TestTurnsCreators lets several clients create one ID in all sorts of orders: one of them wins.
func TestTurnsCreators(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20, Entries: 8}, 1, 31, 255)
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		wins := 0
		takeTurns(r, c.all(), func(i int, a *Arena) {
			w, err := a.Create(oid(1), 1, testJob, 0)
			if err == nil {
				wins++
				w.Seal(false)
			} else if !errors.Is(err, ErrExists) {
				t.Error(seed, err)
			}
		})
		if wins != 1 || !c.Delete(oid(1)) {
			t.Fatalf("seed %d: %d creators", seed, wins)
		}
	}
}

// TestTurns lets several clients do everything with two IDs, three entries and two granules.
func TestTurns(t *testing.T) {
	c := newArena(t, Config{Size: 2 * Granule, Entries: 3}, 1, 32, 33)
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 4))
		takeTurns(r, c.all(), func(i int, a *Arena) {
			for range 6 {
				if err := turn(a, r); err != nil {
					t.Errorf("seed %d, client %d: %v", seed, i, err)
				}
			}
		})
		u := c.Audit()
		if err := u.Check(); err != nil || t.Failed() || len(u.Holders) != 0 || u.Doomed+u.Creating+u.Evicting+u.Stale != 0 {
			t.Fatalf("seed %d: %v\n%v", seed, err, u)
		}
		if seed%2 == 0 {
			c.DeleteJob(testJob)
		}
	}
	c.DeleteJob(testJob)
}

// turn is one short thing to do.
func turn(a *Arena, r *rand.Rand) error {
	n := r.IntN(2)
	switch r.IntN(4) {
	case 0:
		if r.IntN(2) == 0 {
			a.Evict(oid(n), 0)
		} else {
			a.Delete(oid(n))
		}
	case 1:
		if h, ok := a.Get(oid(n)); ok {
			for range r.IntN(8) {
				a.at(killFound)
			}
			defer h.Release()
			return check(h.Bytes(), n)
		}
	default:
		// Sizes of three classes, and of whole granules, so that slabs come and go.
		size := []int64{1 << 10, 32 << 10, 20 << 10, Granule, 2 * Granule}[r.IntN(5)]
		w, err := a.Create(oid(n), size, testJob, 0)
		if err != nil {
			if errors.Is(err, ErrExists) || errors.Is(err, ErrFull) {
				return nil
			}
			return err
		}
		fill(w.Bytes(), n)
		a.at(killFound)
		if err := check(w.Bytes(), n); err != nil {
			return fmt.Errorf("written by another one: %w", err)
		}
		h, err := w.Seal(r.IntN(2) == 0)
		if h != nil {
			defer h.Release()
			return check(h.Bytes(), n)
		}
		return err
	}
	return nil
}

// TestEntryReusedInGet reuses the only entry while another goroutine of the process is between finding it and
// counting its hold, so that the count is not 0 and yet not of the object it found.
func TestEntryReusedInGet(t *testing.T) {
	for _, slot := range []int{1, 40} {
		c := newArena(t, Config{Size: 1 << 20, Entries: 1}, slot)
		p := c.peers[0]
		if err := put(p, 1, 100); err != nil {
			t.Fatal(err)
		}
		var second *Hold
		p.hook = func(k killPoint) {
			if k != killFound {
				return
			}
			p.hook = nil
			p.Delete(oid(1))
			w, err := p.Create(oid(2), 100, id.Job{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			second, _ = w.Seal(true)
		}
		if h, ok := p.Get(oid(1)); ok {
			t.Fatalf("asked for %s, got %s", oid(1), h.ID())
		}
		second.Release()
		c.Delete(oid(2))
	}
}

// TestLateTaker lets a client take its further holder bit long after the entry was reused: it must not wipe
// out the bit of one who holds the new object.
func TestLateTaker(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20, Entries: 1}, 32, 33)
	late, other := c.peers[0], c.peers[1]
	if err := put(c.Arena, 1, 100); err != nil {
		t.Fatal(err)
	}
	var h *Hold
	late.hook = func(k killPoint) {
		if k != killFound {
			return
		}
		late.hook = nil
		c.Delete(oid(1))
		if err := put(c.Arena, 2, 100); err != nil {
			t.Fatal(err)
		}
		h, _ = other.Get(oid(2))
	}
	if _, ok := late.Get(oid(1)); ok {
		t.Fatal("got what was deleted")
	}
	c.Delete(oid(2))
	if u := c.Audit(); u.Doomed != 1 || u.Holders[33] != 1 {
		t.Fatalf("the hold was lost:\n%v", u)
	}
	h.Release()
}
