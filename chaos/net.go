package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/testnet"
)

const (
	formWithin = 3 * time.Minute  // until all nodes see each other
	goneWithin = 60 * time.Second // until the dead are known to be dead: a bound for hangs
)

// drill is a plan that is run on a cluster.
type drill struct {
	Options
	name  string
	net   *testnet.Net
	r     *rand.Rand
	begin time.Time
	bad   []string // what does not hold
}

// form starts a cluster.
func form(ctx context.Context, name string, o Options, nodes int) (_ *drill, err error) {
	o = o.withDefaults()
	if o.Nodes == 0 {
		o.Nodes = nodes
	}
	n, err := testnet.New(ctx, testnet.Config{Nodes: o.Nodes, Log: o.Progress})
	if err != nil {
		return nil, fmt.Errorf("chaos: %s: %w", name, err)
	}
	d := &drill{Options: o, name: name, net: n, r: rand.New(rand.NewPCG(o.Seed, 0)), begin: time.Now()}
	fmt.Fprintf(o.Log, "%s: %d nodes, seed %d\n", name, o.Nodes, o.Seed)
	if err = n.Start(ctx); err == nil {
		err = n.AwaitView(ctx, formWithin)
	}
	if err != nil {
		return nil, fmt.Errorf("chaos: %s: %w", name, errors.Join(err, n.Close()))
	}
	d.say("every node sees all %d", o.Nodes)
	return d, nil
}

// end ends the cluster, and says whether everything held.
func (d *drill) end(err error) error {
	err = errors.Join(err, d.net.Close())
	if err == nil && len(d.bad) > 0 {
		err = fmt.Errorf("%d of the marks were missed: %s", len(d.bad), strings.Join(d.bad, "; "))
	}
	if err != nil {
		return fmt.Errorf("chaos: %s: seed %d: %w", d.name, d.Seed, err)
	}
	fmt.Fprintf(d.Log, "%s: all of it held\n", d.name)
	return nil
}

// say tells what goes on.
func (d *drill) say(format string, args ...any) {
	fmt.Fprintf(d.Progress, "%6.1f s  %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

// hold notes what was measured and the most that it may be.
func (d *drill) hold(what string, got, most time.Duration) {
	most = time.Duration(float64(most) * d.Slack)
	mark := "ok"
	if got > most {
		mark = "MISSED"
		d.bad = append(d.bad, fmt.Sprintf("%s: %v, at most %v", what, got.Round(time.Millisecond/10), most))
	}
	fmt.Fprintf(d.Log, "%-7s %-58s %9.1f ms of %v\n", mark, what, float64(got)/float64(time.Millisecond), most)
}

// check notes what must be true.
func (d *drill) check(what string, ok bool, found string) {
	mark := "ok"
	if !ok {
		mark = "MISSED"
		d.bad = append(d.bad, what+": "+found)
	}
	fmt.Fprintf(d.Log, "%-7s %-58s %s\n", mark, what, found)
}

// draw picks some of the nodes and gives the others too.
func (d *drill) draw(n int) (some, others []*testnet.Node) {
	for i, j := range d.r.Perm(len(d.net.Nodes)) {
		if i < n {
			some = append(some, d.net.Nodes[j])
		} else {
			others = append(others, d.net.Nodes[j])
		}
	}
	return some, others
}

func idsOf(nodes []*testnet.Node) (ids []id.Node) {
	for _, d := range nodes {
		ids = append(ids, d.ID)
	}
	return ids
}

// asks has every node repeat something, and gives what all took. Every answer counts, also a failure.
func asks(ctx context.Context, nodes []*testnet.Node, o testnet.Order) ([]testnet.Took, error) {
	all := make([][]testnet.Took, len(nodes))
	err := testnet.Each(nodes, func(i int, d *testnet.Node) error {
		o := o
		o.Seed += uint64(i)
		return d.Ask(ctx, o, &all[i])
	})
	return slices.Concat(all...), err
}

// quantile is that of what took so long; failures took longest.
func quantile(all []testnet.Took, q float64) time.Duration {
	var took []time.Duration
	for _, t := range all {
		if t.Err != "" {
			t.For = max(t.For, time.Hour)
		}
		took = append(took, t.For)
	}
	return at(took, q)
}

func at(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}
