package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
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

// defaultObjects is how many objects a table has unless told otherwise.
const defaultObjects = 1000

// listing is the objects that were asked for.
type listing struct {
	most  int // 0: all
	rows  []node.ObjectStatus
	total node.ObjectTotal
}

// add takes a part of a node's list, and says whether there is room for more.
func (l *listing) add(p node.ObjectPage) bool {
	l.total.Add(p.Total)
	l.rows = append(l.rows, p.Objects...)
	if l.most > 0 {
		l.rows = l.rows[:min(len(l.rows), l.most)]
	}
	return l.most == 0 || len(l.rows) < l.most
}

func (l *listing) write(w io.Writer) error {
	if len(l.rows) == 0 {
		_, err := fmt.Fprintln(w, "no objects")
		return err
	}
	if err := objectTable.write(w, l.rows); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d objects of %s, %d of them in files only", l.total.Objects, bytesText(l.total.Bytes), l.total.Spilled)
	if len(l.rows) == l.most && l.total.Objects > l.most {
		fmt.Fprintf(w, "; shown are %d: --limit 0 shows all", l.most)
	}
	_, err := fmt.Fprintln(w)
	return err
}

var objectTable = table[node.ObjectStatus]{
	text("object", func(o *node.ObjectStatus) string { return o.ID }),
	text("state", func(o *node.ObjectStatus) string { return strings.ToLower(o.State) }),
	number("bytes", func(o *node.ObjectStatus) string { return strconv.FormatInt(o.Size, 10) }),
	number("unused for", func(o *node.ObjectStatus) string { return ageText(o.UnusedSec) }),
	text("node", func(o *node.ObjectStatus) string { return o.Node.Short() }),
	text("job", func(o *node.ObjectStatus) string { return o.Job }),
	text("held by", func(o *node.ObjectStatus) string { return strings.Trim(fmt.Sprint(o.Holders), "[]") }),
}

func newListObjects() *cobra.Command {
	var s stores
	l := listing{rows: []node.ObjectStatus{}}
	cmd := &cobra.Command{
		Use:   "objects",
		Short: "List the objects in the nodes' stores, also spilled ones: state, size, job, holders",
		Long: `Lists the objects in the stores of all nodes: their state (spilled: in a file
and not in memory), size, job, how long no process took them, and which processes
of their node hold them. What nobody holds is there because something refers to it.
Below stands how many there are. 'kadre memory' sums up who holds what.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if l.most < 0 {
				return usagef("--limit %d: it is how many objects are shown, or 0 for all", l.most)
			}
			if s.json && !cmd.Flags().Changed("limit") {
				l.most = 0
			}
			collect := func(ctx context.Context, socket string) error {
				return s.each(ctx, socket, func(at id.Node) error { return ask.EachObject(ctx, socket, at, l.add) })
			}
			return s.fetch(cmd, collect, &l.rows, l.write)
		},
	}
	s.flags(cmd)
	cmd.Flags().IntVar(&l.most, "limit", defaultObjects, "show so many objects at most; 0: all, as --json does unless this is given")
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
