package node

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

func cand(name id.Node, load float64, cpus float64, gpu, gpuFree float64) candidate {
	return candidate{id: name, here: name == "here", load: load, resources: map[string]float64{cpuName: cpus, "gpu": gpu}, available: map[string]float64{"gpu": gpuFree}}
}

func labelled(c candidate, zone string) candidate {
	c.labels = map[string]string{"zone": zone}
	return c
}

func spreaded(c candidate, n uint64) candidate {
	c.spread = n
	return c
}

func TestSpreadInTurn(t *testing.T) {
	counts := map[id.Node]uint64{"a": 0, "b": 0}
	went := map[id.Node]int{}
	place := func(n int) {
		for range n {
			var cs []candidate
			for name, c := range counts {
				cs = append(cs, spreaded(cand(name, 0, 2, 0, 0), c))
			}
			to, rec := choose(&wire.Spec{Spread: true}, cs, rand.IntN)
			if rec != nil {
				t.Fatal(rec)
			}
			counts[to] = spreadTo(cs, to)
			went[to]++
		}
	}
	if place(100); went["a"] != 50 || went["b"] != 50 {
		t.Errorf("two nodes: %v", went)
	}
	counts["new"] = 0
	if place(30); went["new"] > 10+spreadLag || went["new"] < 10 {
		t.Errorf("one that came later: %v", went)
	}
}

func TestChoose(t *testing.T) {
	here, busyHere := cand("here", 0.1, 2, 0, 0), cand("here", 0.9, 2, 0, 0)
	a, b := cand("a", 0.2, 4, 2, 2), cand("b", 0.7, 8, 2, 1)
	want := func(gpu float64) map[string]float64 { return map[string]float64{"gpu": gpu} }
	for _, c := range []struct {
		name string
		spec wire.Spec
		cs   []candidate
		want string // of "a", "b", "here": those that may be chosen
	}{
		{"here while little used", wire.Spec{}, []candidate{here, a, b}, "here"},
		{"not here while busy: the less loaded of two", wire.Spec{}, []candidate{busyHere, a}, "here a"},
		{"named", wire.Spec{OnNode: "b"}, []candidate{here, a, b}, "b"},
		{"named, soft, gone", wire.Spec{OnNode: "c", Soft: true}, []candidate{here, a, b}, "here"},
		{"named, soft, does not fit", wire.Spec{OnNode: "here", Soft: true, CPU: 8000}, []candidate{here, a, b}, "b"},
		{"resource", wire.Spec{Resources: want(1)}, []candidate{here, a, b}, "a b"},
		{"resource that only one has free", wire.Spec{Resources: want(2)}, []candidate{here, a, b}, "a"},
		{"resource that none has free", wire.Spec{Resources: want(2)}, []candidate{here, cand("a", 0, 1, 2, 1), b}, "a b"},
		{"many CPUs", wire.Spec{CPU: 5000}, []candidate{here, a, b}, "b"},
		{"label", wire.Spec{Labels: map[string]string{"zone": "x"}}, []candidate{here, labelled(a, "x"), labelled(b, "y")}, "a"},
		{"label, here too", wire.Spec{Labels: map[string]string{"zone": "x"}}, []candidate{labelled(here, "x"), labelled(a, "x")}, "here"},
		{"spread, though here has room", wire.Spec{Spread: true}, []candidate{spreaded(here, 3), spreaded(a, 2), spreaded(b, 2)}, "a b"},
		{"spread, though one is full", wire.Spec{Spread: true, Resources: want(2)}, []candidate{spreaded(a, 1), spreaded(b, 0)}, "b"},
		{"spread among those with the label", wire.Spec{Spread: true, Labels: map[string]string{"zone": "x"}}, []candidate{here, labelled(a, "x")}, "a"},
		{"here is alone", wire.Spec{}, []candidate{cand("here", 5, 1, 0, 0)}, "here"},
	} {
		rnd := rand.New(rand.NewPCG(1, 2))
		seen := map[string]bool{}
		for range 200 {
			got, rec := choose(&c.spec, c.cs, rnd.IntN)
			if rec != nil || !strings.Contains(c.want, string(got)) {
				t.Fatalf("%s: %q, %v", c.name, got, rec)
			}
			seen[string(got)] = true
		}
		if len(seen) != len(strings.Fields(c.want)) {
			t.Errorf("%s: chose %v only", c.name, seen)
		}
	}
}

