package arena

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestRename(t *testing.T) {
	c := newArena(t, Config{Size: 4 << 20}, 1)
	p := c.peers[0]
	defer serve(c.Arena)()
	for _, size := range []int64{0, 100, 3 * Granule} {
		w, err := p.Create(oid(1), size, testJob, 1)
		if err != nil {
			t.Fatal(err)
		}
		fill(w.Bytes(), 5)
		came := make(chan *Hold)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			h, _ := c.Wait(ctx, oid(2))
			came <- h
		}()
		if err := w.Rename(oid(2), 7); err != nil {
			t.Fatal(err)
		}
		if exists, _ := c.State(oid(1)); exists {
			t.Error("it still has its old name")
		}
		if err := put(c.Arena, 1, 10); err != nil {
			t.Error("the old name is not free:", err)
		}
		c.Delete(oid(1))
		if _, err := c.Create(oid(2), 10, testJob, 1); !errors.Is(err, ErrExists) {
			t.Error("the new name is not taken:", err)
		}
		if _, err := w.Seal(false); err != nil {
			t.Fatal(err)
		}
		h := <-came
		if h == nil {
			t.Fatal("nobody was woken")
		}
		if h.ID() != oid(2) || h.Attempt() != 7 || h.Job() != testJob || h.Size() != size || check(h.Bytes(), 5) != nil {
			t.Errorf("%v, attempt %d, %d bytes", h.ID(), h.Attempt(), h.Size())
		}
		h.Release()
		if err := w.Rename(oid(3), 7); !errors.Is(err, ErrSettled) {
			t.Error("renamed when sealed:", err)
		}
		c.Delete(oid(2))
	}
}

func TestRenameToATakenID(t *testing.T) {
	c := newArena(t, Config{Size: 4 << 20}, 1)
	if err := put(c.Arena, 1, 10); err != nil {
		t.Fatal(err)
	}
	w, err := c.peers[0].Create(oid(2), 10, testJob, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Rename(oid(1), 2); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	c.Delete(oid(1))
	if err := w.Rename(oid(1), 2); err != nil {
		t.Fatal("after the other one is gone:", err)
	}
	if err := w.Rename(oid(1), 3); err != nil {
		t.Fatal("to its own name:", err)
	}
	w.Abort()
}

// TestRenameRace has several writers want one ID: one gets it.
func TestRenameRace(t *testing.T) {
	c := newArena(t, Config{Size: 4 << 20}, 1, 2, 40)
	for range 300 {
		var wg sync.WaitGroup
		won := make(chan *Writer, 4)
		for i, a := range c.all() {
			wg.Go(func() {
				w, err := a.Create(oid(10+i), 100, testJob, 1)
				if err != nil {
					t.Error(err)
					return
				}
				if err := w.Rename(oid(1), 1); err != nil {
					w.Abort()
					return
				}
				won <- w
			})
		}
		wg.Wait()
		close(won)
		if len(won) != 1 {
			t.Fatalf("%d writers of one object", len(won))
		}
		(<-won).Abort()
	}
}

// TestRenameCutShort ends a client at each step of a Rename: nothing may be left.
func TestRenameCutShort(t *testing.T) {
	c := newArena(t, Config{Size: 4 << 20})
	for steps, whole := 1, false; !whole; steps++ {
		p := c.attach(t, 1)
		w, err := p.Create(oid(1), 100, testJob, 1)
		if err != nil {
			t.Fatal(err)
		}
		left := steps
		p.hook = func(killPoint) {
			if left--; left == 0 {
				runtime.Goexit()
			}
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := w.Rename(oid(2), 1); err != nil {
				t.Error(err)
			}
			whole = true
		}()
		<-done
		p.Close()
		c.Reap(1)
		if u := c.Audit(); u.Check() != nil || u.Slots+u.Stale+u.Creating+u.Blocks != 0 {
			t.Fatalf("after %d steps:\n%v", steps, u)
		}
		if steps > 20 {
			t.Fatal("no end")
		}
	}
}

func TestObjectAt(t *testing.T) {
	c := newArena(t, Config{Size: 4 << 20}, 1)
	for n, size := range []int64{1: 10, 2: 3000, 3: 2 * Granule} {
		if size == 0 {
			continue
		}
		w, err := c.Create(oid(n), size, testJob, 1)
		if err != nil {
			t.Fatal(err)
		}
		h, err := w.Seal(true)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{h.Bytes(), w.Bytes()} {
			for _, i := range []int64{0, size - 1} {
				if o, ok := c.ObjectAt(uintptr(unsafe.Pointer(&b[i]))); !ok || o != oid(n) {
					t.Errorf("byte %d of %d is of %v, %v", i, n, o, ok)
				}
			}
		}
		h.Release()
		c.Delete(oid(n))
		if o, ok := c.ObjectAt(uintptr(unsafe.Pointer(&w.Bytes()[0]))); ok {
			t.Errorf("%v is gone and still there", o)
		}
	}
	var x byte
	if _, ok := c.ObjectAt(uintptr(unsafe.Pointer(&x))); ok {
		t.Error("an object outside of the arena")
	}
}
