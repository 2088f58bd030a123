package api_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

func gpus(n float64) api.ResourceOption { return api.Resources(map[string]float64{"gpu": n}) }

// available waits until so much of a resource is free.
func available(t *testing.T, c context.Context, name string, want float64) {
	t.Helper()
	for {
		m, err := api.AvailableResources(c)
		if err != nil {
			t.Fatalf("%s: %v, not %v: %v", name, m[name], want, err)
		}
		if m[name] == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func newGroup(t *testing.T, c context.Context, b ...api.Bundle) *api.PlacementGroup {
	t.Helper()
	pg, err := api.NewPlacementGroup(c, b, api.StrategyPack)
	if err != nil {
		t.Fatal(err)
	}
	return pg
}

// notReady checks that a group is not reserved.
func notReady(t *testing.T, c context.Context, pg *api.PlacementGroup) {
	t.Helper()
	short, end := context.WithTimeout(c, 20*time.Millisecond)
	defer end()
	if err := pg.Ready(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a group that lacks something: %v", err)
	}
}

// TestPlacementGroup: bundles are taken all or none, tasks and actors take of them, and what is removed is free again.
func TestPlacementGroup(t *testing.T) {
	c := start(t, gpus(3))
	first := newGroup(t, c, api.Bundle{"CPU": 1, "gpu": 1}, api.Bundle{"gpu": 0.5})
	if err := first.Ready(c); err != nil {
		t.Fatal(err)
	}
	available(t, c, "gpu", 1.5)
	available(t, c, "CPU", 3)
	second := newGroup(t, c, api.Bundle{"gpu": 1}, api.Bundle{"gpu": 1, "CPU": 2}) // of 1.5
	early := squareFunc.Options(api.InBundle(second, 1), gpus(1)).Remote(c, 3)
	notReady(t, c, second)
	available(t, c, "gpu", 1.5)
	gate, open := fileGate(t)
	hold := beginsAndWaits.Options(api.InBundle(first, 0), gpus(1)).Remote(c, gate)
	waitFile(t, c, gate+".begin")
	next := squareFunc.Options(api.InBundle(first, 0), gpus(0.1)).Remote(c, 4) // behind it: the bundle is in use
	if ready, _, err := api.Wait(c, []api.Ref[int]{next, early}, api.WithTimeout(20*time.Millisecond)); len(ready) > 0 || err != nil {
		t.Error(ready, err)
	}
	open()
	if got, err := api.GetAll(c, []api.Ref[int]{hold, next}); err != nil || got[1] != 16 {
		t.Error(got, err)
	}
	if err := first.Remove(c); err != nil {
		t.Fatal(err)
	}
	if v, err := early.Get(c); v != 9 || err != nil {
		t.Error(v, err)
	}
	available(t, c, "gpu", 1)
	if err := errors.Join(second.Ready(c), second.Remove(c), second.Remove(c)); err != nil {
		t.Error(err)
	}
	available(t, c, "gpu", 3)
	available(t, c, "CPU", 4)
}

// TestPlacementGroupsThatCannotBe name the bundle, the resource and what the largest node has.
func TestPlacementGroupsThatCannotBe(t *testing.T) {
	c := start(t, gpus(2))
	for _, x := range []struct {
		want     string
		strategy api.Strategy
		bundles  []api.Bundle
	}{
		{"bundle 1 wants gpu 3, and the most a node has is 2", api.StrategyPack, []api.Bundle{{"gpu": 1}, {"gpu": 3}}},
		{"bundle 0 wants tpu 1, and the most a node has is 0", api.StrategySpread, []api.Bundle{{"tpu": 1}}},
		{"its 3 bundles want CPU 6 together, the most a node has is 4", api.StrategyStrictPack, []api.Bundle{{"CPU": 2}, {"CPU": 2}, {"CPU": 2}}},
		{"StrategyStrictSpread wants 2 nodes", api.StrategyStrictSpread, []api.Bundle{{"CPU": 1}, {"CPU": 1}}},
	} {
		_, err := api.NewPlacementGroup(c, x.bundles, x.strategy)
		var never *api.UnschedulableError
		if !errors.As(err, &never) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v: not %q", err, x.want)
		}
	}
	for _, b := range [][]api.Bundle{nil, {{}}, {{"gpu": 0}}, {{"": 1}}, {{"gpu": -1}}} {
		if _, err := api.NewPlacementGroup(c, b, api.StrategyPack); err == nil {
			t.Errorf("%v: no error", b)
		}
	}
	pg := newGroup(t, c, api.Bundle{"gpu": 1})
	spread, err := api.NewPlacementGroup(c, []api.Bundle{{"gpu": 0.5}, {"gpu": 0.5}}, api.StrategySpread) // soft, on one node
	if err = errors.Join(err, pg.Ready(c), spread.Ready(c)); err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string][]api.TaskOption{
		"wants CPU 1 and is to run in bundle 0 of": {api.InBundle(pg, 0)},
		"which has 1":        {api.InBundle(pg, 0), api.NumCPUs(0), gpus(2)},
		"has bundles 0 to 0": {api.InBundle(pg, 1)},
		"NewPlacementGroup":  {api.InBundle(nil, 0)},
	} {
		if _, err := squareFunc.Options(o...).Remote(c, 1).Get(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: not %q", err, want)
		}
	}
	if v, err := squareFunc.Options(api.InBundle(pg, 0), api.NumCPUs(0)).Remote(c, 3).Get(c); v != 9 || err != nil {
		t.Error(v, err)
	}
}

