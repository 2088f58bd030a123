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

// Named tells the driver "names" what to do with a name, and NameAnswer is what came of it.
type (
	Named      struct{ Do, Name string } // Do: "make" (on the driver's node), "find" (and call), "call" (what was made), "kill"
	NameAnswer struct {
		Count int    // what the actor counts
		Class string // of the error: "" for none, "taken", "unavailable", "died", "missing", "other"
		Error string // its text
	}
)

// Tally is the actor of these tests.
type Tally struct{ n int }

func newTally(context.Context) (*Tally, error)      { return &Tally{}, nil }
func (t *Tally) Count(context.Context) (int, error) { t.n++; return t.n, nil }

var (
	NewTally = api.Class0(newTally)
	Count    = api.Method0((*Tally).Count)
)

func init() {
	drivers["names"] = func(s *testbed.Stage) error {
		ctx := context.Background()
		rt, err := api.Init(ctx)
		if err != nil {
			return err
		}
		defer rt.Close()
		nodes, err := api.Nodes(ctx)
		if err != nil {
			return err
		}
		made := map[string]api.Actor[Tally]{}
		for {
			var q Named
			if err := s.Hear(&q); err != nil {
				return nil // the test is through
			}
			n, err := named1(ctx, q, nodes[0].ID, made)
			if err := s.Say(answerOf(n, err)); err != nil {
				return err
			}
		}
	}
}

func named1(ctx context.Context, q Named, here api.NodeID, made map[string]api.Actor[Tally]) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	a := made[q.Name]
	switch q.Do {
	case "make":
		a = NewTally.Options(api.Name(q.Name), api.OnNode(here, false)).Remote(ctx)
		if err := a.Ready(ctx); err != nil {
			return 0, err
		}
		made[q.Name] = a
		return 0, nil
	case "find":
		if a, err = api.GetActor[Tally](ctx, q.Name); err != nil {
			return 0, err
		}
	case "kill":
		return 0, a.Kill(ctx)
	}
	return Count.Remote(ctx, a).Get(ctx)
}

func answerOf(n int, err error) NameAnswer {
	a := NameAnswer{Count: n}
	if err == nil {
		return a
	}
	var (
		taken *api.NameTakenError
		away  *api.UnavailableError
		died  *api.ActorDiedError
	)
	a.Error, a.Class = err.Error(), "other"
	switch {
	case errors.As(err, &taken):
		a.Class = "taken"
	case errors.As(err, &died):
		a.Class = "died"
	case errors.As(err, &away):
		a.Class = "unavailable"
	case errors.Is(err, api.ErrNotFound):
		a.Class = "missing"
	}
	return a
}

// namesAt is a node and a driver that is attached to it.
type namesAt struct {
	*testbed.Node
	t *testing.T
	d *testbed.Process
}

func (n *namesAt) do(do, name string) (a NameAnswer) {
	n.t.Helper()
	n.d.Tell(Named{do, name})
	n.d.Hear(&a)
	return a
}

// want does it and wants it to come to that.
func (n *namesAt) want(do, name, class string, count int) NameAnswer {
	n.t.Helper()
	a := n.do(do, name)
	if a.Class != class || class == "" && a.Count != count {
		n.t.Fatalf("%s: %s %s: %+v; wanted %q and %d", n.Name, do, name, a, class, count)
	}
	return a
}

// await does it until it comes to that.
func (n *namesAt) await(do, name, class string) (a NameAnswer) {
	n.t.Helper()
	testbed.Until(n.t, verdictWithin, func() bool { a = n.do(do, name); return a.Class == class }, func() string {
		return fmt.Sprintf("%s: %s %s: %+v; wanted %q", n.Name, do, name, a, class)
	})
	return a
}

// awaitRegistrars waits until the node goes by so many registrars.
func (n *namesAt) awaitRegistrars(want int64) {
	n.t.Helper()
	var now int64
	testbed.Until(n.t, verdictWithin, func() bool {
		for _, e := range n.Events() {
			if e.Layer == "names" && e.Kind == "registrars" {
				now = e.N
			}
		}
		return now == want
	}, func() string { return fmt.Sprintf("%s goes by %d registrars, not %d", n.Name, now, want) })
}

// TestNamesAcrossNodes has three machines keep names while one of them is cut off, and when another one is killed.
func TestNamesAcrossNodes(t *testing.T) {
	needTime(t)
	spaces := testbed.Bridge(t, 3)
	bed := testbed.New(t)
	token := bed.Token("token")
	var all []*namesAt
	var nodes []*testbed.Node
	for i, ns := range spaces {
		args := []string{"--cpus", "2", "--no-mdns", "--token-file", token, "--listen", ns.IP.String() + ":7420"}
		if i > 0 {
			args = append(args, "--join", nodes[0].Addr())
		}
		nodes = append(nodes, bed.StartNode(testbed.NodeConfig{Place: testbed.Place{NS: ns, Runtime: bed.Folder(fmt.Sprint("r", i))}, Args: args}))
	}
	testbed.AwaitMembers(nodes...)
	for _, n := range nodes {
		all = append(all, &namesAt{n, t, n.Driver("names")})
	}
	a, b, c := all[0], all[1], all[2]
	for _, n := range all {
		n.awaitRegistrars(3)
	}

	a.want("make", "hits", "", 0)
	b.want("find", "hits", "", 1)
	c.want("find", "hits", "", 2)
	if e := c.want("make", "hits", "taken", 0); !strings.Contains(e.Error, a.ID[len(a.ID)-8:]) {
		t.Errorf("it does not say where: %s", e.Error)
	}
	b.want("make", "brief", "", 0)
	b.want("kill", "brief", "", 0)
	c.want("make", "brief", "", 0) // free as soon as Kill has returned
	c.want("make", "mine", "", 0)
	b.want("find", "mine", "", 1)

	// c is cut off: on its side nothing is known about names, and no new one is given. Its actors end before others get
	// their names.
	silence(t, spaces[2], true)
	c.await("find", "hits", "unavailable")
	if e := c.want("make", "new", "unavailable", 0); !strings.Contains(e.Error, "no majority") {
		t.Error(e.Error)
	}
	b.want("find", "hits", "", 3)
	b.want("make", "new", "", 0)
	b.await("make", "mine", "")
	if e := c.want("call", "mine", "died", 0); !strings.Contains(e.Error, "lost its name") {
		t.Error(e.Error)
	}
	silence(t, spaces[2], false)
	if n := c.await("find", "mine", ""); n.Count != 1 {
		t.Errorf("the other one of the name: %+v", n)
	}
	for _, n := range all {
		n.awaitRegistrars(3)
	}
	c.want("make", "brief", "", 0)

	// a, the first registrar, is killed: its names are free after a lease, and the others go on.
	a.Kill()
	b.await("make", "hits", "")
	c.await("find", "hits", "")
	b.want("make", "mine", "taken", 0)
	c.want("make", "more", "", 0)
	b.want("find", "brief", "", 1)
	b.awaitRegistrars(1)
}
