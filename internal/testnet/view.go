package testnet

import (
	"context"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/node"
)

const viewEvery = 100 * time.Millisecond // between two looks at all views

// AwaitView waits until each of the nodes sees all of them alive and nobody else; without nodes, all of the Net.
func (n *Net) AwaitView(ctx context.Context, within time.Duration, nodes ...*Node) error {
	if len(nodes) == 0 {
		nodes = n.Nodes
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("testnet: no full view within %v", within))
	defer cancel()
	for _, d := range nodes { // a node that once saw all is looked at once
		for {
			seen, err := d.Sees(ctx)
			if err != nil {
				return err
			}
			if seen == len(nodes) {
				break
			}
			if err := Until(ctx, time.Now().Add(viewEvery)); err != nil {
				return fmt.Errorf("%w: %s sees %d of %d", err, d.Name, seen, len(nodes))
			}
		}
	}
	return nil
}

const goneEvery = 10 * time.Millisecond // between two looks at the node's own view

// gone watches the node's view until none of the Nodes is a living member of it, at most for For. It answers when, in
// Unix nanoseconds, each was first seen to be none; 0: it was one all the time.
func gone(ctx context.Context, n *node.Node, o Order) (any, error) {
	at := make([]int64, len(o.Nodes))
	for end := time.Now().Add(time.Duration(o.For)); time.Now().Before(end); {
		living := map[id.Node]bool{}
		for _, m := range n.Members() {
			living[m.ID] = true
		}
		left := 0
		for i, d := range o.Nodes {
			if at[i] == 0 && !living[d] {
				at[i] = time.Now().UnixNano()
			}
			if at[i] == 0 {
				left++
			}
		}
		if left == 0 {
			break
		}
		if err := Until(ctx, time.Now().Add(goneEvery)); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// Sees asks a node how many members it sees alive.
func (d *Node) Sees(ctx context.Context) (alive int, err error) {
	var s node.Status
	if err := d.Ask(ctx, Order{Do: "status"}, &s); err != nil {
		return 0, err
	}
	for _, m := range s.Members {
		if m.State == "alive" {
			alive++
		}
	}
	return alive, nil
}
