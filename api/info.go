package api

import (
	"context"
	"encoding/hex"
	"log/slog"

	"github.com/kadrehq/kadre/internal/proc"
)

// Info says which task runs, and where.
type Info struct {
	Job     JobID
	Task    TaskID
	Actor   ActorID // zero outside of actors
	Node    NodeID
	Attempt int // how often it ran before, because a process or node had died
	PID     int
}

// FromContext gives the Info of the task that was given ctx; false outside of tasks.
func FromContext(ctx context.Context) (Info, bool) {
	i, ok := proc.InfoOf(ctx)
	if !ok {
		return Info{}, false
	}
	return Info{Job: jobID(i.Job), Task: taskID(i.Task), Actor: ActorID(i.Actor), Node: nodeID(i.Node), Attempt: i.Attempt, PID: i.PID}, true
}

// Log gives a logger with job, task, actor, node and attempt of the task that was given ctx.
func Log(ctx context.Context) *slog.Logger {
	l := slog.Default()
	i, ok := FromContext(ctx)
	if !ok {
		return l
	}
	l = l.With("job", string(i.Job), "task", string(i.Task), "node", string(i.Node), "attempt", i.Attempt)
	if i.Actor != (ActorID{}) {
		l = l.With("actor", i.Actor.String())
	}
	return l
}

// NodeInfo is a node as the others see it.
type NodeInfo struct {
	ID        NodeID
	Addrs     []string
	Resources map[string]float64 // what it has
	Available map[string]float64 // what of it is free
	Labels    map[string]string
	PID       int
}

// Nodes lists the living nodes of the cluster.
func Nodes(ctx context.Context) ([]NodeInfo, error) {
	p, err := processOf(ctx)
	if err != nil {
		return nil, err
	}
	in, err := p.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]NodeInfo, len(in))
	for i, n := range in {
		out[i] = NodeInfo{ID: nodeID(n.ID), Addrs: n.Addrs, Resources: n.Resources, Available: n.Available, Labels: n.Labels, PID: n.PID}
	}
	return out, nil
}

// ClusterResources sums up what the living nodes have.
func ClusterResources(ctx context.Context) (map[string]float64, error) {
	return sum(ctx, func(n *NodeInfo) map[string]float64 { return n.Resources })
}

// AvailableResources sums up what is free on the living nodes.
func AvailableResources(ctx context.Context) (map[string]float64, error) {
	return sum(ctx, func(n *NodeInfo) map[string]float64 { return n.Available })
}

func sum(ctx context.Context, of func(*NodeInfo) map[string]float64) (map[string]float64, error) {
	nodes, err := Nodes(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]float64{}
	for i := range nodes {
		for k, v := range of(&nodes[i]) {
			all[k] += v
		}
	}
	return all, nil
}

// ActorInfo is an actor as listings show it.
type ActorInfo struct {
	ID                            ActorID
	Name, Namespace, Class, State string
	Node                          NodeID
	PID                           int
}

// ListActors lists the living actors of the cluster, of all jobs, and those that wait to be made. Where a node does not
// answer it gives the others, and an error that names the node.
func ListActors(ctx context.Context) ([]ActorInfo, error) {
	p, err := processOf(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := p.Actors(ctx)
	out := make([]ActorInfo, len(rows))
	for i, r := range rows {
		out[i] = ActorInfo{Name: r.Name, Namespace: r.Namespace, Class: r.Class, State: r.State, Node: NodeID(r.Node), PID: r.PID}
		hex.Decode(out[i].ID[:], []byte(r.ID)) // what is no ID stays zero
	}
	return out, err
}
