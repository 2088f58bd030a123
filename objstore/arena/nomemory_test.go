package arena

import (
	"errors"
	"syscall"
	"testing"

	"github.com/kadrehq/kadre/internal/shm"
)

// TestNoMemory fills an arena that is larger than the memory there is: it is refused what cannot be had, before
// anything is touched. A signal would end the test.
func TestNoMemory(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=40m,huge=never"); err != nil {
		t.Skip("needs to mount a small file system: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("arena", func(t *testing.T) {
		c := newArena(t, Config{Size: 256 << 20, Kind: shm.KindFile, Dir: dir, Entries: 10_000}, 1)
		refused := func(n int, size int64) bool {
			t.Helper()
			err := put(c.all()[n%2], n, size)
			var full *FullError
			if err != nil && (!errors.As(err, &full) || full.What != FullMemory || !errors.Is(err, syscall.ENOSPC)) {
				t.Fatal(n, err)
			}
			return err != nil
		}
		n := 0
		for !refused(n, 3<<20) {
			n++
		}
		if n < 8 || n > 13 {
			t.Fatalf("%d objects of 3 MiB in 40 MiB", n)
		}
		for !refused(n, 1000) {
			if n++; n > 40_000 {
				t.Fatal("small ones find no end")
			}
		}
		for i := range n {
			h, ok := c.Get(oid(i))
			if !ok {
				t.Fatal("lost", i)
			}
			if err := check(h.Bytes(), i); err != nil {
				t.Fatal(err)
			}
			h.Release()
		}
		// What goes makes room, also for a larger one elsewhere: the free pages move there.
		for i := range 6 {
			c.Delete(oid(2 * i))
		}
		if refused(n, 12<<20) {
			t.Error("18 MiB were given up, and there are no 12")
		}
		if err := c.Audit().Check(); err != nil {
			t.Error(err)
		}
		c.DeleteJob(testJob)
	})
}
