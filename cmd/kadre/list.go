package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/id"
)

func newList() *cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "List nodes, workers, jobs, tasks, actors or objects",
		Args:  cobra.ArbitraryArgs,
		RunE:  group,
	}
	list.AddCommand(newListNodes(), newListWorkers(), newListJobs(), newListTasks(), newListActors(), newListGroups(), newListObjects())
	return list
}

// nodeRow is a node as it is listed.
type nodeRow struct {
	ID        id.Node            `json:"id"`
	Addrs     []string           `json:"addrs"`
	Resources map[string]float64 `json:"resources"`
	Available map[string]float64 `json:"available"`
	Labels    map[string]string  `json:"labels,omitempty"`
	PID       int                `json:"pid"`
}

func newListNodes() *cobra.Command {
	var l look
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the living nodes that a node of this machine knows",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var nodes []nodeRow
			return l.show(cmd, ask.Nodes, &nodes, func(w io.Writer) error {
				tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
				fmt.Fprintln(tw, "node\tprocess\tresources\tfree\tlabels\taddresses")
				for _, n := range nodes {
					r, a, p := amounts(n.Resources), amounts(n.Available), pairs(n.Labels)
					fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\t%s\n", n.ID, n.PID, &r, &a, &p, strings.Join(n.Addrs, " "))
				}
				return tw.Flush()
			})
		},
	}
	l.flags(cmd)
	return cmd
}
