package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/id"
)

func newList() *cobra.Command {
	list := &cobra.Command{
		Use:   "list",
		Short: "List nodes, workers, jobs, tasks, actors, placement groups or objects",
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
	Labels    map[string]string  `json:"labels"`
	PID       int                `json:"pid"`
}

var nodeTable = table[nodeRow]{
	text("node", func(n *nodeRow) string { return string(n.ID) }),
	number("process", func(n *nodeRow) string { return pidText(n.PID) }),
	text("resources", func(n *nodeRow) string { return (*amounts)(&n.Resources).String() }),
	text("free", func(n *nodeRow) string { return (*amounts)(&n.Available).String() }),
	text("labels", func(n *nodeRow) string { return (*pairs)(&n.Labels).String() }),
	text("addresses", func(n *nodeRow) string { return strings.Join(n.Addrs, " ") }),
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
				return nodeTable.write(w, nodes)
			})
		},
	}
	l.flags(cmd)
	return cmd
}
