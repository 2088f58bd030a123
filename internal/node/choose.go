package node

import (
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
	return true
}

// choose picks a node: the one that was asked for; here, while it has room and is less than half used; else
// the less loaded of two random ones of those with room, or of those that fit when none has.
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
	if i := slices.IndexFunc(free, func(c candidate) bool { return c.here && c.load < 0.5 }); i >= 0 {
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

// unschedulable says what is missing.
func unschedulable(s *wire.Spec, cs []candidate) *wire.ErrorRecord {
	e := &wire.ErrorRecord{Class: wire.ErrorUnschedulable, Func: s.Func, Node: s.OnNode, Actor: s.Actor}
	if s.OnNode != "" && !s.Soft {
		i := slices.IndexFunc(cs, func(c candidate) bool { return c.id == s.OnNode })
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
	var missing []string
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
		missing = []string{strings.Join(missing, " and ") + " together on one node"}
	}
	e.Text = fmt.Sprintf("node: %s can run on none of %d nodes: missing %s", s.Func, len(cs), strings.Join(missing, ", "))
	return e
}
