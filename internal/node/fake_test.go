package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
)

// TestMain runs the test binary as a worker or driver of a test when the environment says so.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv("KADRE_WORKER") == "1":
		workerMain()
	case os.Getenv("NODE_TEST_DRIVER") != "":
		driverMain()
	case os.Getenv("NODE_TEST_CONNECT") != "":
		connectMain()
	case os.Getenv("NODE_TEST_NODE") != "":
		nodeMain()
	}
	os.Setenv("KADRE_CHECK", "empty") // no node ends with something in its store
	goleak.VerifyTestMain(m)
}

// fake is a process as a node sees it: it has a link and an arena, and hands frames to a function.
type fake struct {
	self  id.Addr
	job   id.Job
	slot  int
	conn  *net.UnixConn
	arena *arena.Arena
	link  *wire.Link
	calls wire.Calls
	bye   chan string

	stop   atomic.Bool
	wg     sync.WaitGroup
	on     func(f *fake, fr *wire.Frame) // handles what is no reply; on the poll goroutine
	frames chan wire.Frame               // copies of those frames, when on is nil
	passed []wire.Frame                  // those that next passed over
}

func join(c *net.UnixConn, h wire.Hello, on func(*fake, *wire.Frame)) (*fake, error) {
	h.Version, h.PID = wire.Version, os.Getpid()
	if h.Proc == 0 {
		h.Proc = id.NewProc()
	}
	if err := wire.SendMsg(c, &h); err != nil {
		return nil, err
	}
	var w wire.Welcome
	fds, err := wire.RecvMsg(c, &w)
	if err != nil {
		return nil, err
	}
	if w.Err != nil {
		return nil, w.Err
	}
	f := &fake{self: id.Addr{Node: w.Node, Proc: h.Proc}, job: w.Job.Job, slot: w.Slot, conn: c, bye: make(chan string, 1), on: on, frames: make(chan wire.Frame, 1<<16)}
	if f.arena, err = arena.Open(fds[:w.ArenaFDs], w.Slot, w.Epoch); err != nil {
		return nil, err
	}
	pair, err := shm.OpenRingPair(fds[w.ArenaFDs], 1, f.arena.Doorbell(0))
	if err != nil {
		return nil, err
	}
	shm.CloseFD(fds[w.ArenaFDs])
	f.link = wire.NewLink(pair)
	p := wire.NewPoller(f.arena, func() { f.arena.Ring(w.Slot) })
	p.Add(f.link, f.frame, nil)
	f.wg.Go(func() { p.Run(0, f.stop.Load, wire.Hooks{}) })
	f.wg.Go(func() {
		for {
			var n wire.Notice
			fds, err := wire.RecvMsg(c, &n)
			wire.CloseFDs(fds)
			if err != nil {
				close(f.bye)
				return
			}
			if n.Bye != nil {
				f.bye <- n.Bye.Why
			}
		}
	})
	return f, nil
}

func (f *fake) frame(b []byte) {
	fr, err := wire.ParseFrame(append([]byte(nil), b...))
	if err != nil {
		panic(err)
	}
	switch {
	case fr.Flags&wire.FlagReply != 0:
		f.calls.Finish(&fr)
	case f.on != nil:
		f.on(f, &fr)
	default:
		f.frames <- fr
	}
}

func (f *fake) send(to id.Addr, k wire.Kind, body []byte) error {
	return f.link.SendFrame(&wire.Frame{Kind: k, From: f.self, To: to, Body: body})
}

func (f *fake) ask(to id.Addr, k wire.Kind, body []byte) ([]byte, error) {
	type answer struct {
		b   []byte
		err error
	}
	ch := make(chan answer, 1)
	req := f.calls.Start(to, func(b []byte, err error) { ch <- answer{append([]byte(nil), b...), err} })
	if err := f.link.SendFrame(&wire.Frame{Kind: k, From: f.self, To: to, Req: req, Body: body}); err != nil {
		return nil, err
	}
	select {
	case a := <-ch:
		return a.b, a.err
	case <-time.After(time.Minute):
		return nil, fmt.Errorf("no answer to %v from %v", k, to)
	}
}

