package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// Placed is what the driver "place" saw: how many tasks ran on each node.
type Placed struct {
	X, Spread map[string]int // with label zone=x; spread
	Actor     string         // the node of an actor with label zone=y
	None      string         // the error about a label that no node has
	Named     map[string]int // on the node that the test names
	Only      map[string]int // with half of a resource that one node has
	Never     string         // the error about more of it than that has
	Wide      string         // and about more CPUs
	Together  map[string]int // four with half a CPU each, which wait for each other, on a node of two
}

func init() {
	drivers["place"] = attached(func(ctx context.Context, s *testbed.Stage) (err error) {
		var out Placed
		if out.X, err = nodesOf(ctx, 30, api.OnLabels(map[string]string{"zone": "x"})); err != nil {
			return err
		}
		if out.Spread, err = nodesOf(ctx, 30, api.Spread()); err != nil {
			return err
		}
		y := api.OnLabels(map[string]string{"zone": "y", "disk": "ssd"})
		where, err := WhereIs.Remote(ctx, NewSpot.Options(y).Remote(ctx)).Get(ctx)
		if err != nil {
			return err
		}
		out.Actor = where.Node
		_, err = nodesOf(ctx, 1, api.OnLabels(map[string]string{"zone": "z"}))
		var nowhere *api.UnschedulableError
		if !errors.As(err, &nowhere) {
			return fmt.Errorf("a label that no node has: %w", err)
		}
		out.None = err.Error()
		var there string
		if err := s.Hear(&there); err != nil {
			return err
		}
		named := api.OnNode(api.NodeID(there), false)
		if out.Named, err = nodesOf(ctx, 5, named); err != nil {
			return err
		}
		tpu := func(n float64) api.TaskOption { return api.Resources(map[string]float64{"tpu": n}) }
		if out.Only, err = nodesOf(ctx, 5, tpu(0.5)); err != nil {
			return err
		}
		for text, o := range map[*string]api.TaskOption{&out.Never: tpu(3), &out.Wide: api.NumCPUs(16)} {
			_, err := nodesOf(ctx, 1, o)
			if !errors.As(err, &nowhere) {
				return fmt.Errorf("what no node has: %w", err)
			}
			*text = err.Error()
		}
		if out.Together, err = together(ctx, 4, named, api.NumCPUs(0.5)); err != nil {
			return err
		}
		return s.Say(out)
	})
}

// Meet returns when so many of its kind run that have the same folder.
var Meet = api.Func2(func(ctx context.Context, folder string, n int) (Where, error) {
	f, err := os.CreateTemp(folder, "")
	if err != nil {
		return Where{}, err
	}
	f.Close()
	for ctx.Err() == nil {
		if l, err := os.ReadDir(folder); err != nil || len(l) == n {
			w, err2 := here(ctx)
			return w, errors.Join(err, err2)
		}
		time.Sleep(time.Millisecond)
	}
	return Where{}, ctx.Err()
}, api.RegisterAs("testbed.Meet"))

// together counts where n tasks run that all run at the same time.
func together(ctx context.Context, n int, o ...api.TaskOption) (map[string]int, error) {
	folder, err := os.MkdirTemp("", "k")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	var refs []api.Ref[Where]
	for range n {
		refs = append(refs, Meet.Options(o...).Remote(ctx, folder, n))
	}
	return countNodes(ctx, refs)
}

// nodesOf counts where n tasks run.
func nodesOf(ctx context.Context, n int, o api.TaskOption) (map[string]int, error) {
	f := WhereAfter.Options(o)
	var refs []api.Ref[Where]
	for range n {
		refs = append(refs, f.Remote(ctx, time.Millisecond))
	}
	return countNodes(ctx, refs)
}

func countNodes(ctx context.Context, refs []api.Ref[Where]) (map[string]int, error) {
	all, err := api.GetAll(ctx, refs)
	if err != nil {
		return nil, err
	}
	on := map[string]int{}
	for _, w := range all {
		on[w.Node]++
	}
	return on, nil
}

func TestPlacing(t *testing.T) {
	bed := testbed.New(t)
	var nodes []*testbed.Node
	for _, args := range [][]string{{"--labels", "zone=x"}, {"--labels", "zone=x,disk=ssd"}, {"--labels", "zone=y,disk=ssd", "--resources", "tpu=1,gpu=2"}} {
		nodes = append(nodes, bed.StartNode(testbed.NodeConfig{Args: append([]string{"--cpus", "2"}, args...)}))
	}
	testbed.AwaitMembers(nodes...)
	bed.Sub(t, "Options", func(t *testing.T) { checkPlaced(t, nodes) })
	bed.Sub(t, "LastGPU", func(t *testing.T) { checkFight(t, nodes) })
	bed.Sub(t, "Removed", func(t *testing.T) { checkFlicker(t, nodes) })
	bed.Sub(t, "DriverKilled", func(t *testing.T) { checkReservationOfTheDead(t, nodes) })
	bed.Sub(t, "NodeKilled", func(t *testing.T) { checkReservationLost(t, nodes) })
}

// checkPlaced checks where the driver "place" found tasks to run.
func checkPlaced(t *testing.T, nodes []*testbed.Node) {
	a, b, c := nodes[0].ID, nodes[1].ID, nodes[2].ID
	d := nodes[2].Driver("place") // where zone=x is not
	var out Placed
	d.Tell(a)
	d.Hear(&out)
	d.Succeed(time.Minute)
	if out.X[a]+out.X[b] != 30 || out.X[a] == 0 || out.X[b] == 0 {
		t.Errorf("tasks with zone=x ran on %v; it is the label of %s and %s", out.X, a, b)
	}
	if out.Spread[a] != 10 || out.Spread[b] != 10 || out.Spread[c] != 10 {
		t.Errorf("30 spread tasks ran on %v", out.Spread)
	}
	if out.Actor != c {
		t.Errorf("an actor with zone=y and disk=ssd is on %s, not on %s", out.Actor, c)
	}
	if !testbed.Says(out.None, "label zone=z") || !testbed.Says(out.None, "nodes have x, y") {
		t.Errorf("a label that no node has: %s", out.None)
	}
	if out.Named[a] != 5 || out.Only[c] != 5 || out.Together[a] != 4 {
		t.Errorf("of the node %s: %v; of the one with a resource, %s: %v; with half a CPU of %s: %v", a, out.Named, c, out.Only, a, out.Together)
	}
	if !testbed.Says(out.Never, "tpu 3 (the most a node has is 1)") || !testbed.Says(out.Wide, "CPU 16 (the most a node has is 2)") {
		t.Errorf("what no node has: %s; %s", out.Never, out.Wide)
	}
}
