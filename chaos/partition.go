package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/testnet"
)

const (
	partNodes   = 60
	oneViewIn   = 10 * time.Second
	splitWithin = 2 * time.Minute // until each half has a view of its own: a bound for hangs
	pairs       = 8               // of nodes that hold the same objects, one in each half
	pairHolds   = 20
	fetchWithin = 30 * time.Second
)

// twin is two nodes, one in each half, that hold the same objects: the first has made them, the second has
// fetched them.
type twin struct{ maker, other *testnet.Node }

func (t twin) order(do string) testnet.Order {
	return testnet.Order{Do: do, Owner: testnet.OwnerOf(t.maker.ID), N: pairHolds, Span: pairHolds, Batch: pairHolds, For: int64(fetchWithin)}
}

func partition(ctx context.Context, o Options) (err error) {
	d, err := form(ctx, "partition", o, partNodes)
	if err != nil {
		return err
	}
	defer func() { err = d.end(err) }()
	if d.brief {
		d.Split = briefFor
	}
	a, b := d.draw(len(d.net.Nodes) / 2)
	var all []twin
	for i := range min(pairs, len(a), len(b)) {
		t := twin{a[i], b[i]}
		if i%2 == 1 {
			t = twin{b[i], a[i]}
		}
		all = append(all, t)
	}
	if err := share(ctx, all); err != nil {
		return err
	}
	d.say("%d objects lie in both halves", len(all)*pairHolds)
	if err := d.split(ctx, a, b); err != nil {
		return err
	}
	return d.whole(ctx, all)
}

// share makes the objects.
func share(ctx context.Context, all []twin) error {
	for _, t := range all {
		if err := t.maker.Ask(ctx, t.order("publish"), nil); err != nil {
			return err
		}
		if err := t.other.Ask(ctx, t.order("locate"), nil); err != nil {
			return err
		}
		if err := t.other.Ask(ctx, t.order("pull"), nil); err != nil {
			return err
		}
	}
	return nil
}

// split cuts the halves off from each other, waits until each sees itself alone, and for as long as was asked for.
func (d *drill) split(ctx context.Context, a, b []*testnet.Node) error {
	begin := time.Now()
	if err := d.net.Part(a, b); err != nil {
		return err
	}
	for _, half := range [][]*testnet.Node{a, b} {
		if err := d.net.AwaitView(ctx, splitWithin, half...); err != nil {
			return err
		}
	}
	d.say("each half sees only itself after %.1f s", time.Since(begin).Seconds())
	return testnet.Until(ctx, begin.Add(d.Split))
}

// whole heals the cluster and looks at what there is.
func (d *drill) whole(ctx context.Context, all []twin) error {
	begin := time.Now()
	if err := d.net.Heal(); err != nil {
		return err
	}
	if err := d.net.AwaitView(ctx, formWithin); err != nil {
		return err
	}
	d.hold("one view again after healing", time.Since(begin), oneViewIn)
	var lost []error
	for i, t := range all {
		third := d.net.Nodes[(i*7+3)%len(d.net.Nodes)]
		for _, n := range []*testnet.Node{t.maker, t.other, third} {
			if err := n.Ask(ctx, t.order("pull"), nil); err != nil {
				lost = append(lost, err)
			}
		}
	}
	found := fmt.Sprintf("%d objects, each read on three nodes", len(all)*pairHolds)
	if len(lost) > 0 {
		found = errors.Join(lost...).Error()
	}
	d.check("nothing is lost that both halves held", len(lost) == 0, found)
	return nil
}
