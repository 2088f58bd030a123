package node

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// memoryOf is what a node tells of a process's holdings.
func memoryOf(n *Node, pid int) HolderStatus {
	for _, h := range n.memory().Holders {
		if h.PID == pid {
			return h
		}
	}
	return HolderStatus{}
}

// refusal is why a process's wish for room was refused; nil when it was not.
func (f *fake) refusal(size int64) *wire.ErrorRecord {
	_, err := f.ask(id.Addr{Node: f.self.Node}, wire.KRoom, wire.Marshal(&wire.Room{Size: size}))
	var r *wire.ErrorRecord
	errors.As(err, &r)
	return r
}

// TestStoppedDriverKeepsWhatItHolds: it is shown as stopped, is not killed for its memory, and goes on afterwards.
func TestStoppedDriverKeepsWhatItHolds(t *testing.T) {
	t.Parallel() // it waits for some seconds
	n := startNode(t, private(testDir(t)))
	cmd, _, in := child(t, "NODE_TEST_DRIVER="+n.Socket())
	pid := cmd.Process.Pid
	cmd.Process.Signal(syscall.SIGSTOP)
	until(t, "the driver to be shown as stopped", func() bool { return memoryOf(n, pid).Stopped })
	if h := memoryOf(n, pid); h.Kind != "driver" || h.Objects != 1 || h.Bytes != 1<<20 {
		t.Errorf("%+v", h)
	}
	if text := n.memory().String(); !strings.Contains(text, "stopped") {
		t.Errorf("text:\n%s", text)
	}
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	r := f.refusal(n.arena.Size())
	if r == nil || r.Class != wire.ErrorOutOfMemory || !strings.Contains(r.Text, "process "+strconv.Itoa(pid)+" holds 1 objects of 1048576 bytes") {
		t.Fatalf("got %+v", r)
	}
	if h := memoryOf(n, pid); !h.Stopped || h.Objects != 1 {
		t.Errorf("after somebody wanted its memory: %+v", h)
	}
	cmd.Process.Signal(syscall.SIGCONT)
	until(t, "the driver to go on", func() bool { return !memoryOf(n, pid).Stopped })
	in.Close() // it detaches as it should
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	until(t, "its object to go", func() bool { a := n.arena.Audit(); return a.Empty() })
}

// TestStoppedWorkerIsKilledForItsMemory: only when the memory is needed, and before it is taken.
func TestStoppedWorkerIsKilledForItsMemory(t *testing.T) {
	t.Parallel() // it waits for some seconds
	n := startNode(t, private(testDir(t)))
	f := isolated(t, n)
	if _, err := f.place(f.spec("hoard")); err != nil {
		t.Fatal(explain(err))
	}
	pid := 0
	until(t, "the worker to stop", func() bool {
		for _, h := range n.memory().Holders {
			if h.Kind == "worker" && h.Stopped && h.Objects == 1 {
				pid = h.PID
			}
		}
		return pid != 0
	})
	if r := f.refusal(1 << 20); r != nil || syscall.Kill(pid, 0) != nil {
		t.Fatalf("there was room for it: %+v", r)
	}
	if r := f.refusal(n.arena.Size()); r != nil {
		t.Errorf("refused: %+v", r)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("the stopped worker %d: %v", pid, err)
	}
	told := false
	for _, e := range n.Events() {
		told = told || e.Kind == "reclaim" && e.N == int64(pid)
	}
	if !told {
		t.Errorf("no event tells of it: %v", n.Events())
	}
}

