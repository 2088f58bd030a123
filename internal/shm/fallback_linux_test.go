package shm

import (
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutRights runs f on a thread that may not mount file systems, as most processes.
func withoutRights(t *testing.T, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var had [2]unix.CapUserData
	must(t, unix.Capget(&head, &had[0]))
	less := had
	less[0].Effective &^= 1 << unix.CAP_SYS_ADMIN
	must(t, unix.Capset(&head, &less[0]))
	defer func() { must(t, unix.Capset(&head, &had[0])) }()
	f()
}

// TestFallsBack takes one kind after the other away. What is left says why, and works.
func TestFallsBack(t *testing.T) {
	all := makers
	defer func() { makers = all }()
	try := func(want string, why ...string) {
		t.Helper()
		fd, b, err := CreateFile(1<<20, "", t.TempDir())
		must(t, err)
		defer CloseFD(fd)
		if b.Kind != want || len(b.Why) != len(why) {
			t.Fatalf("got %v, want %s", b, want)
		}
		for i := range why {
			if !strings.HasPrefix(b.Why[i], why[i]) {
				t.Errorf("%q does not say %q", b.Why[i], why[i])
			}
		}
		must(t, Commit(fd, 0, 1<<20))
		rw, err := MapRW(fd, 0, 1<<20)
		must(t, err)
		rw[1<<20-1] = 1
		must(t, Unmap(rw))
	}
	withoutRights(t, func() {
		try(KindMemfd, "huge: fsopen: operation not permitted")
		makers = slices.Clone(all)
		makers[1].make = func(int64, string) (int, error) { return -1, errors.New("memfd_create: none here") }
		try(KindFile, "huge: fsopen", "memfd: memfd_create: none here")
		if _, _, err := CreateFile(1<<20, "", "/does/not/exist"); err == nil || strings.Count(err.Error(), "; ") != 3 || !strings.Contains(err.Error(), "every backing failed") {
			t.Errorf("with no kind left: %v", err)
		}
	})
}
