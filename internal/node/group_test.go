package node

import (
	"fmt"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// group asks the node for a placement group of one bundle and gives its name.
func (f *fake) group(t *testing.T, bundle map[string]float64) id.Group {
	t.Helper()
	q := wire.Group{Op: wire.GroupMake, Group: id.NewSource(f.self.Proc).Group(), Job: f.job, Bundles: []map[string]float64{bundle}}
	q.Group[15] = byte(taskNum.Add(1))
	if _, err := f.ask(id.Addr{Node: f.self.Node}, wire.KGroup, wire.Marshal(&q)); err != nil {
		t.Fatal(explain(err))
	}
	return q.Group
}

func (f *fake) removes(t *testing.T, g id.Group) {
	t.Helper()
	if _, err := f.ask(id.Addr{Node: f.self.Node}, wire.KGroup, wire.Marshal(&wire.Group{Op: wire.GroupRemove, Group: g, Job: f.job})); err != nil {
		t.Fatal(explain(err))
	}
}

// TestRemovalEndsWhatRuns: the node of a placement group that is removed has the processes end what runs in it. No owner need
// know where that is: it may hear so after the outcome, or have no reference left.
func TestRemovalEndsWhatRuns(t *testing.T) {
	c := private(testDir(t))
	c.Resources = map[string]float64{"gpu": 2}
	n := startNode(t, c)
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	g, other := f.group(t, map[string]float64{"gpu": 1}), f.group(t, map[string]float64{"gpu": 1})
	in := func(g id.Group) func(*wire.Spec) {
		return func(s *wire.Spec) { s.Group, s.CPU, s.OnNode = g, 0, n.ID() }
	}
	named := func(s *wire.Spec) { s.Actor = id.Actor(s.Task) }
	kept := f.spec("kept", in(other), actor, named)
	an, task := f.spec("an actor", in(g), actor, named, res("gpu", 0.5)), f.spec("a task", in(g), res("gpu", 0.5))
	for _, s := range []wire.Spec{kept, an, task} {
		if _, err := f.place(s); err != nil {
			t.Fatal(explain(err))
		}
		if r := f.runs(t); r != s.Func {
			t.Fatal(r)
		}
	}
	f.removes(t, g)
	var k wire.Kill
	if fr := f.next(t, wire.KKill); wire.Unmarshal(fr.Body, &k) != nil || k.Actor != an.Actor {
		t.Errorf("kills %+v", k)
	}
	var x wire.Cancel
	if fr := f.next(t, wire.KCancel); wire.Unmarshal(fr.Body, &x) != nil || fmt.Sprint(x.Tasks) != fmt.Sprint([]id.Task{task.Task}) {
		t.Errorf("cancels %+v", x)
	}
	if a := n.Status().Available["gpu"]; a != 0 {
		t.Errorf("gpu %v is free while all of it is held", a)
	}
	if err := f.send(n.self(), wire.KDone, wire.Marshal(&wire.Done{Tasks: []id.Task{an.Task, task.Task}})); err != nil {
		t.Fatal(err)
	}
	until(t, "what they held to be free", func() bool { return n.Status().Available["gpu"] == 1 })
	f.removes(t, other)
	if fr := f.next(t, wire.KKill); wire.Unmarshal(fr.Body, &k) != nil || k.Actor != kept.Actor {
		t.Errorf("kills %+v", k)
	}
}

// TestRemovedWhileItsWorkerStarts: a process that was started for a task of a removed group is not waited for for ever.
func TestRemovedWhileItsWorkerStarts(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	for range 3 { // more than may run at a time
		g := f.group(t, map[string]float64{cpuName: 1})
		s := f.spec("pid", own, func(s *wire.Spec) { s.Group, s.OnNode = g, n.ID() })
		got := make(chan error, 1)
		go func() { _, err := f.place(s); got <- err }()
		until(t, "its worker to be started", func() bool { st := n.Status(); return st.Queued.Worker > 0 || len(f.frames) > 0 || len(got) > 0 })
		f.removes(t, g)
		<-got // placed, or not
	}
	until(t, "the CPUs and the processes to be free", func() bool {
		n.mu.Lock()
		busy := n.place.ownBusy
		n.mu.Unlock()
		return busy == 0 && n.Status().Available[cpuName] == 2
	})
}
