package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// Reserved are what runs in the placement group of the driver "reserve".
type Reserved struct {
	Task, Actor Where
}

// Lost is what becomes of what the driver "reserve" has on a node that ends.
type Lost struct {
	Ready, Held, Late string // of the group: it, a task that ran, one that is submitted later
	Hard, At, After   string // of OnNode: a task that ran, one submitted while nobody knows, one submitted later
	Actor             string
	Soft              string // the node where a task ran that prefers the one that is gone
	Other             string // the error of a group that only that node could have
}

func init() {
	drivers["reserve"] = attached(reserve)
	drivers["fight"] = attached(fight)
	drivers["flicker"] = attached(flicker)
}

// kindOf names an error's type before its text.
func kindOf(err error) string {
	var never *api.UnschedulableError
	var dead *api.ActorDiedError
	switch {
	case errors.As(err, &never):
		return "unschedulable: " + err.Error()
	case errors.As(err, &dead):
		return "actor died: " + err.Error()
	}
	return fmt.Sprint(err)
}

// reserve makes a group that lands on another node, has a task and an actor in processes there, and waits to be killed, or for
// the end of that node.
func reserve(ctx context.Context, s *testbed.Stage) error {
	bundles := []api.Bundle{{"gpu": 1, "CPU": 1}, {"gpu": 1}}
	pg, err := api.NewPlacementGroup(ctx, bundles, api.StrategyPack)
	if err == nil {
		err = pg.Ready(ctx)
	}
	if err != nil {
		return err
	}
	var r Reserved
	if r.Task, err = WhereAfter.Options(api.InBundle(pg, 0)).Remote(ctx, 0).Get(ctx); err != nil {
		return err
	}
	spot := NewSpot.Options(api.InBundle(pg, 1), api.OwnProcess()).Remote(ctx)
	if r.Actor, err = WhereIs.Remote(ctx, spot).Get(ctx); err != nil {
		return err
	}
	there := api.NodeID(r.Task.Node)
	held, hard := Hold.Options(api.InBundle(pg, 0)).Remote(ctx), Hold.Options(api.OnNode(there, false), api.NumCPUs(0)).Remote(ctx)
	if err := errors.Join(s.Say(r), s.Hear(&struct{}{})); err != nil {
		return err
	}
	late := func(o ...api.TaskOption) (Where, error) { return WhereAfter.Options(o...).Remote(ctx, 0).Get(ctx) }
	var l Lost
	_, err = late(api.OnNode(there, false))
	l.At = kindOf(err)
	_, err = held.Get(ctx)
	l.Held = kindOf(err)
	_, err = hard.Get(ctx)
	l.Hard = kindOf(err)
	_, err = WhereIs.Remote(ctx, spot).Get(ctx)
	l.Actor, l.Ready = kindOf(err), kindOf(pg.Ready(ctx))
	_, err = late(api.InBundle(pg, 0))
	l.Late = kindOf(err)
	_, err = late(api.OnNode(there, false))
	l.After = kindOf(err)
	w, err := late(api.OnNode(there, true))
	if err != nil {
		return err
	}
	l.Soft = w.Node
	_, err = api.NewPlacementGroup(ctx, bundles, api.StrategyPack)
	l.Other = kindOf(err)
	return errors.Join(pg.Remove(ctx), s.Say(l))
}

// fightRounds is how often each of two drivers takes what there is once.
const fightRounds = 5

// Alone fails while another runs with the same file.
var Alone = api.Func1(func(_ context.Context, file string) (int, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	time.Sleep(5 * time.Millisecond) // its work
	return 1, errors.Join(f.Close(), os.Remove(file))
}, api.RegisterAs("testbed.Alone"))

// fight takes both GPUs again and again, in a group and with a task.
func fight(ctx context.Context, s *testbed.Stage) error {
	var file string
	if err := s.Hear(&file); err != nil {
		return err
	}
	both := api.Resources(map[string]float64{"gpu": 2})
	for range fightRounds {
		pg, err := api.NewPlacementGroup(ctx, []api.Bundle{{"gpu": 1, "CPU": 1}, {"gpu": 1}}, api.StrategyPack)
		if err != nil {
			return err
		}
		inside := Alone.Options(api.InBundle(pg, 0)).Remote(ctx, file)
		outside := Alone.Options(both).Remote(ctx, file) // after this group, or that of the other driver
		if _, err := inside.Get(ctx); err != nil {
			return err
		}
		if err := pg.Remove(ctx); err != nil {
			return err
		}
		if _, err := outside.Get(ctx); err != nil {
			return err
		}
	}
	return s.Say(fightRounds)
}

