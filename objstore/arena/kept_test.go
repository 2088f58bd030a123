package arena

import (
	"runtime"
	"testing"
	"time"
)

// TestBitsAreKept shows that a holder bit outlives the holds, is not taken for one, and is in nobody's way.
func TestBitsAreKept(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20, Entries: 4}, 1, 30, 40)
	main := func(e uint32) uint64 { return c.entries[e].main.Load() }
	for n, gone := range []func(o ID) bool{c.Delete, c.peers[1].Delete, func(o ID) bool { return c.Evict(o, 0) }, func(ID) bool { return c.DeleteJob(testJob) == 1 }} {
		w, err := c.Create(oid(n), 100, testJob, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Seal(false); err != nil {
			t.Fatal(err)
		}
		o := oid(n)
		for round, a := range append(c.peers, c.peers...) {
			before := main(w.e)
			h, ok := a.GetAt(&o)
			if !ok {
				t.Fatal("client", a.client, "finds nothing")
			}
			if changed := main(w.e) != before; changed != (round < 3) {
				t.Errorf("round %d of client %d: main word changed: %v", round, a.client, changed)
			}
			h.Release()
		}
		if got := lowOf(main(w.e)); got != 1<<1|1<<30|farTaken {
			t.Fatalf("bits %x are set", got)
		}
		idle := 0
		c.Idle(func(Entry) bool { idle++; return true })
		c.List(func(x Entry) bool { idle += 10 * len(x.Holders); return true })
		if u := c.Audit(); u.Check() != nil || len(u.Holders) != 0 || idle != 1 {
			t.Fatalf("%v, %d:\n%v", u.Check(), idle, u)
		}
		if !gone(o) {
			t.Fatal("not there")
		}
		if u := c.Audit(); u.Check() != nil || !u.Empty() {
			t.Fatalf("%v, not freed at once:\n%v", u.Check(), u)
		}
	}
}

// TestBitsOfDeadClient shows that a reaper takes a bit back that is kept, and counts as held what is.
func TestBitsOfDeadClient(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1)
	p := c.peers[0]
	var late *Hold
	for n := range 3 {
		if err := put(c.Arena, n, 100); err != nil {
			t.Fatal(err)
		}
		h, _ := p.Get(oid(n))
		if n > 0 {
			h.Release()
		} else {
			late = h
		}
		if n == 2 {
			p.Get(oid(n))
		}
	}
	c.Delete(oid(2)) // still held
	if s := c.Reap(1); s.Held != 2 {
		t.Fatalf("%+v", s)
	}
	late.Release() // it was only taken for dead: this must not count below 0
	u := c.Audit()
	if err := u.Check(); err != nil || len(u.Holders) != 0 || u.Sealed != 2 || u.Doomed != 0 {
		t.Fatalf("%v\n%v", err, u)
	}
	for e := range c.high() {
		if w := c.entries[e].main.Load(); lowOf(w) != 0 || c.keptOf(1, e).Load() != 0 {
			t.Errorf("entry %d: %x, kept %x", e, w, c.keptOf(1, e).Load())
		}
	}
	c.DeleteJob(testJob)
}

// TestTwoTakeABit lets a second goroutine of a client come while the first is about to set the holder bit: it waits,
// and both count.
func TestTwoTakeABit(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1)
	p := c.peers[0]
	if err := put(c.Arena, 1, 100); err != nil {
		t.Fatal(err)
	}
	second := make(chan *Hold, 1)
	p.hook = func(k killPoint) {
		if k != killKeeping {
			return
		}
		p.hook = nil
		go func() {
			h, _ := p.Get(oid(1))
			second <- h
		}()
		select { // it would come now if it did not wait
		case h := <-second:
			second <- h
		case <-time.After(20 * time.Millisecond):
		}
	}
	first, ok := p.Get(oid(1))
	if !ok {
		t.Fatal("not there")
	}
	other := <-second
	if v := p.kept[first.e].Load(); v != keptWord(first.gen, keptSet|2) {
		t.Fatalf("two hold it: %x", v)
	}
	first.Release()
	c.Delete(oid(1))
	if err := check(other.Bytes(), 1); err != nil || c.Audit().Doomed != 1 {
		t.Fatal("the second hold is lost:", err)
	}
	other.Release()
}

// TestLateTakerFrees lets a client come too late for an object whose deleter died just after it had taken the client's
// kept bit. The deleter's reaper cannot know then whether the client came in time: the client frees it.
func TestLateTakerFrees(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1, 2)
	p, q := c.peers[0], c.peers[1]
	if err := put(c.Arena, 1, 100); err != nil {
		t.Fatal(err)
	}
	h, _ := p.Get(oid(1))
	h.Release()
	q.hook = func(k killPoint) {
		if k == killRevoked {
			runtime.Goexit()
		}
	}
	p.hook = func(k killPoint) {
		switch k {
		case killNearLook:
			dead := make(chan bool)
			go func() {
				defer close(dead)
				q.Delete(oid(1))
				t.Error("the deleter lives")
			}()
			<-dead
		case killKeeping:
			c.Reap(2)
			if c.Audit().Doomed != 1 {
				t.Error("the reaper freed what the client may hold")
			}
		}
	}
	if h.Again() {
		t.Error("held what was deleted")
	}
	if u := c.Audit(); u.Check() != nil || !u.Empty() {
		t.Errorf("%v\n%v", u.Check(), u)
	}
}
