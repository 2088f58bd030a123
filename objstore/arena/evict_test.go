package arena

import (
	"testing"
	"time"
)

func TestEvict(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1, 100)
	idle := func() (n int) {
		c.Idle(func(e Entry) bool { n++; return e.State == "SEALED" && e.Job == testJob })
		return n
	}
	for n, a := range c.all() {
		if err := put(c.Arena, n, 100); err != nil {
			t.Fatal(err)
		}
		if c.Evict(oid(n), uint32(n+1)) || c.Evict(oid(n+1), uint32(n)) {
			t.Fatal("evicted another attempt, or nothing")
		}
		h, ok := a.Get(oid(n))
		if !ok || idle() != 0 || c.Evict(oid(n), uint32(n)) {
			t.Fatal("evicted while held by client", a.client)
		}
		h.Release()
		if idle() != 1 || !c.Evict(oid(n), uint32(n)) || c.Evict(oid(n), uint32(n)) || idle() != 0 {
			t.Fatal("an object that nobody holds must be evicted once")
		}
	}
}

func TestLastUse(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1)
	use := func() (u time.Time) {
		c.List(func(e Entry) bool { u = e.LastUse; return true })
		return u
	}
	if err := put(c.Arena, 1, 100); err != nil {
		t.Fatal(err)
	}
	made := use()
	if d := time.Since(made); d < -time.Minute || d > time.Minute {
		t.Fatal("made at", made)
	}
	c.setClock(made.Add(time.Hour)) // a clock that was put right is followed both ways
	c.setClock(made.Add(time.Minute))
	if !use().Equal(made) {
		t.Fatal("used by nobody")
	}
	h, _ := c.peers[0].Get(oid(1))
	h.Release()
	if got := use(); !got.Equal(made.Add(time.Minute)) {
		t.Fatal("used at", got, "want a minute after", made)
	}
	c.Delete(oid(1))
}
