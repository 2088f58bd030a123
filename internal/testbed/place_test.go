package testbed_test

import (
	"context"
	"errors"
	"fmt"
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
		return s.Say(out)
	})
}

// nodesOf counts where n tasks run.
func nodesOf(ctx context.Context, n int, o api.TaskOption) (map[string]int, error) {
	f := WhereAfter.Options(o)
	var refs []api.Ref[Where]
	for range n {
		refs = append(refs, f.Remote(ctx, time.Millisecond))
	}
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

func TestLabelsAndSpread(t *testing.T) {
	bed := testbed.New(t)
	var nodes []*testbed.Node
	for _, labels := range []string{"zone=x", "zone=x,disk=ssd", "zone=y,disk=ssd"} {
		nodes = append(nodes, bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2", "--labels", labels}}))
	}
	testbed.AwaitMembers(nodes...)
	a, b, c := nodes[0].ID, nodes[1].ID, nodes[2].ID
	d := nodes[2].Driver("place") // where zone=x is not
	var out Placed
	d.Hear(&out)
	d.Succeed(20 * time.Second)
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
}
