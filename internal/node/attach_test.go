package node

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

func TestAttachAndDetach(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{}, nil)
	if _, err := f.ask(n.self(), wire.KNodes, nil); err != nil {
		t.Fatal(err)
	}
	w, err := f.arena.Create(id.Task{1}.Object(0), 100, f.job, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Seal(true); err != nil {
		t.Fatal(err)
	}
	if s := n.Status(); len(s.Drivers) != 1 || len(s.Jobs) != 1 || s.Store.Objects != 1 {
		t.Fatalf("status %+v", s)
	}
	f.leave(true)
	if s := n.Status(); len(s.Drivers) != 0 || len(s.Jobs) != 0 {
		t.Fatalf("after the farewell: %v", s)
	}
	if a := n.arena.Audit(); !a.Empty() || len(a.Clients) != 0 {
		t.Fatalf("the arena still has %v", a)
	}
}

func TestDriverKilled(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	cmd, _, _ := child(t, "NODE_TEST_DRIVER="+n.Socket())
	s := n.Status()
	if len(s.Drivers) != 1 || s.Drivers[0].PID != cmd.Process.Pid || s.Store.Holders != 1 {
		t.Fatalf("status %+v", s)
	}
	cmd.Process.Kill()
	until(t, "the driver to be cleared away", func() bool { a := n.arena.Audit(); return a.Empty() && len(a.Clients) == 0 })
	until(t, "its job to end", func() bool { return len(n.Status().Jobs) == 0 })
}

func TestDriverGetsBye(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{}, nil)
	done := make(chan string, 1)
	go func() {
		why := <-f.bye
		done <- why
		f.leave(true)
	}()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if why := <-done; why == "" {
		t.Error("the driver was not told why")
	}
	<-n.Done()
}

func TestAttachRefusals(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	for name, h := range map[string]wire.Hello{
		"no kind":         {Proc: 1, Job: id.NewJob()},
		"number is taken": {Kind: wire.AttachDriver, Proc: f.self.Proc, Job: id.NewJob()},
		"job is taken":    {Kind: wire.AttachDriver, Job: f.job},
		"no such worker":  {Kind: wire.AttachWorker, Worker: 12},
	} {
		a, b := socketPair(t)
		n.Attach(b)
		if _, err := join(a, h, nil); err == nil || !strings.HasPrefix(err.Error(), "node: attach") {
			t.Errorf("%s: %v", name, err)
		}
		a.Close()
	}
	a, b := socketPair(t)
	defer a.Close()
	n.Attach(b)
	var w wire.Welcome
	wire.SendMsg(a, &wire.Hello{Version: wire.Version + 1, Kind: wire.AttachDriver, Proc: 1})
	if _, err := wire.RecvMsg(a, &w); err != nil || w.Err == nil || w.Err.Class != wire.ErrorVersion {
		t.Errorf("another version: %+v, %v", w, err)
	}
	if a := n.arena.Audit(); len(a.Clients) != 1 {
		t.Errorf("clients %v", a.Clients)
	}
}

func TestQuery(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	ctx := context.Background()
	for _, what := range []string{"status", "events", "nodes", "workers", "memory", "objects", "fsck",
		"tasks", "waits", "jobs", "actors", "all tasks", "all waits", "all workers", "all jobs", "all actors"} {
		if b, err := Query(ctx, n.Socket(), what); err != nil || !json.Valid(b) {
			t.Errorf("%s: %q, %v", what, b, err)
		}
	}
	if _, err := Query(ctx, n.Socket(), "weather"); err == nil || !strings.Contains(err.Error(), "weather") {
		t.Errorf("got %v", err)
	}
	if _, err := Query(ctx, filepath.Join(t.TempDir(), "no.sock"), "status"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	var s Status
	b, _ := Query(ctx, n.Socket(), "status")
	if err := json.Unmarshal(b, &s); err != nil || s.Node != n.ID() || s.CPUs.Total != 2 || s.CPUs.Free != 2 {
		t.Errorf("%s, %v", b, err)
	}
	if text := s.String(); !strings.Contains(text, string(n.ID())) || !strings.Contains(text, "2 of 2 free") {
		t.Errorf("text:\n%s", text)
	}
}

func TestFramesBetweenProcesses(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	a, b := driver(t, n, wire.Hello{}, nil), driver(t, n, wire.Hello{}, func(f *fake, fr *wire.Frame) {
		r := fr.Reply(append([]byte("re: "), fr.Body...))
		f.link.SendFrame(&r)
	})
	if got, err := a.ask(b.self, wire.KBorrow, []byte("x")); err != nil || string(got) != "re: x" {
		t.Fatalf("%q, %v", got, err)
	}
	big := make([]byte, wire.MaxBody-8)
	if got, err := a.ask(b.self, wire.KBorrow, big); err != nil || len(got) != len(big)+4 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	b.leave(true)
	var rec *wire.ErrorRecord
	if _, err := a.ask(b.self, wire.KBorrow, nil); !errors.As(err, &rec) || rec.Class != wire.ErrorUnavailable {
		t.Fatalf("to a process that has gone: %v", err)
	}
	if _, err := a.ask(id.Addr{Node: "elsewhere"}, wire.KNodes, nil); !errors.As(err, &rec) || rec.Class != wire.ErrorUnavailable {
		t.Fatalf("to another node: %v", err)
	}
	var d wire.Dead
	fr := a.next(t, wire.KDead)
	if err := wire.Unmarshal(fr.Body, &d); err != nil || len(d.Addrs) != 1 || d.Addrs[0] != b.self {
		t.Fatalf("%+v, %v", d, err)
	}
	// A call that comes later, by one who has not heard of it, is answered with the news; so is one to an unknown node.
	c := driver(t, n, wire.Hello{}, nil)
	for _, to := range []id.Addr{b.self, {Node: "elsewhere", Proc: 1}} {
		c.link.SendFrame(&wire.Frame{Kind: wire.KRun, From: c.self, To: to})
		var d wire.Dead
		if fr := c.next(t, wire.KDead); wire.Unmarshal(fr.Body, &d) != nil || len(d.Addrs) != 1 || d.Addrs[0] != to {
			t.Fatalf("%+v", d)
		}
	}
	c.leave(true)
	// A frame in another's name is dropped.
	a.link.SendFrame(&wire.Frame{Kind: wire.KDead, From: b.self, To: n.self(), Body: fr.Body})
	until(t, "the frame to be dropped", func() bool { return n.Status().Bytes.Dropped > 0 })
	a.leave(false)
	until(t, "the socket's end to be noticed", func() bool { return len(n.Status().Drivers) == 0 })
}

func TestSiblingsLink(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	a, b := driver(t, n, wire.Hello{}, nil), driver(t, n, wire.Hello{}, nil)
	defer a.leave(true)
	for range 2 {
		if _, err := a.ask(n.self(), wire.KLink, wire.Marshal(&wire.LinkQuery{Proc: b.self.Proc})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.ask(n.self(), wire.KLink, wire.Marshal(&wire.LinkQuery{Proc: 77})); err == nil {
		t.Fatal("linked with nobody")
	}
	linked := func() int {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len((*n.procs.Load())[a.self.Proc].linked)
	}
	if got := linked(); got != 1 {
		t.Fatalf("linked with %d", got)
	}
	b.leave(true)
	until(t, "the link to one that has gone to be forgotten", func() bool { return linked() == 0 })
}
