package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/node"
)

// drainPause is the time between two looks at a node that drains.
const drainPause = 100 * time.Millisecond

func newDrain() *cobra.Command {
	var l look
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "drain [NODE]",
		Short: "Have a node take no new work, and end when what it has is done",
		Long: `Drains a node as SIGTERM does: it takes no new work, finishes or hands over what it
has, and ends. NODE is the end of its ID, as 'kadre list nodes' tells it; without
one it is the node that is asked. Waits until the node has left and tells how much
is left meanwhile; Ctrl-C ends the waiting and not the draining.

A node inside a program tells the program (rt.Done() is closed), which ends it.`,
		Args: func(cmd *cobra.Command, given []string) error {
			if len(given) > 1 {
				return usagef("drain: want one node, and got %d", len(given))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait < 0 {
				return usagef("--wait %v: want 0 (do not wait) or more", wait)
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			socket, err := l.socketOf(cmd)
			if err != nil {
				return err
			}
			d := drain{socket: socket, out: cmd.ErrOrStderr()}
			if err := d.choose(ctx, strings.Join(args, "")); err != nil {
				return err
			}
			var s node.Status
			err = ask.Into(ctx, socket, ask.At(d.node, ask.Drain), &s)
			if errors.Is(err, ask.ErrHungUp) && d.node == d.me {
				err = nil // it had nothing to do, and has ended before it could say so
			}
			if err != nil {
				return err
			}
			if wait == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "node %s drains\n", d.node.Short())
				return nil
			}
			if err := d.wait(ctx, wait, &s); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "node %s has left\n", d.node.Short())
			return nil
		},
	}
	l.nodeFlags(cmd)
	cmd.Flags().DurationVar(&wait, "wait", drainWithin+time.Minute, "how long to wait for the node's end; 0 to begin and not wait")
	return cmd
}

// drain waits for the end of a node.
type drain struct {
	socket string // of the node that is asked
	me     id.Node
	node   id.Node // that drains
	out    io.Writer
}

// choose finds the one living node whose ID ends in end; the one that is asked where end is empty.
func (d *drain) choose(ctx context.Context, end string) error {
	var s node.Status
	if err := ask.Into(ctx, d.socket, ask.Status, &s); err != nil {
		return err
	}
	d.me, d.node = s.Node, s.Node
	if end == "" {
		return nil
	}
	fit := living(&s, end)
	if len(fit) != 1 {
		return fmt.Errorf("drain: %d living nodes have an ID that ends in %q, want one: 'kadre list nodes' tells them", len(fit), end)
	}
	d.node = fit[0]
	return nil
}

// wait returns when the node has left. s is what it said last.
func (d *drain) wait(ctx context.Context, long time.Duration, s *node.Status) error {
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	told := ""
	for {
		if left := leftOf(s); left != told {
			fmt.Fprintf(d.out, "node %s drains: %s\n", d.node.Short(), left)
			told = left
		}
		select {
		case <-ctx.Done():
		case <-time.After(drainPause):
		}
		gone, err := d.gone(ctx, s)
		switch {
		case asked.Err() != nil:
			return fmt.Errorf("drain: interrupted; node %s goes on draining", d.node.Short())
		case ctx.Err() != nil:
			return fmt.Errorf("drain: node %s has not left after %v, %s: 'kadre list tasks' tells what it still does; --wait sets the time", d.node.Short(), long, told)
		case err != nil || gone:
			return err
		}
	}
}

// gone says whether the node has left, and else asks it for its status.
func (d *drain) gone(ctx context.Context, s *node.Status) (bool, error) {
	var next node.Status
	if d.node == d.me {
		switch err := ask.Into(ctx, d.socket, ask.Status, &next); {
		case errors.Is(err, ask.ErrNoNode):
			return true, nil
		case err == nil:
			*s = next
		}
		return false, nil // a node that ends hangs up first
	}
	var me node.Status
	if err := ask.Into(ctx, d.socket, ask.Status, &me); err != nil {
		return false, err
	}
	if !slices.Contains(living(&me, ""), d.node) {
		return true, nil
	}
	if ask.Into(ctx, d.socket, ask.At(d.node, ask.Status), &next) == nil {
		*s = next
	}
	return false, nil
}

// leftOf tells what a node still has.
func leftOf(s *node.Status) string {
	queued := s.Queued.Resources + s.Queued.OwnProcess + s.Queued.Worker
	for _, p := range slices.Concat(s.Drivers, s.Workers) {
		queued += p.Queued + p.Placed
	}
	return fmt.Sprintf("%d tasks queued, %g of %g CPUs busy", queued, s.CPUs.Total-s.CPUs.Free, s.CPUs.Total)
}
