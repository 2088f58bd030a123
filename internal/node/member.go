package node

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/p2p"
)

// metaPause is the least time between two changes of what peers know of this node.
const metaPause = 200 * time.Millisecond

// desc is what a node tells its peers about itself, with its membership.
type desc struct {
	_         struct{} `cbor:",toarray"`
	Version   int
	PID       int
	Resources map[string]float64 // with CPU
	Available map[string]float64
	Labels    map[string]string
	Load      float64 // CPUs in use per CPU
	Jobs      int     // known to the node
	Draining  bool
}

// member is another node of the cluster.
type member struct {
	epoch uint64
	addrs []string
	desc  desc
}

// The modes have constant options, which are right. Maps are sorted: equal descriptors have equal encodings.
var (
	descEnc, _ = cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode()
	descDec, _ = cbor.DecOptions{MaxArrayElements: 1024, MaxMapPairs: 1024, MaxNestedLevels: 4}.DecMode()
)

func parseDesc(b []byte) (d desc, err error) {
	if err = descDec.Unmarshal(b, &d); err != nil {
		return desc{}, fmt.Errorf("node: descriptor: %w", err)
	}
	return d, nil
}

func (d *desc) encode() []byte {
	b, err := descEnc.Marshal(d)
	if err != nil {
		panic(err) // it has nothing that could fail
	}
	return b
}

// describeStart is the descriptor of a node that has no arena clients and no jobs yet.
func (n *Node) describeStart() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.describeLocked().encode()
}

func (n *Node) describeLocked() *desc {
	h := n.hereLocked()
	h.load = float64(int(h.load*20)) / 20 // coarse: small changes are not worth a message
	return &desc{Version: wire.Version, PID: os.Getpid(), Resources: h.resources, Available: h.available,
		Labels: n.cfg.Labels, Load: h.load, Jobs: len(n.jobs), Draining: n.draining}
}

// advertise tells the peers what has changed, if something has.
func (n *Node) advertise() {
	if n.host == nil {
		return
	}
	n.mu.Lock()
	b := n.describeLocked().encode()
	n.mu.Unlock()
	if bytes.Equal(b, n.told) {
		return
	}
	n.told = b
	if err := n.host.UpdateMeta(b); err != nil {
		n.log.Warn("node: telling the peers about this node", "err", err)
	}
}

// memberEvent takes what the network says of other nodes, in order.
func (n *Node) memberEvent(e p2p.Event) {
	n.early.do(func() { n.memberChanged(e) })
}

func (n *Node) memberChanged(e p2p.Event) {
	m := e.Member
	if m.Self || m.ID == n.id {
		return
	}
	n.events.Add(trace.Event{Layer: "p2p", Kind: e.Kind.String(), Peer: m.ID.Short(), N: int64(m.Epoch), Text: e.Why})
	if e.Kind == p2p.Down {
		n.mu.Lock()
		delete(n.members, m.ID)
		delete(n.place.spread, m.ID)
		n.mu.Unlock()
		n.steal.peerDown(m.ID)
		n.heardDead([]id.Addr{{Node: m.ID}}, e.Why)
		n.spawn(func() { n.endJobsOf(m.ID) })
		return
	}
	d, err := parseDesc(m.Meta)
	if err != nil {
		n.log.Warn("node: a node describes itself wrongly", "node", m.ID.Short(), "err", err)
	}
	n.mu.Lock()
	n.members[m.ID] = &member{epoch: m.Epoch, addrs: m.Addrs, desc: d}
	n.mu.Unlock()
	if e.Kind == p2p.Up {
		n.steal.peerUp(m.ID, m.Epoch)
	}
}

// peers names the other nodes.
func (n *Node) peers() []id.Node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.members))
}

// nodes lists the living nodes, this one first.
func (n *Node) nodes() []wire.NodeInfo {
	addrs := n.Addrs()
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hereLocked()
	l := []wire.NodeInfo{{ID: n.id, Addrs: addrs, Resources: h.resources, Available: h.available, Labels: n.cfg.Labels, PID: os.Getpid()}}
	for _, name := range slices.Sorted(maps.Keys(n.members)) {
		m := n.members[name]
		l = append(l, wire.NodeInfo{ID: name, Addrs: m.addrs, Resources: m.desc.Resources, Available: m.desc.Available, Labels: m.desc.Labels, PID: m.desc.PID})
	}
	return l
}
