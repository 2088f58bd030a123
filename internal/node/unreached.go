package node

import (
	"slices"

	"github.com/kadrehq/kadre/internal/wire"
)

// A node that cannot be reached may come back, or its death is not known yet. A task that fits no other waits until one of the
// two is certain: then it is placed anew, and runs, or what no node can give is its error.

// unreached marks the refusals of a node that did not get the task. It is one of refused.
const unreached = "node: unreached"

// notReached is the refusal of a task that was not sent.
func (n *Node) notReached(format string, args ...any) *wire.ErrorRecord {
	r := n.refusal(format, args...)
	r.Known = append(r.Known, unreached)
	return r
}

// awaitReach keeps what only a node can take that was not reached; false where too much waits already.
func (n *Node) awaitReachLocked(e *errand, last error) bool {
	if last == nil || len(n.place.cut) >= maxErrands || n.stopped || e.cancelled ||
		!slices.Contains(asRecord(last, wire.ErrorUnavailable).Known, unreached) {
		return false
	}
	n.place.remember(e)
	n.place.cut = append(n.place.cut, e)
	return true
}

// placeCut places anew what waits for nodes that were not reached.
func (n *Node) placeCut() {
	n.mu.Lock()
	cut := n.place.cut
	n.place.cut = nil
	for _, e := range cut {
		n.place.forget(e)
	}
	n.mu.Unlock()
	for _, e := range cut {
		if !e.cancelled {
			n.placeErrand(e, nil, nil)
		}
	}
}