// TestDiesUnderAnothersNumber: a process connects and dies, another one gets its number, and only then is it watched.
func TestDiesUnderAnothersNumber(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs to choose the number of a process")
	}
	dir := testDir(t)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	connect := func() (c *net.UnixConn, pid int, since uint64) {
		t.Helper()
		cmd, _, _ := child(t, "NODE_TEST_CONNECT="+ln.Addr().String())
		c, err := ln.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		since = bootTicks()
		cmd.Process.Kill()
		cmd.Wait()
		return c, cmd.Process.Pid, since
	}
	for range 20 {
		c, pid, since := connect()
		defer c.Close()
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			t.Skip("needs to choose the number of a process:", err)
		}
		until(t, "the clock to go on", func() bool { return bootTicks() > since })
		other, _, in := child(t, "NODE_TEST_CONNECT="+ln.Addr().String())
		d, err := ln.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
		if other.Process.Pid != pid {
			in.Close()
			continue // somebody else was faster
		}
		if got, _, err := wire.PeerOf(c); err != nil || got != pid {
			t.Fatal(got, err)
		}
		if w, err := watchPeer(c, pid, since); err == nil {
			if !w.wait() {
				t.Error("the watch ended without a death")
			}
			w.close()
		}
		if w, err := watchNumber(pid, since); err == nil || !strings.Contains(err.Error(), "another's") {
			t.Errorf("without the kernel's help: %v, %v", w, err)
		}
		if w, err := watchNumber(pid, bootTicks()); err != nil {
			t.Errorf("the process that has the number now: %v", err)
		} else {
			w.close()
		}
		in.Close()
		return
	}
	t.Skip("others always got the number first")
}

// TestRestartDiscardsTheOldStore: the node that comes up in the place of a killed one has nothing of its store, and
// a process that was attached reads on in what it had.
func TestRestartDiscardsTheOldStore(t *testing.T) {
	dir := testDir(t)
	env := []string{"NODE_TEST_NODE=" + dir, "NODE_TEST_STATE=" + filepath.Join(dir, "state")}
	cmd, line, _ := child(t, env...)
	var was, is Status
	if err := json.Unmarshal([]byte(line), &was); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(context.Background(), was.Socket)
	if err != nil {
		t.Fatal(err)
	}
	f, err := join(c, wire.Hello{Kind: wire.AttachDriver, Job: id.NewJob()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.leave(false)
	put := func(n byte, keep bool) []byte {
		t.Helper()
		w, err := f.arena.Create(id.Object{n}, 3<<20, f.job, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range w.Bytes() {
			w.Bytes()[i] = n
		}
		h, err := w.Seal(keep)
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			return nil
		}
		return h.Bytes()
	}
	held := put(1, true)
	put(2, false)
	put(3, false)
	if r := f.refusal(12 << 20); r != nil { // into files with the two
		t.Fatalf("%+v", r)
	}
	spilled := filepath.Join(was.Store.SpillDir, "*")
	if fs, _ := filepath.Glob(spilled); len(fs) == 0 {
		t.Fatal("nothing was spilled: the test proves nothing")
	}
	cmd.Process.Kill()
	cmd.Wait()
	_, line, in := child(t, env...)
	defer in.Close()
	if err := json.Unmarshal([]byte(line), &is); err != nil {
		t.Fatal(err)
	}
	if is.Node != was.Node || is.Epoch <= was.Epoch {
		t.Errorf("%s of epoch %d came back as %s of epoch %d", was.Node, was.Epoch, is.Node, is.Epoch)
	}
	if s := is.Store; s.Objects+s.Holders+s.Blocks+s.Spilled != 0 {
		t.Errorf("it has of the old store: %+v", s)
	}
	if fs, _ := filepath.Glob(spilled); len(fs) != 0 {
		t.Errorf("left of the old store: %v", fs)
	}
	var found Fsck
	b, err := Query(context.Background(), is.Socket, "fsck")
	if err == nil {
		err = json.Unmarshal(b, &found)
	}
	if err != nil || len(found.Problems) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
	for i, b := range held {
		if b != 1 {
			t.Fatalf("byte %d of what the driver holds is %d", i, b)
		}
	}
	// The old arena is still one: who has it mapped can work on in it until it detaches.
	if h, ok := f.arena.Get(id.Object{1}); !ok {
		t.Error("the object is gone from the old arena")
	} else {
		h.Release()
	}
}