// flicker removes groups while what is to run in them is on its way there, being made, or running.
func flicker(ctx context.Context, s *testbed.Stage) error {
	var never *api.UnschedulableError
	var dead *api.ActorDiedError
	for i := range 20 {
		pg, err := api.NewPlacementGroup(ctx, []api.Bundle{{"gpu": 1, "CPU": 1}, {"gpu": 1}}, api.StrategyPack)
		if err != nil {
			return err
		}
		var waits error
		if i%2 == 0 {
			waits = pg.Ready(ctx)
		}
		task := WhereAfter.Options(api.InBundle(pg, 0)).Remote(ctx, 0)
		held := Hold.Options(api.InBundle(pg, 0)).Remote(ctx)
		spot := NewSpot.Options(api.InBundle(pg, 1), api.NumCPUs(0)).Remote(ctx)
		calls := WhereIs.Remote(ctx, spot)
		if i%4 == 0 {
			_, waits = task.Get(ctx)
		}
		if err := errors.Join(waits, pg.Remove(ctx)); err != nil {
			return err
		}
		if _, err := task.Get(ctx); err != nil && !errors.As(err, &never) {
			return fmt.Errorf("a task, round %d: %w", i, err)
		}
		if _, err := held.Get(ctx); !errors.As(err, &never) {
			return fmt.Errorf("one that runs on, round %d: %w", i, err)
		}
		if _, err := calls.Get(ctx); err != nil && !errors.As(err, &dead) {
			return fmt.Errorf("a call, round %d: %w", i, err)
		}
	}
	return errors.Join(s.Say(20), s.Hear(&struct{}{}))
}

// checkFlicker: groups that are removed at any moment leave nothing reserved.
func checkFlicker(t *testing.T, nodes []*testbed.Node) {
	d := nodes[0].Driver("flicker")
	var n int
	d.Hear(&n)
	awaitNoGroups(t, nodes[2]) // while its driver lives
	d.Tell(struct{}{})
	d.Succeed(20 * time.Second)
}

// checkFight: two drivers that want all of a resource get it in turn.
func checkFight(t *testing.T, nodes []*testbed.Node) {
	file := nodes[0].StateDir + "/alone"
	ds := []*testbed.Process{nodes[0].Driver("fight"), nodes[1].Driver("fight")}
	for _, d := range ds {
		d.Tell(file)
	}
	for _, d := range ds {
		var n int
		if d.Hear(&n); n != fightRounds {
			t.Errorf("%s had it %d times", d.Name, n)
		}
		d.Succeed(time.Minute)
	}
	awaitNoGroups(t, nodes[2])
}

// awaitNoGroups waits until no node has a placement group, and all GPUs are free.
func awaitNoGroups(t *testing.T, n *testbed.Node) {
	t.Helper()
	var rows []map[string]any
	var s testbed.Status
	testbed.Until(t, 20*time.Second, func() bool {
		s = n.Status()
		rows = n.Groups()
		return len(rows) == 0 && s.Available["gpu"] == 2
	}, func() string { return fmt.Sprintf("groups %v, available %v", rows, s.Available) })
}

// checkReservationOfTheDead: what a driver had reserved on another node is free when it was killed, and what ran there ends.
func checkReservationOfTheDead(t *testing.T, nodes []*testbed.Node) {
	d := nodes[0].Driver("reserve")
	var r Reserved
	d.Hear(&r)
	if g := nodes[1].Groups(); r.Task.Node != nodes[2].ID || r.Actor.Node != nodes[2].ID || len(g) != 1 {
		t.Fatalf("not reserved on %s: %+v, %v", nodes[2].ID, r, g)
	}
	d.Kill()
	awaitKilled(t, r.Task.PID, r.Actor.PID)
	awaitNoGroups(t, nodes[2])
}

// checkReservationLost: the end of a group's node is an error of all that was to run there, and no hang.
func checkReservationLost(t *testing.T, nodes []*testbed.Node) {
	d := nodes[0].Driver("reserve")
	var r Reserved
	d.Hear(&r)
	nodes[2].Kill()
	d.Tell(struct{}{})
	var l Lost
	d.Hear(&l)
	d.Succeed(time.Minute)
	for what, x := range map[string]struct{ got, want string }{
		"Ready":                      {l.Ready, "unschedulable: "},
		"a task in the group":        {l.Held, "unschedulable: "},
		"a later one":                {l.Late, "unschedulable: "},
		"an actor in the group":      {l.Actor, "actor died: "},
		"OnNode, running":            {l.Hard, "unschedulable: "},
		"OnNode, while it dies":      {l.At, "unschedulable: "},
		"OnNode, afterwards":         {l.After, "unschedulable: "},
		"a group for that node only": {l.Other, "unschedulable: "},
	} {
		if !strings.HasPrefix(x.got, x.want) {
			t.Errorf("%s: %s", what, x.got)
		}
	}
	if l.Soft != nodes[0].ID && l.Soft != nodes[1].ID {
		t.Errorf("OnNode, soft: on %s", l.Soft)
	}
}
