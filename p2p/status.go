package p2p

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/directory"
)

// Directory is the network's directory; see package directory.
type Directory = directory.Directory

// Names of the directory's types, so that callers need only this package.
type (
	Record = directory.Record
	Key    = directory.Key
)

// Status is a copy of where a host stands. It prints, and encodes as JSON.
type Status struct {
	ID           id.Node         `json:"id"`
	Epoch        uint64          `json:"epoch"`
	Cluster      string          `json:"cluster"`
	Addrs        []string        `json:"addrs"`
	Tokens       []string        `json:"tokens"`   // fingerprints: the one that is proved, then what else is accepted
	Members      []Member        `json:"members"`  // this node first
	Gone         []Member        `json:"gone"`     // dead and left, not forgotten yet
	Disputed     []Member        `json:"disputed"` // those of which this node's own view and the gossip differ
	Troubles     []Trouble       `json:"troubles"` // why nodes are not reached, the latest first
	Lanes        []LaneStatus    `json:"lanes"`
	BulkIn       uint64          `json:"bulk_in"`  // bytes of data fetched
	BulkOut      uint64          `json:"bulk_out"` // and served
	RoutingTable int             `json:"routing_table"`
	Directory    directory.Stats `json:"directory"`
	Recent       []string        `json:"recent"` // membership events, newest last
}

// LaneStatus is a control lane.
type LaneStatus struct {
	Peer id.Node `json:"peer"`
	In   uint64  `json:"in"` // bytes
	Out  uint64  `json:"out"`
	Kept int     `json:"kept"` // bytes sent that the peer has not confirmed yet
}

// Status tells where the host stands.
func (h *Host) Status() Status {
	s := Status{
		ID: h.id, Epoch: h.epoch, Cluster: h.cfg.Cluster, Addrs: h.Addrs(), Tokens: h.keys.Now().Fingerprints(), Members: h.Members(),
		BulkIn: h.bulkIn.Load(), BulkOut: h.bulkOut.Load(),
		RoutingTable: h.RoutingTableSize(), Directory: h.dir.Stats(), Troubles: h.wrong.list(),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range h.view.Gone() {
		s.Gone = append(s.Gone, asMember(i))
	}
	for _, i := range h.view.Disputed() {
		s.Disputed = append(s.Disputed, asMember(i))
	}
	for n, l := range h.links {
		in, out := l.ctl.Bytes()
		s.Lanes = append(s.Lanes, LaneStatus{n, in, out, h.bonds[n].Kept()})
	}
	slices.SortFunc(s.Lanes, func(a, b LaneStatus) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	s.Recent = slices.Clone(h.recent)
	return s
}

// String is the status for people.
func (s Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s epoch %d cluster %q\n", s.ID, s.Epoch, s.Cluster)
	for _, a := range s.Addrs {
		fmt.Fprintf(&b, "  listens %s\n", a)
	}
	for _, m := range append(slices.Clone(s.Members), s.Gone...) {
		fmt.Fprintf(&b, "  %-7s %s found by %s", m.State, m.ID, m.Found)
		if m.RTT > 0 {
			fmt.Fprintf(&b, ", round trip %v", m.RTT.Round(time.Microsecond))
		}
		b.WriteByte('\n')
	}
	for _, m := range s.Disputed {
		fmt.Fprintf(&b, "  disputed: %s is %s here and %s by the gossip\n", m.ID, m.State, m.Said)
	}
	for _, t := range s.Troubles {
		fmt.Fprintf(&b, "  trouble: %s %s: %s, %d times: %s\n", t.Peer, t.Addr, t.Kind, t.Times, t.Why)
	}
	for _, l := range s.Lanes {
		fmt.Fprintf(&b, "  lane %s: %d bytes in, %d out\n", l.Peer.Short(), l.In, l.Out)
	}
	fmt.Fprintf(&b, "  bulk: %d bytes in, %d out\n", s.BulkIn, s.BulkOut)
	d := s.Directory
	fmt.Fprintf(&b, "  Kademlia's table has %d nodes; directory: %d records held (%d bytes), %d own, %d hits, %d misses, %d requests, %d lookups\n",
		s.RoutingTable, d.Held, d.Bytes, d.Own, d.Hits, d.Misses, d.Requests, d.Lookups)
	return b.String()
}
