package arena

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
)

func TestPutGetDelete(t *testing.T) {
	for _, kind := range []string{"", shm.KindMemfd, shm.KindFile} {
		t.Run("kind="+kind, func(t *testing.T) {
			c := newArena(t, Config{Size: 8 << 20, Kind: kind, Dir: t.TempDir()}, 1, 40)
			for i, size := range []int64{0, 1, 63, 1024, 1025, 4096, 32 << 10, 32<<10 + 1, 64 << 10, 64<<10 + 1, 300 << 10, 3 << 20} {
				for _, by := range c.all() {
					roundTrip(t, c, by, i, size)
				}
			}
		})
	}
}

// roundTrip puts by one client, gets by all, deletes while held, and looks at what is left.
func roundTrip(t *testing.T, c *cluster, by *Arena, n int, size int64) {
	t.Helper()
	w, err := by.Create(oid(n), size, testJob, 5)
	if err != nil {
		t.Fatal(err)
	}
	if size >= Granule && uintptr(unsafe.Pointer(&w.Bytes()[0]))%Granule != 0 || size > 0 && uintptr(unsafe.Pointer(&w.Bytes()[0]))%Align != 0 {
		t.Fatalf("object of %d bytes is badly aligned", size)
	}
	if _, ok := c.Get(oid(n)); ok {
		t.Fatal("got an object before its seal")
	}
	if ex, se := c.State(oid(n)); !ex || se {
		t.Fatal("state of an object being created", ex, se)
	}
	if _, err := c.Create(oid(n), 1, testJob, 6); !errors.Is(err, ErrExists) {
		t.Fatal("second creation:", err)
	}
	fill(w.Bytes(), n)
	kept, err := w.Seal(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Seal(true); !errors.Is(err, ErrSettled) {
		t.Fatal("second seal:", err)
	}
	w.Abort() // nothing
	holds := []*Hold{kept}
	for _, a := range c.all() {
		for range 2 {
			h, ok := a.Get(oid(n))
			if !ok {
				t.Fatal("no object after its seal")
			}
			holds = append(holds, h)
		}
	}
	if !c.Delete(oid(n)) || c.Delete(oid(n)) {
		t.Fatal("delete must succeed once")
	}
	if err := put(c.Arena, n, size); err != nil { // a new one of the same ID
		t.Fatal(err)
	}
	for _, h := range holds {
		if h.Size() != size || h.Attempt() != 5 || h.Job() != testJob || h.ID() != oid(n) {
			t.Fatal("attributes", h.Size(), h.Attempt(), h.Job(), h.ID())
		}
		if err := check(h.Bytes(), n); err != nil {
			t.Fatal(err)
		}
		h.Release()
		h.Release()
		if h.Bytes() != nil {
			t.Fatal("bytes after release")
		}
	}
	if err := c.Audit().Check(); err != nil {
		t.Fatal(err)
	}
	if !c.Delete(oid(n)) {
		t.Fatal("the second object is gone")
	}
	if u := c.Audit(); !u.Empty() {
		t.Fatalf("not empty:\n%v", u)
	}
}

func TestAbortAndLimits(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20, Entries: 4, Clients: 2})
	w, err := c.Create(oid(1), 100, testJob, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if _, err := w.Seal(false); !errors.Is(err, ErrSettled) {
		t.Fatal(err)
	}
	if _, err := c.Create(oid(1), 1<<20+1, testJob, 0); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if _, err := c.Create(oid(1), -1, testJob, 0); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if err := put(c.Arena, 1, 600<<10); err != nil {
		t.Fatal(err)
	}
	err = put(c.Arena, 2, 600<<10)
	var full *FullError
	if !errors.Is(err, ErrFull) || !errors.As(err, &full) || full.What != FullBytes || full.Size != 600<<10 || full.Run > 384<<10 || full.Run < 320<<10 || full.Free != 384<<10 || full.Total != 1<<20 {
		t.Fatalf("%v %+v", err, full)
	}
	for i := 2; i < 5; i++ {
		if err := put(c.Arena, i, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(c.Arena, 5, 0); !errors.As(err, &full) || full.What != FullEntries {
		t.Fatal(err)
	}
	if n := c.DeleteJob(id.Job{1}); n != 0 {
		t.Fatal("deleted of another job:", n)
	}
	seen := 0
	c.List(func(e Entry) bool { seen++; return e.State == "SEALED" && e.Job == testJob })
	if n := c.DeleteJob(testJob); n != 4 || seen != 4 {
		t.Fatal("deleted", n, "listed", seen)
	}
	if _, err := c.Admit(1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Admit(1, 2); !errors.Is(err, ErrClientsFull) {
		t.Fatal(err)
	}
	c.Reap(1)
	if _, err := c.Admit(1, 0); err == nil {
		t.Fatal("admitted epoch 0")
	}
	if _, err := Create(Config{Size: 1 << 20, Clients: 257}); err == nil {
		t.Fatal("created with 257 clients")
	}
}

// Empty slabs make room for large objects, and large ones for small ones.
func TestSlabsComeBack(t *testing.T) {
	c := newArena(t, Config{Size: 4 << 20, Entries: 8192}, 1)
	n := 0
	for round := range 3 {
		for err := error(nil); ; n++ {
			if err = put(c.all()[n%2], n, 1<<(10+round)); err != nil {
				if !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
				break
			}
		}
		if got := c.DeleteJob(testJob); got != 4<<10>>round {
			t.Fatal("filled with", got)
		}
		if err := put(c.Arena, n, 4<<20); err != nil {
			t.Fatal(err)
		}
		c.Delete(oid(n))
	}
}

func TestSealedIsReadOnly(t *testing.T) {
	t.Setenv("KADRE_CHECK", "seal")
	c := newArena(t, Config{Size: 4 << 20})
	w, err := c.Create(oid(1), 2<<20, testJob, 0)
	if err != nil {
		t.Fatal(err)
	}
	h, err := w.Seal(true)
	if err != nil {
		t.Fatal(err)
	}
	if !faults(w.Bytes()) || !faults(h.Bytes()) {
		t.Fatal("a sealed object can be written")
	}
	h.Release()
	c.Delete(oid(1))
	// The same room serves large and small objects again.
	for i, size := range []int64{1 << 20, 100, 33 << 10, 4 << 10, 1 << 20} {
		if err := put(c.Arena, 10+i, size); err != nil {
			t.Fatal(err)
		}
	}
	if c.guard.ranges < 1 || c.guard.ranges > 3 {
		t.Fatal("ranges:", c.guard.ranges)
	}
	c.DeleteJob(testJob)
}

func TestWait(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1, 100)
	for _, a := range c.all() {
		a.recheck = time.Hour // only the doorbell helps
		defer serve(a)()
	}
	for i := range 300 {
		from, to := c.all()[i%3], c.all()[i/3%3]
		got := make(chan error)
		for range 2 {
			go func() {
				h, err := to.Wait(context.Background(), oid(i))
				if err == nil {
					err = check(h.Bytes(), i)
					h.Release()
				}
				got <- err
			}()
		}
		if i%2 == 0 {
			until(t, "a waiter", func() bool { return to.shards[shardOf(hash(oid(i)))] != shard{} })
		}
		if err := put(from, i, 100); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := <-got; err != nil {
				t.Fatal(err)
			}
		}
		c.Delete(oid(i))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Wait(ctx, oid(1000)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestClose(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1)
	p := c.peers[0]
	if err := put(p, 1, 1000); err != nil {
		t.Fatal(err)
	}
	h, _ := p.Get(oid(1))
	b := h.Bytes()
	w, err := p.Create(oid(2), 1000, testJob, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		_, err := p.Wait(context.Background(), oid(3))
		got <- err
	}()
	until(t, "the waiter", func() bool { return c.Audit().Waits == 1 })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	// Nothing that comes late does harm.
	h.Release()
	w.Abort()
	p.Poke()
	p.Ring(0)
	p.ReleaseCPU(0)
	p.WantCPU(true)
	p.DoorbellWait(0, time.Second)
	p.lastReleased(0, 0)
	if _, err := p.Create(oid(4), 1, testJob, 0); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if _, ok := p.Get(oid(1)); ok || p.Delete(oid(1)) || p.DeleteJob(testJob) != 0 {
		t.Fatal("a closed arena still works")
	}
	if !faults(b) || !faults(w.Bytes()) {
		t.Fatal("a view of a closed arena does not fault")
	}
	if s := c.Reap(1); s.Held != 1 || s.Finished != 1 {
		t.Fatalf("%+v", s)
	}
	c.Delete(oid(1))
}

func TestOpenRefuses(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20})
	if _, err := Open(nil, 1, 1); err == nil {
		t.Fatal("opened without a descriptor")
	}
	if _, err := Open(c.FDs(), 1, 99); err == nil || !strings.Contains(err.Error(), "reaped") {
		t.Fatal(err)
	}
	if _, err := Open(c.FDs(), 256, 99); err == nil {
		t.Fatal("opened slot 256")
	}
	f, err := os.Create(t.TempDir() + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if _, err := Open([]int{int(f.Fd())}, 1, 1); err == nil {
		t.Fatal("opened zeros")
	}
}

func TestDefaultSize(t *testing.T) {
	if n := DefaultSize(); n < Granule || n%Granule != 0 {
		t.Fatal(n)
	}
}

func TestLimitOfControlGroups(t *testing.T) {
	root := t.TempDir()
	for name, limit := range map[string]string{
		"memory.max": "max", "a/memory.max": "9000000", "a/b/memory.max": "max", // version 2
		"memory/memory.limit_in_bytes": "9223372036854771712", "memory/box/memory.limit_in_bytes": "7000000", // version 1
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(limit+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for groups, want := range map[string]int64{
		"0::/":       noLimit,
		"0::/a/b\n":  9000000,
		"0::/a/b/c/": 9000000, // c is not to be seen
		"9:name=systemd:/a\n4:memory:/box/inner\n0::/\n": 7000000,
		"4:memory:/elsewhere\n":                          noLimit,
		"":                                               noLimit,
		"nonsense":                                       noLimit,
	} {
		if got := limitOf(groups, root); got != want {
			t.Errorf("%q: %d, want %d", groups, got, want)
		}
	}
}
