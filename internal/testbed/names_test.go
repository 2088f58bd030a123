package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// Named tells the driver "names" what to do with a name, and NameAnswer is what came of it.
type (
	// Do is "make" (in the driver's process), "own" (in a process of its own), "by task" (the same, made by a task whose process
	// is killed then), "find" (by the name, and call), "get" ("find", and keep it), "call" (what was made or kept), "pass" (it to a task in
	// a process of its own, which calls it), "kill".
	Named      struct{ Do, Name string }
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

// countIn calls an actor by a handle that was passed to it.
func countIn(ctx context.Context, a api.Actor[Tally]) (int, error) {
	return Count.Remote(ctx, a).Get(ctx)
}

// makeTally makes an actor in a process of its own and gives the number of this one.
func makeTally(ctx context.Context, name string) (int, error) {
	return os.Getpid(), NewTally.Options(api.Name(name), api.OwnProcess()).Remote(ctx).Ready(ctx)
}

var (
	NewTally  = api.Class0(newTally)
	Count     = api.Method0((*Tally).Count)
	CountIn   = api.Func1(countIn, api.OwnProcess())
	MakeTally = api.Func1(makeTally, api.OwnProcess())
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
	case "own":
		a = NewTally.Options(api.Name(q.Name), api.OwnProcess()).Remote(ctx)
		made[q.Name] = a
		return 0, a.Ready(ctx)
	case "by task":
		pid, err := MakeTally.Remote(ctx, q.Name).Get(ctx)
		if err != nil {
			return 0, err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return 0, err
		}
		for syscall.Kill(pid, 0) == nil && ctx.Err() == nil {
			time.Sleep(time.Millisecond) // until its node has seen it end
		}
		return 0, ctx.Err()
	case "pass":
		return CountIn.Remote(ctx, a).Get(ctx)
	case "find", "get":
		if a, err = api.GetActor[Tally](ctx, q.Name); err != nil {
			return 0, err
		}
		if q.Do == "get" {
			made[q.Name] = a
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

// TestNameOfAnotherJob has drivers of two other jobs, on the actor's node and on another one, call the actors of a job by
// their names, and see them end with that.
func TestNameOfAnotherJob(t *testing.T) {
	needTime(t)
	bed := testbed.New(t)
	nodes := []*testbed.Node{bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "4"}}), bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "4"}})}
	testbed.AwaitMembers(nodes...)
	at := func(n *testbed.Node) *namesAt { return &namesAt{n, t, n.Driver("names")} }
	first, here, there := at(nodes[0]), at(nodes[0]), at(nodes[1])

	first.want("own", "own", "", 0)
	first.want("make", "in it", "", 0)
	count := 0
	for _, name := range []string{"own", "in it"} {
		count = 0
		for _, other := range []*namesAt{here, there} {
			for _, do := range []string{"get", "call", "pass"} {
				count++
				other.want(do, name, "", count)
			}
			other.want("make", name, "taken", 0)
		}
		first.want("call", name, "", count+1)
	}
	here.want("make", "of another", "", 0) // which goes on
	first.d.Kill()
	for _, other := range []*namesAt{here, there} {
		for _, name := range []string{"own", "in it"} {
			if a := other.await("call", name, "died"); a.Error == "" {
				t.Error("it does not say why")
			}
			other.want("pass", name, "died", 0)
			other.want("find", name, "missing", 0)
		}
		other.want("find", "of another", "", map[*namesAt]int{here: 1, there: 2}[other])
	}
	there.want("make", "own", "", 0)
}

// TestHandleOutlivesItsMaker passes on the handle of an actor after the process that made it has ended.
func TestHandleOutlivesItsMaker(t *testing.T) {
	needTime(t)
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "4"}})
	d := &namesAt{n, t, n.Driver("names")}
	d.want("by task", "left", "", 0)
	d.want("get", "left", "", 1)
	d.want("pass", "left", "", 2)
	d.want("pass", "left", "", 3)
	other := &namesAt{n, t, n.Driver("names")}
	other.want("get", "left", "", 4)
	other.want("pass", "left", "", 5)
	d.want("kill", "left", "", 0)
	other.await("pass", "left", "died")
}
