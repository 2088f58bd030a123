package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// candidate is a node that a task could be placed on.
type candidate struct {
	id        id.Node
	here      bool
	resources map[string]float64 // all of it, with CPU
	available map[string]float64
	load      float64 // CPUs in use per CPU
	labels    map[string]string
	spread    uint64 // how many that ask to be spread this node has sent there
}

func (c *candidate) has(s *wire.Spec, in map[string]float64) bool {
	if float64(s.CPU)/1000 > c.resources[cpuName]+1e-9 {
		return false
	}
	for k, v := range s.Resources {
		if v > in[k]+1e-9 {
			return false
		}
	}
	if free, said := in[cpuName]; said && float64(s.CPU)/1000 > free+1e-9 {
		return false
	}
	return c.labelled(s)
}

// labelled says whether the node has the labels that s asks for.
func (c *candidate) labelled(s *wire.Spec) bool {
	for k, v := range s.Labels {
		if got, ok := c.labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// choose picks a node: the one that was asked for; here, while it has room and is less than half used; else
// the less loaded of two random ones of those with room, or of those that fit when none has. Those that ask to
// be spread go where the fewest of them went, whether there is room now or not.
func choose(s *wire.Spec, cs []candidate, random func(n int) int) (id.Node, *wire.ErrorRecord) {
	var fit, free []candidate
	for _, c := range cs {
		if !c.has(s, c.resources) {
			continue
		}
		if c.id == s.OnNode {
			return c.id, nil
		}
		fit = append(fit, c)
		if c.has(s, c.available) {
			free = append(free, c)
		}
	}
	if s.Spread && s.OnNode == "" && len(fit) > 0 {
		least := slices.MinFunc(fit, func(a, b candidate) int { return cmp.Compare(a.spread, b.spread) }).spread
		free = slices.DeleteFunc(fit, func(c candidate) bool { return c.spread > least })
	} else if i := slices.IndexFunc(free, func(c candidate) bool { return c.here && c.load < 0.5 }); i >= 0 {
		free = free[i : i+1]
	}
	if s.OnNode != "" && !s.Soft || len(fit) == 0 {
		return "", unschedulable(s, cs)
	}
	if len(free) == 0 {
		free = fit
	}
	a, b := free[random(len(free))], free[random(len(free))]
	if b.load < a.load {
		a = b
	}
	return a.id, nil
}

// spreadTo counts one more for the node chosen. Counts of others that lag far behind, since the node is new, would
// send it everything for long: they are taken as not more than spreadLag behind.
func spreadTo(cs []candidate, to id.Node) uint64 {
	most, own := uint64(0), uint64(0)
	for _, c := range cs {
		most = max(most, c.spread)
		if c.id == to {
			own = c.spread
		}
	}
	if most > spreadLag {
		own = max(own, most-spreadLag)
	}
	return own + 1
}

// spreadLag is how many more tasks in a row a node gets that has come later.
const spreadLag = 4

// missingLabels names the labels that no node has, and what they are where nodes have them.
func missingLabels(s *wire.Spec, cs []candidate) (missing []string) {
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		values := map[string]bool{}
		for _, c := range cs {
			if v, ok := c.labels[k]; ok {
				values[v] = true
			}
		}
		switch {
		case values[s.Labels[k]]:
		case len(values) == 0:
			missing = append(missing, fmt.Sprintf("label %s=%s (no node has a label %s)", k, s.Labels[k], k))
		default:
			missing = append(missing, fmt.Sprintf("label %s=%s (nodes have %s)", k, s.Labels[k], strings.Join(slices.Sorted(maps.Keys(values)), ", ")))
		}
	}
	return missing
}

// unschedulable says what is missing.
func unschedulable(s *wire.Spec, cs []candidate) *wire.ErrorRecord {
	e := &wire.ErrorRecord{Class: wire.ErrorUnschedulable, Func: s.Func, Node: s.OnNode, Actor: s.Actor}
	if s.OnNode != "" && !s.Soft {
		i := slices.IndexFunc(cs, func(c candidate) bool { return c.id == s.OnNode })
		if i < 0 && !s.Group.IsZero() {
			e.Text = fmt.Sprintf("node: %s is to run in placement group %s on node %s, which is not in the cluster any more: its reservation is gone with it", s.Func, s.Group.Short(), s.OnNode)
			return e
		}
		if i < 0 {
			e.Text = fmt.Sprintf("node: %s is to run on node %s, which is not in the cluster (any more)", s.Func, s.OnNode)
			return e
		}
		cs = cs[i : i+1]
	}
	want := map[string]float64{}
	for k, v := range s.Resources {
		want[k] = v
	}
	if s.CPU > 0 {
		want[cpuName] = float64(s.CPU) / 1000
	}
	missing := missingLabels(s, cs)
	for _, k := range slices.Sorted(maps.Keys(want)) {
		most := 0.0
		for _, c := range cs {
			most = max(most, c.resources[k])
		}
		if want[k] > most+1e-9 {
			missing = append(missing, fmt.Sprintf("%s %v (the most a node has is %v)", k, want[k], most))
		}
	}
	if missing == nil {
		for _, k := range slices.Sorted(maps.Keys(want)) {
			missing = append(missing, fmt.Sprintf("%s %v", k, want[k]))
		}
		for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
			missing = append(missing, fmt.Sprintf("label %s=%s", k, s.Labels[k]))
		}
		missing = []string{strings.Join(missing, " and ") + " together on one node"}
	}
	e.Text = fmt.Sprintf("node: %s can run on none of %d nodes: missing %s", s.Func, len(cs), strings.Join(missing, ", "))
	return e
}