func TestUnschedulable(t *testing.T) {
	cs := []candidate{labelled(cand("here", 0, 2, 1, 1), "x"), cand("a", 0, 8, 0, 0)}
	for want, s := range map[string]wire.Spec{
		"not in the cluster":                         {OnNode: "gone"},
		"tpu 1 (the most a node has is 0)":           {Resources: map[string]float64{"tpu": 1}},
		"gpu 2 (the most a node has is 1)":           {Resources: map[string]float64{"gpu": 2}, CPU: 1000},
		"CPU 16 (the most a node has is 8)":          {CPU: 16000},
		"CPU 8 and gpu 1 together on one node":       {CPU: 8000, Resources: map[string]float64{"gpu": 1}},
		"label zone=z (nodes have x)":                {Labels: map[string]string{"zone": "z"}},
		"label rack=1 (no node has a label rack)":    {Labels: map[string]string{"rack": "1", "zone": "x"}},
		"CPU 8 and label zone=x together":            {CPU: 8000, Labels: map[string]string{"zone": "x"}},
		"none of 1 nodes: missing gpu 1 (the most a": {OnNode: "a", Resources: map[string]float64{"gpu": 1}},
	} {
		s.Func = "main.f"
		_, rec := choose(&s, cs, rand.IntN)
		if rec == nil || rec.Class != wire.ErrorUnschedulable || !strings.Contains(rec.Text, want) || !strings.Contains(rec.Text, "main.f") {
			t.Errorf("want %q, got %v", want, rec)
		}
	}
}

// res asks for a resource and one that is held until the test says so.
func res(name string, v float64) func(*wire.Spec) {
	return func(s *wire.Spec) { s.Resources = map[string]float64{name: v} }
}

func TestResourcesAreHeld(t *testing.T) {
	c := private(testDir(t))
	c.Resources = map[string]float64{"gpu": 1, "x": 0.3}
	n := startNode(t, c)
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	first, second, third, other := f.spec("1", res("gpu", 0.6)), f.spec("2", res("gpu", 0.6)), f.spec("3", res("gpu", 0.1)), f.spec("4", res("x", 0.1))
	got := make(chan error, 8)
	place := func(s wire.Spec) { go func() { _, err := f.place(s); got <- err }() }
	runs := func() string {
		fr := f.next(t, wire.KRun)
		s, err := wire.ParseSpec(fr.Body)
		if err != nil {
			t.Fatal(err)
		}
		return s.Func
	}
	done := func(ss ...wire.Spec) {
		var d wire.Done
		for _, s := range ss {
			d.Tasks = append(d.Tasks, s.Task)
		}
		if err := f.send(n.self(), wire.KDone, wire.Marshal(&d)); err != nil {
			t.Fatal(err)
		}
	}
	place(first)
	if r := runs(); r != "1" {
		t.Fatal(r)
	}
	place(second)
	until(t, "the second to wait", func() bool { return n.Status().Queued.Resources == 1 })
	place(third) // it would fit, but is younger than one that waits for the same
	until(t, "the third to wait", func() bool { return n.Status().Queued.Resources == 2 })
	place(other)
	if r := runs(); r != "4" {
		t.Fatal(r)
	}
	if a := n.Status().Available["gpu"]; a != 0.4 {
		t.Errorf("available %v", a)
	}
	done(first)
	if r := runs() + runs(); r != "23" {
		t.Fatal(r)
	}
	done(second, third, other)
	until(t, "all to be given back", func() bool { a := n.Status().Available; return a["gpu"] == 1 && a["x"] == 0.3 && a[cpuName] == 2 })
	for range 4 {
		if err := <-got; err != nil {
			t.Error(err)
		}
	}
	// Sums come out even.
	for range 3 {
		place(f.spec("x", res("x", 0.1)))
	}
	for range 3 {
		runs()
	}
	if a := n.Status().Available["x"]; a != 0 {
		t.Errorf("available %v", a)
	}
	if _, err := f.place(f.spec("y", res("z", 1))); err == nil || !strings.Contains(err.Error(), "missing z 1") {
		t.Error(err)
	}
}

