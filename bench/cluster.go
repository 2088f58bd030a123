package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/testnet"
)

const (
	clusterNodes = 60
	viewWithin   = 2 * time.Minute
	settleFor    = 10 * time.Second // after the view is full, before anything counts as idle
	idleWindow   = 5 * time.Second
	mib          = 1 << 20
)

// cluster has what a node of a large cluster costs while nothing is asked of it.
func cluster() []Scenario {
	row := func(s Scenario) Scenario {
		s.Bench, s.Better, s.N, s.Samples, s.Named = "cluster", Lower, clusterNodes, MinSamples, true
		return s
	}
	return []Scenario{
		row(Scenario{
			Name: "idle-cpu-60", Unit: "%",
			Work: "60 nodes, processes in network namespaces of their own, form one cluster and are left alone; a sample is " +
				"the CPU time of the costliest of them in 5 s, in percent of a core; extra has the seconds until every node sees all",
			Setup: withIdle(clusterNodes, settleFor, func(c *idle) Side { return c.cpu }),
		}),
		row(Scenario{
			Name: "idle-memory-60", Unit: "MiB",
			Work: "the same cluster; a sample is the resident memory of the largest node, its own and that of its " +
				"executable (RssAnon + RssFile), without the arena",
			Setup: withIdle(clusterNodes, settleFor, func(c *idle) Side { return c.memory }),
		}),
	}
}

// idle is a cluster that nobody uses.
type idle struct {
	net    *testnet.Net
	extra  map[string]any
	window time.Duration
}

func withIdle(nodes int, settle time.Duration, side func(*idle) Side) func(context.Context) (*Run, error) {
	return func(ctx context.Context) (_ *Run, err error) {
		n, took, err := formed(ctx, testnet.Config{Nodes: nodes})
		if err != nil {
			return nil, err
		}
		c := &idle{n, map[string]any{"nodes": nodes, "full_view_s": round(took.Seconds())}, min(settle, idleWindow)}
		if err := testnet.Until(ctx, time.Now().Add(settle)); err != nil {
			return nil, errors.Join(err, n.Close())
		}
		return &Run{Ours: side(c), Extra: c.extra, Close: n.Close}, nil
	}
}

// formed starts a cluster and waits until every node sees all. It tells how long that took from the first start on.
func formed(ctx context.Context, cfg testnet.Config) (_ *testnet.Net, took time.Duration, err error) {
	cfg.Log = os.Stderr
	n, err := testnet.New(ctx, cfg)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	begin := time.Now()
	if err := n.Start(ctx); err != nil {
		return nil, 0, err
	}
	if err := n.AwaitView(ctx, viewWithin); err != nil {
		return nil, 0, err
	}
	took = time.Since(begin)
	fmt.Fprintf(os.Stderr, "every node sees all %d after %.1f s\n", cfg.Nodes, took.Seconds())
	return n, took, nil
}

// usages reads what every node has used.
func (c *idle) usages() ([]testnet.Usage, error) {
	all := make([]testnet.Usage, len(c.net.Nodes))
	return all, testnet.Each(c.net.Nodes, func(i int, d *testnet.Node) (err error) { all[i], err = d.Usage(); return err })
}

func (c *idle) cpu(ctx context.Context, _ int) (float64, error) {
	before, err := c.usages()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := testnet.Until(ctx, time.Now().Add(c.window)); err != nil {
		return 0, err
	}
	after, err := c.usages()
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	var each []float64
	for i := range after {
		each = append(each, 100*float64(after[i].CPU-before[i].CPU)/float64(took))
	}
	c.extra["cpu_median_percent"] = round(Median(each))
	return max(slices.Max(each), 0.01), nil // the kernel counts in 10 ms
}

func (c *idle) memory(ctx context.Context, _ int) (float64, error) {
	if err := testnet.Until(ctx, time.Now().Add(c.window)); err != nil {
		return 0, err
	}
	all, err := c.usages()
	if err != nil {
		return 0, err
	}
	var each, anon, file []float64
	for _, u := range all {
		each = append(each, float64(u.Anon+u.File)/mib)
		anon, file = append(anon, float64(u.Anon)/mib), append(file, float64(u.File)/mib)
	}
	c.extra["median_mib"], c.extra["anon_mib"], c.extra["file_mib"] = round(Median(each)), round(Median(anon)), round(Median(file))
	var s node.Status
	if err := c.net.Nodes[0].Ask(ctx, testnet.Order{Do: "status"}, &s); err != nil {
		return 0, err
	}
	c.extra["goroutines"] = s.Goroutines
	return slices.Max(each), nil
}
