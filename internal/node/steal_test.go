package node

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// queue is the part of a driver that has tasks to steal.
type queue struct {
	mu    sync.Mutex
	specs [][]byte
	bound int // of those, how many come back
	moved map[id.Task]id.Addr
	told  int // messages that say which process has tasks
	done  map[id.Task]id.Addr
	lost  []id.Addr
}

func newQueue() *queue {
	return &queue{moved: map[id.Task]id.Addr{}, done: map[id.Task]id.Addr{}}
}

func (q *queue) publish(f *fake) {
	f.arena.Stat(f.slot)[statQueued].Store(uint64(len(q.specs)))
	f.arena.Ring(0)
}

func (q *queue) on(f *fake, fr *wire.Frame) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch fr.Kind {
	case wire.KTake:
		var m wire.Take
		fail(wire.Unmarshal(fr.Body, &m))
		n := min(m.Max, len(q.specs))
		b := wire.Batch{Specs: q.specs[:n:n]}
		q.specs = q.specs[n:]
		r := fr.Reply(wire.Marshal(&b))
		fail(f.link.SendFrame(&r))
		q.publish(f)
	case wire.KRequeue:
		var b wire.Batch
		fail(wire.Unmarshal(fr.Body, &b))
		q.bound += len(b.Specs)
	case wire.KMoved:
		var m wire.Moved
		fail(wire.Unmarshal(fr.Body, &m))
		if m.To.Proc != 0 {
			q.told++
		}
		for _, t := range m.Tasks {
			q.moved[t] = m.To
		}
	case wire.KResult:
		var r wire.Result
		fail(wire.Unmarshal(fr.Body, &r))
		q.done[r.Task] = r.By
	case wire.KDead:
		var d wire.Dead
		fail(wire.Unmarshal(fr.Body, &d))
		q.lost = append(q.lost, d.Addrs...)
	}
}

func (q *queue) fill(f *fake, n int, change ...func(*wire.Spec)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	src := id.NewSource(f.self.Proc)
	for range n {
		s := f.spec("pid", change...)
		s.Task = src.Task()
		q.specs = append(q.specs, s.Append(nil))
	}
	q.publish(f)
}

func (q *queue) finished() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.done)
}

func TestStealing(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{}, Config{})
	q := newQueue()
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test"}, q.on)
	defer f.leave(true)
	// The victim's own CPU is taken: it is not idle, and the tasks stay queued.
	cpu, ok := f.arena.ClaimCPU()
	if !ok {
		t.Fatal("no CPU")
	}
	defer f.arena.ReleaseCPU(cpu)
	const tasks = 500
	q.fill(f, tasks)
	until(t, "all tasks to be stolen and run", func() bool { return q.finished() == tasks })
	until(t, "the owner to know by whom each was run", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		for task, by := range q.done {
			if q.moved[task] != by {
				return false
			}
		}
		return true
	})
	in, out := uint64(0), ns[0].Status().Steals.TasksOut
	grants := 0
	for _, n := range ns[1:] {
		in += n.Status().Steals.TasksIn
		grants += int(n.Status().Steals.Granted)
		checkOrder(t, n)
	}
	// One message a grant and one for what waited until a worker was there.
	q.mu.Lock()
	told := q.told
	q.mu.Unlock()
	if t.Logf("%d tasks in %d grants, %d messages of where they are", tasks, grants, told); told > grants+2*len(ns) {
		t.Errorf("%d messages tell of %d grants where the tasks are", told, grants)
	}
	if in != tasks || out != tasks {
		t.Errorf("%d tasks came, %d went, of %d", in, out, tasks)
	}
	ns[0].steal.mu.Lock()
	defer ns[0].steal.mu.Unlock()
	if len(ns[0].steal.origin) != 0 {
		t.Errorf("%d tasks are still in the victim's care", len(ns[0].steal.origin))
	}
}

// TestStealingAfterABreak: a peer that went and came back under its epoch is stolen from again.
func TestStealingAfterABreak(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{})
	for range 2 {
		ns[0].steal.peerDown(ns[1].ID())
		ns[1].steal.peerDown(ns[0].ID())
		ns[0].steal.peerUp(ns[1].ID(), ns[1].Epoch())
		ns[1].steal.peerUp(ns[0].ID(), ns[0].Epoch())
	}
	q := newQueue()
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test"}, q.on)
	defer f.leave(true)
	q.fill(f, 10)
	until(t, "all tasks to be stolen and run", func() bool { return q.finished() == 10 })
}

