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

// early is how many tasks of the driver "outlive" have ended when the test kills a node.
const early = stolenTasks / 3

func init() {
	drivers["outlive"] = attached(outlive)
	drivers["make again"] = attached(makeAgain)
}

// outlive floods the cluster and has a node killed meanwhile.
func outlive(ctx context.Context, s *testbed.Stage) error {
	var refs []api.Ref[Where]
	for range stolenTasks {
		refs = append(refs, WhereAfter.Remote(ctx, taskWork))
	}
	ready, _, err := api.Wait(ctx, refs, api.NumReturns(early))
	if err != nil {
		return err
	}
	soon, err := api.GetAll(ctx, ready)
	if err != nil {
		return err
	}
	if err := s.Say(soon); err != nil {
		return err
	}
	all, err := api.GetAll(ctx, refs)
	if err != nil {
		return err
	}
	return s.Say(all)
}

// TestThiefKilled kills a node that runs stolen tasks: each task gives one result.
func TestThiefKilled(t *testing.T) {
	needTime(t)
	bed := testbed.New(t)
	var nodes []*testbed.Node
	for range 3 {
		nodes = append(nodes, bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1"}}))
	}
	testbed.AwaitMembers(nodes...)
	d := nodes[0].Driver("outlive")
	var soon, all []Where
	d.Hear(&soon)
	victim := nodes[1]
	if !ranOn(soon, victim) {
		victim = nodes[2]
	}
	if !ranOn(soon, victim) {
		t.Fatalf("no thief has run any of %d tasks", len(soon))
	}
	victim.Kill()
	d.Hear(&all)
	seen := map[string]bool{}
	again := 0
	for _, w := range all {
		if seen[w.Task] {
			t.Errorf("task %s gave two results", w.Task)
		}
		seen[w.Task] = true
		if w.Attempt > 0 {
			again++
		}
	}
	if len(all) != stolenTasks || again == 0 {
		t.Errorf("%d results of %d tasks, %d of second attempts", len(all), stolenTasks, again)
	}
	t.Logf("%d tasks ran again", again)
	d.Succeed(10 * time.Second)
}

func ranOn(all []Where, n *testbed.Node) bool {
	for _, w := range all {
		if w.Node == n.ID {
			return true
		}
	}
	return false
}

// chained makes a block of another one.
func chained(_ context.Context, b []byte) ([]byte, error) {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0x5a
	}
	return out, nil
}

var Chained = api.Func1(chained)

// Kin is a value that refers to what its task made beside it.
type Kin struct {
	Filled api.Array[byte]
	Put    api.Ref[[]byte]
	In     api.Ref[[]api.Ref[[]byte]]
}

func makeKin(ctx context.Context, n int) (k Kin, err error) {
	if k.Filled, err = api.ArrayOf(ctx, pattern(n, 3)); err != nil {
		return k, err
	}
	if k.Put, err = api.Put(ctx, pattern(n, 4)); err != nil {
		return k, err
	}
	in, err := api.Put(ctx, pattern(n, 5))
	if err != nil {
		return k, err
	}
	k.In, err = api.Put(ctx, []api.Ref[[]byte]{in})
	return k, err
}

var MakeKin = api.Func1(makeKin)

// checkKin reads all of it. Its result is in no message: what it refers to was lost, and it was not.
func checkKin(ctx context.Context, r api.Ref[Kin]) error {
	k, err := r.Get(ctx)
	if err != nil {
		return fmt.Errorf("a value with an Array that was lost: %w", err)
	}
	put, err := k.Put.Get(ctx)
	if err != nil {
		return fmt.Errorf("what the task had put: %w", err)
	}
	in, err := k.In.Get(ctx)
	if err != nil {
		return fmt.Errorf("what the task had put with a reference inside: %w", err)
	}
	last, err := in[0].Get(ctx)
	if err != nil {
		return fmt.Errorf("what that refers to: %w", err)
	}
	for i, b := range [][]byte{k.Filled.Data(), put, last} {
		if digest(b) != digest(pattern(blockSize, 3+i)) {
			return fmt.Errorf("further object %d that was made again is another one", i)
		}
	}
	return nil
}

// makeAgain makes objects on a node that the test then kills, and gets them.
func makeAgain(ctx context.Context, s *testbed.Stage) error {
	node := ""
	if err := s.Hear(&node); err != nil {
		return err
	}
	there, elsewhere := api.OnNode(api.NodeID(node), false), api.OnNode(api.NodeID(node), true)
	first := Block.Options(elsewhere).Remote(ctx, blockSize, 1)
	second := Chained.Options(elsewhere).With(ctx, first)
	kin := MakeKin.Options(elsewhere).Remote(ctx, blockSize)
	if _, _, err := api.Wait(ctx, []api.Ref[Kin]{kin}); err != nil {
		return err
	}
	bound := Block.Options(there).Remote(ctx, blockSize, 2)
	ready, rest, err := api.Wait(ctx, []api.Ref[[]byte]{first, second, bound}, api.NumReturns(3))
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("making: %d of 3 are there, %w", len(ready), err)
	}
	if err := s.Say("made"); err != nil {
		return err
	}
	if err := s.Hear(&node); err != nil {
		return err
	}
	got, err := second.Get(ctx)
	if err != nil {
		return fmt.Errorf("an object of an object, both lost: %w", err)
	}
	want, _ := chained(ctx, pattern(blockSize, 1))
	if digest(got) != digest(want) {
		return errors.New("the object that was made again is another one")
	}
	for range 2 { // the second time it is there
		if err := checkKin(ctx, kin); err != nil {
			return err
		}
	}
	_, err = bound.Get(ctx)
	if err == nil || ctx.Err() != nil {
		return fmt.Errorf("an object that only the dead node may make: %w", err)
	}
	return s.Say(err.Error())
}

// TestObjectMadeAgain kills the node with the only copies of objects: their owner makes them again, or says
// why it cannot.
func TestObjectMadeAgain(t *testing.T) {
	bed := testbed.New(t)
	home := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1"}})
	away := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1"}})
	testbed.AwaitMembers(home, away)
	d := home.Driver("make again")
	var said string
	d.Tell(away.ID)
	d.Hear(&said)
	if s := away.Status(); s.Store.Bytes < 6*blockSize {
		t.Fatalf("the store of the node has %+v, and six blocks were made there", s.Store)
	}
	if s := home.Status(); s.Store.Bytes >= blockSize {
		t.Fatalf("the store of the driver's node has %+v: not the only copies", s.Store)
	}
	away.Kill()
	d.Tell(away.ID)
	d.Hear(&said)
	if !testbed.Says(said, away.ID) && !testbed.Says(said, "lost") {
		t.Errorf("the error does not tell what is lost: %s", said)
	}
	d.Succeed(10 * time.Second)
}
