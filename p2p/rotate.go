package p2p

import (
	"slices"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/kadrehq/kadre/p2p/member"
)

// watchToken reads the tokens again when their file changes. A file that cannot be read leaves the ones before.
func (h *Host) watchToken(w watched) {
	h.every(lookEvery, func() {
		if h.renewLanes(); !w.changed() {
			return
		}
		keys, err := admit.LoadToken(w.path)
		if w.done(err) {
			h.cfg.Logger.Warn("p2p: the tokens stay as they were", "err", err)
		}
		if err == nil {
			h.rekey(keys)
		}
	})
}

// rekey goes on with other tokens.
func (h *Host) rekey(keys admit.Keys) {
	h.keys.Set(keys)
	prints := keys.Fingerprints()
	h.cfg.Logger.Info("p2p: read the tokens anew", "proves", prints[0], "accepts", prints)
	if h.mdns != nil {
		h.mdns.serve(keys.Names(mdnsPurpose(h.cfg)))
	}
	h.step(member.Rekeyed{})
	h.dropStrangers()
	h.renewLanes()
}

// renewLanes has members prove themselves anew that have proved what is accepted no more: on a new lane, which takes the
// place of the other, so that nothing is lost.
func (h *Host) renewLanes() {
	accepted := h.keys.Now().Fingerprints()
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, l := range h.links {
		if !slices.Contains(accepted, l.proved) {
			h.stepLocked(member.Renew{ID: n})
		}
	}
}

// dropStrangers closes what nodes have here that are no members: nothing else would have them prove themselves anew.
func (h *Host) dropStrangers() {
	member := map[id.Node]bool{}
	h.mu.Lock()
	for _, i := range h.view.Members() {
		member[i.ID] = true
	}
	var bulk []*lane.Bulk
	for n, lanes := range h.served {
		for b := range lanes {
			if !member[n] {
				bulk = append(bulk, b)
			}
		}
	}
	h.mu.Unlock()
	for _, b := range bulk {
		b.Cut()
	}
	for _, c := range slices.Clone(h.kad.host.Network().Conns()) {
		if !member[id.Node(c.RemotePeer().String())] {
			c.Close()
		}
	}
}
