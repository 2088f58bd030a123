package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

const (
	blockSize    = 1 << 20
	blocks       = 2  // of one owner
	recordCopies = 3  // nodes that hold a record
	maxDraws     = 48 // of owners, until the records lie where the test needs them
)

// Maker is an actor that owns what it has others make.
type Maker struct{ refs []api.Ref[[]byte] }

func newMaker(context.Context) (*Maker, error) { return &Maker{}, nil }

// Make has n blocks made on a node and gives their references when all are there.
func (m *Maker) Make(ctx context.Context, node string, n int) ([]api.Ref[[]byte], error) {
	for i := range n {
		m.refs = append(m.refs, Block.Options(api.OnNode(api.NodeID(node), false), api.MaxRetries(0)).Remote(ctx, blockSize, i))
	}
	ready, _, err := api.Wait(ctx, m.refs, api.NumReturns(n))
	if err == nil && len(ready) != n {
		err = fmt.Errorf("%d of %d blocks were made", len(ready), n)
	}
	return m.refs, err
}

// Getter is an actor that gets what others own.
type Getter struct{ refs []api.Ref[[]byte] }

func newGetter(context.Context) (*Getter, error) { return &Getter{}, nil }

func (g *Getter) Keep(_ context.Context, refs []api.Ref[[]byte]) error { g.refs = refs; return nil }

// Digest gets one of the blocks.
func (g *Getter) Digest(ctx context.Context, i int) (string, error) {
	b, err := g.refs[i].Get(ctx)
	return digest(b), err
}

var (
	NewMaker  = api.Class0(newMaker)
	Make      = api.Method2((*Maker).Make)
	NewGetter = api.Class0(newGetter)
	Keep      = api.MethodProc1((*Getter).Keep)
	DigestAt  = api.Method1((*Getter).Digest)
)

// Order is what the test tells the driver "directory".
type Order struct {
	Owner, Holder string // nodes: make blocks
	Getter        string // node: keep references to the blocks made last
	Get           int    // else: get this block
}

func init() { drivers["directory"] = attached(lookUp) }

func lookUp(ctx context.Context, s *testbed.Stage) error {
	var makers []api.Actor[Maker] // they own the blocks
	var refs []api.Ref[[]byte]
	var getter api.Actor[Getter]
	for {
		var o Order
		err := s.Hear(&o)
		if errors.Is(err, io.EOF) {
			return nil
		}
		answer := ""
		switch {
		case err != nil:
		case o.Owner != "":
			makers = append(makers, NewMaker.Options(api.OwnProcess(), api.OnNode(api.NodeID(o.Owner), false)).Remote(ctx))
			refs, err = Make.Remote(ctx, makers[len(makers)-1], o.Holder, blocks).Get(ctx)
		case o.Getter != "":
			getter = NewGetter.Options(api.OnNode(api.NodeID(o.Getter), false)).Remote(ctx)
			_, err = Keep.Remote(ctx, getter, refs).Get(ctx)
		default:
			answer, err = DigestAt.Remote(ctx, getter, o.Get).Get(ctx)
		}
		if err == nil {
			err = s.Say(answer)
		}
		if err != nil {
			return fmt.Errorf("%+v: %w", o, err)
		}
	}
}

func TestDirectory(t *testing.T) {
	needTime(t)
	bed := testbed.New(t)
	const setting = "KADRE_TEST_LOCATE=directory"
	var nodes []*testbed.Node
	for i := range 5 {
		c := testbed.NodeConfig{Place: testbed.Place{Env: []string{setting}}, Args: []string{"--cpus", "1"}}
		if i > 0 {
			c.Args = append(c.Args, "--join", nodes[i-1].Addr())
		}
		nodes = append(nodes, bed.StartNode(c))
	}
	testbed.AwaitMembers(nodes...)
	for _, n := range nodes {
		var s testbed.Status
		testbed.Until(t, 10*time.Second, func() bool { s = n.Status(); return s.RoutingTable == len(nodes)-1 }, func() string {
			return fmt.Sprintf("%s has %d nodes in its routing table", n.Name, s.RoutingTable)
		})
	}

	holder, home := nodes[1], nodes[2] // home is the driver's
	d := home.Driver("directory", setting)
	owner, getter, other := drawOwner(t, d, nodes, holder)
	var done string
	d.Tell(Order{Getter: getter.ID})
	d.Hear(&done)
	if s := getter.Status(); s.Directory.Hits != 0 || s.Store.Bytes >= blockSize {
		t.Fatalf("the getter's node has found something before: %+v, store %+v", s.Directory, s.Store)
	}

	for i, victim := range []*testbed.Node{owner, other} {
		victim.Kill()
		d.Tell(Order{Get: i})
		var got string
		d.Hear(&got)
		if want := digest(pattern(blockSize, i)); got != want {
			t.Errorf("block %d came with digest %s instead of %s", i, got, want)
		}
		if hits := getter.Status().Directory.Hits; hits < i+1 {
			t.Errorf("the getter's node has %d hits in the directory after %d gets", hits, i+1)
		}
	}
	d.Succeed(10 * time.Second)
	if p := bed.Kadre(testbed.Place{Env: []string{"KADRE_SOCKET=" + getter.Socket}}, "status"); !testbed.Says(p.Stdout(), "records held", "routing table") {
		t.Errorf("kadre status does not tell of records and routing table:\n%s%s", p.Stdout(), p.Stderr())
	}
}

// drawOwner has owners make blocks, on one node after the other, until of the two nodes that have no part yet one
// holds their records and one does not: the latter is to get them, the former to be killed. Two nodes whose names
// lie side by side hold the same records always, so that no one node can be the owners' in every run.
func drawOwner(t *testing.T, d *testbed.Process, nodes []*testbed.Node, holder *testbed.Node) (owner, getter, other *testbed.Node) {
	t.Helper()
	roles := []int{0, 3, 4}
	for range maxDraws {
		before := records(nodes)
		owner = nodes[roles[0]]
		d.Tell(Order{Owner: owner.ID, Holder: holder.ID})
		var done string
		d.Hear(&done)
		var now []int
		testbed.Until(t, 10*time.Second, func() bool {
			now = records(nodes)
			return sum(now)-sum(before) == blocks*recordCopies
		}, func() string { return fmt.Sprintf("records held: %v, before: %v", now, before) })
		a, b := now[roles[1]]-before[roles[1]], now[roles[2]]-before[roles[2]]
		t.Logf("new records on the nodes: %v, %v before", now, before)
		switch {
		case a == 0 && b == blocks:
			return owner, nodes[roles[1]], nodes[roles[2]]
		case a == blocks && b == 0:
			return owner, nodes[roles[2]], nodes[roles[1]]
		}
		roles = append(roles[1:], roles[0])
	}
	t.Fatalf("%d owners, and no records that lie as they should", maxDraws)
	return nil, nil, nil
}

func records(nodes []*testbed.Node) (held []int) {
	for _, n := range nodes {
		held = append(held, n.Status().RecordsHeld)
	}
	return held
}

func sum(ns []int) (total int) {
	for _, n := range ns {
		total += n
	}
	return total
}