// TestRemovedPlacementGroup: what runs in it ends, with an error that says so, and what it held is given back then.
func TestRemovedPlacementGroup(t *testing.T) {
	for name, c := range map[string]context.Context{"here": start(t, gpus(2)), "in a worker": startIsolated(t)} {
		res, have := gpus(1), 2.0
		b := api.Bundle{"gpu": 1}
		if name != "here" {
			res, have = api.Resources(nil), 4
			b = api.Bundle{"CPU": 2}
		}
		pg := newGroup(t, c, b)
		in, cpus := api.InBundle(pg, 0), api.NumCPUs(0)
		if name != "here" {
			cpus = api.NumCPUs(2)
		}
		file := t.TempDir() + "/heeds"
		runs := heedsEnd.Options(in, res, cpus).Remote(c, file)
		waitFile(t, c, file+".begin")
		waits := squareFunc.Options(in, res, cpus).Remote(c, 1)
		actor := newCounterAt.Options(api.InBundle(pg, 0)).Remote(c, 1)
		if err := actor.Ready(c); err != nil {
			t.Fatal(name, err)
		}
		if err := pg.Remove(c); err != nil {
			t.Fatal(name, err)
		}
		late := squareFunc.Options(in, cpus).Remote(c, 1)
		for _, r := range []api.Ref[int]{runs, waits, late} {
			_, err := r.Get(c)
			var never *api.UnschedulableError
			if !errors.As(err, &never) || !strings.Contains(err.Error(), "was removed") {
				t.Error(name, err)
			}
		}
		waitFile(t, c, file+".end")
		var dead *api.ActorDiedError
		for {
			_, err := add.Remote(c, actor, 1).Get(c)
			if errors.As(err, &dead) {
				break
			}
			if c.Err() != nil {
				t.Fatal(name, err)
			}
		}
		if name == "here" {
			available(t, c, "gpu", have)
		}
		available(t, c, "CPU", 4)
	}
}

// TestReservedCPUs: CPUs of placed tasks are reserved, parts of them too, and one that waits for another does not hold it up.
func TestReservedCPUs(t *testing.T) {
	c := start(t, api.NumCPUs(2))
	pg := newGroup(t, c, api.Bundle{"CPU": 1.5})
	if err := pg.Ready(c); err != nil {
		t.Fatal(err)
	}
	available(t, c, "CPU", 0.5)
	placed := newGroup(t, c, api.Bundle{"CPU": 1})
	notReady(t, c, placed)
	if err := pg.Remove(c); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(placed.Ready(c), placed.Remove(c)); err != nil {
		t.Fatal(err)
	}
	if v, err := nestsPlaced.Remote(c, 12).Get(c); v != 12 || err != nil {
		t.Error(v, err)
	}
}

// nestsPlaced waits for a placed task that does so in turn.
var nestsPlaced *api.RemoteFunc1[int, int]

func init() {
	nestsPlaced = api.Func1(func(c context.Context, n int) (int, error) {
		if n == 0 {
			return 0, nil
		}
		v, err := nestsPlaced.Remote(c, n-1).Get(c)
		return v + 1, err
	}, api.RegisterAs("test.nestsPlaced"), api.Spread())
}

// slowCounter is made once a file is there; it does not heed its context.
var slowCounter = api.Class1(func(_ context.Context, gate string) (*counter, error) {
	os.WriteFile(gate+".begin", nil, 0o600)
	_, err := waitsForFile(context.Background(), gate)
	return &counter{}, err
}, api.RegisterAs("test.slowCounter"))

// TestRemovedWhileAnActorIsMade: an actor whose group is removed before it has been made does not live, also where nobody
// refers to it any more, and gives back what it held.
func TestRemovedWhileAnActorIsMade(t *testing.T) {
	for name, c := range map[string]context.Context{"here": start(t), "in a worker": startIsolated(t)} {
		gate, open := fileGate(t)
		pg := newGroup(t, c, api.Bundle{"CPU": 2})
		a := slowCounter.Options(api.InBundle(pg, 0), api.NumCPUs(2)).Remote(c, gate)
		waitFile(t, c, gate+".begin")
		if err := pg.Remove(c); err != nil {
			t.Fatal(name, err)
		}
		var never *api.UnschedulableError
		if err := a.Ready(c); !errors.As(err, &never) {
			t.Error(name, err)
		}
		available(t, c, "CPU", 2)
		open()
		available(t, c, "CPU", 4)
	}
}
