package p2p

import (
	"path/filepath"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/libp2p/go-libp2p/core/peer"
)

// laneExt ends the names of the sockets in the runtime folder over which nodes of one machine talk.
const laneExt = ".lane"

// nearSocket is where a node of the same runtime folder, machine and network namespace takes lanes.
func (h *Host) nearSocket(n id.Node) string {
	return filepath.Join(h.cfg.RuntimeDir, n.Short()+laneExt)
}

// listenNear lets nodes of this machine reach this one without TCP. Without it they use TCP.
func (h *Host) listenNear() {
	ln, err := lane.ListenUnix(h.nearSocket(h.id))
	if err != nil {
		h.cfg.Logger.Warn("p2p: nodes of this machine have to use TCP", "err", err)
		return
	}
	h.near = ln
	h.wg.Go(func() { h.accept(ln) })
}

// meetNear notes which nodes can be reached that way.
func (h *Host) meetNear(files []peerFile) {
	nearby := map[id.Node]bool{}
	for _, f := range files {
		if f.Lane {
			nearby[f.ID] = true
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nearby = nearby
}

// nearTarget is the socket of a node of this machine, to be tried before its addresses.
func (h *Host) nearTarget(n id.Node) (l []target) {
	if p, err := peer.Decode(string(n)); err == nil && (h.Near(n) || h.newlyNear(n)) {
		return []target{{"unix", h.nearSocket(n), p}}
	}
	return nil
}

// newlyNear looks for the file of a node that may have come since the last scan.
func (h *Host) newlyNear(n id.Node) bool {
	if h.runtime == nil {
		return false
	}
	s, err := h.runtime.read(n.Short()+peerExt, nil)
	if err != nil || s.file.ID != n || !s.file.Lane || !s.file.Place.sameNet(h.runtime.here) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nearby[n] = true
	return true
}

// Near says whether a node is of this machine and network namespace, and reached without TCP.
func (h *Host) Near(n id.Node) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nearby[n]
}
