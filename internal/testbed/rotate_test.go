package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// rotateWithin bounds what a node takes to go by a token file that has changed.
const rotateWithin = 30 * time.Second

func init() { drivers["busy"] = attached(busy) }

// busy has all nodes run tasks and actors, and pulls what they make. Nothing is tried twice. It says how many rounds
// there were whenever it is told "how far", until it is told another word.
func busy(ctx context.Context, s *testbed.Stage) error {
	var nodes []string
	if err := s.Hear(&nodes); err != nil {
		return err
	}
	var actors []api.Actor[Spot]
	for _, n := range nodes {
		actors = append(actors, NewSpot.Options(api.OnNode(api.NodeID(n), false)).Remote(ctx))
	}
	told := make(chan string)
	go func() {
		for {
			var word string
			if err := s.Hear(&word); err != nil {
				word = err.Error()
			}
			told <- word
		}
	}()
	for round := 1; ; round++ {
		for i, n := range nodes {
			if err := visit(ctx, n, actors[i], round); err != nil {
				return fmt.Errorf("round %d, node %s: %w", round, n, err)
			}
		}
		select {
		case word := <-told:
			if word != "how far" {
				return nil
			}
			if err := s.Say(round); err != nil {
				return err
			}
		default:
		}
	}
}

// visit has a node run a task, make a block that is pulled, and run a call of its actor.
func visit(ctx context.Context, n string, actor api.Actor[Spot], round int) error {
	const size = 1 << 18
	at := []api.TaskOption{api.OnNode(api.NodeID(n), false), api.MaxRetries(0)}
	task := WhereAfter.Options(at...).Remote(ctx, time.Millisecond)
	block := Block.Options(at...).Remote(ctx, size, round)
	call := WhereIs.Remote(ctx, actor)
	where, err := task.Get(ctx)
	if err == nil && where.Node != n {
		err = fmt.Errorf("a task ran on %s", where.Node)
	}
	made, err2 := block.Get(ctx)
	if err2 == nil && digest(made) != digest(pattern(size, round)) {
		err2 = errors.New("a block came damaged")
	}
	called, err3 := call.Get(ctx)
	if err3 == nil && called.Count != round {
		err3 = fmt.Errorf("call %d of an actor was its %dth", round, called.Count)
	}
	return errors.Join(err, err2, err3)
}

// proved waits until every node has proved the newest token to all others.
func proved(t *testing.T, nodes []*testbed.Node) {
	t.Helper()
	for _, n := range nodes {
		var s testbed.Status
		testbed.Until(t, rotateWithin, func() bool {
			s = n.Status()
			return !slices.ContainsFunc(s.Members, func(m testbed.Member) bool { return m.ID != n.ID && m.Token != s.Tokens[0] })
		}, func() string { return fmt.Sprintf("%s, whose token is %s, sees %+v", n.Name, s.Tokens[0], s.Members) })
	}
}

// TestRotation changes the token of three nodes that run, while they work: no task and no call fails. Then a node with
// the old token is refused, and no token is to be found anywhere but in its file.
func TestRotation(t *testing.T) {
	testbed.NotAgain(t)
	needTime(t)
	bed := testbed.New(t)
	before, after := newToken(t, bed), newToken(t, bed)
	file := func(i int, tokens ...string) string {
		return bed.File(fmt.Sprint("token", i), strings.Join(tokens, "\n"), 0o600)
	}
	var nodes []*testbed.Node
	for i := range 3 {
		c := testbed.NodeConfig{Place: testbed.Place{Runtime: bed.Folder(fmt.Sprint("r", i))}, Args: []string{"--cpus", "1", "--no-mdns", "--listen", "127.0.0.1:0"}}
		if path := file(i, before); i == 0 {
			c.Env = []string{"KADRE_TOKEN_FILE=" + path}
		} else {
			c.Args = append(c.Args, "--token-file", path, "--join", nodes[0].Addr())
		}
		nodes = append(nodes, bed.StartNode(c))
	}
	testbed.AwaitMembers(nodes...)
	var ids []string
	for _, n := range nodes {
		ids = append(ids, n.ID)
	}
	d := nodes[1].Driver("busy")
	d.Tell(ids)
	rounds := func() (n int) {
		d.Tell("how far")
		d.Hear(&n)
		return n
	}
	rounds()
	for _, tokens := range [][]string{{before, after}, {after, before}, {after}} {
		was := nodes[0].Status().Tokens
		for i := range nodes {
			file(i, tokens...)
		}
		for _, n := range nodes {
			var now []string
			testbed.Until(t, rotateWithin, func() bool {
				now = n.Status().Tokens
				return len(now) == len(tokens) && !slices.Equal(now, was)
			}, func() string { return fmt.Sprintf("%s goes by %v after %v", n.Name, now, was) })
		}
		for target := rounds() + 2; rounds() < target; {
		}
	}
	proved(t, nodes)
	done := rounds()
	old := bed.Launch(testbed.NodeConfig{Place: testbed.Place{Runtime: bed.Folder("r3")}, Args: []string{"--no-mdns",
		"--listen", "127.0.0.1:0", "--token-file", file(3, before), "--join", nodes[0].Addr()}})
	if why := old.Refused(rotateWithin); !testbed.Says(why, "different cluster tokens") {
		t.Errorf("a node with the old token ended with:\n%s", why)
	}
	noSecret(t, bed, nodes, before, after)
	d.Tell("stop")
	d.Succeed(time.Minute)
	for _, n := range nodes {
		ups := 0
		for _, e := range n.Events() {
			switch {
			case e.Layer == "p2p" && e.Kind == "up":
				ups++
			case e.Layer == "p2p" && e.Kind == "down":
				t.Errorf("%s: %+v", n.Name, e)
			}
		}
		if ups < len(nodes)-1 {
			t.Errorf("%s has %d events of members", n.Name, ups)
		}
	}
	t.Logf("%d rounds", done)
}