func TestCollect(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	w, err := f.arena.Create(id.Task{1}.Object(0), 10, f.job, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Seal(true); err != nil {
		t.Fatal(err)
	}
	f.next(t, wire.KCollect) // idle, with an object held
	for range 3 {
		f.send(n.self(), wire.KCollect, nil)
	}
	fr := f.next(t, wire.KCollect) // one for all three
	r := fr.Reply(nil)
	f.link.SendFrame(&r)
	if _, err := f.ask(n.self(), wire.KCollect, nil); err != nil {
		t.Fatal(err)
	}
	if len(f.frames)+len(f.passed) != 0 {
		t.Error("asked to collect too often")
	}
}

// checkOrder checks in a thief's events that the STEAL of each stolen task came before its GRANT.
func checkOrder(t *testing.T, n *Node) {
	t.Helper()
	type exchange struct {
		peer string
		seq  int64
	}
	state := map[exchange]int{}
	for _, e := range n.Events() {
		if e.Layer != "steal" {
			continue
		}
		x := exchange{e.Peer, e.N}
		switch {
		case e.Kind == "STEAL" && e.Text == "sent":
			state[x] = 1
		case e.Kind == "GRANT" && e.Text == "received" && state[x] >= 1:
			state[x] = 2
		case e.Kind == "GRANT" && e.Text == "received":
			t.Errorf("a GRANT without its STEAL: %+v", e)
		case e.Kind == "stolen" && state[x] != 2:
			t.Errorf("a task without its GRANT: %+v", e)
		}
	}
}

func TestBoundTasksAreNotStolen(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{})
	q := newQueue()
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test"}, q.on)
	defer f.leave(true)
	q.fill(f, 5, func(s *wire.Spec) { s.OnNode = ns[0].ID() })
	q.fill(f, 5, func(s *wire.Spec) { s.CPU = 64000 })
	until(t, "them to come back", func() bool { q.mu.Lock(); defer q.mu.Unlock(); return q.bound == 10 })
	if in := ns[1].Status().Steals.TasksIn; in != 0 {
		t.Errorf("%d tasks were stolen", in)
	}
}

func TestThiefDies(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{})
	q := newQueue()
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test"}, q.on)
	defer f.leave(true)
	q.fill(f, 100, func(s *wire.Spec) { s.Func = "hold" })
	until(t, "tasks to be stolen", func() bool { return ns[1].Status().Steals.TasksIn > 0 })
	ns[1].Close()
	until(t, "the news", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		for _, a := range q.lost {
			if a == (id.Addr{Node: ns[1].ID()}) {
				return true
			}
		}
		return false
	})
	// Every task is queued, came back, or has an owner who knows that its node is dead.
	q.mu.Lock()
	defer q.mu.Unlock()
	known := 0
	for _, to := range q.moved {
		if to.Node == ns[1].ID() {
			known++
		}
	}
	if got := len(q.specs) + max(q.bound, 0) + known; got < 100 {
		t.Errorf("%d queued, %d came back, %d moved: fewer than 100", len(q.specs), q.bound, known)
	}
}

// A node that has just met another may still probe; then it has to fall silent.
func TestIdleNodeIsQuiet(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{})
	before, since := ns[0].Status().Bytes.FramesOut, time.Now()
	until(t, "half a second with two frames at most, without any job", func() bool {
		if sent := ns[0].Status().Bytes.FramesOut; sent > before+2 {
			before, since = sent, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
}

func TestDrain(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{Resources: map[string]float64{"gpu": 2}})
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test"}, nil)
	defer f.leave(true)
	local := driver(t, ns[1], wire.Hello{}, nil)
	to, err := local.place(local.spec("x", res("gpu", 1)))
	if err != nil || to != local.self {
		t.Fatal(to, err)
	}
	var drained sync.WaitGroup
	drained.Go(func() {
		if err := ns[1].Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	<-ns[1].Done()
	local.next(t, wire.KDrain)
	until(t, "peers to know", func() bool {
		ns[0].mu.Lock()
		defer ns[0].mu.Unlock()
		m := ns[0].members[ns[1].ID()]
		return m != nil && m.desc.Draining
	})
	if _, err := f.place(f.spec("pid", res("gpu", 1))); err == nil {
		t.Error("placed on a node that drains")
	}
	if s := ns[1].Status(); !s.Draining || len(s.Drivers) != 1 {
		t.Errorf("%+v", s)
	}
	if s := local.spec("x"); local.send(ns[1].self(), wire.KDone, wire.Marshal(&wire.Done{Tasks: []id.Task{s.Task}})) != nil {
		t.Error("send")
	}
	fr := local.next(t, wire.KRun)
	s, err := wire.ParseSpec(fr.Body)
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-local.bye; local.leave(true) }()
	if err := local.send(ns[1].self(), wire.KDone, wire.Marshal(&wire.Done{Tasks: []id.Task{s.Task}})); err != nil {
		t.Fatal(err)
	}
	drained.Wait()
	until(t, "the peer to be gone", func() bool { return len(ns[0].peers()) == 0 })
}