func TestPlacedElsewhere(t *testing.T) {
	dir := testDir(t)
	ns := network(t, dir, Config{}, Config{Resources: map[string]float64{"gpu": 1}}, Config{})
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test", LogToDriver: true}, nil)
	pid := f.run(t, f.spec("pid", res("gpu", 1)))
	if again := f.run(t, f.spec("pid", func(s *wire.Spec) { s.OnNode = ns[1].ID() })); again != pid {
		t.Errorf("ran in processes %s and %s", pid, again)
	}
	f.run(t, f.spec("pid", func(s *wire.Spec) { s.OnNode = ns[2].ID() }))
	if out := ns[0].Status().Bytes.ExeOut; out == 0 {
		t.Error("no executable was fetched")
	}
	for _, n := range ns[1:] {
		s := n.Status()
		if len(s.Workers) != 1 || len(s.Jobs) != 1 || s.Jobs[0].Home != ns[0].ID() || len(ls(t, n.state+"/exe")) != 1 {
			t.Errorf("node %s: %+v", n.id.Short(), s)
		}
	}
	f.run(t, f.spec("say", func(s *wire.Spec) { s.OnNode = ns[1].ID() }))
	var l wire.LogLine
	if fr := f.next(t, wire.KLog); wire.Unmarshal(fr.Body, &l) != nil || l.Node != ns[1].ID() {
		t.Errorf("%+v", l)
	}
	// A worker's end is told to its owner on another node.
	to, err := f.place(f.spec("die", res("gpu", 1)))
	if err != nil || to.Node != ns[1].ID() {
		t.Fatal(to, err)
	}
	var d wire.Dead
	if fr := f.next(t, wire.KDead); wire.Unmarshal(fr.Body, &d) != nil || d.Addrs[0] != to {
		t.Fatalf("%+v", d)
	}
	f.run(t, f.spec("pid", res("gpu", 1)))
	f.leave(true)
	until(t, "the job to end everywhere", func() bool {
		for _, n := range ns {
			if s := n.Status(); len(s.Workers) != 0 || len(s.Jobs) != 0 || len(ls(t, n.state+"/scratch")) != 0 {
				return false
			}
		}
		return true
	})
}

func TestDamagedExecutable(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{})
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test"}, nil)
	defer f.leave(true)
	ns[0].mu.Lock()
	j := ns[0].jobs[f.job]
	ns[0].mu.Unlock()
	if err := ns[0].hashExe(j); err != nil {
		t.Fatal(err)
	}
	ns[0].mu.Lock()
	j.desc.SHA256[0]++
	ns[0].mu.Unlock()
	_, err := f.place(f.spec("pid", func(s *wire.Spec) { s.OnNode = ns[1].ID() }))
	var rec *wire.ErrorRecord
	if !errors.As(err, &rec) || rec.Class != wire.ErrorWorkerStart || !strings.Contains(rec.Text, "checksum") {
		t.Fatal(err)
	}
	if got := ls(t, ns[1].state+"/exe"); len(got) != 0 {
		t.Errorf("cached %v", got)
	}
}

func TestHomeNodeDies(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{})
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test"}, nil)
	f.run(t, f.spec("pid", func(s *wire.Spec) { s.OnNode = ns[1].ID() }))
	done := make(chan struct{})
	go func() { <-f.bye; f.leave(true); close(done) }()
	ns[0].Close()
	<-done
	until(t, "the job's workers to end", func() bool { s := ns[1].Status(); return len(s.Workers) == 0 && len(s.Jobs) == 0 })
}

func TestPlacedOnNodeThatDies(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{Resources: map[string]float64{"gpu": 1}})
	f := driver(t, ns[0], wire.Hello{Exe: "/bin/test"}, nil)
	defer f.leave(true)
	if _, err := f.place(f.spec("hold", res("gpu", 1))); err != nil {
		t.Fatal(explain(err))
	}
	waits := make(chan error)
	go func() { _, err := f.place(f.spec("pid", res("gpu", 1))); waits <- err }()
	until(t, "the second to wait", func() bool { return ns[1].Status().Queued.Resources == 1 })
	ns[1].Close()
	var rec *wire.ErrorRecord
	if err := <-waits; !errors.As(err, &rec) || rec.Class != wire.ErrorUnavailable {
		t.Errorf("%v", err)
	}
	until(t, "the other to know", func() bool { return len(ns[0].Status().Members) == 1 })
	if _, err := f.place(f.spec("pid", res("gpu", 1))); !errors.As(err, &rec) || rec.Class != wire.ErrorUnschedulable {
		t.Errorf("%v", err)
	}
}
