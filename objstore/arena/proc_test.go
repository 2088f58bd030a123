package arena

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the processes of the tests do.
var roles = map[string]func(){"mapper": mapper, "getter": getter, "sealer": sealer, "victim": victim}

// child is a client in a process of its own.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	pipe io.Closer
	dead chan struct{} // closed once it is truly dead
	how  string        // how it ended
}

// spawn starts a process with a role in a client slot; args reach it as "a b c".
func (c *cluster) spawn(t testing.TB, role string, slot int, epoch uint64, args ...any) *child {
	t.Helper()
	c.sp.clientHigh.Store(max(c.sp.clientHigh.Load(), uint64(slot+1)))
	c.clients[slot].epoch.Store(epoch)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role, fmt.Sprintf("%s_ARGS=%d %d %s", roleEnv, slot, epoch, strings.Trim(fmt.Sprintf("%v", args), "[]")))
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "arena")
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k := &child{cmd: cmd, in: in, out: bufio.NewReader(out), pipe: out, dead: make(chan struct{})}
	go func() {
		state, err := cmd.Process.Wait()
		k.how = fmt.Sprint(state, err)
		close(k.dead)
	}()
	return k
}

// diesWithin says whether a child dies by itself within some time.
func (k *child) diesWithin(d time.Duration) bool {
	select {
	case <-k.dead:
		return true
	case <-time.After(d):
		return false
	}
}

// end kills a child, unless it is dead already, waits for its death and reports how it ended.
func (k *child) end() string {
	k.cmd.Process.Kill()
	<-k.dead
	k.in.Close()
	k.pipe.Close()
	return k.how
}

// join is the child's side: its arena and the numbers it was given.
func join() (a *Arena, args []int) {
	for _, s := range strings.Fields(os.Getenv(roleEnv + "_ARGS")) {
		n, err := strconv.Atoi(s)
		if err != nil {
			fail(err)
		}
		args = append(args, n)
	}
	a, err := Open([]int{3}, args[0], uint64(args[1]))
	if err != nil {
		fail(err)
	}
	a.recheck = time.Hour // no wake-up may be lost
	return a, args[2:]
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(3)
}

func die() {
	unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}

// mapper tells where it mapped the arena, then writes and reads objects on demand.
func mapper() {
	a, _ := join()
	fmt.Println(uintptr(unsafe.Pointer(&a.mem[0])), uintptr(unsafe.Pointer(&a.ro[0])))
	if err := put(a, 1, 100<<10); err != nil {
		fail(err)
	}
	fmt.Println("sealed")
	bufio.NewReader(os.Stdin).ReadString('\n')
	h, ok := a.Get(oid(2))
	if !ok {
		fail(fmt.Errorf("no object 2"))
	}
	if err := check(h.Bytes(), 2); err != nil {
		fail(err)
	}
	fmt.Println("read")
}

// getter waits for one object after the other and tells.
func getter() {
	a, _ := join()
	go func() {
		for last := uint32(0); ; last = a.DoorbellWait(last, time.Hour) {
			a.Poke()
		}
	}()
	for n := 0; ; n++ {
		h, err := a.Wait(context.Background(), oid(n))
		if err != nil {
			fail(err)
		}
		if err := check(h.Bytes(), n); err != nil {
			fail(err)
		}
		h.Release()
		fmt.Println("got", n)
	}
}

// sealer seals one object and dies before it wakes anyone.
func sealer() {
	a, args := join()
	w, err := a.Create(oid(args[0]), 5000, testJob, 0)
	if err != nil {
		fail(err)
	}
	fill(w.Bytes(), args[0])
	a.hook = func(p killPoint) {
		if p == killSealed {
			die()
		}
	}
	w.Seal(true)
}

// victim does everything at random until it dies at its kill point, or is killed.
func victim() {
	a, args := join()
	target, after := killPoint(args[1]), args[2]
	a.hook = func(p killPoint) {
		if p == target {
			if after--; after < 0 { // several goroutines count; it need not be exact
				die()
			}
		}
	}
	go func() {
		for last := uint32(0); ; last = a.DoorbellWait(last, time.Hour) {
			a.Poke()
		}
	}()
	for g := range 3 {
		go func() {
			r := rand.New(rand.NewPCG(uint64(args[0]), uint64(g)))
			for {
				if err := mischief(a, r); err != nil {
					fail(err)
				}
			}
		}()
	}
	select {}
}
