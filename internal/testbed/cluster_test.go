package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// Tour is what the driver "tour" says after each round through the nodes.
type Tour struct {
	Tasks, Actors map[string]Where // by node
	Free          []Where          // tasks without a place
	PID           int

	ActorDied, Unschedulable string // errors about the node that is gone
}

func init() { drivers["tour"] = attached(tour) }

// tour goes through all nodes, and once more when the test has killed the node that it names.
func tour(ctx context.Context, s *testbed.Stage) error {
	nodes, err := api.Nodes(ctx)
	if err != nil {
		return err
	}
	spots := map[string]api.Actor[Spot]{}
	for _, n := range nodes {
		spots[string(n.ID)] = NewSpot.Options(api.OnNode(n.ID, false)).Remote(ctx)
	}
	out, err := round(ctx, spots)
	if err != nil {
		return err
	}
	if err := s.Say(out); err != nil {
		return err
	}

	var killed string
	if err := s.Hear(&killed); err != nil {
		return err
	}
	lost := spots[killed]
	delete(spots, killed)
	if out, err = round(ctx, spots); err != nil {
		return fmt.Errorf("after a node was killed: %w", err)
	}
	_, err = WhereIs.Remote(ctx, lost).Get(ctx)
	var died *api.ActorDiedError
	if !errors.As(err, &died) {
		return fmt.Errorf("calling an actor of the killed node: %w", err)
	}
	out.ActorDied = err.Error()
	_, err = WhereAfter.Options(api.OnNode(api.NodeID(killed), false)).Remote(ctx, 0).Get(ctx)
	var nowhere *api.UnschedulableError
	if !errors.As(err, &nowhere) {
		return fmt.Errorf("placing a task on the killed node: %w", err)
	}
	out.Unschedulable = err.Error()
	return s.Say(out)
}

// round runs a task and calls an actor on each node, and some tasks anywhere.
func round(ctx context.Context, spots map[string]api.Actor[Spot]) (out Tour, err error) {
	out.Tasks, out.Actors = map[string]Where{}, map[string]Where{}
	for n, spot := range spots {
		if out.Tasks[n], err = WhereAfter.Options(api.OnNode(api.NodeID(n), false)).Remote(ctx, 0).Get(ctx); err != nil {
			return out, err
		}
		if out.Actors[n], err = WhereIs.Remote(ctx, spot).Get(ctx); err != nil {
			return out, err
		}
	}
	var refs []api.Ref[Where]
	for range 20 {
		refs = append(refs, WhereAfter.Remote(ctx, time.Millisecond))
	}
	out.Free, err = api.GetAll(ctx, refs)
	return out, err
}

// places starts three nodes in namespaces of their own, with folders of their own and one token, joined by
// one address.
func places(t *testing.T) (bed *testbed.Bed, spaces []*testbed.Namespace, nodes []*testbed.Node) {
	spaces = testbed.Bridge(t, 5)
	bed = testbed.New(t)
	token := bed.Token("token")
	for i, ns := range spaces[:3] {
		c := testbed.NodeConfig{Place: testbed.Place{NS: ns, Runtime: bed.Folder(fmt.Sprint("r", i))}, Args: []string{"--cpus", "1", "--token-file", token, "--no-mdns"}}
		if i > 0 {
			c.Args = append(c.Args, "--join", nodes[0].Addr())
		}
		nodes = append(nodes, bed.StartNode(c))
	}
	testbed.AwaitMembers(nodes...)
	return bed, spaces, nodes
}

func TestNamespaces(t *testing.T) {
	bed, spaces, nodes := places(t)
	for i, n := range nodes[1:] {
		s := n.Status()
		for j, other := range nodes {
			want := "member"
			if j == 0 {
				want = "join"
			}
			if m := s.Member(other.ID); other != n && (m.Found != want || m.Via != "tcp" || m.State != "alive") {
				t.Errorf("node %d says of node %d: %+v; want found by %s, via tcp, alive", i+1, j, m, want)
			}
		}
	}

	admission(t, bed, spaces[3:], nodes[0])

	d := nodes[1].Driver("tour")
	var out Tour
	d.Hear(&out)
	checkTour(t, &out, d.PID, 1, nodes...)

	nodes[0].Kill()
	d.Tell(nodes[0].ID)
	out = Tour{}
	d.Hear(&out)
	checkTour(t, &out, d.PID, 2, nodes[1:]...)
	if !testbed.Says(out.Unschedulable, nodes[0].ID) {
		t.Errorf("the error does not name the node that is gone: %s", out.Unschedulable)
	}
	d.Succeed(10 * time.Second)
}

// checkTour checks that every node was itself, in processes of its own, and that the actors have counted.
func checkTour(t *testing.T, out *Tour, driver, calls int, nodes ...*testbed.Node) {
	t.Helper()
	seen := map[int]string{}
	for i, n := range nodes {
		task, actor := out.Tasks[n.ID], out.Actors[n.ID]
		if task.Node != n.ID || actor.Node != n.ID {
			t.Errorf("node %d: the task ran on %s, the actor on %s", i, task.Node, actor.Node)
		}
		if actor.Count != calls {
			t.Errorf("node %d: the actor counts %d calls instead of %d", i, actor.Count, calls)
		}
		if task.PID == n.PID || seen[task.PID] != "" {
			t.Errorf("node %d: task in process %d, the node's or that of %q", i, task.PID, seen[task.PID])
		}
		seen[task.PID] = n.ID
	}
	if seen[driver] == "" {
		t.Errorf("nothing ran in the driver %d but in %v", driver, seen)
	}
	for _, w := range out.Free {
		if seen[w.PID] != w.Node {
			t.Errorf("a task ran in process %d of node %s; processes: %v", w.PID, w.Node, seen)
		}
	}
}

