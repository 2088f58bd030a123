package shm

import (
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// faults says whether an access of b faults.
func faults(write bool, b []byte) (yes bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { yes = recover() != nil }()
	if write {
		b[0] = 1
	}
	return b[0] == 255
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBackings(t *testing.T) {
	for _, kind := range []string{"", KindHuge, KindMemfd, KindFile} {
		const size = 4 << 20
		fd, b, err := CreateFile(size, kind, t.TempDir())
		if kind == KindHuge && err != nil {
			t.Skipf("no huge pages here: %v", err)
		}
		must(t, err)
		t.Log(b)
		if kind != "" && b.Kind != kind {
			t.Fatal("asked for", kind, "got", b)
		}
		must(t, Commit(fd, 0, size))
		rw, err := MapRW(fd, 0, size)
		must(t, err)
		ro, err := MapRO(fd, 4096, size-4096)
		must(t, err)
		rw[4096] = 42
		if ro[0] != 42 {
			t.Fatal("a write does not show in the other view")
		}
		if !faults(true, ro) {
			t.Fatal("the read-only view can be written")
		}
		must(t, Protect(rw[4096:8192], false))
		if !faults(true, rw[4096:]) || faults(true, rw[8192:]) {
			t.Fatal("protected the wrong pages")
		}
		must(t, Protect(rw[4096:8192], true))
		if faults(true, rw[4096:]) {
			t.Fatal("still protected")
		}
		if _, err := MapRW(fd, 4096, size); err == nil {
			t.Fatal("mapped beyond the end")
		}
		must(t, Blank(rw))
		if rw[4096] != 0 || faults(true, rw) || ro[0] == 0 {
			t.Fatal("a blank view is not private zeros")
		}
		must(t, Revoke(ro))
		if !faults(false, ro) {
			t.Fatal("a revoked view can be read")
		}
		must(t, Unmap(rw))
		must(t, CloseFD(fd))
	}
}

func TestErrors(t *testing.T) {
	if _, _, err := CreateFile(0, "", ""); err == nil {
		t.Fatal("created nothing")
	}
	if _, _, err := CreateFile(1, "paper", ""); err == nil || !strings.Contains(err.Error(), "paper") {
		t.Fatal(err)
	}
	if _, _, err := CreateFile(1, KindFile, "/does/not/exist"); err == nil || !strings.Contains(err.Error(), KindFile) {
		t.Fatal(err)
	}
	fd, _, err := CreateFile(1<<20, KindHuge, "")
	if err != nil {
		t.Skip(err)
	}
	defer CloseFD(fd)
	if err := Commit(fd, 0, 1<<40); err == nil {
		t.Fatal("committed more than the file system has")
	}
}

func TestFutex(t *testing.T) {
	fd, _, err := CreateFile(4096, KindMemfd, "")
	must(t, err)
	defer CloseFD(fd)
	// Two views are two address spaces as far as a futex is concerned.
	a, err := MapRW(fd, 0, 4096)
	must(t, err)
	defer Unmap(a)
	b, err := MapRW(fd, 0, 4096)
	must(t, err)
	defer Unmap(b)
	wa, wb := (*atomic.Uint32)(unsafe.Pointer(&a[0])), (*atomic.Uint32)(unsafe.Pointer(&b[0]))
	Wait(wa, 1, time.Hour)          // another value: returns at once
	Wait(wa, 0, time.Millisecond/2) // times out
	woke := make(chan struct{})
	go func() {
		for wa.Load() == 0 {
			Wait(wa, 0, -1)
		}
		close(woke)
	}()
	Bell(wb)
	<-woke
}
