package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/node"
)

// stores has the flags of commands that look into the stores of all nodes.
type stores struct {
	look
	at string
}

func (s *stores) flags(cmd *cobra.Command) {
	s.look.flags(cmd)
	cmd.Flags().StringVar(&s.at, "node", "", "only the node whose ID ends in this (default: all nodes, the one that is asked first)")
}

// each calls f for the nodes, the one that is asked first. A node that fails does not keep the others from being
// told; the error in the end names it.
func (s *stores) each(ctx context.Context, socket string, f func(id.Node) error) error {
	var me node.Status
	if err := ask.Into(ctx, socket, ask.Status, &me); err != nil {
		return err
	}
	nodes := living(&me, s.at)
	if len(nodes) == 0 {
		return fmt.Errorf("no living node has an ID that ends in %q: 'kadre list nodes' tells them", s.at)
	}
	var silent incomplete
	for _, n := range nodes {
		if err := f(n); err != nil {
			if n == me.Node || ctx.Err() != nil {
				return err
			}
			silent.add(n, err)
		}
	}
	return silent.err()
}

// living are the nodes that a node knows to be alive and whose IDs end so, itself first.
func living(s *node.Status, end string) (nodes []id.Node) {
	for _, m := range s.Members {
		if m.State == "alive" && strings.HasSuffix(string(m.ID), end) {
			nodes = append(nodes, m.ID)
		}
	}
	return nodes
}

func newListObjects() *cobra.Command {
	var s stores
	cmd := &cobra.Command{
		Use:   "objects",
		Short: "List the objects in the nodes' stores, also spilled ones: state, size, job, holders",
		Long: `Lists all objects in the stores of all nodes: their state (spilled: in a file
and not in memory), size, job, how long no process took them, and which processes
of their node hold them. What nobody holds is there because something refers to it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			objects := []node.ObjectStatus{}
			collect := func(ctx context.Context, socket string) error {
				return s.each(ctx, socket, func(at id.Node) error {
					return ask.EachObject(ctx, socket, at, func(part []node.ObjectStatus) { objects = append(objects, part...) })
				})
			}
			return s.fetch(cmd, collect, &objects, func(w io.Writer) error { return node.WriteObjects(w, objects) })
		},
	}
	s.flags(cmd)
	return cmd
}

func newMemory() *cobra.Command {
	var s stores
	cmd := &cobra.Command{
		Use:   "memory",
		Short: "Who holds how much of the nodes' object stores",
		Long: `Tells of each node how many objects and bytes each process holds in its object
store, how many nobody holds, and whose they are. What a process holds stays in
memory; the rest is moved into files when room is needed. 'kadre list objects' has
each object. With --json it is a list of nodes.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all := []node.Memory{}
			collect := func(ctx context.Context, socket string) error {
				return s.each(ctx, socket, func(at id.Node) error {
					var m node.Memory
					if err := ask.Into(ctx, socket, ask.At(at, ask.Memory), &m); err != nil {
						return err
					}
					all = append(all, m)
					return nil
				})
			}
			return s.fetch(cmd, collect, &all, func(w io.Writer) error {
				for i, m := range all {
					if i > 0 {
						fmt.Fprintln(w)
					}
					if _, err := io.WriteString(w, m.String()); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	s.flags(cmd)
	return cmd
}
