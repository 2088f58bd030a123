package arena

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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

const (
	groupBytes = 160 << 20
	squeezeEnv = roleEnv + "_GROUP"
)

func init() { roles["squeezed"] = squeezed }

// newGroup makes a control group with a limit of memory.
func newGroup(t *testing.T) (dir string) {
	t.Helper()
	for _, g := range []struct{ root, limit string }{{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}} {
		dir := filepath.Join(g.root, fmt.Sprintf("kadre-test-%d", os.Getpid()))
		if _, err := os.Stat(filepath.Join(g.root, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o700) != nil {
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		if err := os.WriteFile(filepath.Join(dir, g.limit), []byte(strconv.Itoa(groupBytes)), 0); err == nil {
			return dir
		}
	}
	t.Skip("needs to make a control group with a limit of memory")
	return ""
}

// TestGroupWithoutMemory fills an arena that is larger than the memory of its control group. The kernel would kill who
// asks for the page that is one too many.
func TestGroupWithoutMemory(t *testing.T) {
	dir := newGroup(t)
	for _, kind := range []string{shm.KindHuge, shm.KindMemfd} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleEnv+"=squeezed", squeezeEnv+"="+dir, "KADRE_ARENA_KIND="+kind)
		out, err := cmd.CombinedOutput()
		if strings.Contains(string(out), "no such backing") {
			t.Log(kind, "is not to be had")
			continue
		}
		if err != nil || !strings.Contains(string(out), "the control group at") || !strings.Contains(string(out), "all are whole") {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
		t.Logf("%s: %s", kind, out)
	}
}

func squeezed() {
	if err := os.WriteFile(filepath.Join(os.Getenv(squeezeEnv), "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		fail(err)
	}
	a, err := Create(Config{Size: 3 * groupBytes, Kind: os.Getenv("KADRE_ARENA_KIND")})
	if err != nil {
		fmt.Println("no such backing:", err)
		return
	}
	n := 0
	for ; err == nil; n++ {
		err = put(a, n, 3<<20)
	}
	var full *FullError
	if !errors.As(err, &full) || full.What != FullMemory {
		fail(fmt.Errorf("object %d: %w", n, err))
	}
	fmt.Println(err)
	n--
	if n < 20 { // 60 MiB of 160
		fail(fmt.Errorf("refused after %d objects", n))
	}
	for i := range n {
		h, ok := a.Get(oid(i))
		if !ok {
			fail(fmt.Errorf("object %d is lost", i))
		}
		if err := check(h.Bytes(), i); err != nil {
			fail(err)
		}
		h.Release()
	}
	for i := range n / 2 { // what goes makes room for as much
		a.Delete(oid(2 * i))
		if err := put(a, 1000+i, 3<<20); err != nil {
			fail(fmt.Errorf("after %d were deleted: %w", i+1, err))
		}
	}
	fmt.Println(n, "objects, all are whole")
}