// leave ends the process: with farewell when polite.
func (f *fake) leave(polite bool) {
	f.stop.Store(true)
	f.arena.Ring(f.slot)
	if polite {
		wire.SendMsg(f.conn, &wire.Notice{Bye: &wire.Bye{}})
		for range f.bye {
		}
	}
	f.conn.Close()
	f.wg.Wait()
	f.link.Close()
	f.arena.Close()
}

// testDir is a short folder: socket paths are bounded.
func testDir(t testing.TB) string {
	t.Helper()
	d, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	return d
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func logger() *slog.Logger {
	if os.Getenv("NODE_TEST_LOG") == "" {
		return quiet
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// private is the configuration of a node alone in a folder.
func private(dir string) Config {
	return Config{Private: true, RuntimeDir: dir, CPUs: 2, ObjectStoreMemory: 16 << 20, Logger: logger()}
}

func startNode(t testing.TB, c Config) *Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		u := n.arena.Audit() // empty, too, where the test closed the node
		for end := time.Now().Add(15 * time.Second); !u.Empty() && time.Now().Before(end); u = n.arena.Audit() {
			time.Sleep(2 * time.Millisecond) // the news of a process's end travels
		}
		if err := u.Check(); err != nil || !u.Empty() {
			t.Errorf("left in the store: %v\n%v", err, u)
		}
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return n
}

// network starts nodes of one cluster that find each other, and waits until they have.
func network(t testing.TB, dir string, cs ...Config) []*Node {
	t.Helper()
	var ns []*Node
	for i, c := range cs {
		c.RuntimeDir, c.StateDir = dir, filepath.Join(dir, fmt.Sprintf("s%d", i))
		if c.CPUs == 0 {
			c.CPUs = 1
		}
		if c.ObjectStoreMemory == 0 {
			c.ObjectStoreMemory = 16 << 20
		}
		c.Logger = logger()
		ns = append(ns, startNode(t, c))
	}
	until(t, "the nodes to find each other", func() bool {
		for _, n := range ns {
			if len(n.peers()) != len(ns)-1 {
				return false
			}
		}
		return true
	})
	return ns
}

// driver attaches a driver that runs inside the test.
func driver(t testing.TB, n *Node, h wire.Hello, on func(*fake, *wire.Frame)) *fake {
	t.Helper()
	a, b := socketPair(t)
	if err := n.Attach(b); err != nil {
		t.Fatal(err)
	}
	h.Kind = wire.AttachDriver
	if h.Job == (id.Job{}) {
		h.Job = id.NewJob()
	}
	f, err := join(a, h, on)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func socketPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var c [2]*net.UnixConn
	for i, fd := range fds {
		syscall.CloseOnExec(fd)
		f := os.NewFile(uintptr(fd), "socket")
		n, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		c[i] = n.(*net.UnixConn)
	}
	return c[0], c[1]
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// fail is a test's way to talk from a process of its own.
func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// driverMain attaches a driver in a process of its own, says so, holds an object, and waits to be killed or
// for its input to end, when it says farewell.
func driverMain() {
	c, err := net.Dial("unix", os.Getenv("NODE_TEST_DRIVER"))
	fail(err)
	f, err := join(c.(*net.UnixConn), wire.Hello{Kind: wire.AttachDriver, Job: id.NewJob(), LogToDriver: true}, nil)
	fail(err)
	w, err := f.arena.Create(id.Task{1}.Object(0), 1<<20, f.job, 0)
	fail(err)
	_, err = w.Seal(true)
	fail(err)
	fmt.Println("attached", f.self.Proc)
	io.Copy(io.Discard, os.Stdin)
	f.leave(true)
	os.Exit(0)
}

// nodeMain runs a node until its input ends.
func nodeMain() {
	n, err := Start(context.Background(), Config{RuntimeDir: os.Getenv("NODE_TEST_NODE"), StateDir: os.Getenv("NODE_TEST_STATE"), Private: os.Getenv("NODE_TEST_STATE") == "", Logger: quiet, ObjectStoreMemory: 16 << 20})
	fail(err)
	b, err := json.Marshal(n.Status())
	fail(err)
	fmt.Println(string(b))
	io.Copy(io.Discard, os.Stdin)
	fail(n.Close())
	os.Exit(0)
}

// connectMain connects to a socket, and waits to be killed or for its input to end.
func connectMain() {
	_, err := net.Dial("unix", os.Getenv("NODE_TEST_CONNECT"))
	fail(err)
	fmt.Println("connected")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// workerMain is a worker of the test's jobs: it answers each task as its function's name says.
func workerMain() {
	if os.Getenv("NODE_TEST_WORKER") == "never" {
		fmt.Fprintln(os.Stderr, "this worker will not attach")
		time.Sleep(time.Hour) // not select: Go ends a process whose goroutines all sleep for ever
	}
	c, err := net.Dial("unix", os.Getenv("KADRE_SOCKET"))
	fail(err)
	num, err := strconv.ParseUint(os.Getenv("KADRE_WORKER_ID"), 10, 64)
	fail(err)
	f, err := join(c.(*net.UnixConn), wire.Hello{Kind: wire.AttachWorker, Worker: num}, work)
	fail(err)
	<-f.bye
	os.Exit(0)
}

func work(f *fake, fr *wire.Frame) {
	switch fr.Kind {
	case wire.KRun:
		s, err := wire.ParseSpec(fr.Body)
		fail(err)
		r := wire.Result{Task: s.Task, Attempt: s.Attempt, By: f.self}
		switch s.Func {
		case "die":
			os.Exit(3)
		case "pid":
			r.Inline = strconv.AppendInt(nil, int64(os.Getpid()), 10)
		case "say":
			fmt.Println("hello from a worker")
			fmt.Fprintln(os.Stderr, "and an error")
		case "hold": // never ends
			return
		case "hoard": // stops with most of the store
			w, err := f.arena.Create(s.Task.Object(7), 12<<20, s.Job, 0)
			fail(err)
			_, err = w.Seal(true)
			fail(err)
			fail(syscall.Kill(os.Getpid(), syscall.SIGSTOP))
			return
		case "dir":
			d, _ := os.Getwd()
			r.Inline = []byte(d)
		case "env":
			r.Inline = []byte(fmt.Sprint(os.Environ()))
		case "child": // leaves a process behind
			cmd := exec.Command("sleep", "1000")
			fail(cmd.Start())
			r.Inline = strconv.AppendInt(nil, int64(cmd.Process.Pid), 10)
		}
		fail(f.send(s.Owner, wire.KResult, wire.Marshal(&r)))
		fail(f.send(id.Addr{Node: f.self.Node}, wire.KDone, wire.Marshal(&wire.Done{Tasks: []id.Task{s.Task}})))
	case wire.KJobEnd, wire.KDrain, wire.KDead, wire.KCollect:
		if fr.Req != 0 {
			r := fr.Reply(nil)
			f.link.SendFrame(&r)
		}
	}
}

// child runs the test binary with more variables and reads its first line.
func child(t testing.TB, env ...string) (cmd *exec.Cmd, line string, stdin io.Closer) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
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
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said nothing: %v", err)
	}
	return cmd, line, in
}

// next waits for a frame of a kind; others are kept.
func (f *fake) next(t testing.TB, k wire.Kind) wire.Frame {
	t.Helper()
	for i, fr := range f.passed {
		if fr.Kind == k {
			f.passed = slices.Delete(f.passed, i, i+1)
			return fr
		}
	}
	deadline := time.After(time.Minute)
	for {
		select {
		case fr := <-f.frames:
			if fr.Kind == k {
				return fr
			}
			f.passed = append(f.passed, fr)
		case <-deadline:
			t.Fatalf("waited in vain for %v", k)
		}
	}
}

// explain adds what a worker wrote before it failed.
func explain(err error) string {
	var rec *wire.ErrorRecord
	if errors.As(err, &rec) {
		return rec.Text + "\n" + rec.Stack
	}
	return fmt.Sprint(err)
}

// spec is a task of f's job, owned by f.
func (f *fake) spec(fn string, change ...func(*wire.Spec)) wire.Spec {
	s := wire.Spec{Kind: wire.KindTask, Job: f.job, Task: id.NewSource(f.self.Proc).Task(), Owner: f.self, Func: fn, CPU: 1000}
	s.Task[15] = byte(taskNum.Add(1))
	for _, c := range change {
		c(&s)
	}
	return s
}

var taskNum atomic.Uint32
