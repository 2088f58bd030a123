package wire

import (
	"fmt"
	"math"

	"github.com/kadrehq/kadre/internal/id"
)

// MaxBundles bounds the bundles of a placement group.
const MaxBundles = 256

// CPUName is the resource that a task's CPUs are counted as.
const CPUName = "CPU"

// The strategies of placement groups.
const (
	GroupPack uint8 = iota
	GroupSpread
	GroupStrictPack
	GroupStrictSpread
)

// GroupOp says what is asked about a placement group.
type GroupOp uint8

// What is asked about a placement group.
const (
	GroupMake   GroupOp = iota + 1 // reserve the bundles; the reply, Placed, says on which node, perhaps later
	GroupAwait                     // of that node; the reply is empty and comes when they are reserved
	GroupRemove                    // of that node; give them back
)

// Group asks about a placement group.
type Group struct {
	_        struct{} `cbor:",toarray"`
	Op       GroupOp
	Group    id.Group
	Job      id.Job
	Owner    id.Addr              // the process that made it, where a node asks
	Bundles  []map[string]float64 // GroupMake, as the next
	Strategy uint8
}

// Check says what is wrong with a question from elsewhere.
func (g *Group) Check() error {
	if g.Op < GroupMake || g.Op > GroupRemove || g.Strategy > GroupStrictSpread || g.Group.IsZero() {
		return fmt.Errorf("wire: placement group: bad question %d of strategy %d", g.Op, g.Strategy)
	}
	if n := len(g.Bundles); n > MaxBundles || n == 0 && g.Op == GroupMake {
		return fmt.Errorf("wire: placement group: %d bundles, want 1 to %d", n, MaxBundles)
	}
	for i, b := range g.Bundles {
		if len(b) == 0 || len(b) > MaxResources {
			return fmt.Errorf("wire: placement group: bundle %d has %d resources, want 1 to %d", i, len(b), MaxResources)
		}
		for k, v := range b {
			if k == "" || !(v > 0) || math.IsInf(v, 0) || v > MaxAmount {
				return fmt.Errorf("wire: placement group: bundle %d: %q: %v is no amount: give more than 0", i, k, v)
			}
		}
	}
	return nil
}

// MaxAmount bounds an amount of a resource, so that sums of millionths fit 63 bits.
const MaxAmount = 1 << 42
