package api

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/wire"
)

// Bundle is what a placement group takes on one node, by the names of resources: "CPU", "memory" (in bytes), and those that
// nodes were given.
type Bundle map[string]float64

// Strategy says how a placement group's bundles lie. All bundles of a group are on one node for now, so that
// StrategyStrictSpread is for groups of one bundle only.
type Strategy uint8

// The strategies.
const (
	StrategyPack         = Strategy(wire.GroupPack)         // on few nodes
	StrategySpread       = Strategy(wire.GroupSpread)       // on many nodes, as far as that can be
	StrategyStrictPack   = Strategy(wire.GroupStrictPack)   // on one node, or not at all
	StrategyStrictSpread = Strategy(wire.GroupStrictSpread) // each on a node of its own, or not at all
)

// PlacementGroup is resources that are reserved together. It belongs to the process that made it, and does not travel.
type PlacementGroup struct{ g *proc.Group }

// NewPlacementGroup has resources reserved, all bundles or none, which may take as long as others hold them: see Ready. Tasks
// and actors run on them with InBundle. They are reserved until Remove is called, or the process that calls this or its job
// ends; they do not outlive their node. The error is an *UnschedulableError where no node can ever give them.
func NewPlacementGroup(ctx context.Context, b []Bundle, s Strategy) (*PlacementGroup, error) {
	p, err := processOf(ctx)
	if err != nil {
		return nil, err
	}
	bundles := make([]map[string]float64, len(b))
	for i := range b {
		bundles[i] = maps.Clone(b[i])
	}
	g, err := p.NewGroup(ctx, bundles, uint8(s))
	if err != nil {
		return nil, err
	}
	return &PlacementGroup{g}, nil
}

// errNoGroup is what a nil group gives.
var errNoGroup = fmt.Errorf("%w: the placement group is nil: make one with NewPlacementGroup", ErrZero)

// Ready waits until all bundles are reserved. Tasks may be submitted before.
func (pg *PlacementGroup) Ready(ctx context.Context) error {
	if pg == nil || pg.g == nil {
		return errNoGroup
	}
	return pg.g.Await(ctx)
}

// Remove gives the bundles back. Tasks and actors in them end with an error that says so; those that do not heed it keep
// theirs until they do.
func (pg *PlacementGroup) Remove(ctx context.Context) error {
	if pg == nil || pg.g == nil {
		return errNoGroup
	}
	return pg.g.Remove(ctx)
}

// InBundle runs in bundle i of a placement group: on its node, with its resources and no others. A task that says nothing
// else needs one CPU of it, an actor none.
func InBundle(pg *PlacementGroup, i int) PlaceOption {
	return PlaceOption{func(p *proc.Options) {
		switch {
		case pg == nil || pg.g == nil:
			fail(p, errors.Join(errors.New("kadre: InBundle"), errNoGroup))
		case i < 0 || i >= pg.g.Bundles():
			fail(p, fmt.Errorf("kadre: InBundle(%d): the placement group has bundles 0 to %d", i, pg.g.Bundles()-1))
		default:
			p.Group, p.Bundle = pg.g, i
		}
	}}
}
