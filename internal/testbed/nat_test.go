package testbed_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/testbed"
)

// TestNAT has two nodes behind NATs of their own, with the same address there, and one that can be dialed. The two
// reach each other through it: each runs tasks of the other, and pulls what they made.
func TestNAT(t *testing.T) {
	testbed.NotAgain(t)
	needTime(t)
	spaces := testbed.Bridge(t, 3)
	homes := []*testbed.Namespace{spaces[0], testbed.NAT(t, spaces[1]), testbed.NAT(t, spaces[2])}
	bed := testbed.New(t)
	token := bed.Token("token")
	var nodes []*testbed.Node
	for i, ns := range homes {
		c := testbed.NodeConfig{Place: testbed.Place{NS: ns, Runtime: bed.Folder(fmt.Sprint("r", i))}, Args: []string{"--cpus", "1", "--token-file", token}}
		if i > 0 {
			c.Args = append(c.Args, "--join", nodes[0].Addr())
		}
		nodes = append(nodes, bed.StartNode(c))
	}
	open, left, right := nodes[0], nodes[1], nodes[2]
	begun := time.Now()
	testbed.AwaitMembers(nodes...)
	t.Log("members", time.Since(begun))
	var s testbed.Status
	testbed.Until(t, 30*time.Second, func() bool { s = left.Status(); return s.Member(right.ID).Via == "relay" }, func() string {
		return fmt.Sprintf("the node behind NAT sees %+v", s.Members)
	})
	t.Log("relay", time.Since(begun))
	if m := s.Member(open.ID); m.Via != "tcp" {
		t.Errorf("the node that can be dialed is reached by %+v", m)
	}
	for _, way := range [][2]*testbed.Node{{open, left}, {left, open}, {left, right}, {right, left}} {
		d := way[0].Driver("pull")
		d.Tell(way[1].ID)
		var sum string
		d.Hear(&sum)
		d.Succeed(time.Minute)
		t.Log("pulled", time.Since(begun))
		if want := digest(pattern(pulled, 3)); sum != want {
			t.Errorf("pulled bytes with the digest %s instead of %s", sum, want)
		}
	}
}
