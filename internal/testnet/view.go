package testnet

import (
	"context"
	"fmt"
	"time"

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
