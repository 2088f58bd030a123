package api

import "context"

// Bundle is what a placement group takes on one node, by the names of resources.
type Bundle map[string]float64

// Strategy says how a placement group's bundles lie.
type Strategy uint8

// The strategies.
const (
	StrategyPack         Strategy = iota // on few nodes
	StrategySpread                       // on many nodes
	StrategyStrictPack                   // on one node, or not at all
	StrategyStrictSpread                 // each on a node of its own, or not at all
)

// PlacementGroup will be resources taken together.
type PlacementGroup struct{}

// NewPlacementGroup will take the resources of bundles together.
func NewPlacementGroup(ctx context.Context, b []Bundle, s Strategy) (*PlacementGroup, error) {
	return nil, later("NewPlacementGroup")
}

// Ready will wait until all bundles are taken.
func (pg *PlacementGroup) Ready(ctx context.Context) error { return later("NewPlacementGroup") }

// Remove will give the bundles back.
func (pg *PlacementGroup) Remove(ctx context.Context) error { return later("NewPlacementGroup") }
