package node

import (
	"errors"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// wide takes all CPUs of a private node, and is placed.
func wide(s *wire.Spec) { s.CPU, s.Labels = 2000, map[string]string{"wide": "yes"} }

// cancels sends that a task of f's is not wanted any more.
func (f *fake) cancels(t *testing.T, to id.Addr, s wire.Spec) {
	t.Helper()
	if err := f.send(to, wire.KCancel, wire.Marshal(&wire.Cancel{Tasks: []id.Task{s.Task}, Attempts: []uint32{s.Attempt}})); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) runs(t *testing.T) string {
	t.Helper()
	fr := f.next(t, wire.KRun)
	s, err := wire.ParseSpec(fr.Body)
	if err != nil {
		t.Fatal(err)
	}
	return s.Func
}

func isCancelled(err error) bool {
	var rec *wire.ErrorRecord
	return errors.As(err, &rec) && rec.Class == wire.ErrorCancelled
}

// What is cancelled while it waits never starts, and holds up nobody.
func TestCancelledWhileItWaits(t *testing.T) {
	c := private(testDir(t))
	c.Labels = map[string]string{"wide": "yes"}
	n := startNode(t, c)
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	got := map[string]chan error{}
	waiting := 0
	place := func(name string, change func(*wire.Spec)) wire.Spec {
		s, ch := f.spec(name, change), make(chan error, 1)
		got[name] = ch
		go func() { _, err := f.place(s); ch <- err }()
		if name != "first" {
			waiting++
			until(t, name+" to wait", func() bool { return n.Status().Queued.Resources == waiting })
		}
		return s
	}
	first := place("first", wide)
	if r := f.runs(t); r != "first" {
		t.Fatal(r)
	}
	for range 2 { // or they are lent
		if _, ok := f.arena.ClaimCPU(); !ok {
			t.Fatal("no CPU word")
		}
	}
	second, third, fourth := place("second", wide), place("third", wide), place("fourth", wide)
	other := driver(t, n, wire.Hello{}, nil)
	other.cancels(t, n.self(), third) // is not its own
	f.cancels(t, n.self(), second)
	if err := <-got["second"]; !isCancelled(err) {
		t.Error(err)
	}
	f.cancels(t, n.self(), fourth)
	if err := <-got["fourth"]; !isCancelled(err) {
		t.Error(err)
	}
	other.leave(true)
	for _, s := range []wire.Spec{first, third} {
		if s.Func == "third" {
			if r := f.runs(t); r != "third" {
				t.Fatal(r)
			}
		}
		if err := <-got[s.Func]; err != nil {
			t.Error(err)
		}
		if err := f.send(n.self(), wire.KDone, wire.Marshal(&wire.Done{Tasks: []id.Task{s.Task}})); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all to be given back", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.place.used[cpuName] == 0 && len(n.place.wait) == 0 && len(n.place.shapes) == 0
	})
}

// A node passes on that a task was cancelled which another one has.
func TestCancelledWhileItWaitsElsewhere(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{Resources: map[string]float64{"gpu": 1}})
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test", LogToDriver: true}, nil)
	defer f.leave(true)
	until(t, "the nodes to meet", func() bool { return len(ns[0].Status().Members) == 2 })
	n := ns[1]
	n.mu.Lock()
	n.place.used["gpu"] = micro(1) // somebody has it
	n.mu.Unlock()
	s, got := f.spec("pid", res("gpu", 1)), make(chan error, 1)
	go func() { _, err := f.place(s); got <- err }()
	until(t, "the task to wait", func() bool { return n.Status().Queued.Resources == 1 })
	f.cancels(t, ns[0].self(), s)
	if err := <-got; !isCancelled(err) {
		t.Error(err)
	}
	until(t, "the task to be forgotten", func() bool { return n.Status().Queued.Resources == 0 })
	n.mu.Lock()
	n.place.used["gpu"] = 0
	n.mu.Unlock()
}

// What a placed task holds is lent as far as it gave its CPU words back, and no further.
func TestLent(t *testing.T) {
	c := private(testDir(t))
	c.Labels = map[string]string{"wide": "yes"}
	n := startNode(t, c)
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	a, b := make(chan error, 1), make(chan error, 1)
	go func() { _, err := f.place(f.spec("a", wide)); a <- err }()
	var words []int
	for range 2 {
		w, ok := f.arena.ClaimCPU()
		if !ok {
			t.Fatal("no CPU word")
		}
		words = append(words, w)
	}
	if r := f.runs(t); r != "a" {
		t.Fatal(r)
	}
	if err := <-a; err != nil {
		t.Fatal(err)
	}
	lent := func() int64 {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.lentLocked(time.Now().Add(time.Hour))[&n.place.pool]
	}
	if l := lent(); l != 0 {
		t.Errorf("a task that runs lends %d", l)
	}
	n.mu.Lock()
	fresh := n.lentLocked(time.Time{})
	n.mu.Unlock()
	if len(fresh) != 0 {
		t.Errorf("one that was just given to its process lends %v", fresh)
	}
	f.arena.ReleaseCPU(words[0])
	if l := lent(); l != micro(1) {
		t.Errorf("one that gave one of two words back lends %d", l)
	}
	go func() { _, err := f.place(f.spec("b", wide)); b <- err }()
	until(t, "the second to wait", func() bool { return n.Status().Queued.Resources == 1 })
	n.mu.Lock()
	n.place.lent = n.lentLocked(time.Now().Add(time.Hour))
	n.advanceLocked()
	n.place.lent = nil
	n.mu.Unlock()
	if q := n.Status().Queued.Resources; q != 1 {
		t.Errorf("%d wait: a task started beyond what was given back", q)
	}
	f.arena.ReleaseCPU(words[1])
	if r := f.runs(t); r != "b" {
		t.Fatal(r)
	}
	if err := <-b; err != nil {
		t.Fatal(err)
	}
}
