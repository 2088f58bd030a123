package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/testnet"
	"github.com/kadrehq/kadre/p2p/directory"
)

const (
	dirNodes     = 20
	publishN     = 10_000
	publishBatch = 50
	publishEvery = 10 * time.Millisecond // between batches: 10,000 in 2 s
	readEach     = 250                   // objects that each of the nodes looks for at once, drawn from all
	dirWithin    = time.Minute
	headway      = 300 * time.Millisecond // for all nodes to hear of it first
	lookupN      = 200
	deadObjects  = 2000
	dirStore     = "64MiB" // room for the entries of publishN objects
)

// directoryRows has what finding objects costs in a cluster.
func directoryRows() []Scenario {
	row := func(s Scenario) Scenario {
		s.Bench, s.Better, s.Samples, s.Named = "directory", Lower, MinSamples, true
		return s
	}
	return []Scenario{
		row(Scenario{
			Name: "publish-10k", Unit: milliseconds, N: publishN,
			Work: "one node of 20 publishes the locations of 10,000 objects, 50 every 10 ms, while each of the others looks for 250 of " +
				"them from the moment on when each is published; a sample is the 99th percentile of the time until one was found; after " +
				"the first every node must find all 10,000, and then they are freed; extra has the requests that it took per object, and per flush and shard",
			Setup: withNet(dirNodes, func(c *crowd) *Run { return &Run{Ours: c.publish, Extra: c.extra} }),
		}),
		row(Scenario{
			Name: "lookup-dead-owner", Unit: microseconds, N: lookupN,
			Work: "a node publishes 2,000 objects and is killed; the others find them in the directory, whose holders they remember " +
				"from one lookup before (extra has the first lookups); a sample is the median of 200 lookups of one node",
			RefName: "one control round trip between the same nodes",
			Setup:   withNet(dirNodes, func(c *crowd) *Run { return &Run{Ours: c.deadOwner, Ref: c.roundTrip, Extra: c.extra} }),
		}),
	}
}

// crowd is a cluster whose directory is used.
type crowd struct {
	net   *testnet.Net
	extra map[string]any
	r     *rand.Rand
	first int             // objects published so far
	sum   directory.Stats // what that took
	dead  *testnet.Node   // whose objects are looked up; nil before
	next  int
}

func withNet(nodes int, run func(*crowd) *Run) func(context.Context) (*Run, error) {
	return func(ctx context.Context) (*Run, error) {
		n, took, err := formed(ctx, testnet.Config{Nodes: nodes, Store: dirStore})
		if err != nil {
			return nil, err
		}
		c := &crowd{net: n, extra: map[string]any{"nodes": nodes, "full_view_s": round(took.Seconds())}, r: rand.New(rand.NewPCG(1, 2))}
		r := run(c)
		r.Close = n.Close
		return r, nil
	}
}

// stats asks a node what its directory has done.
func (c *crowd) stats(ctx context.Context, d *testnet.Node) (directory.Stats, error) {
	var s node.Status
	err := d.Ask(ctx, testnet.Order{Do: "status"}, &s)
	return s.Directory, err
}

func (c *crowd) publish(ctx context.Context, n int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dirWithin)
	defer cancel()
	publisher := c.net.Nodes[c.r.IntN(len(c.net.Nodes))]
	before, err := c.stats(ctx, publisher)
	if err != nil {
		return 0, err
	}
	order := testnet.Order{Do: "publish", Owner: testnet.OwnerOf(publisher.ID), First: c.first, N: n, Batch: publishBatch,
		Every: int64(publishEvery), At: time.Now().Add(headway).UnixNano()}
	var at []int64
	found := make([][]testnet.Located, len(c.net.Nodes))
	err = testnet.Each(c.net.Nodes, func(i int, d *testnet.Node) error {
		if d == publisher {
			return d.Ask(ctx, order, &at)
		}
		o := order
		o.Do, o.Span, o.N, o.Seed, o.For = "locate", n, min(readEach, n), c.r.Uint64(), int64(dirWithin)
		return d.Ask(ctx, o, &found[i])
	})
	if err != nil {
		return 0, err
	}
	after, err := c.stats(ctx, publisher)
	if err != nil {
		return 0, err
	}
	c.first += n
	c.sum.Flushes += after.Flushes - before.Flushes
	c.sum.Writes += after.Writes - before.Writes
	c.sum.Keys += after.Keys - before.Keys
	var took []float64
	for _, l := range slices.Concat(found...) {
		took = append(took, max(0, float64(l.At-at[l.I])/float64(time.Millisecond)))
	}
	published, requests := float64(c.first), float64(c.sum.Writes)
	c.extra["requests_per_object"] = round(requests / published)
	c.extra["requests_per_flush_and_shard"] = round(requests / max(1, float64(c.sum.Keys)))
	c.extra["objects_per_flush"] = round(published / max(1, float64(c.sum.Flushes)))
	c.extra["found_p50_ms"] = round(Median(took))
	if order.First == 0 {
		if err := c.complete(ctx, order); err != nil {
			return 0, err
		}
	}
	order.Do, order.At = "free", 0
	return percentile(took, 0.99), publisher.Ask(ctx, order, nil)
}