// admission checks that a node without the right token is turned away, and that both sides say so: the member says it of
// each address once a minute, so each stranger has one of its own.
func admission(t *testing.T, bed *testbed.Bed, spaces []*testbed.Namespace, member *testbed.Node) {
	for i, tt := range []struct {
		name string
		args []string
	}{
		{"wrong token", []string{"--token-file", bed.Token("wrong"), "--no-mdns"}},
		{"no token", nil},
	} {
		bed.Sub(t, tt.name, func(t *testing.T) {
			ns := spaces[i]
			before := len(member.Stderr())
			n := bed.Launch(testbed.NodeConfig{Place: testbed.Place{NS: ns, Runtime: bed.Folder("stranger")}, Args: append(tt.args, "--join", member.Addr())})
			said := n.Refused(10 * time.Second)
			if !testbed.Says(said, "kadre: ", "token", member.Addr()) {
				t.Errorf("the stranger says:\n%s", said)
			}
			testbed.Until(t, time.Minute, func() bool { return testbed.Says(member.Stderr()[before:], ns.IP.String(), "token") }, func() string {
				return "the member says:\n" + member.Stderr()[before:]
			})
		})
	}
}

func TestLoopbackOnly(t *testing.T) {
	testbed.NotAgain(t)
	spaces := testbed.Bridge(t, 2)
	bed := testbed.New(t)
	home := testbed.Place{NS: spaces[0]}
	n := bed.StartNode(testbed.NodeConfig{Place: home})
	for _, a := range testbed.Listening(t, n.PID) {
		const v4, v6 = "0100007F:", "00000000000000000000000001000000:"
		if !strings.HasPrefix(a, v4) && !strings.HasPrefix(a, v6) {
			t.Errorf("a node without token listens on %s", a)
		}
	}
	if len(n.Addrs) == 0 || len(testbed.Listening(t, n.PID)) == 0 {
		t.Fatalf("the node listens nowhere: %v", n.Addrs)
	}
	port := portOf(t, n.Addrs[0])

	bed.Sub(t, "from another host", func(t *testing.T) {
		far := bed.Launch(testbed.NodeConfig{Place: testbed.Place{NS: spaces[1], Runtime: bed.Folder("far")}, Args: []string{"--join", spaces[0].IP.String() + ":" + port}})
		if said := far.Refused(10 * time.Second); !testbed.Says(said, spaces[0].IP.String()+":"+port, "listens") {
			t.Errorf("the far node says:\n%s", said)
		}
	})
	bed.Sub(t, "with another secret", func(t *testing.T) {
		stranger := bed.Launch(testbed.NodeConfig{Place: testbed.Place{NS: spaces[0], Runtime: bed.Folder("other")}, Args: []string{"--join", "127.0.0.1:" + port}})
		if said := stranger.Refused(10 * time.Second); !testbed.Says(said, "127.0.0.1:"+port, "secret") {
			t.Errorf("the stranger says:\n%s", said)
		}
		n.AwaitStderr(time.Minute, "127.0.0.1", "secret")
	})
	bed.Sub(t, "with the user's secret", func(t *testing.T) {
		friend := bed.StartNode(testbed.NodeConfig{Place: home})
		testbed.AwaitMembers(n, friend)
		s := friend.Status()
		if m := s.Member(n.ID); m.Found != "runtime" || m.Via != "unix" {
			t.Errorf("found by %q instead of runtime, via %q instead of unix", m.Found, m.Via)
		}
		pullsPastTCP(t, home.NS, n, friend)
		friend.Stop()
	})
	n.Stop()
}

// pulled is how much the driver "pull" brings from another node.
const pulled = 16 << 20

func init() { drivers["pull"] = attached(pull) }

// pull gets an array that a task of another node makes.
func pull(ctx context.Context, s *testbed.Stage) error {
	var node string
	if err := s.Hear(&node); err != nil {
		return err
	}
	a, err := ArrayOf.Options(api.OnNode(api.NodeID(node), false)).Remote(ctx, pulled, 3).Get(ctx)
	if err != nil {
		return err
	}
	defer a.Release()
	return s.Say(digest(a.Data()))
}

// pullsPastTCP checks that what a node pulls from another of its machine is no traffic of the network.
func pullsPastTCP(t *testing.T, ns *testbed.Namespace, from, to *testbed.Node) {
	t.Helper()
	before := loopbackBytes(t, ns)
	d := to.Driver("pull")
	d.Tell(from.ID)
	var sum string
	d.Hear(&sum)
	d.Succeed(10 * time.Second)
	if want := digest(pattern(pulled, 3)); sum != want {
		t.Errorf("pulled bytes with the digest %s instead of %s", sum, want)
	}
	if n := loopbackBytes(t, ns) - before; n > pulled/4 {
		t.Errorf("%d bytes went over loopback as %d were pulled", n, pulled)
	}
}

// loopbackBytes is how much a namespace's loopback has carried.
func loopbackBytes(t *testing.T, ns *testbed.Namespace) (n int64) {
	t.Helper()
	out, err := ns.Command("cat", "/proc/self/net/dev").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(out), "lo:")
	if _, err := fmt.Sscan(rest, &n); err != nil || !ok {
		t.Fatalf("%v in\n%s", err, out)
	}
	return n
}

// portOf gives the port of a multiaddr.
func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, rest, ok := strings.Cut(addr, "/tcp/")
	if !ok {
		t.Fatalf("no port in %q", addr)
	}
	port, _, _ := strings.Cut(rest, "/")
	return port
}
