package arena

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestCPUs(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1, 2)
	one, two := c.peers[0], c.peers[1]
	if err := one.SetCPUs(1000); !errors.Is(err, ErrNotNode) {
		t.Fatal(err)
	}
	if err := c.SetCPUs(2500); err != nil {
		t.Fatal(err)
	}
	if err := c.SetCPUs(2500); err == nil {
		t.Fatal("set twice")
	}
	for i, want := range []int{1000, 1000, 500} {
		slot, ok := one.ClaimCPU()
		if !ok || slot != i || one.CPUMilli(slot) != want {
			t.Fatal(slot, ok, one.CPUMilli(slot))
		}
	}
	if _, ok := two.ClaimCPU(); ok || one.CPUsOf(1) != 2500 {
		t.Fatal("claimed what is taken")
	}
	two.ReleaseCPU(0) // not its own
	two.ReleaseCPU(99)
	two.WantCPU(true)
	two.WantCPU(true)
	if n := one.CPUWaiters().Load(); n != 1 {
		t.Fatal("waiters:", n)
	}
	two.SetCPUUsed(77)
	c.SetCPUParty(2, 9)
	c.SetCPUParty(maxClients, 9) // nobody
	users := []CPUUser{{1, 0, 3, false, 0}, {2, 9, 0, true, 77}}
	if got := one.CPUUsers(nil); !slices.Equal(got, users) {
		t.Fatal(got)
	}
	bell := two.Doorbell(2).Load()
	one.ReleaseCPU(1)
	if two.DoorbellWait(bell, time.Minute) == bell {
		t.Fatal("not rung for a free CPU")
	}
	if total, free := two.CPUs(); total != 2500 || free != 1000 {
		t.Fatal(total, free)
	}
	bell = two.Doorbell(2).Load()
	if s := c.Reap(1); s.CPUs != 2 || two.Doorbell(2).Load() == bell {
		t.Fatalf("%+v", s)
	}
	c.Reap(2)
	if total, free := c.CPUs(); total != 2500 || free != 2500 || c.CPUWaiters().Load() != 0 {
		t.Fatal(total, free)
	}
}

func TestClients(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20})
	for i := 1; i < maxClients; i++ {
		slot, err := c.Admit(i, uint64(i))
		if err != nil || slot != i {
			t.Fatal(slot, err)
		}
		c.Stat(slot)[3].Store(9)
	}
	c.Reap(200)
	if slot, err := c.Admit(7, 7); err != nil || slot != 200 || c.Stat(slot)[3].Load() != 0 {
		t.Fatal(slot, err)
	}
	if pid, epoch, ok := c.Process(200); pid != 7 || epoch != 7 || !ok {
		t.Fatal(pid, epoch, ok)
	}
	if c.Stat(256) != nil || c.Doorbell(-1) != nil {
		t.Fatal("words of no client")
	}
	for i := 1; i < maxClients; i++ {
		c.Reap(i)
	}
}

func TestAllocs(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20})
	if err := put(c.Arena, 1, 1024); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		h, _ := c.Get(oid(1))
		h.Release()
	}); n > 1 {
		t.Fatal("get and release allocate", n)
	}
	c.Delete(oid(1))
}