// complete checks that every node finds all that was published.
func (c *crowd) complete(ctx context.Context, order testnet.Order) error {
	order.Do, order.Span = "count", order.N
	return testnet.Each(c.net.Nodes, func(_ int, d *testnet.Node) error {
		var got int
		if err := d.Ask(ctx, order, &got); err != nil {
			return err
		}
		if got != order.N {
			return fmt.Errorf("bench: %s finds the records of %d of %d objects", d.Name, got, order.N)
		}
		return nil
	})
}

// kill has a node publish objects, kills it and waits until the others have seen that.
func (c *crowd) kill(ctx context.Context) error {
	victim := c.net.Nodes[len(c.net.Nodes)-1]
	var at []int64
	if err := victim.Ask(ctx, testnet.Order{Do: "publish", N: deadObjects, Batch: deadObjects}, &at); err != nil {
		return err
	}
	o := testnet.Order{Do: "locate", Owner: testnet.OwnerOf(victim.ID), Span: deadObjects, For: int64(dirWithin)}
	if err := c.net.Nodes[0].Ask(ctx, o, nil); err != nil {
		return err
	}
	victim.Kill()
	c.dead = victim
	return c.net.AwaitView(ctx, dirWithin, c.living()...)
}

func (c *crowd) living() []*testnet.Node { return c.net.Nodes[:len(c.net.Nodes)-1] }

func (c *crowd) deadOwner(ctx context.Context, n int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dirWithin)
	defer cancel()
	if c.dead == nil {
		if err := c.kill(ctx); err != nil {
			return 0, err
		}
	}
	c.next = (c.next + 1) % len(c.living())
	o := testnet.Order{Do: "locate", Owner: testnet.OwnerOf(c.dead.ID), Span: deadObjects, N: n, Seed: c.r.Uint64(), For: int64(dirWithin)}
	var found []testnet.Located
	if err := c.living()[c.next].Ask(ctx, o, &found); err != nil {
		return 0, err
	}
	slices.SortFunc(found, func(a, b testnet.Located) int { return cmp.Compare(a.Began, b.Began) })
	var took []float64
	for _, l := range found {
		if l.Tries != 1 {
			return 0, errors.New("bench: an object of the dead owner was not found at once")
		}
		took = append(took, float64(l.At-l.Began)/float64(time.Microsecond))
	}
	c.extra["first_lookup_us"] = round(took[0])
	c.extra["p99_us"] = round(percentile(took[1:], 0.99))
	return Median(took[1:]), nil
}

// roundTrip is a control round trip from the node that looked up last to another.
func (c *crowd) roundTrip(ctx context.Context, n int) (float64, error) {
	from := c.living()[c.next]
	to := c.living()[(c.next+1)%len(c.living())]
	var all []testnet.Took
	if err := from.Ask(ctx, testnet.Order{Do: "ping", Node: to.ID, N: n}, &all); err != nil {
		return 0, err
	}
	var took []float64
	for _, t := range all {
		if t.Err != "" {
			return 0, errors.New(t.Err)
		}
		took = append(took, float64(t.For)/float64(time.Microsecond))
	}
	return Median(took), nil
}
